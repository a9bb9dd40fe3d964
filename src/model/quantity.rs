/// A Kubernetes resource quantity in thousandths of its unit: `250m` is 250, `2` is 2,000, `1Ki` is 1,024,000.
/// `None` for text that is no quantity. Fractions of a thousandth round up, as
/// `k8s.io/apimachinery/pkg/api/resource/quantity.go` (v0.37.2) does for `MilliValue`.
pub fn parse_quantity_milli(text: &str) -> Option<i128> {
    let split = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'));
    let exponent = text.find(['e', 'E']).filter(|&at| text[at + 1..].parse::<i32>().is_ok());
    let (number, scale) = match (exponent, split) {
        (Some(at), _) => (&text[..at], 10f64.powi(text[at + 1..].parse().ok()?)),
        (None, Some(at)) => (&text[..at], suffix(&text[at..])?),
        (None, None) if text.ends_with('E') => (&text[..text.len() - 1], 1e18),
        (None, None) => (text, 1.0),
    };
    if let Ok(whole) = number.parse::<i64>()
        && (1.0..=1e18).contains(&scale)
    {
        return Some(i128::from(whole) * (scale as i128) * 1000);
    }
    let value: f64 = number.parse().ok()?;
    value.is_finite().then(|| (value * scale * 1000.0).ceil() as i128)
}

fn suffix(text: &str) -> Option<f64> {
    Some(match text {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::parse_quantity_milli;

    #[test]
    fn suffixes_and_exponents() {
        for (text, milli) in [
            ("2", 2_000),
            ("250m", 250),
            ("0.5", 500),
            ("1Ki", 1_024_000),
            ("16Gi", 16 * 1024 * 1024 * 1024 * 1000),
            ("1e3", 1_000_000),
            ("3k", 3_000_000),
            ("1u", 1),
        ] {
            assert_eq!(parse_quantity_milli(text), Some(milli), "{text}");
        }
        for text in ["", "x", "1.2.3", "5Zi", "1e"] {
            assert_eq!(parse_quantity_milli(text), None, "{text}");
        }
    }
}
