//! The name of a delivery, the same on every copy, retry and replay: what `webhook-id` says.
//!
//! `msg_` and 27 base62 digits of the first 160 bits of SHA-256. Hashed are, in this order: tenant,
//! source, event and subscription id. Each is written as its length in bytes (32 bits, big-endian)
//! and its UTF-8 bytes. Before the event stands one more byte that says what the event is known by:
//! `i` for its own id, `p` for its position, written as `partition/offset`. Never changed after the
//! first release: receivers recognise a repeated delivery by it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

const PREFIX: &str = "msg_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: usize = 27;
const LENGTH: usize = PREFIX.len() + DIGITS;
/// 2^160 - 1. The alphabet is in ASCII order, so texts of equal length compare as their numbers do.
const GREATEST: &str = "aWgEPTl1tmebfsQzFP4bxwgy80V";

/// The name of one event's delivery to one subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId([u8; LENGTH]);

/// What tells an event from the others of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKey<'a> {
    /// The id that its producer gave it.
    Id(&'a str),
    /// Where it stands in its topic, when it has no id.
    Position {
        /// The partition's number.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
}

/// Why a text is not a delivery id.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a delivery id is `msg_` and 27 base62 digits of a 160-bit number")]
pub struct DeliveryIdError;

impl DeliveryId {
    /// The id of an event's delivery to a subscription. `source` is the CloudEvents `source`, else
    /// the topic's name.
    pub fn derive(tenant: &str, source: &str, event: EventKey<'_>, subscription_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash_part(&mut hash, tenant);
        hash_part(&mut hash, source);
        match event {
            EventKey::Id(id) => {
                hash.update(b"i");
                hash_part(&mut hash, id);
            }
            EventKey::Position { partition, offset } => {
                hash.update(b"p");
                hash_part(&mut hash, &format!("{partition}/{offset}"));
            }
        }
        hash_part(&mut hash, subscription_id);
        let digest = hash.finalize();
        let mut number = [0; 20];
        number.copy_from_slice(&digest[..20]);
        Self(base62(number))
    }

    /// The id as text, `msg_` included.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn hash_part(hash: &mut Sha256, part: &str) {
    // Lengths beyond 32 bits cannot come from a Kafka record, whose own length has 32 bits.
    hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    hash.update(part.as_bytes());
}

/// Long division by 62, from the last digit to the first; what is left of the places is `0`.
fn base62(number: [u8; 20]) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    text[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    // 32 bits at a time, the highest first: this is done for each delivery.
    let mut limbs = [0_u32; 5];
    for (limb, bytes) in limbs.iter_mut().zip(number.as_chunks::<4>().0) {
        *limb = u32::from_be_bytes(*bytes);
    }
    for digit in text[PREFIX.len()..].iter_mut().rev() {
        let mut rest = 0_u64;
        for limb in &mut limbs {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / 62) as u32; // rest < 62, so value / 62 < 2^32
            rest = value % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    text
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for DeliveryId {
    type Err = DeliveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(DeliveryIdError)?;
        let known = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !known || digits.len() != DIGITS || digits > GREATEST {
            return Err(DeliveryIdError);
        }
        text.as_bytes()
            .try_into()
            .map(Self)
            .map_err(|_| DeliveryIdError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Computed apart from this code, by the Python below; never edit them to make a test pass.
    ///
    /// ```python
    /// import hashlib, struct
    /// A = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    /// def part(text): b = text.encode(); return struct.pack(">I", len(b)) + b
    /// def delivery_id(tenant, source, tag, event, subscription):
    ///     h = hashlib.sha256(part(tenant) + part(source) + tag + part(event) + part(subscription))
    ///     n, s = int.from_bytes(h.digest()[:20], "big"), ""
    ///     for _ in range(27): n, d = divmod(n, 62); s = A[d] + s
    ///     return "msg_" + s
    /// ```
    #[test]
    fn golden_vectors() {
        fn check(tenant: &str, source: &str, event: EventKey<'_>, id: &str, expected: &str) {
            let derived = DeliveryId::derive(tenant, source, event, id);
            assert_eq!(derived.as_str(), expected);
        }
        let at = |partition, offset| EventKey::Position { partition, offset };
        check(
            "acme",
            "events",
            EventKey::Id("evt_1"),
            "shop",
            "msg_X3Qf2P7v04jVikk7HYun88sbbDD",
        );
        check(
            "acme",
            "events",
            EventKey::Id("3/42"),
            "shop",
            "msg_3SGiCwE2NhpCA3XhAsBMMtpSk9w",
        );
        check(
            "acme",
            "events",
            at(3, 42),
            "shop",
            "msg_BWmenTXM4qyKjy2vbIIoC9tU0Xv",
        );
        check(
            "default",
            "orders.eu",
            EventKey::Id("\u{e9}\u{1f980}"),
            "~x",
            "msg_3xKkaw7irN9Nodx1S7APr8ByaGc",
        );
        check(
            "default",
            "events",
            at(0, i64::MAX),
            "s",
            "msg_aOqlxM0ckTZ18BtnKyO2vdA1Y7V",
        );
        check(
            "ab",
            "c",
            EventKey::Id("d"),
            "e",
            "msg_3oZFRKPaWSVU91YmmjHGa7ZaZEI",
        );
        check(
            "a",
            "bc",
            EventKey::Id("d"),
            "e",
            "msg_UVY0Han4ZZGMaiXlcN2LVEoo0kd",
        );
        check(
            "t",
            "s",
            EventKey::Id("e1224"),
            "x",
            "msg_00FPtnLW43GAcaEjKKYz4pf9Ywr",
        );
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in [
            "",
            "msg_",
            "msg_0000000000000000000000000",
            "msg_0000000000000000000000000000",
            "MSG_000000000000000000000000000",
            "msg_00000000000000000000000000-",
            "msg_0000000000000000000000000\u{e9}",
            "msg_aWgEPTl1tmebfsQzFP4bxwgy80W",
        ] {
            assert_eq!(text.parse::<DeliveryId>(), Err(DeliveryIdError), "{text}");
        }
        assert!(
            "msg_aWgEPTl1tmebfsQzFP4bxwgy80V"
                .parse::<DeliveryId>()
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn round_trips_and_keeps_the_number(number: [u8; 20]) {
            let id = DeliveryId(base62(number));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            let mut read = [0_u8; 20];
            for digit in id.as_str()[PREFIX.len()..].bytes() {
                let mut carry = ALPHABET.iter().position(|known| *known == digit).unwrap();
                for byte in read.iter_mut().rev() {
                    carry += usize::from(*byte) * 62;
                    *byte = (carry % 256) as u8;
                    carry /= 256;
                }
            }
            prop_assert_eq!(read, number);
        }
    }
}
