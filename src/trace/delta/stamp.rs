//! API-server times (`2026-11-24T10:00:05Z`) as seconds since the Unix epoch, where the text comes back exactly.

use crate::model::Text;

/// The first second that has no text of its own: the year 2106.
pub(super) const END: u32 = 4_291_747_200;

const DAY: u32 = 86_400;

/// The seconds of a time that is written exactly as [`text`] writes it.
pub(super) fn seconds(time: &str) -> Option<u32> {
    let bytes: &[u8; 20] = time.as_bytes().try_into().ok()?;
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if shape.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to]
            .iter()
            .try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1970..2106).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let days = days_of(year, month, day);
    (civil(days) == (year, month, day)).then(|| days * DAY + hour * 3_600 + minute * 60 + second)
}

/// The text of a time.
pub(super) fn text(seconds: u32) -> Text {
    let (year, month, day) = civil(seconds / DAY);
    let rest = seconds % DAY;
    let mut out = *b"0000-00-00T00:00:00Z";
    let mut put = |at: usize, n: u32| {
        out[at] = b'0' + (n / 10) as u8;
        out[at + 1] = b'0' + (n % 10) as u8;
    };
    put(0, year / 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    put(11, rest / 3_600);
    put(14, rest / 60 % 60);
    put(17, rest % 60);
    Text::new(str::from_utf8(&out).unwrap_or_default())
}

/// Days since the epoch. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_of(year: u32, month: u32, day: u32) -> u32 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.max(1) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day; the same source, `civil_from_days`.
fn civil(days: u32) -> (u32, u32, u32) {
    let z = days + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (z / 146_097 * 400 + year_of_era + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(text(1_795_514_405), "2026-11-24T10:00:05Z");
    }

    #[test]
    fn what_would_not_come_back_is_left_as_text() {
        for time in [
            "2026-02-30T00:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T10:00:05+",
            "1969-12-31T23:59:59Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(seconds(time), None, "{time}");
        }
    }

    proptest! {
        #[test]
        fn every_second_comes_back(at in 0..4_291_747_200_u32) {
            prop_assert_eq!(seconds(&text(at)), Some(at));
        }
    }
}
