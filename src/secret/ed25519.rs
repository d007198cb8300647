//! The key pairs of Standard Webhooks' `v1a`: the sender signs with the private half (`whsk_`), receivers
//! verify with the public one (`whpk_`) and can sign nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::PRIVATE_PREFIX;

/// What a public key begins with as text.
pub const PUBLIC_PREFIX: &str = "whpk_";
const SEED: usize = 32;

/// A private key with its public half.
pub struct KeyPair {
    seed: [u8; SEED],
    pair: Ed25519KeyPair,
}

/// What receivers know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; SEED]);

impl KeyPair {
    /// The pair of this seed, which must be from a cryptographic source of randomness; none for a seed
    /// that is no key, of which there is none.
    pub fn from_seed(seed: &[u8; SEED]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self { seed: *seed, pair })
    }

    /// Reads what follows `whsk_`: a seed, or a seed and its public key, as other senders keep it.
    pub(super) fn decode(encoded: &str) -> Option<Self> {
        if encoded.len() > (2 * SEED).div_ceil(3) * 4 {
            return None;
        }
        let bytes = STANDARD.decode(encoded).ok()?;
        let (seed, public) = bytes.split_first_chunk::<SEED>()?;
        let pair = Self::from_seed(seed)?;
        (public.is_empty() || public == pair.public().0).then_some(pair)
    }

    /// The signature of a message: 64 bytes.
    pub fn sign(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.pair.sign(message)
    }

    /// The half that receivers verify with.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; SEED];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The text of a new pair, which can be printed: its owner must see it once. Seed and public key, a
    /// form that other senders take too.
    pub fn text_of_new(&self) -> String {
        let both = [self.seed, self.public().0].concat();
        format!("{PRIVATE_PREFIX}{}", STANDARD.encode(both))
    }
}

impl PublicKey {
    /// Reads `whpk_...`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PUBLIC_PREFIX)?).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Whether the private half has signed this message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, signature).is_ok()
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// `whpk_` and the key in base64: receivers are given this.
impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1.
    const SEED_TEXT: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

    #[test]
    fn reads_seeds_with_and_without_their_public_key() {
        let pair = KeyPair::decode(SEED_TEXT).unwrap();
        let text = pair.text_of_new();
        let again = KeyPair::decode(text.strip_prefix(PRIVATE_PREFIX).unwrap()).unwrap();
        assert_eq!(again.public(), pair.public());
        assert_eq!(
            PublicKey::parse(&pair.public().to_string()),
            Some(pair.public())
        );

        let other = KeyPair::from_seed(&[1; SEED]).unwrap().public();
        let mixed = STANDARD.encode([pair.seed, other.0].concat());
        for refused in ["", "AAAA", &mixed, &SEED_TEXT[..43], &"A".repeat(1_000)] {
            assert!(KeyPair::decode(refused).is_none(), "{refused}");
        }
        for refused in ["", "whpk_", "whpk_AAAA", SEED_TEXT] {
            assert_eq!(PublicKey::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn agrees_with_the_vector_of_the_rfc() {
        let pair = KeyPair::decode(SEED_TEXT).unwrap();
        let signature = pair.sign(b"");
        assert_eq!(
            STANDARD.encode(&signature),
            "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw=="
        );
        assert!(pair.public().verifies(b"", signature.as_ref()));
        assert!(!pair.public().verifies(b" ", signature.as_ref()));
    }

    #[test]
    fn reads_the_pairs_of_another_sender() {
        let private = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
        let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        assert_eq!(
            KeyPair::decode(private).unwrap().public().to_string(),
            public
        );
    }

    #[test]
    fn the_private_half_cannot_be_printed() {
        let pair = KeyPair::from_seed(&[7; SEED]).unwrap();
        assert_eq!(format!("{pair:?} {pair:#?}"), "[redacted] [redacted]");
    }
}
