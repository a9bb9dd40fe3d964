//! UIDs, container ids and digests as the bytes that their hexadecimal digits stand for, where the text comes back
//! exactly.

use crate::model::Text;

/// Digits that a tail has at least: fewer are not worth the framing.
const SHORTEST: usize = 32;

/// Where a UID has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// The 16 bytes of a UID in lower case.
pub(super) fn uid(text: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    let (mut at, mut half) = (0, 0);
    while at < digits.len() {
        if DASHES.contains(&at) {
            if digits[at] != b'-' {
                return None;
            }
        } else {
            bytes[half / 2] = bytes[half / 2] << 4 | digit(digits[at])?;
            half += 1;
        }
        at += 1;
    }
    Some(bytes)
}

/// The text of a UID.
pub(super) fn uid_text(bytes: [u8; 16]) -> Text {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in bytes {
        if DASHES.contains(&at) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    Text::new(str::from_utf8(&text).unwrap_or_default())
}

/// What stands before the digits at the end of a text (at most 255 bytes), and the bytes of those digits.
pub(super) fn tail(text: &str) -> Option<(&str, Vec<u8>)> {
    let digits = text.bytes().rev().take_while(|byte| digit(*byte).is_some()).count() & !1;
    let (head, digits) = text.split_at(text.len() - digits);
    if digits.len() < SHORTEST || head.len() > 255 {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    Some((head, pairs.filter_map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()))
}

/// The text of a head and a tail.
pub(super) fn tail_text(head: &str, bytes: &[u8]) -> Text {
    let mut text = String::with_capacity(head.len() + 2 * bytes.len());
    text.push_str(head);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Text::new(text)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_comes_back_is_packed() {
        let good = "39a84127-37ca-4de5-8291-11472f5f6efb";
        assert_eq!(uid_text(uid(good).unwrap()), good);
        for bad in [
            "39A84127-37ca-4de5-8291-11472f5f6efb",
            "39a84127-37ca-4de5-8291-11472f5f6ef",
            "39a84127x37ca-4de5-8291-11472f5f6efb",
        ] {
            assert_eq!(uid(bad), None, "{bad}");
        }
        assert_eq!(tail("sha256:0123456789abcdef0123456789abcde"), None, "31 digits");
        assert_eq!(tail(&format!("{}{}", "x".repeat(256), "0".repeat(32))), None);
    }

    proptest! {
        #[test]
        fn tails_come_back(head in "[a-z:/ü]{0,9}", digits in "[0-9a-f]{32,70}") {
            let text = head + &digits;
            let (head, bytes) = tail(&text).unwrap();
            prop_assert_eq!(tail_text(head, &bytes), text.as_str());
        }

        #[test]
        fn uids_come_back(bytes: [u8; 16]) {
            prop_assert_eq!(uid(&uid_text(bytes)), Some(bytes));
        }
    }
}
