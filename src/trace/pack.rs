//! The few parts of MessagePack that records need, without allocation and with every length checked.

/// One MessagePack value, or the start of a map or array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    /// Always negative.
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bin(&'a [u8]),
    Array(usize),
    Map(usize),
    Ext(i8, &'a [u8]),
}

/// Reads tokens from bytes that nobody vouches for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// Bytes that are left: no map or array can have more elements.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, String> {
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Token::Uint(u64::from(marker)),
            0x80..=0x8f => Token::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Token::Array(usize::from(marker & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = self.number(1 << (marker - 0xc4))?;
                Token::Bin(self.take(len as usize)?)
            }
            0xc7..=0xc9 => {
                let len = self.number(1 << (marker - 0xc7))?;
                self.ext(len as usize)?
            }
            0xca => Token::Float(f64::from(f32::from_bits(self.number(4)? as u32))),
            0xcb => Token::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Token::Uint(self.number(1 << (marker - 0xcc))?),
            0xd0..=0xd3 => self.signed(1 << (marker - 0xd0))?,
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.number(1 << (marker - 0xd9))?;
                self.text(len as usize)?
            }
            0xdc | 0xdd => Token::Array(self.number(2 << (marker - 0xdc))? as usize),
            0xde | 0xdf => Token::Map(self.number(2 << (marker - 0xde))? as usize),
            0xe0..=0xff => Token::Int(i64::from(marker as i8)),
            0xc1 => return Err("a byte that MessagePack does not use".to_owned()),
        })
    }

    /// A number that says how many or which.
    pub(super) fn uint(&mut self) -> Result<u64, String> {
        match self.token()? {
            Token::Uint(n) => Ok(n),
            other => Err(format!("{other:?} where a number from 0 should be")),
        }
    }

    pub(super) fn array(&mut self) -> Result<usize, String> {
        match self.token()? {
            Token::Array(n) => Ok(n),
            other => Err(format!("{other:?} where an array should be")),
        }
    }

    /// Checks that one value follows whose parts are at most `nodes`, without building it.
    pub(super) fn skim(mut self, nodes: usize) -> Result<(), String> {
        let (mut pending, mut seen) = (1_usize, 0_usize);
        while pending > 0 {
            pending -= 1;
            seen += 1;
            pending = pending.saturating_add(match self.token()? {
                Token::Array(n) => n,
                Token::Map(n) => n.saturating_mul(2),
                _ => 0,
            });
            if seen.saturating_add(pending) > nodes {
                return Err(format!("a record has more than {nodes} values"));
            }
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("a value is longer than its record")?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of `len` bytes.
    fn number(&mut self, len: usize) -> Result<u64, String> {
        Ok(self.take(len)?.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> Result<Token<'a>, String> {
        let n = sign_extend(self.number(len)?, len);
        Ok(u64::try_from(n).map_or(Token::Int(n), Token::Uint))
    }

    fn text(&mut self, len: usize) -> Result<Token<'a>, String> {
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| "a string is not UTF-8".to_owned())
    }

    fn ext(&mut self, len: usize) -> Result<Token<'a>, String> {
        let code = self.take(1)?[0] as i8;
        Ok(Token::Ext(code, self.take(len)?))
    }
}

/// A two's complement number of `len` bytes, at most 8.
pub(super) fn sign_extend(number: u64, len: usize) -> i64 {
    let shift = 64 - 8 * len as u32;
    ((number << shift) as i64) >> shift
}

