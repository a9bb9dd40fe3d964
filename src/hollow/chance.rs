//! Chance without a generator: a number that depends on a name and a purpose only, so that a run can be repeated and
//! a restarted process goes on as before.

/// A number in [0, 1). FNV-1a over the texts, finished by the mixer of `SplitMix64` (Steele, Lea, Flood, 2014), since
/// FNV alone leaves the high bits of short names alike.
pub fn chance(name: &str, purpose: &str) -> f64 {
    let bytes = name.bytes().chain([0]).chain(purpose.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::chance;

    #[test]
    fn it_is_spread_evenly_and_repeats() {
        let mut tenths = [0; 10];
        for n in 0..10_000 {
            tenths[(chance(&format!("hollow-{n}"), "lease") * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
        let same = [chance("a", "x"), chance("a", "x")];
        assert!(same[0].to_bits() == same[1].to_bits());
        assert!((chance("a", "x") - chance("a", "y")).abs() > f64::EPSILON);
    }
}
