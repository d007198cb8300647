//! Sizes as people write them in a configuration: a whole number and one unit, `"64KiB"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// Units from the largest to the smallest, in bytes. Decimal ones (`KB`) are refused rather than
/// guessed at.
const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// An amount of memory or data. Shown in the largest unit that divides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Why a text is not a size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ByteSizeError {
    /// Not digits followed by a unit.
    #[error("`{0}` is not a size: a whole number with B, KiB, MiB or GiB, as in \"64KiB\"")]
    Form(String),
    /// More bytes than 64 bits hold.
    #[error("`{0}` is too large a size")]
    TooLarge(String),
}

impl ByteSize {
    /// From a count of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// In bytes, as lengths in memory are counted.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(40).collect::<String>();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let Some((_, bytes)) = unit.filter(|_| !number.is_empty()) else {
            return Err(ByteSizeError::Form(shown()));
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(*bytes))
            .map(Self)
            .ok_or_else(|| ByteSizeError::TooLarge(shown()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = UNITS
            .iter()
            .find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes))
            .unwrap_or(&("B", 1));
        write!(formatter, "{}{name}", self.0 / bytes)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_number_with_a_unit() {
        fn check(text: &str, bytes: u64) {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        check("0B", 0);
        check("512B", 512);
        check("64KiB", 65_536);
        check("8MiB", 8_388_608);
        check("2GiB", 2_147_483_648);
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "", "5", "B", "5 B", "-5B", "1.5KiB", "5kib", "5KB", "5TiB", "٥B",
        ] {
            let refused = Err(ByteSizeError::Form(text.into()));
            assert_eq!(text.parse::<ByteSize>(), refused, "{text}");
        }
        for text in ["17179869184GiB", "99999999999999999999B"] {
            let refused = Err(ByteSizeError::TooLarge(text.into()));
            assert_eq!(text.parse::<ByteSize>(), refused, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in any::<u64>()) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
