//! `schema_registry`: where schemas of records are asked for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use url::Url;

use super::{duration, optional_path};

/// `schema_registry`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistrySettings {
    /// Asked in this order; none: there is no registry.
    #[serde(deserialize_with = "urls")]
    pub urls: Vec<Url>,
    /// For Basic auth; empty: none.
    pub username: String,
    /// For Basic auth.
    pub password: Hidden,
    /// In place of Basic auth.
    pub bearer_token: Hidden,
    /// Certificate authorities besides the public ones, PEM.
    #[serde(deserialize_with = "optional_path")]
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, PEM; with `key_file` or not at all.
    #[serde(deserialize_with = "optional_path")]
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[serde(deserialize_with = "optional_path")]
    pub key_file: Option<PathBuf>,
    /// For each request.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The longest wait before a registry that does not answer is asked again.
    #[serde(deserialize_with = "duration::deserialize")]
    pub longest_wait: Duration,
    /// The most schemas that are kept, at least 16: more than are asked for at once.
    pub cache: usize,
}

impl SchemaRegistrySettings {
    /// The client's own certificate and its key.
    pub fn identity(&self) -> Option<(&Path, &Path)> {
        self.certificate_file
            .as_deref()
            .zip(self.key_file.as_deref())
    }
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text, for the one place that sends it. None if it is empty.
    pub fn expose(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(redacted)")
    }
}

/// Never repeats a URL in an error: somebody may have put a password into it.
fn urls<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Url>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        let refused = |rule: &str| de::Error::custom(format!("URL {index} (from 0) {rule}"));
        let url = Url::parse(text).map_err(|_| refused("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(refused("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "must not hold a user or a password: set `schema_registry.username` and `.password`",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("must end with its path"));
        }
        Ok(url)
    });
    parsed.collect()
}
