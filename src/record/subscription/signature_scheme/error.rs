//! Which rule of signature schemes is broken.

use std::fmt;

use http::HeaderName;

use super::SignatureScheme;
use crate::secret::SecretError;

/// Why a scheme cannot be used, or not together with the rest of its subscription.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SchemeError {
    /// Another name, or neither a name nor an object.
    #[error("must be an object, or a preset: {}", names())]
    Preset,
    /// Not one of a few words.
    #[error("must be {0}")]
    Word(&'static str),
    /// What cannot stand in a header's value.
    #[error("must be visible ASCII characters, not beginning with a space, without `{{` and `}}`")]
    Text,
    /// The same for what stands between signatures.
    #[error("must be 1 to 8 visible ASCII characters or spaces, one of which no signature holds")]
    Separator,
    /// A list could not be taken apart.
    #[error("must be such that `prefix` does not hold the `separator`")]
    SeparatorInPrefix,
    /// Braces around something else.
    #[error("must be visible ASCII characters, spaces, and in braces only {0}")]
    Variable(&'static str),
    /// The body must be signed, and once is enough.
    #[error("must have exactly one of `{{body}}` and `{{data}}`, once")]
    Content,
    /// Where the time ends could not be told.
    #[error("may have `{{timestamp}}` once, with text behind it that begins with no digit")]
    Start,
    /// Receivers would not know what was signed.
    #[error("is signed in a unit other than seconds, so it must be sent: give it a `header`")]
    TimestampNotSent,
    /// The key of `ed25519` is what it is.
    #[error("does not go with `ed25519`, whose key is that of a `whsk_` secret")]
    KeyOfPair,
    /// Two things in one header.
    #[error("writes `{header}`, which {other} writes too")]
    Conflict {
        /// The header.
        header: HeaderName,
        /// Who else writes it.
        other: Writer,
    },
    /// No secret fits.
    #[error("has none for the signature `{scheme}`: {reason}")]
    NoSecret {
        /// The scheme's name.
        scheme: String,
        /// What is wrong with the first.
        reason: SecretError,
    },
}

/// Who writes a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A scheme, by its place in the list.
    Scheme(usize),
    /// The scheme itself, with something else.
    Itself,
    /// The subscription's own headers.
    Headers,
    /// The user and password of the URL.
    Credentials,
}

impl fmt::Display for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(index) => write!(formatter, "`signatures[{index}]`"),
            Self::Itself => formatter.write_str("another of its members"),
            Self::Headers => formatter.write_str("`headers`"),
            Self::Credentials => formatter.write_str("the user and password of `url`"),
        }
    }
}

fn names() -> String {
    let names: Vec<_> = SignatureScheme::presets()
        .map(|scheme| format!("`{scheme}`"))
        .collect();
    names.join(", ")
}
