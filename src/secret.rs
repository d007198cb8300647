//! Secrets: bytes that cannot be printed, written or compared by accident.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What every signing secret begins with as text.
pub const PREFIX: &str = "whsec_";
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// The bytes of a signing key. Shown as `[redacted]`, whatever asks.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

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
}

impl Secret {
    /// Reads a secret of Standard Webhooks 1.0: `whsec_` and the base64 of 24 to 64 bytes, which are
    /// the key.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        if encoded.len() > LONGEST.div_ceil(3) * 4 {
            return Err(SecretError::Length);
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        if (SHORTEST..=LONGEST).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretError::Length)
        }
    }

    /// The text of a new secret with this key, which must be from a cryptographic source of randomness.
    /// Unlike a [`Secret`] it can be printed: its owner must see it once.
    pub fn text_of_new(key: &[u8; 32]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(key))
    }

    /// The key itself, for the one place that signs.
    pub fn expose(&self) -> &[u8] {
        &self.0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_standard_webhooks_allows() {
        fn check(bytes: &[u8], expected: Result<(), SecretError>) {
            let text = format!("whsec_{}", STANDARD.encode(bytes));
            let secret = Secret::parse(&text);
            assert_eq!(
                secret.as_ref().map(|_| ()).map_err(|error| *error),
                expected
            );
            if let Ok(secret) = secret {
                assert_eq!(secret.expose(), bytes);
            }
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
    fn new_secrets_read_back() {
        let text = Secret::text_of_new(&[0xfb; 32]);
        assert_eq!(Secret::parse(&text).unwrap().expose(), [0xfb; 32]);
    }

    #[test]
    fn refuses_other_texts() {
        fn check(text: &str, expected: SecretError) {
            assert_eq!(Secret::parse(text).unwrap_err(), expected, "{text}");
        }
        check("", SecretError::Prefix);
        check("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix);
        check("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix);
        check(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
            SecretError::Base64,
        );
        check(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA",
            SecretError::Base64,
        );
        check(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            SecretError::Base64,
        );
    }

    #[test]
    fn cannot_be_printed() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "[redacted] ".repeat(3).trim_end()
        );
    }
}
