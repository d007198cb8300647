//! Times as JSON has them.

use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;

/// Room for a fraction of a second far finer than a nanosecond.
const LONGEST: usize = 64;
const SEPARATOR: usize = "2026-11-22".len();

/// The time that a text says in RFC 3339, in whole milliseconds, rounded down.
///
/// Between date and time stands a `T`: the `time` crate alone would take any byte there, a quote
/// too, and event times are copied into request bodies.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let separated = matches!(text.as_bytes().get(SEPARATOR), Some(b'T' | b't'));
    if !separated || text.len() > LONGEST {
        return None;
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(millis).ok().map(Timestamp::from_millis)
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc_3339() {
        fn check(text: &str, expected: Option<i64>) {
            assert_eq!(parse(text), expected.map(Timestamp::from_millis), "{text}");
        }
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01t01:00:00.0019+01:00", Some(1));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000));
        check("2024-02-29T00:00:00-00:00", Some(1_709_164_800_000));
        for wrong in [
            "",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22 10:00:00Z",
            "2026-11-22\"10:00:00Z",
            "2026-11-22\\10:00:00Z",
            "2026-11-22T10:00:00Z ",
            " 2026-11-22T10:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:00Z",
            "2026-11-22T10:00:00+0100",
            "+12026-11-22T10:00:00Z",
            "2026-11-2\u{e9}T10:00:00Z",
        ] {
            check(wrong, None);
        }
        check(&format!("1970-01-01T00:00:00.{}Z", "0".repeat(43)), Some(0));
        check(&format!("1970-01-01T00:00:00.{}Z", "0".repeat(44)), None);
    }
}
