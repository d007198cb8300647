//! Points in time as they travel: Unix milliseconds in Kafka headers, RFC 3339 in JSON.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::macros::format_description;

/// A wall-clock time in Unix milliseconds, the resolution that Kafka records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The wall clock's reading.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Self(millis.saturating_add(error_of_this_clock()))
    }

    /// From Unix milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// In Unix milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// In whole Unix seconds, rounded down, as `webhook-timestamp` wants it.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This time and `wait` later; stops at the end of time rather than wrap.
    pub fn after(self, wait: Duration) -> Self {
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This time and `wait` earlier; stops at the beginning of time rather than wrap.
    pub fn before(self, wait: Duration) -> Self {
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long from `earlier` until this time; zero when this is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// In a debug build the environment can have this process's clock go wrong, by so many milliseconds: for
/// tests of clocks that do not agree.
#[cfg(debug_assertions)]
fn error_of_this_clock() -> i64 {
    use std::sync::OnceLock;
    static ERROR: OnceLock<i64> = OnceLock::new();
    *ERROR.get_or_init(|| {
        let asked = std::env::var("HOOKTIDE_TEST_CLOCK_ERROR").ok();
        asked.and_then(|text| text.parse().ok()).unwrap_or(0)
    })
}

#[cfg(not(debug_assertions))]
const fn error_of_this_clock() -> i64 {
    0
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.000Z`. A time outside of the years that
/// RFC 3339 can say is shown as the nearest that it can.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORM: &[time::format_description::BorrowedFormatItem<'static>] = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        const FIRST: i64 = -62_167_219_200_000; // 0000-01-01
        const LAST: i64 = 253_402_300_799_999; // 9999-12-31
        let millis = i128::from(self.0.clamp(FIRST, LAST));
        let text = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
            .ok()
            .and_then(|at| at.format(FORM).ok())
            .ok_or(fmt::Error)?;
        formatter.write_str(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_in_utc_with_milliseconds() {
        fn check(millis: i64, expected: &str) {
            assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        }
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_795_341_600_007, "2026-11-22T10:00:00.007Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(i64::MAX, "9999-12-31T23:59:59.999Z");
        check(i64::MIN, "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::from_millis(0).since(end), Duration::ZERO);
        assert_eq!(
            Timestamp::from_millis(1_500).since(Timestamp::from_millis(500)),
            Duration::from_secs(1)
        );
    }
}
