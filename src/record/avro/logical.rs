//! Logical types as text: decimals with exactly their digits, times as RFC 3339 has them.

use num_bigint::BigInt;
use time::{Date, OffsetDateTime, Time};

/// The most digits behind the point.
pub(super) const MOST_SCALE: usize = 1_024;
/// The longest unscaled value, in bytes: the digits of a longer one would take ever longer to find.
const LONGEST_UNSCALED: usize = 1_024;
/// The Julian day of 1970-01-01.
const EPOCH: i32 = 2_440_588;

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    const fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }

    const fn nanos(self) -> i128 {
        match self {
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }
}

/// A decimal as a JSON number; `unscaled` is big-endian, in two's complement. None if it is too long.
pub(super) fn decimal(unscaled: &[u8], scale: i64) -> Option<String> {
    let most = MOST_SCALE as i64;
    if unscaled.len() > LONGEST_UNSCALED || !(-most..=most).contains(&scale) {
        return None;
    }
    let number = BigInt::from_signed_bytes_be(unscaled);
    let sign = if number.sign() == num_bigint::Sign::Minus {
        "-"
    } else {
        ""
    };
    let digits = number.magnitude().to_string();
    let places = usize::try_from(scale.unsigned_abs()).ok()?;
    Some(match scale {
        0 => format!("{sign}{digits}"),
        // JSON has no `00`.
        ..0 if digits == "0" => digits,
        ..0 => format!("{sign}{digits}{}", "0".repeat(places)),
        1.. => {
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            format!("{sign}{whole}.{fraction}")
        }
    })
}

/// Days since 1970-01-01. None outside of the years 0 to 9999.
pub(super) fn date(days: i32) -> Option<String> {
    let date = Date::from_julian_day(days.checked_add(EPOCH)?).ok()?;
    day(date)
}

/// Time of day. None outside of one.
pub(super) fn time_of_day(count: i64, unit: Unit) -> Option<String> {
    let nanos = i128::from(count) * unit.nanos();
    let second = u64::try_from(nanos / 1_000_000_000)
        .ok()
        .filter(|_| nanos >= 0)?;
    let nanos = u32::try_from(nanos % 1_000_000_000).ok()?;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let time = Time::from_hms_nano(
        u8::try_from(hour).ok()?,
        u8::try_from(minute).ok()?,
        u8::try_from(second % 60).ok()?,
        nanos,
    );
    Some(clock(time.ok()?, unit))
}

/// A point in time. None outside of the years 0 to 9999.
pub(super) fn timestamp(count: i64, unit: Unit, is_local: bool) -> Option<String> {
    let nanos = i128::from(count) * unit.nanos();
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    let zone = if is_local { "" } else { "Z" };
    Some(format!(
        "{}T{}{zone}",
        day(time.date())?,
        clock(time.time(), unit)
    ))
}

/// Months, days and milliseconds, each a little-endian u32.
pub(super) fn duration(bytes: [u8; 12]) -> String {
    let [months, days, millis] = [0, 4, 8].map(|at| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| bytes[at + index]);
        u32::from_le_bytes([a, b, c, d])
    });
    format!(
        "P{months}M{days}DT{}.{:03}S",
        millis / 1_000,
        millis % 1_000
    )
}

/// A uuid's bytes in its text form.
pub(in crate::record) fn uuid(bytes: [u8; 16]) -> String {
    let hex = |part: &[u8]| {
        part.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|range| hex(&bytes[range]));
    parts.join("-")
}

fn day(date: Date) -> Option<String> {
    let year = u16::try_from(date.year())
        .ok()
        .filter(|year| *year <= 9_999)?;
    Some(format!(
        "{year:04}-{:02}-{:02}",
        u8::from(date.month()),
        date.day()
    ))
}

fn clock(time: Time, unit: Unit) -> String {
    let (hour, minute, second, nanos) = time.as_hms_nano();
    let fraction = &format!("{nanos:09}")[..unit.digits()];
    format!("{hour:02}:{minute:02}:{second:02}.{fraction}")
}
