//! Secrets: what requests are signed with, which cannot be printed, written or compared by accident.
//!
//! A secret is a text, and a signature scheme says what of it is the key: Standard Webhooks decodes what
//! follows `whsec_`, older schemes take the text itself, `v1a` has a key pair of its own.

mod ed25519;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use ed25519::{KeyPair, PUBLIC_PREFIX, PublicKey};

/// What a secret of Standard Webhooks begins with as text.
pub const PREFIX: &str = "whsec_";
/// The same of the private half of a key pair.
pub const PRIVATE_PREFIX: &str = "whsk_";
/// How many bytes a secret of Standard Webhooks holds.
pub const LENGTHS: std::ops::RangeInclusive<usize> = SHORTEST..=LONGEST;

const SHORTEST: usize = 24;
const LONGEST: usize = 64;
/// What four characters of base64 each stand for, up to [`LONGEST`].
const DECODED: usize = LONGEST.div_ceil(3) * 3;
const SHORTEST_TEXT: usize = 16;
const LONGEST_TEXT: usize = 256;

/// A signing secret. Shown as `[redacted]`, whatever asks.
#[derive(Clone)]
pub struct Secret(Kept);

/// No more than the text, as there can be a million secrets: what of it is the key, a scheme says.
#[derive(Clone)]
enum Kept {
    Text(Arc<str>),
    Pair(Arc<KeyPair>),
}

/// What of a secret is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyForm {
    /// The bytes whose base64 follows `whsec_`.
    Base64,
    /// The text itself, with `whsec_` if it begins so.
    Text,
    /// The ed25519 key whose base64 follows `whsk_`.
    Ed25519,
}

/// A key, for the one place that signs and the one that verifies.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// Known to both sides.
    Shared(KeyBytes<'a>),
    /// Its private half is known to the sender alone.
    Pair(&'a KeyPair),
}

/// The bytes of a shared key.
#[derive(Clone, Copy)]
pub struct KeyBytes<'a>(Bytes<'a>);

#[derive(Clone, Copy)]
enum Bytes<'a> {
    OfText(&'a [u8]),
    Decoded { bytes: [u8; DECODED], length: usize },
}

/// Why a text is not a signing secret. Says nothing of the text.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// Another beginning.
    #[error("a secret must begin with `{PREFIX}`")]
    Prefix,
    /// Other characters, or wrong padding.
    #[error("a secret must be in standard base64, padded, after `{PREFIX}`")]
    Base64,
    /// Too few bytes to be safe, or more than Standard Webhooks allows.
    #[error("a secret must hold {SHORTEST} to {LONGEST} bytes")]
    Length,
    /// Too short to be safe, or longer than any secret.
    #[error("a secret must have {SHORTEST_TEXT} to {LONGEST_TEXT} bytes of text")]
    TextLength,
    /// A line's end, most likely: it is hard to see, and would be part of the key.
    #[error("a secret must not hold control characters")]
    Control,
    /// No private key where one is needed.
    #[error("a secret for `v1a` must begin with `{PRIVATE_PREFIX}`")]
    NotPrivate,
    /// A private key that would be shared with receivers.
    #[error("a secret that begins with `{PRIVATE_PREFIX}` is for `v1a` alone")]
    Private,
    /// The half that receivers have.
    #[error("what begins with `{PUBLIC_PREFIX}` is a public key: it verifies and cannot sign")]
    Public,
    /// Not a seed, nor a seed and its public key.
    #[error(
        "a secret must be in standard base64, padded, after `{PRIVATE_PREFIX}`: 32 bytes, or 64 of which \
         the last 32 are the public key"
    )]
    KeyPair,
}

impl Secret {
    /// Reads a secret of whatever kind. Whether a scheme can use it, [`Self::key`] says.
    ///
    /// # Errors
    /// [`SecretError::Public`] and [`SecretError::KeyPair`]: for what is meant for `v1a` and cannot sign.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.starts_with(PUBLIC_PREFIX) {
            return Err(SecretError::Public);
        }
        Ok(Self(match text.strip_prefix(PRIVATE_PREFIX) {
            Some(encoded) => {
                let pair = KeyPair::decode(encoded).ok_or(SecretError::KeyPair)?;
                Kept::Pair(Arc::new(pair))
            }
            None => Kept::Text(text.into()),
        }))
    }

    /// The text of a new secret with this key, which must be from a cryptographic source of randomness.
    /// Unlike a [`Secret`] it can be printed: its owner must see it once.
    pub fn text_of_new(key: &[u8]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(key))
    }

    /// The key in this form.
    ///
    /// # Errors
    /// Why this secret has none.
    pub fn key(&self, form: KeyForm) -> Result<Key<'_>, SecretError> {
        match (form, &self.0) {
            (KeyForm::Ed25519, Kept::Pair(pair)) => Ok(Key::Pair(pair)),
            (KeyForm::Ed25519, Kept::Text(_)) => Err(SecretError::NotPrivate),
            (KeyForm::Text, Kept::Text(text)) => as_it_is(text).map(Key::Shared),
            (KeyForm::Base64, Kept::Text(text)) => decode(text).map(Key::Shared),
            (KeyForm::Text | KeyForm::Base64, Kept::Pair(_)) => Err(SecretError::Private),
        }
    }
}

