//! What a subscription's requests are signed with.

use http::HeaderMap;

use super::error::{Rule, SubscriptionError};
use super::field::{Field, Fields};
use super::signature_scheme::{self, SchemeError, SignatureScheme};
use super::target_url::TargetUrl;
use crate::clock::Timestamp;
use crate::record::rfc_3339;
use crate::secret::{KeyForm, Secret, SecretError};

const MOST_SECRETS: usize = 16;
const MOST_SCHEMES: usize = 8;
const LONGEST_REFERENCE: usize = 1_024;

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
    /// In an environment variable of this process, as text.
    Env(String),
    /// In a file, as text.
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

/// Reads `signatures`, which must get along with each other and with the rest of the subscription.
pub(super) fn signatures(
    fields: &Fields,
    url: &TargetUrl,
    headers: &HeaderMap,
) -> Result<Vec<SignatureScheme>, SubscriptionError> {
    let schemes = schemes(fields)?;
    let Some(field) = fields.get("signatures") else {
        return Ok(schemes);
    };
    let entries = field.list(MOST_SCHEMES)?;
    signature_scheme::check_conflicts(&schemes, headers, url.has_credentials())
        .map_err(|(index, error)| entries[index].refuse(error))?;
    Ok(schemes)
}

/// Reads `signatures`, each for itself.
pub(super) fn schemes(fields: &Fields) -> Result<Vec<SignatureScheme>, SubscriptionError> {
    let Some(field) = fields.get("signatures") else {
        return Ok(vec![SignatureScheme::standard()]);
    };
    let entries = field.list(MOST_SCHEMES)?;
    let mut schemes = Vec::with_capacity(entries.len());
    for entry in &entries {
        let scheme = signature_scheme::read(entry)?;
        if schemes.contains(&scheme) {
            return Err(entry.refuse(Rule::Repeated));
        }
        schemes.push(scheme);
    }
    Ok(schemes)
}

/// Reads `secrets`: each must be of use to a scheme, and each scheme must have one. What is only
/// referred to is seen when it is read.
pub(super) fn secrets(
    fields: &Fields,
    schemes: &[SignatureScheme],
) -> Result<Vec<SigningSecret>, SubscriptionError> {
    if schemes.is_empty() && fields.get("secrets").is_none() {
        return Ok(Vec::new());
    }
    let field = fields.require("secrets")?;
    let entries = field.list(MOST_SECRETS)?;
    if entries.is_empty() && !schemes.is_empty() {
        return Err(field.refuse(Rule::Empty));
    }
    let secrets: Vec<_> = entries.iter().map(secret).collect::<Result<_, _>>()?;
    for (entry, secret) in entries.iter().zip(&secrets) {
        if let Some(error) = useless(secret.source(), schemes) {
            return Err(entry.refuse(error));
        }
    }
    for scheme in schemes {
        let mut reason = None;
        let is_there = secrets.iter().any(|secret| match secret.source() {
            SecretSource::Env(_) | SecretSource::File(_) => true,
            SecretSource::Key(secret) => match secret.key(scheme.key) {
                Ok(_) => true,
                Err(error) => {
                    reason.get_or_insert(error);
                    false
                }
            },
        });
        if let (false, Some(reason)) = (is_there, reason) {
            let scheme = scheme.to_string();
            return Err(field.refuse(SchemeError::NoSecret { scheme, reason }));
        }
    }
    Ok(secrets)
}

/// Why none of the schemes can use a secret that is given; the first scheme's reason. Without any scheme
/// it must at least be a secret.
fn useless(source: &SecretSource, schemes: &[SignatureScheme]) -> Option<SecretError> {
    const ANY: [KeyForm; 3] = [KeyForm::Base64, KeyForm::Text, KeyForm::Ed25519];
    let SecretSource::Key(secret) = source else {
        return None;
    };
    let wanted = schemes.iter().map(|scheme| scheme.key);
    let any = ANY.into_iter().filter(|_| schemes.is_empty());
    let mut first = None;
    for form in wanted.chain(any) {
        match secret.key(form) {
            Ok(_) => return None,
            Err(error) => first = first.or(Some(error)),
        }
    }
    first
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
