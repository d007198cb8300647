//! Durations as people write them in a configuration: a whole number and one unit, `"250ms"`, `"6h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Units from the largest to the smallest, in milliseconds. Days are read, but never written: the
/// contract writes `24h`.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not digits followed by a unit.
    #[error("`{0}` is not a duration: a whole number with ms, s, m, h or d, as in \"30s\"")]
    Form(String),
    /// More milliseconds than 64 bits hold.
    #[error("`{0}` is too long a duration")]
    TooLong(String),
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form(shortened(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(form)?;
    if number.is_empty() {
        return Err(form());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*millis))
        .map(Duration::from_millis)
        .ok_or_else(|| DurationError::TooLong(shortened(text)))
}

/// The one text of a duration: the largest of h, m, s and ms that divides it, so 60 s is `1m` and
/// 90 s is `90s`. Names of retry topics are made of it. Parts of a millisecond are dropped.
pub fn canonical(duration: Duration) -> String {
    let total = duration.as_millis();
    let (name, millis) = UNITS
        .iter()
        .skip(1)
        .find(|(_, millis)| total > 0 && total.is_multiple_of(u128::from(*millis)))
        .unwrap_or(&("s", 1_000));
    format!("{}{name}", total / u128::from(*millis))
}

/// For `#[serde(deserialize_with)]` of one duration.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(input)?).map_err(de::Error::custom)
}

/// For `#[serde(deserialize_with)]` of a list of durations.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Vec<Duration>, D::Error> {
    Vec::<String>::deserialize(input)?
        .iter()
        .map(|text| parse(text).map_err(de::Error::custom))
        .collect()
}

/// An error shows no more of a text than a person reads.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_number_with_a_unit() {
        fn check(text: &str, millis: u64) {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        check("0ms", 0);
        check("250ms", 250);
        check("30s", 30_000);
        check("5m", 300_000);
        check("6h", 21_600_000);
        check("1d", 86_400_000);
        check("007s", 7_000);
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "1.5s", "1h30m", "5S", "5w", "٥s",
        ] {
            assert_eq!(parse(text), Err(DurationError::Form(text.into())), "{text}");
        }
        for text in ["18446744073709551615s", "99999999999999999999999ms"] {
            assert_eq!(parse(text), Err(DurationError::TooLong(text.into())));
        }
    }

    #[test]
    fn writes_the_largest_unit_that_divides() {
        fn check(millis: u64, expected: &str) {
            assert_eq!(canonical(Duration::from_millis(millis)), expected);
        }
        check(0, "0s");
        check(500, "500ms");
        check(60_000, "1m");
        check(90_000, "90s");
        check(86_400_000, "24h");
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&canonical(duration)), Ok(duration));
        }

        #[test]
        fn nothing_panics(text in ".{0,30}") {
            drop(parse(&text));
        }
    }
}
