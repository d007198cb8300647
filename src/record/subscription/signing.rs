//! What a subscription's requests are signed with.

use super::error::{Rule, SubscriptionError};
use super::field::Field;
use crate::clock::Timestamp;
use crate::record::rfc_3339;
use crate::secret::Secret;

const MOST_SECRETS: usize = 16;
const LONGEST_REFERENCE: usize = 1_024;

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0, `v1`.
    Standard,
}

/// One of a subscription's secrets.
#[derive(Clone, Debug)]
pub struct SigningSecret {
    source: SecretSource,
    not_after: Option<Timestamp>,
}

/// Where the bytes of a secret are.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// In the record itself.
    Key(Secret),
    /// In an environment variable of this process, as `whsec_...`.
    Env(String),
    /// In a file, as `whsec_...`.
    File(String),
}

impl SigningSecret {
    /// Where its bytes are. Names of variables and files are as the record says: whether they may be
    /// read is for the configuration to say.
    pub fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The last moment at which it signs; `None` for ever.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Whether it signs at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }
}

/// Reads `secrets`.
pub(super) fn secrets(field: &Field) -> Result<Vec<SigningSecret>, SubscriptionError> {
    field.list(MOST_SECRETS)?.iter().map(secret).collect()
}

/// Reads `signatures`.
pub(super) fn signatures(field: &Field) -> Result<Vec<SignatureScheme>, SubscriptionError> {
    let entries = field.list(MOST_SECRETS)?;
    let mut schemes = Vec::new();
    for entry in &entries {
        if !entry.is_string() || entry.string()? != "standard" {
            return Err(entry.refuse(Rule::Signature));
        }
        if schemes.contains(&SignatureScheme::Standard) {
            return Err(entry.refuse(Rule::Repeated));
        }
        schemes.push(SignatureScheme::Standard);
    }
    Ok(schemes)
}

fn secret(field: &Field) -> Result<SigningSecret, SubscriptionError> {
    if field.is_string() {
        return Ok(SigningSecret {
            source: key(field)?,
            not_after: None,
        });
    }
    let fields = field.object()?;
    fields.only(&["key", "env", "file", "sealed", "not_after"])?;
    if let Some(sealed) = fields.get("sealed") {
        return Err(sealed.refuse(Rule::Sealed));
    }
    let source = match (fields.get("key"), fields.get("env"), fields.get("file")) {
        (Some(text), None, None) => key(text)?,
        (None, Some(name), None) => SecretSource::Env(environment_name(name)?),
        (None, None, Some(path)) => SecretSource::File(file_path(path)?),
        _ => return Err(field.refuse(Rule::SecretForm)),
    };
    let not_after = fields.get("not_after").map(time).transpose()?;
    Ok(SigningSecret { source, not_after })
}

fn key(field: &Field) -> Result<SecretSource, SubscriptionError> {
    Secret::parse(&field.string()?)
        .map(SecretSource::Key)
        .map_err(|error| field.refuse(error))
}

fn environment_name(field: &Field) -> Result<String, SubscriptionError> {
    let name = field.short_string(LONGEST_REFERENCE)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(allowed) {
        return Err(field.refuse(Rule::EnvironmentName));
    }
    Ok(name)
}

fn file_path(field: &Field) -> Result<String, SubscriptionError> {
    let path = field.short_string(LONGEST_REFERENCE)?;
    let climbs = path.split(['/', '\\']).any(|segment| segment == "..");
    if path.is_empty() || climbs || path.contains(char::is_control) {
        return Err(field.refuse(Rule::FilePath));
    }
    Ok(path)
}

fn time(field: &Field) -> Result<Timestamp, SubscriptionError> {
    rfc_3339::parse(&field.string()?).ok_or_else(|| field.refuse(Rule::Time))
}
