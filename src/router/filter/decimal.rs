//! Numbers compared as decimals, in the text they came in: exact at any size and precision.

use std::cmp::Ordering;

/// A JSON number as `0.<digits> × 10^scale` with a first digit that is not 0. Only slices of the
/// text and one exponent are held, so `1e999999999999` costs no more than `1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    /// The digits in two parts, without zeros at either end. Both are empty for zero.
    whole: &'a str,
    fraction: &'a str,
    scale: i64,
    far: bool,
}

/// Stands for every exponent of more than [`EXPONENT_DIGITS`] digits. Larger than all others, and
/// small enough that the length of a text can be added.
const FAR: i64 = 2_000_000_000_000_000_000;

const EXPONENT_DIGITS: usize = 18;

/// Whether the texts of two JSON numbers stand for the same number.
pub fn same_number(one: &str, other: &str) -> bool {
    let (left, right) = (Decimal::new(one), Decimal::new(other));
    one == other || (left.compare(right).is_eq() && !(left.is_far() && right.is_far()))
}

impl<'a> Decimal<'a> {
    /// From the text of a valid JSON number.
    pub(super) fn new(text: &'a str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if whole.is_empty() {
            let digits = fraction.trim_start_matches('0');
            let shift = length(fraction) - length(digits);
            return Self::normal(negative, "", digits, exponent - shift, exponent);
        }
        let scale = exponent + length(whole);
        if fraction.is_empty() {
            let digits = whole.trim_end_matches('0');
            return Self::normal(negative, digits, "", scale, exponent);
        }
        Self::normal(negative, whole, fraction, scale, exponent)
    }

    fn normal(
        negative: bool,
        whole: &'a str,
        fraction: &'a str,
        scale: i64,
        exponent: i64,
    ) -> Self {
        let zero = whole.is_empty() && fraction.is_empty();
        Self {
            negative: negative && !zero,
            whole,
            fraction,
            scale: if zero { 0 } else { scale },
            far: !zero && exponent.abs() == FAR,
        }
    }

    /// Whether the exponent has more than 18 digits. Two such numbers can compare as equal when
    /// they are not; a comparison with at most one of them is exact.
    pub(super) fn is_far(self) -> bool {
        self.far
    }

    fn signum(self) -> i8 {
        match (
            self.whole.is_empty() && self.fraction.is_empty(),
            self.negative,
        ) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn cmp_magnitude(self, other: Decimal<'_>) -> Ordering {
        self.scale.cmp(&other.scale).then_with(|| {
            let digits = self.whole.bytes().chain(self.fraction.bytes());
            digits.cmp(other.whole.bytes().chain(other.fraction.bytes()))
        })
    }

    /// How this number stands to the other.
    pub(super) fn compare(self, other: Decimal<'_>) -> Ordering {
        self.signum().cmp(&other.signum()).then_with(|| {
            let magnitude = self.cmp_magnitude(other);
            if self.negative {
                magnitude.reverse()
            } else {
                magnitude
            }
        })
    }
}

/// The exponent, [`FAR`] from 0 when it has more digits than are read.
fn parse_exponent(text: &str) -> i64 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.trim_start_matches('0');
    let size = if digits.len() > EXPONENT_DIGITS {
        FAR
    } else {
        digits
            .bytes()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit & 0x0f))
    };
    if negative { -size } else { size }
}

/// No text in memory is longer than `FAR` bytes.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(FAR).min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compares_by_value() {
        fn check(left: &str, expected: Ordering, right: &str) {
            let (a, b) = (Decimal::new(left), Decimal::new(right));
            assert_eq!(a.compare(b), expected, "{left} {right}");
            assert_eq!(b.compare(a), expected.reverse(), "{right} {left}");
        }
        use Ordering::{Equal, Greater, Less};
        for same in ["1.1", "1.10", "11e-1", "0.11E+1", "0.0110e2", "110.00e-2"] {
            check("1.10", Equal, same);
        }
        for zero in ["-0", "0.00", "0e999999999999999999999", "-0.0E-5"] {
            check("0", Equal, zero);
            check(zero, Less, "1e-999999999999999999999");
            check(zero, Greater, "-1e999999999999999999999");
        }
        check("100", Equal, "1e2");
        check("100", Equal, "1e0000000000000000000000000002");
        check("9007199254740993", Greater, "9007199254740992");
        check(
            "123456789012345678901234567890",
            Less,
            "123456789012345678901234567891",
        );
        check("0.1", Less, "0.10000000000000000000000000000001");
        check("12", Less, "123");
        check("2", Less, "12");
        check("-2", Greater, "-12");
        check("-1", Less, "1");
        check("0.009", Less, "0.01");
        check("1e999999999999999999", Less, "1e9999999999999999999");
        check("9e-999999999999999999", Greater, "9e-9999999999999999999");
        check("1e999999999999999999", Greater, "1e999999999999999998");
        check("-1e99999999999999999999999", Less, "-1e400");
    }

    #[test]
    fn far_exponents_are_told() {
        for text in ["1e9999999999999999999", "-1.5E-1000000000000000000"] {
            assert!(Decimal::new(text).is_far(), "{text}");
        }
        for text in [
            "1e999999999999999999",
            "0e9999999999999999999",
            "1e-0000000000000000000001",
        ] {
            assert!(!Decimal::new(text).is_far(), "{text}");
        }
    }

    /// `mantissa × 10^exponent` in one of many spellings.
    fn spelled(mantissa: i64, exponent: i32, point: usize, zeros: usize) -> String {
        let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = point + 1);
        let (whole, fraction) = digits.split_at(digits.len() - point);
        let sign = if mantissa < 0 { "-" } else { "" };
        let pad = "0".repeat(zeros);
        let moved = i64::from(exponent) + i64::try_from(point).unwrap();
        match (point, zeros) {
            (0, _) if moved == 0 => format!("{sign}{whole}"),
            (0, 0) => format!("{sign}{whole}E+{moved}").replace("+-", "-"),
            (0, _) => format!("{sign}{whole}.{pad}e{moved}"),
            _ => format!("{sign}{whole}.{fraction}{pad}e{moved}"),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_integers(
            left in (-2_000_i64..2_000, -6_i32..6, 0_usize..6, 0_usize..3),
            right in (-2_000_i64..2_000, -6_i32..6, 0_usize..6, 0_usize..3),
        ) {
            let number = |(mantissa, exponent, ..): (i64, i32, usize, usize)| {
                i128::from(mantissa) * 10_i128.pow(u32::try_from(exponent + 6).unwrap())
            };
            let text = |(mantissa, exponent, point, zeros)| spelled(mantissa, exponent, point, zeros);
            let (a, b) = (text(left), text(right));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&a).is_ok(), "{}", a);
            let expected = number(left).cmp(&number(right));
            prop_assert_eq!(Decimal::new(&a).compare(Decimal::new(&b)), expected, "{} {}", a, b);
        }

        #[test]
        fn spellings_of_one_number_are_equal(
            mantissa in any::<i64>(), exponent in -400_i32..400,
            one in (0_usize..25, 0_usize..3), other in (0_usize..25, 0_usize..3),
        ) {
            let a = spelled(mantissa, exponent, one.0, one.1);
            let b = spelled(mantissa, exponent, other.0, other.1);
            prop_assert_eq!(Decimal::new(&a).compare(Decimal::new(&b)), Ordering::Equal, "{} {}", a, b);
        }
    }
}
