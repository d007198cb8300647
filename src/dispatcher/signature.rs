//! Signs a request by the schemes of its subscription, so that a receiver can tell who sent it, when, and
//! that it is unchanged. Made anew for each attempt, over the very bytes that are sent.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use sha2::{Sha256, Sha512};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::record::json_text::Node;
use crate::record::subscription::{
    Algorithm, Encoding, Piece, Scheme, SignatureScheme, TimestampUnit,
};
use crate::secret::{Key, Secret};

/// One attempt's request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The delivery's id.
    pub id: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// The time of this attempt.
    pub at: Timestamp,
    /// The bytes that are sent.
    pub body: &'a [u8],
}

/// What a scheme's content is made of.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The delivery's id.
    pub id: &'a str,
    /// The time as the scheme says it.
    pub timestamp: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Its member `data`, as it stands there; only looked at by schemes that sign it.
    pub data: &'a [u8],
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// The body is no JSON object with such a member.
    #[error("the signature `{scheme}` is over the body's member `data`, and the body has none")]
    NoData {
        /// The scheme's name.
        scheme: String,
    },
    /// What a receiver needs cannot be the value of a header.
    #[error("{header} must be visible ASCII characters")]
    Header {
        /// The header.
        header: HeaderName,
    },
    /// No secret is one for the scheme.
    #[error("no secret is one for the signature `{scheme}`")]
    NoKey {
        /// The scheme's name.
        scheme: String,
    },
}

/// All headers that the schemes write, by the secrets (newest first) that each can use. A scheme with a
/// separator is signed with all of them, so that a receiver can change its key at any time while several
/// are valid; one without, with the first.
///
/// # Errors
/// [`SignatureError`].
pub fn headers(
    schemes: &[SignatureScheme],
    secrets: &[Secret],
    message: &Message<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignatureError> {
    let seconds = message.at.as_secs().to_string();
    let mut values: Vec<(&HeaderName, String)> = Vec::with_capacity(schemes.len());
    let mut more = Vec::new();
    let mut data = None;
    for scheme in schemes {
        let timestamp = match scheme.timestamp_unit {
            TimestampUnit::Seconds => Cow::Borrowed(&*seconds),
            TimestampUnit::Milliseconds => Cow::Owned(message.at.as_millis().to_string()),
            TimestampUnit::Rfc3339 => Cow::Owned(message.at.to_string()),
        };
        if data.is_none() && scheme.content.contains(&Piece::Data) {
            let found = data_of(message.body).ok_or_else(|| SignatureError::NoData {
                scheme: scheme.to_string(),
            })?;
            data = Some(found);
        }
        let signed = Signed {
            id: message.id,
            timestamp: &timestamp,
            event_type: message.event_type,
            body: message.body,
            data: data.unwrap_or_default(),
        };
        match values
            .iter_mut()
            .find(|(header, _)| *header == scheme.header)
        {
            // The start and the separator are the same, or the schemes could not be together.
            Some((_, value)) => {
                value.push_str(scheme.separator.as_deref().unwrap_or_default());
                sign(scheme, secrets, &signed, value)?;
            }
            None => {
                let mut value = String::with_capacity(TYPICAL);
                for piece in &*scheme.start {
                    value.push_str(match piece {
                        Piece::Text(text) => text,
                        Piece::Timestamp => &timestamp,
                        Piece::Id | Piece::Type | Piece::Body | Piece::Data => "",
                    });
                }
                sign(scheme, secrets, &signed, &mut value)?;
                values.push((&scheme.header, value));
            }
        }
        for (header, value) in [
            (&scheme.timestamp_header, &*timestamp),
            (&scheme.id_header, message.id),
            (&scheme.type_header, message.event_type),
        ] {
            if let Some(header) = header {
                more.push(pair(header, HeaderValue::from_str(value))?);
            }
        }
    }
    for (header, value) in values {
        more.push(pair(header, HeaderValue::try_from(value))?);
    }
    Ok(more)
}

/// Room for a signature or two.
const TYPICAL: usize = 128;

fn pair<E>(
    header: &HeaderName,
    value: Result<HeaderValue, E>,
) -> Result<(HeaderName, HeaderValue), SignatureError> {
    match value {
        Ok(value) => Ok((header.clone(), value)),
        Err(_) => Err(SignatureError::Header {
            header: header.clone(),
        }),
    }
}

/// Appends the scheme's signatures.
fn sign(
    scheme: &SignatureScheme,
    secrets: &[Secret],
    signed: &Signed<'_>,
    value: &mut String,
) -> Result<(), SignatureError> {
    let keys = secrets
        .iter()
        .filter_map(|secret| secret.key(scheme.key).ok());
    let most = match scheme.separator {
        Some(_) => usize::MAX,
        None => 1,
    };
    let mut is_first = true;
    for signature in keys
        .take(most)
        .filter_map(|key| signature(scheme, key, signed))
    {
        if !std::mem::take(&mut is_first) {
            value.push_str(scheme.separator.as_deref().unwrap_or_default());
        }
        value.push_str(&scheme.prefix);
        encode(scheme.encoding, signature.as_bytes(), value);
    }
    match is_first {
        false => Ok(()),
        true => Err(SignatureError::NoKey {
            scheme: scheme.to_string(),
        }),
    }
}

fn encode(encoding: Encoding, signature: &[u8], value: &mut String) {
    match encoding {
        Encoding::Base64 => STANDARD.encode_string(signature, value),
        Encoding::Hex => value.push_str(&hex::encode(signature)),
    }
}

/// The bytes of a signature.
#[derive(Clone, Copy)]
pub struct Signature {
    bytes: [u8; 64],
    length: usize,
}

impl Signature {
    fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 64];
        let length = from.len().min(bytes.len());
        bytes[..length].copy_from_slice(&from[..length]);
        Self { bytes, length }
    }

    /// They themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// One signature by one key; none for a key of another kind than the algorithm's.
