//! Settings for people: each with its value and the layer that gave it.

use serde::Serialize;
use toml::Value;

use super::{Config, Properties};

/// Settings whose values are never shown.
const SECRETS: [&str; 2] = ["schema_registry.password", "schema_registry.bearer_token"];

/// One setting as `config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The full dotted key.
    pub key: String,
    /// The value in TOML's spelling, or `(redacted)`.
    pub value: String,
    /// The layer: `default`, `file ...` or `environment ...`.
    pub origin: String,
}

impl Config {
    /// Every setting, ordered by key; secret values are redacted.
    pub fn settings(&self) -> Vec<Setting> {
        self.layer
            .0
            .iter()
            .map(|(key, leaf)| Setting {
                key: key.clone(),
                value: self.shown(key, &leaf.value),
                origin: leaf.origin.to_string(),
            })
            .collect()
    }

    fn shown(&self, key: &str, value: &Value) -> String {
        let is_secret = match key.strip_prefix("kafka.properties.") {
            Some(property) => Properties::is_secret(property),
            None => SECRETS.contains(&key),
        };
        match &self.http.proxy {
            _ if is_secret => "(redacted)".to_owned(),
            // It may hold a password; the proxy itself shows none.
            Some(proxy) if key == "http.proxy" => toml_text(&Value::String(proxy.to_string())),
            Some(_) | None => toml_text(value),
        }
    }
}

fn toml_text(value: &Value) -> String {
    value.to_string()
}
