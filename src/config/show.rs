//! Settings for people: each with its value and the layer that gave it.

use serde::Serialize;
use toml::Value;

use super::{Config, Properties};

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
            .map(|(key, leaf)| {
                let secret = key
                    .strip_prefix("kafka.properties.")
                    .is_some_and(Properties::is_secret);
                Setting {
                    key: key.clone(),
                    value: if secret {
                        "(redacted)".to_owned()
                    } else {
                        toml_text(&leaf.value)
                    },
                    origin: leaf.origin.to_string(),
                }
            })
            .collect()
    }
}

fn toml_text(value: &Value) -> String {
    value.to_string()
}
