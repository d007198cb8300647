//! Reads a scheme: the name of a preset, or an object, which may begin with a preset and say what is
//! different.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;

use super::error::SchemeError;
use super::presets::plain;
use super::template::{self, Piece};
use super::{Algorithm, Encoding, Inner, Scheme, SignatureScheme, TimestampUnit};
use crate::record::subscription::error::SubscriptionError;
use crate::record::subscription::extra_headers::{HeaderError, is_reserved};
use crate::record::subscription::field::{Field, Fields};
use crate::secret::KeyForm;

const LONGEST_NAME: usize = 128;
const LONGEST_TEXT: usize = 64;
const LONGEST_SEPARATOR: usize = 8;
const LONGEST_CONTENT: usize = 256;

/// Reads an entry of `signatures`.
pub(in crate::record::subscription) fn read(
    field: &Field,
) -> Result<SignatureScheme, SubscriptionError> {
    if field.is_string() {
        return preset(field);
    }
    if !field.is_object() {
        return Err(field.refuse(SchemeError::Preset));
    }
    object(&field.object()?)
}

/// Reads what stands alone: a name as it is, or an object's text.
pub(super) fn from_text(text: &str) -> Result<SignatureScheme, SubscriptionError> {
    if text.trim_start().starts_with('{') {
        return object(&Fields::of_record(text.as_bytes())?);
    }
    SignatureScheme::preset(text).ok_or_else(|| SubscriptionError::Field {
        field: "preset".to_owned(),
        rule: SchemeError::Preset.into(),
    })
}

fn preset(field: &Field) -> Result<SignatureScheme, SubscriptionError> {
    SignatureScheme::preset(&field.string()?).ok_or_else(|| field.refuse(SchemeError::Preset))
}

fn object(fields: &Fields) -> Result<SignatureScheme, SubscriptionError> {
    fields.only(&[
        "preset",
        "header",
        "start",
        "prefix",
        "separator",
        "algorithm",
        "encoding",
        "content",
        "timestamp",
        "id_header",
        "type_header",
        "key",
    ])?;
    let mut scheme = match fields.get("preset") {
        Some(field) => {
            let preset = preset(field)?;
            if fields.len() == 1 {
                return Ok(preset);
            }
            Scheme {
                preset: None,
                ..(*preset).clone()
            }
        }
        None => Scheme {
            header: header(fields.require("header")?)?,
            ..plain()
        },
    };
    if let Some(field) = fields.get("header") {
        scheme.header = header(field)?;
    }
    if let Some(field) = fields.get("start") {
        scheme.start = start(field)?;
    }
    if let Some(field) = fields.get("prefix") {
        scheme.prefix = text(field)?.into();
    }
    if let Some(field) = fields.get("separator") {
        scheme.separator = Some(separator(field)?.into());
    }
    check_split(fields, &scheme)?;
    if let Some(field) = fields.get("encoding") {
        scheme.encoding = encoding(field)?;
    }
    if let Some(field) = fields.get("content") {
        scheme.content = content(field)?;
    }
    if let Some(field) = fields.get("id_header") {
        scheme.id_header = Some(header(field)?);
    }
    if let Some(field) = fields.get("type_header") {
        scheme.type_header = Some(header(field)?);
    }
    if let Some(field) = fields.get("algorithm") {
        scheme.algorithm = algorithm(field)?;
    }
    scheme.key = key(fields.get("key"), &scheme)?;
    if let Some(field) = fields.get("timestamp") {
        timestamp(field, &mut scheme)?;
    }
    Ok(SignatureScheme(Inner::Own(Arc::new(scheme))))
}

/// The key's form, which follows from the algorithm where that leaves no choice.
fn key(field: Option<&Field>, scheme: &Scheme) -> Result<KeyForm, SubscriptionError> {
    match (scheme.algorithm, field) {
        (Algorithm::Ed25519, None) => Ok(KeyForm::Ed25519),
        (Algorithm::Ed25519, Some(field)) => Err(field.refuse(SchemeError::KeyOfPair)),
        (Algorithm::Sha256 | Algorithm::Sha512, Some(field)) => match &*field.string()? {
            "base64" => Ok(KeyForm::Base64),
            "text" => Ok(KeyForm::Text),
            _ => Err(field.refuse(SchemeError::Word("`base64` or `text`"))),
        },
        (Algorithm::Sha256 | Algorithm::Sha512, None) => match scheme.key {
            KeyForm::Ed25519 => Ok(KeyForm::Base64),
            kept @ (KeyForm::Base64 | KeyForm::Text) => Ok(kept),
        },
    }
}