pub fn signature(scheme: &Scheme, key: Key<'_>, signed: &Signed<'_>) -> Option<Signature> {
    match (scheme.algorithm, key) {
        (Algorithm::Sha256, Key::Shared(key)) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?; // takes any length
            each_part(&scheme.content, signed, |part| mac.update(part));
            Some(Signature::new(&mac.finalize().into_bytes()))
        }
        (Algorithm::Sha512, Key::Shared(key)) => {
            let mut mac = Hmac::<Sha512>::new_from_slice(&key).ok()?;
            each_part(&scheme.content, signed, |part| mac.update(part));
            Some(Signature::new(&mac.finalize().into_bytes()))
        }
        (Algorithm::Ed25519, Key::Pair(pair)) => {
            Some(Signature::new(pair.sign(&content(scheme, signed)).as_ref()))
        }
        (Algorithm::Sha256 | Algorithm::Sha512, Key::Pair(_))
        | (Algorithm::Ed25519, Key::Shared(_)) => None,
    }
}

/// All that a scheme signs, in one piece.
pub fn content(scheme: &Scheme, signed: &Signed<'_>) -> Vec<u8> {
    let mut content = Vec::with_capacity(TYPICAL + signed.body.len());
    each_part(&scheme.content, signed, |part| content.extend(part));
    content
}

fn each_part(content: &[Piece], signed: &Signed<'_>, mut take: impl FnMut(&[u8])) {
    for piece in content {
        take(match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Id => signed.id.as_bytes(),
            Piece::Timestamp => signed.timestamp.as_bytes(),
            Piece::Type => signed.event_type.as_bytes(),
            Piece::Body => signed.body,
            Piece::Data => signed.data,
        });
    }
}

/// The source text of the body's member `data`; none if the body is no object that has one.
pub fn data_of(body: &[u8]) -> Option<&[u8]> {
    let data = Node::parse(body).ok()?.member("data")?;
    Some(data.text().as_bytes())
}

#[cfg(test)]
mod tests;
