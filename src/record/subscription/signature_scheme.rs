//! How a request is signed, as data: which bytes, by which algorithm, and in which headers the receiver
//! finds what it needs. A subscription names a preset, or gives an object of the same members.

mod conflicts;
mod error;
mod presets;
mod read;
mod template;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::HeaderName;

pub(super) use conflicts::check as check_conflicts;
pub use error::SchemeError;
pub(super) use read::read;
pub use template::Piece;

use super::error::SubscriptionError;
use crate::secret::KeyForm;

/// A scheme that a subscription may use. Presets are shared by all that name them.
#[derive(Clone)]
pub struct SignatureScheme(Inner);

#[derive(Clone)]
enum Inner {
    Preset(&'static Scheme),
    Own(Arc<Scheme>),
}

/// What a scheme consists of. Only valid ones are ever inside of a [`SignatureScheme`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The preset's name, where this is one and nothing of it is changed.
    pub preset: Option<&'static str>,
    /// Has the signatures: `start`, then `prefix` and a signature for each key, with `separator` between.
    pub header: HeaderName,
    /// What the header begins with, once: text and the time.
    pub start: Cow<'static, [Piece]>,
    /// Stands before each signature.
    pub prefix: Cow<'static, str>,
    /// Between signatures; every live key signs. `None`: only the newest one does.
    pub separator: Option<Cow<'static, str>>,
    /// What signs.
    pub algorithm: Algorithm,
    /// How a signature becomes text.
    pub encoding: Encoding,
    /// The bytes that are signed.
    pub content: Cow<'static, [Piece]>,
    /// Has the time of the attempt, beside `webhook-timestamp`.
    pub timestamp_header: Option<HeaderName>,
    /// How the time is said, signed and sent.
    pub timestamp_unit: TimestampUnit,
    /// Has the delivery's id, beside `webhook-id`.
    pub id_header: Option<HeaderName>,
    /// Has the event's type.
    pub type_header: Option<HeaderName>,
    /// What of a secret is the key.
    pub key: KeyForm,
}

/// What signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-512.
    Sha512,
    /// Ed25519, with a key pair.
    Ed25519,
}

/// How a signature becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Two lower-case digits for each byte.
    Hex,
    /// The standard alphabet, padded.
    Base64,
}

/// How a time is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Milliseconds,
    /// `2026-11-22T10:00:00.000Z`
    Rfc3339,
}

impl SignatureScheme {
    /// Standard Webhooks 1.0, `v1`: what subscriptions have that do not say.
    pub fn standard() -> Self {
        Self(Inner::Preset(&presets::PRESETS[0]))
    }

    /// All presets, `standard` first.
    pub fn presets() -> impl Iterator<Item = Self> {
        presets::PRESETS
            .iter()
            .map(|scheme| Self(Inner::Preset(scheme)))
    }

    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Self> {
        Self::presets().find(|scheme| scheme.preset == Some(name))
    }

    /// Reads a preset's name, or the text of an object.
    ///
    /// # Errors
    /// Names the member and the rule.
    pub fn parse(text: &str) -> Result<Self, SubscriptionError> {
        read::from_text(text)
    }

    /// What people know it by: the preset's name, else the header with the signature.
    pub fn name(&self) -> &str {
        self.preset.unwrap_or(self.header.as_str())
    }
}

impl Deref for SignatureScheme {
    type Target = Scheme;

    fn deref(&self) -> &Scheme {
        match &self.0 {
            Inner::Preset(scheme) => scheme,
            Inner::Own(scheme) => scheme,
        }
    }
}

impl Scheme {
    /// Whether the receiver cannot tell when a request was signed, and so takes a recorded one for ever.
    pub fn signs_no_time(&self) -> bool {
        !self.content.contains(&Piece::Timestamp)
    }

    /// `content` as it is written.
    pub fn content_text(&self) -> String {
        template::shown(&self.content)
    }

    /// `start` as it is written.
    pub fn start_text(&self) -> String {
        template::shown(&self.start)
    }

    /// What the header's value looks like: `t={timestamp},v1=<hex>`.
    pub fn value_text(&self) -> String {
        let encoding = match self.encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
        };
        format!("{}{}<{encoding}>", self.start_text(), self.prefix)
    }
}

impl PartialEq for SignatureScheme {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SignatureScheme {}

impl fmt::Debug for SignatureScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
