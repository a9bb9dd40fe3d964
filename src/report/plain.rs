//! Text for a terminal from text of a reel, which anybody may have written.

/// Without control characters, which could move the cursor or change what was printed before.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Cut to `width` characters, with `…` where something is missing.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `12.3 ms`: three or four digits and the unit that suits.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.999_95 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// `99.87 %`. Only all is 100 %: nearly all rounds down, by more than what floats lose.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0 + 1e-6).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_and_long_text_stays_on_its_line() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a?[2J?b");
        assert_eq!((fit("abc", 3), fit("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }

    #[test]
    fn numbers_read_in_the_unit_that_suits() {
        let texts = [0.000_012, 0.0123, 0.9999, 12.345].map(duration);
        assert_eq!(texts, ["12 µs", "12.3 ms", "999.9 ms", "12.35 s"]);
        assert_eq!((percent(1.0), percent(0.99999)), ("100.00 %".to_owned(), "99.99 %".to_owned()));
    }
}
