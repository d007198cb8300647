//! Whether a request is signed by a scheme, and if not, how far it came.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use super::request::Request;
use super::suspects::{self, Difference};
use crate::clock::Timestamp;
use crate::dispatcher::signature::{Signed, content, data_of, signature};
use crate::record::subscription::{
    Algorithm, Encoding, Piece, Scheme, SignatureScheme, TimestampUnit,
};
use crate::secret::{PublicKey, Secret, SecretError};

/// What a signature is checked with.
#[derive(Debug)]
pub(super) enum Verifier {
    /// What signs, too.
    Secret(Secret),
    /// Half of a key pair.
    Public(PublicKey),
}

/// What a check goes by, beside the request.
pub(super) struct Terms<'a> {
    pub verifiers: &'a [Verifier],
    pub now: Timestamp,
    /// How far the signed time may be from `now`.
    pub tolerance: Duration,
}

/// A signature that holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holds {
    /// Which of the secrets, from 0.
    pub verifier: usize,
    /// When it was signed, if that is signed.
    pub at: Option<Timestamp>,
}

/// Why none holds, in the order in which a check meets it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// There is no such header.
    Missing { header: String },
    /// A header that is not what the scheme makes it.
    Form { header: String, rule: String },
    /// The body has no member `data`.
    NoData,
    /// None of the secrets is for this scheme.
    NoKey(SecretError),
    /// No key has made any of the signatures; with what it would be one, if that was found.
    Differs(Option<Vec<Difference>>),
    /// It is right, and too old or too new.
    Clock { off: Duration, is_ahead: bool },
}

impl Problem {
    /// For programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing_header",
            Self::Form { .. } => "form",
            Self::NoData => "no_data",
            Self::NoKey(_) => "no_key",
            Self::Differs(_) => "signature",
            Self::Clock { .. } => "clock",
        }
    }

    /// How far the check came: the greatest is what to tell. What is explained goes first, by as little
    /// as possible.
    pub(super) fn rank(&self) -> (usize, usize) {
        match self {
            Self::Missing { .. } => (0, 0),
            Self::Form { .. } => (1, 0),
            Self::NoData => (2, 0),
            Self::NoKey(_) => (3, 0),
            Self::Differs(None) => (4, 0),
            Self::Differs(Some(differences)) => (5, usize::MAX - differences.len()),
            Self::Clock { .. } => (6, 0),
        }
    }
}

/// A scheme's parts of a request.
pub(super) struct Claim<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub event_type: &'a str,
    pub signatures: Vec<Vec<u8>>,
}