/// The key of an older scheme: the text itself.
fn as_it_is(text: &str) -> Result<KeyBytes<'_>, SecretError> {
    if !(SHORTEST_TEXT..=LONGEST_TEXT).contains(&text.len()) {
        Err(SecretError::TextLength)
    } else if text.contains(char::is_control) {
        Err(SecretError::Control)
    } else {
        Ok(KeyBytes(Bytes::OfText(text.as_bytes())))
    }
}

/// The key of a secret of Standard Webhooks 1.0: `whsec_` and the base64 of 24 to 64 bytes.
fn decode(text: &str) -> Result<KeyBytes<'_>, SecretError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
    if encoded.len() > LONGEST.div_ceil(3) * 4 {
        return Err(SecretError::Length);
    }
    let mut bytes = [0; DECODED];
    let length = STANDARD
        .decode_slice(encoded, &mut bytes)
        .map_err(|_| SecretError::Base64)?;
    if LENGTHS.contains(&length) {
        Ok(KeyBytes(Bytes::Decoded { bytes, length }))
    } else {
        Err(SecretError::Length)
    }
}

impl Deref for KeyBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::OfText(bytes) => bytes,
            Bytes::Decoded { bytes, length } => &bytes[..*length],
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn key(text: &str, form: KeyForm) -> Result<Vec<u8>, SecretError> {
        match Secret::parse(text)?.key(form)? {
            Key::Shared(bytes) => Ok(bytes.to_vec()),
            Key::Pair(pair) => Ok(pair.public().as_bytes().to_vec()),
        }
    }

    #[test]
    fn reads_what_standard_webhooks_allows() {
        fn check(bytes: &[u8], expected: Result<(), SecretError>) {
            let found = key(&Secret::text_of_new(bytes), KeyForm::Base64);
            assert_eq!(found, expected.map(|()| bytes.to_vec()));
        }
        check(&[0xff; 24], Ok(()));
        check(&[1; 32], Ok(()));
        check(&[1; 64], Ok(()));
        check(&[1; 23], Err(SecretError::Length));
        check(&[1; 65], Err(SecretError::Length));
        check(&[1; 1_000], Err(SecretError::Length));
        check(&[], Err(SecretError::Length));
    }

    #[test]
    fn each_scheme_takes_its_own_of_it() {
        fn check(text: &str, form: KeyForm, expected: SecretError) {
            assert_eq!(key(text, form), Err(expected), "{text:?}");
        }
        let text_alone = "0123456789abcdef";
        assert_eq!(key(text_alone, KeyForm::Text).unwrap(), b"0123456789abcdef");
        check(text_alone, KeyForm::Base64, SecretError::Prefix);
        check(text_alone, KeyForm::Ed25519, SecretError::NotPrivate);
        // An older receiver knows nothing of base64: the prefix is part of its key.
        assert_eq!(key(TEXT, KeyForm::Text).unwrap(), TEXT.as_bytes());
        for broken in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA",
        ] {
            check(broken, KeyForm::Base64, SecretError::Base64);
            assert!(key(broken, KeyForm::Text).is_ok());
        }
        let pair = KeyPair::from_seed(&[7; 32]);
        let private = pair.unwrap().text_of_new();
        assert!(key(&private, KeyForm::Ed25519).is_ok());
        check(&private, KeyForm::Text, SecretError::Private);
        check(&private, KeyForm::Base64, SecretError::Private);
    }

    #[test]
    fn refuses_other_texts() {
        fn check(text: &str, decoded: SecretError, as_text: SecretError) {
            assert_eq!(key(text, KeyForm::Base64), Err(decoded), "{text:?}");
            assert_eq!(key(text, KeyForm::Text), Err(as_text), "{text:?}");
        }
        check("", SecretError::Prefix, SecretError::TextLength);
        check("whsec_", SecretError::Length, SecretError::TextLength);
        check(
            "fifteen bytes..",
            SecretError::Prefix,
            SecretError::TextLength,
        );
        check(
            &"x".repeat(257),
            SecretError::Prefix,
            SecretError::TextLength,
        );
        check(
            &format!("{TEXT}\n"),
            SecretError::Base64,
            SecretError::Control,
        );
        let long = Secret::text_of_new(&[1; 1_000]);
        check(&long, SecretError::Length, SecretError::TextLength);
        for (text, error) in [
            ("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Public),
            (
                "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                SecretError::KeyPair,
            ),
        ] {
            check(text, error, error);
        }
    }

    #[test]
    fn cannot_be_printed() {
        let secret = Secret::parse(TEXT).unwrap();
        let key = secret.key(KeyForm::Base64).unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?} {key:?}"),
            "[redacted] ".repeat(4).trim_end()
        );
    }
}