pub(super) fn put_uint(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend([0xcc, n as u8]),
        0x100..=0xffff => put(out, 0xcd, &(n as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put(out, 0xce, &(n as u32).to_be_bytes()),
        _ => put(out, 0xcf, &n.to_be_bytes()),
    }
}

pub(super) fn put_int(out: &mut Vec<u8>, n: i64) {
    match n {
        0.. => put_uint(out, n as u64),
        -32..0 => out.push(n as u8),
        -0x80..-32 => out.extend([0xd0, n as u8]),
        -0x8000..-0x80 => put(out, 0xd1, &(n as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => put(out, 0xd2, &(n as i32).to_be_bytes()),
        _ => put(out, 0xd3, &n.to_be_bytes()),
    }
}

pub(super) fn put_float(out: &mut Vec<u8>, n: f64) {
    put(out, 0xcb, &n.to_bits().to_be_bytes());
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len(), 32, 0xa0, [Some(0xd9), Some(0xda), Some(0xdb)]);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len(), 0, 0, [Some(0xc4), Some(0xc5), Some(0xc6)]);
    out.extend_from_slice(bytes);
}

pub(super) fn put_array(out: &mut Vec<u8>, len: usize) {
    put_len(out, len, 16, 0x90, [None, Some(0xdc), Some(0xdd)]);
}

pub(super) fn put_map(out: &mut Vec<u8>, len: usize) {
    put_len(out, len, 16, 0x80, [None, Some(0xde), Some(0xdf)]);
}

/// An extension of 1, 2, 4, 8 or 16 bytes.
pub(super) fn put_fixext(out: &mut Vec<u8>, code: i8, bytes: &[u8]) {
    out.extend([0xd4 + bytes.len().ilog2() as u8, code as u8]);
    out.extend_from_slice(bytes);
}

/// An extension of at most 4 GiB.
pub(super) fn put_ext(out: &mut Vec<u8>, code: i8, bytes: &[u8]) {
    put_len(out, bytes.len(), 0, 0, [Some(0xc7), Some(0xc8), Some(0xc9)]);
    out.push(code as u8);
    out.extend_from_slice(bytes);
}

fn put(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// A length: inside the marker where it is below `fix`, else after the marker for 1, 2 or 4 bytes.
fn put_len(out: &mut Vec<u8>, len: usize, fix: usize, base: u8, markers: [Option<u8>; 3]) {
    match (len, markers) {
        (n, _) if n < fix => out.push(base | n as u8),
        (n @ 0..=0xff, [Some(marker), ..]) => out.extend([marker, n as u8]),
        (n @ 0..=0xffff, [_, Some(marker), _]) => put(out, marker, &(n as u16).to_be_bytes()),
        (n, [.., Some(marker)]) => put(out, marker, &(n as u32).to_be_bytes()),
        _ => unreachable!("every type has a marker for 4-byte lengths"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        let mut cursor = Cursor::new(&out);
        let token = format!("{:?}", cursor.token().unwrap());
        assert_eq!(cursor.remaining(), 0);
        token
    }

    #[test]
    fn numbers_at_every_border_survive() {
        for shift in 0..64 {
            for n in [(1_u64 << shift) - 1, 1 << shift] {
                assert_eq!(token_of(|out| put_uint(out, n)), format!("Uint({n})"));
                let negative = -1 - (n >> 1) as i64;
                assert_eq!(token_of(|out| put_int(out, negative)), format!("Int({negative})"));
            }
        }
        assert_eq!(token_of(|out| put_float(out, -0.0)), "Float(-0.0)");
    }

    #[test]
    fn lengths_at_every_border_survive() {
        for len in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(len);
            assert_eq!(token_of(|out| put_str(out, &text)), format!("Str({text:?})"));
            assert_eq!(token_of(|out| put_array(out, len)), format!("Array({len})"));
            assert_eq!(token_of(|out| put_map(out, len)), format!("Map({len})"));
            let bytes = text.as_bytes();
            assert_eq!(token_of(|out| put_bin(out, bytes)), format!("Bin({bytes:?})"));
        }
    }

    #[test]
    fn skimming_counts_without_building() {
        let huge = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(Cursor::new(&huge).skim(1_000).unwrap_err().contains("more than 1000"));
        assert!(Cursor::new(&[0x92, 0x01, 0x02]).skim(3).is_ok());
        assert!(Cursor::new(&[0x92, 0x01]).skim(3).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_tokens_or_an_error(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes);
            while cursor.token().is_ok() {}
        }
    }
}