fn timestamp(field: &Field, scheme: &mut Scheme) -> Result<(), SubscriptionError> {
    let fields = field.object()?;
    fields.only(&["header", "unit"])?;
    if let Some(field) = fields.get("header") {
        scheme.timestamp_header = Some(header(field)?);
    }
    if let Some(field) = fields.get("unit") {
        scheme.timestamp_unit = match &*field.string()? {
            "seconds" => TimestampUnit::Seconds,
            "milliseconds" => TimestampUnit::Milliseconds,
            "rfc3339" => TimestampUnit::Rfc3339,
            _ => {
                let words = "`seconds`, `milliseconds` or `rfc3339`";
                return Err(field.refuse(SchemeError::Word(words)));
            }
        };
    }
    // Seconds stand in `webhook-timestamp`, whatever the scheme.
    let is_sent = scheme.timestamp_header.is_some()
        || scheme.start.contains(&Piece::Timestamp)
        || scheme.timestamp_unit == TimestampUnit::Seconds;
    if is_sent || !scheme.content.contains(&Piece::Timestamp) {
        Ok(())
    } else {
        Err(field.refuse(SchemeError::TimestampNotSent))
    }
}

fn header(field: &Field) -> Result<HeaderName, SubscriptionError> {
    let text = field.short_string(LONGEST_NAME)?;
    let name =
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| field.refuse(HeaderError::Name))?;
    // The sender's name is no place for a signature.
    if is_reserved(name.as_str()) || name == http::header::USER_AGENT {
        return Err(field.refuse(HeaderError::Reserved));
    }
    Ok(name)
}

fn text(field: &Field) -> Result<String, SubscriptionError> {
    let text = field.short_string(LONGEST_TEXT)?;
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.starts_with(' ') || text.contains(['{', '}']) || !text.bytes().all(is_plain) {
        return Err(field.refuse(SchemeError::Text));
    }
    Ok(text)
}

fn separator(field: &Field) -> Result<String, SubscriptionError> {
    let text = field.string()?;
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let in_signatures = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if !(1..=LONGEST_SEPARATOR).contains(&text.len())
        || !text.bytes().all(is_plain)
        || text.bytes().all(in_signatures)
    {
        return Err(field.refuse(SchemeError::Separator));
    }
    Ok(text)
}

/// Whether a list of signatures can be taken apart again.
fn check_split(fields: &Fields, scheme: &Scheme) -> Result<(), SubscriptionError> {
    let is_in_prefix = |separator: &Cow<'_, str>| scheme.prefix.contains(&**separator);
    let said = fields.get("separator").or_else(|| fields.get("prefix"));
    match (&scheme.separator, said) {
        (Some(separator), Some(field)) if is_in_prefix(separator) => {
            Err(field.refuse(SchemeError::SeparatorInPrefix))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn start(field: &Field) -> Result<Cow<'static, [Piece]>, SubscriptionError> {
    let text = field.short_string(LONGEST_TEXT)?;
    if text.starts_with(' ') {
        return Err(field.refuse(SchemeError::Text));
    }
    let pieces = template::parse(&text)
        .ok_or_else(|| field.refuse(SchemeError::Variable("`{timestamp}`")))?;
    let ends_it = |behind: &str| !behind.starts_with(|first: char| first.is_ascii_digit());
    match &pieces[..] {
        [] | [Piece::Text(_)] => Ok(pieces.into()),
        [Piece::Timestamp, Piece::Text(behind)]
        | [Piece::Text(_), Piece::Timestamp, Piece::Text(behind)]
            if ends_it(behind) =>
        {
            Ok(pieces.into())
        }
        _ => Err(field.refuse(SchemeError::Start)),
    }
}

fn content(field: &Field) -> Result<Cow<'static, [Piece]>, SubscriptionError> {
    const KNOWN: &str = "`{id}`, `{timestamp}`, `{type}`, `{body}` and `{data}`";
    let text = field.short_string(LONGEST_CONTENT)?;
    let pieces =
        template::parse(&text).ok_or_else(|| field.refuse(SchemeError::Variable(KNOWN)))?;
    let of_body = |piece: &&Piece| matches!(piece, Piece::Body | Piece::Data);
    if pieces.iter().filter(of_body).count() != 1 {
        return Err(field.refuse(SchemeError::Content));
    }
    Ok(pieces.into())
}

fn algorithm(field: &Field) -> Result<Algorithm, SubscriptionError> {
    match &*field.string()? {
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        "ed25519" => Ok(Algorithm::Ed25519),
        _ => Err(field.refuse(SchemeError::Word("`sha256`, `sha512` or `ed25519`"))),
    }
}

fn encoding(field: &Field) -> Result<Encoding, SubscriptionError> {
    match &*field.string()? {
        "hex" => Ok(Encoding::Hex),
        "base64" => Ok(Encoding::Base64),
        _ => Err(field.refuse(SchemeError::Word("`hex` or `base64`"))),
    }
}