/// Checks a request by one scheme.
pub(super) fn check(
    scheme: &SignatureScheme,
    request: &Request,
    terms: &Terms<'_>,
) -> Result<Holds, Problem> {
    let claim = claim(scheme, request)?;
    let at = match scheme.content.contains(&Piece::Timestamp) {
        true => Some(time(scheme, claim.timestamp).ok_or_else(|| Problem::Form {
            header: time_header(scheme),
            rule: match scheme.timestamp_unit {
                TimestampUnit::Seconds => "must be Unix seconds".to_owned(),
                TimestampUnit::Milliseconds => "must be Unix milliseconds".to_owned(),
                TimestampUnit::Rfc3339 => "must be an RFC 3339 time".to_owned(),
            },
        })?),
        false => None,
    };
    let data = match scheme.content.contains(&Piece::Data) {
        true => data_of(&request.body).ok_or(Problem::NoData)?,
        false => &[],
    };
    let signed = Signed {
        id: claim.id,
        timestamp: claim.timestamp,
        event_type: claim.event_type,
        body: &request.body,
        data,
    };
    let (mut refused, mut is_usable) = (None, false);
    for (index, verifier) in terms.verifiers.iter().enumerate() {
        match is_by(verifier, scheme, &signed, &claim.signatures) {
            Ok(true) => return in_time(index, at, terms),
            Ok(false) => is_usable = true,
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if !is_usable => Err(Problem::NoKey(error)),
        Some(_) | None => Err(Problem::Differs(suspects::find(
            scheme,
            &claim,
            &request.body,
            terms.verifiers,
        ))),
    }
}

fn in_time(verifier: usize, at: Option<Timestamp>, terms: &Terms<'_>) -> Result<Holds, Problem> {
    let off = |at: Timestamp| at.since(terms.now).max(terms.now.since(at));
    match at {
        Some(at) if off(at) > terms.tolerance => Err(Problem::Clock {
            off: off(at),
            is_ahead: at > terms.now,
        }),
        Some(_) | None => Ok(Holds { verifier, at }),
    }
}

/// Whether one of the signatures is made with this key.
pub(super) fn is_by(
    verifier: &Verifier,
    scheme: &Scheme,
    signed: &Signed<'_>,
    signatures: &[Vec<u8>],
) -> Result<bool, SecretError> {
    match (verifier, scheme.algorithm) {
        (Verifier::Public(key), Algorithm::Ed25519) => {
            let content = content(scheme, signed);
            let is_right = |given: &Vec<u8>| key.verifies(&content, given);
            Ok(signatures.iter().any(is_right))
        }
        (Verifier::Public(_), Algorithm::Sha256 | Algorithm::Sha512) => Err(SecretError::Public),
        (Verifier::Secret(secret), _) => {
            let made = signature(scheme, secret.key(scheme.key)?, signed);
            let is_right = |made: &[u8]| signatures.iter().any(|given| given == made);
            Ok(made.is_some_and(|made| is_right(made.as_bytes())))
        }
    }
}

/// Takes what the scheme has written apart again.
fn claim<'a>(scheme: &SignatureScheme, request: &'a Request) -> Result<Claim<'a>, Problem> {
    let name = scheme.header.as_str();
    let value = present(request, name)?;
    let form = |rule: String| Problem::Form {
        header: name.to_owned(),
        rule,
    };
    let (in_start, list) = behind_start(scheme, value)
        .ok_or_else(|| form(format!("must begin with `{}`", scheme.start_text())))?;
    let entries: Vec<&str> = match scheme.separator.as_deref() {
        Some(separator) => list.split(separator).map(str::trim).collect(),
        None => vec![list],
    };
    let prefixed = entries
        .iter()
        .filter_map(|entry| entry.strip_prefix(&*scheme.prefix));
    let encoded: Vec<&str> = prefixed.collect();
    if encoded.is_empty() {
        return Err(form(match scheme.separator {
            Some(_) => format!("has no entry that begins with `{}`", scheme.prefix),
            None => format!("must begin with `{}`", scheme.prefix),
        }));
    }
    let length = match scheme.algorithm {
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 | Algorithm::Ed25519 => 64,
    };
    let decoded = encoded
        .iter()
        .filter_map(|text| decode(scheme.encoding, text));
    let signatures: Vec<_> = decoded.filter(|bytes| bytes.len() == length).collect();
    if signatures.is_empty() {
        let (wanted, other, other_name) = match scheme.encoding {
            Encoding::Hex => ("hexadecimal", Encoding::Base64, "base64"),
            Encoding::Base64 => ("base64", Encoding::Hex, "hexadecimal"),
        };
        let is_other = |text: &&str| decode(other, text).is_some_and(|bytes| bytes.len() == length);
        let instead = match encoded.iter().any(is_other) {
            true => format!(", and is in {other_name}"),
            false => String::new(),
        };
        return Err(form(format!(
            "must hold {length} bytes in {wanted}{instead}"
        )));
    }
    // What is not signed is taken along where it is there: it may have been signed all the same.
    let of = |piece, header: &str| match scheme.content.contains(piece) {
        true => present(request, header),
        false => Ok(request.header(header).unwrap_or_default()),
    };
    let name_or = |header: &Option<http::HeaderName>, usual: &str| {
        header
            .as_ref()
            .map_or(usual.to_owned(), ToString::to_string)
    };
    Ok(Claim {
        id: of(&Piece::Id, &name_or(&scheme.id_header, "webhook-id"))?,
        event_type: of(&Piece::Type, &name_or(&scheme.type_header, "x-event-type"))?,
        timestamp: match in_start {
            Some(timestamp) => timestamp,
            None => of(&Piece::Timestamp, &time_header(scheme))?,
        },
        signatures,
    })
}

fn present<'a>(request: &'a Request, header: &str) -> Result<&'a str, Problem> {
    request.header(header).ok_or_else(|| Problem::Missing {
        header: header.to_owned(),
    })
}

/// The header that has the time.
fn time_header(scheme: &Scheme) -> String {
    let in_start = scheme.start.contains(&Piece::Timestamp);
    match &scheme.timestamp_header {
        _ if in_start => scheme.header.to_string(),
        Some(header) => header.to_string(),
        None => "webhook-timestamp".to_owned(),
    }
}

/// The time in the start, if it has one there, and what follows the start.
fn behind_start<'a>(scheme: &Scheme, value: &'a str) -> Option<(Option<&'a str>, &'a str)> {
    const RFC_3339: usize = "2026-11-22T10:00:00.000Z".len();
    let (mut timestamp, mut rest) = (None, value);
    for piece in &*scheme.start {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(&**text)?,
            // A start holds nothing but text and the time, behind which stands no digit.
            Piece::Timestamp | Piece::Id | Piece::Type | Piece::Body | Piece::Data => {
                let end = match scheme.timestamp_unit {
                    TimestampUnit::Seconds | TimestampUnit::Milliseconds => {
                        rest.bytes().take_while(u8::is_ascii_digit).count()
                    }
                    TimestampUnit::Rfc3339 => RFC_3339,
                };
                let (before, behind) = rest.split_at_checked(end)?;
                (timestamp, rest) = (Some(before), behind);
            }
        }
    }
    Some((timestamp, rest))
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}

fn time(scheme: &Scheme, text: &str) -> Option<Timestamp> {
    let whole = || text.parse::<i64>().ok();
    match scheme.timestamp_unit {
        TimestampUnit::Seconds => whole()?.checked_mul(1_000).map(Timestamp::from_millis),
        TimestampUnit::Milliseconds => whole().map(Timestamp::from_millis),
        TimestampUnit::Rfc3339 => rfc_3339(text),
    }
}

/// A time as JSON has them.
pub(super) fn rfc_3339(text: &str) -> Option<Timestamp> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        text.into_deserializer();
    Timestamp::deserialize(text).ok()
}
