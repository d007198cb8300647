//! Durations as people write them: `250ms`, `30s`, `5m`, `6h`, `2d`.

use std::time::Duration;

const MILLISECOND: u128 = 1;
const SECOND: u128 = 1_000 * MILLISECOND;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// Another form.
    #[error("a duration is a whole number and a unit (ms, s, m, h, d), such as `30s`")]
    Form,
    /// More milliseconds than 64 bits hold.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads a whole number and a unit, without a space, sign or fraction.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return Err(DurationError::Form),
    };
    if number.is_empty() {
        return Err(DurationError::Form);
    }
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    u64::try_from(u128::from(number) * unit)
        .map(Duration::from_millis)
        .map_err(|_| DurationError::TooLong)
}

/// The one way to write a duration, in the greatest of h, m, s and ms that divides it: 60 s is `1m`,
/// 90 s is `90s`. What is finer than a millisecond is left out.
pub fn canonical(duration: Duration) -> String {
    let millis = duration.as_millis();
    let divides = |unit: u128| millis != 0 && millis.is_multiple_of(unit);
    if divides(HOUR) {
        format!("{}h", millis / HOUR)
    } else if divides(MINUTE) {
        format!("{}m", millis / MINUTE)
    } else if divides(SECOND) || millis == 0 {
        format!("{}s", millis / SECOND)
    } else {
        format!("{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes() {
        fn check(text: &str, millis: u64, expected: &str) {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(canonical(duration), expected, "{text}");
        }
        check("250ms", 250, "250ms");
        check("500ms", 500, "500ms");
        check("1000ms", 1_000, "1s");
        check("0s", 0, "0s");
        check("0ms", 0, "0s");
        check("60s", 60_000, "1m");
        check("90s", 90_000, "90s");
        check("5m", 300_000, "5m");
        check("060m", 3_600_000, "1h");
        check("1d", 86_400_000, "24h");
        check("18446744073709551615ms", u64::MAX, "18446744073709551615ms");
    }

    #[test]
    fn refuses_other_texts() {
        use DurationError::*;
        fn check(text: &str, expected: DurationError) {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
        for text in [
            "", "5", "s", "5 s", " 5s", "5s ", "+5s", "-5s", "1.5s", "5S", "5sec", "1m30s",
            "\u{665}s",
        ] {
            check(text, Form);
        }
        check("18446744073709551616ms", TooLong);
        check("18446744073709551615s", TooLong);
        check("99999999999999999999999999d", TooLong);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&canonical(duration)), Ok(duration));
        }

        #[test]
        fn never_panics(text in ".*") {
            parse(&text).ok();
        }
    }
}
