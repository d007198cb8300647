//! The text of a subscription that people read and keep: members in the order of the documentation, and
//! the same text for the same subscription, always.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::Form;
use crate::cli::subscriptions::redacted;
use crate::cli::subscriptions::view::redacted_members;
use crate::config::Config;
use crate::record::json_text::{Kind, Node};
use crate::record::{Subscription, SubscriptionKey};
use crate::router::filter::same_number;
use crate::subscription_table::Compiled;

/// What is said where secrets are left out.
const KEPT: &str =
    "# Its secrets are on the topic alone; `hooktide subscriptions apply` keeps them.\n";

/// Why a subscription is not exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotExported {
    #[error("is not a JSON object: nothing can be made of it")]
    NoObject,
    /// Nobody knows where secrets stand in it, and `apply` would refuse it.
    #[error("is invalid: {0}")]
    Invalid(String),
}

/// A subscription as it is exported.
pub(super) struct Exported {
    /// Name and value, as JSON.
    members: Vec<(String, String)>,
    lacks_secrets: bool,
}

impl Exported {
    /// Of a record.
    pub(super) fn of(
        key: &SubscriptionKey,
        value: &[u8],
        with_secrets: bool,
        config: &Config,
    ) -> Result<Self, NotExported> {
        let object = Node::parse(value).map_err(|_| NotExported::NoObject)?;
        Compiled::parse(key, value, &config.subscription_rules())
            .map_err(|invalid| NotExported::Invalid(invalid.to_string()))?;
        let shown = redacted_members(value);
        let mut lacks_secrets = false;
        let mut members = vec![
            ("tenant".to_owned(), format!("\"{}\"", key.tenant())),
            ("id".to_owned(), format!("\"{}\"", key.id())),
        ];
        // Names of a valid subscription are known ones.
        for name in Subscription::MEMBERS.iter().copied() {
            let Some(value) = object.member(name) else {
                continue;
            };
            let shown = shown.iter().find(|(shown, _)| is_name(shown, name));
            let shown = shown.map_or("null", |(_, shown)| shown);
            match name {
                "tenant" | "id" | "version" => {}
                _ if with_secrets => members.push((name.to_owned(), value.text().to_owned())),
                // References are no secrets.
                "secrets" if redacted::is_in(shown) => lacks_secrets = true,
                _ => members.push((name.to_owned(), shown.to_owned())),
            }
        }
        Ok(Self {
            members,
            lacks_secrets,
        })
    }

    /// The text of a file.
    pub(super) fn text(&self, form: Form) -> anyhow::Result<String> {
        match form {
            Form::Json => Ok(format!("{}\n", self.json())),
            Form::Yaml => {
                let comment = if self.lacks_secrets { KEPT } else { "" };
                Ok(format!("{comment}{}", self.yaml()?))
            }
        }
    }

    /// With a member a line.
    fn json(&self) -> String {
        let members = self.members.iter();
        let members: Vec<_> = members
            .map(|(name, value)| format!("  \"{name}\": {value}"))
            .collect();
        format!("{{\n{}\n}}", members.join(",\n"))
    }

    /// As people write it; or the JSON, which is YAML too, where a number would lose digits.
    fn yaml(&self) -> anyhow::Result<String> {
        let mut map = Map::new();
        for (name, text) in &self.members {
            if Node::parse(text.as_bytes()).is_ok_and(loses_digits) {
                return Ok(format!("{}\n", self.json()));
            }
            let value: Value = serde_json::from_str(text).context("no JSON")?;
            map.insert(name.clone(), value);
        }
        let members = self.members.iter();
        let mut text = String::new();
        for (name, _) in members {
            // One by one: a map of the library has an order of its own.
            let one: Map<_, _> = map.remove_entry(name).into_iter().collect();
            text += &serde_saphyr::to_string(&one).context("cannot be written as YAML")?;
        }
        Ok(text)
    }
}

fn is_name(source: &str, name: &str) -> bool {
    Node::parse(source.as_bytes())
        .ok()
        .and_then(Node::string)
        .is_some_and(|said| *said == *name.as_bytes())
}

/// Whether a number in it is not what a reader of floats makes of it.
fn loses_digits(node: Node<'_>) -> bool {
    match node.kind() {
        Kind::Number => {
            let read: Result<Value, _> = serde_json::from_str(node.text());
            !read.is_ok_and(|read| same_number(&read.to_string(), node.text()))
        }
        Kind::Array => node.elements().any(loses_digits),
        Kind::Object => node.members().any(|(_, value)| loses_digits(value)),
        Kind::Null | Kind::Bool | Kind::String => false,
    }
}

/// All in one text.
pub(super) fn all(objects: &[&Exported], form: Form) -> anyhow::Result<String> {
    match form {
        Form::Json if objects.is_empty() => Ok("[]\n".to_owned()),
        Form::Json => {
            let texts: Vec<_> = objects.iter().map(|object| object.json()).collect();
            Ok(format!("[\n{}\n]\n", texts.join(",\n")))
        }
        Form::Yaml => {
            let texts: Result<Vec<_>, _> = objects.iter().map(|object| object.text(form)).collect();
            Ok(texts?.join("---\n"))
        }
    }
}

/// Writes a file if it does not say this already; whether it was written. A file is there as a whole
/// or not at all.
pub(super) fn write(path: &Path, text: &str, is_secret: bool) -> anyhow::Result<bool> {
    let cannot = || format!("cannot write {}", path.display());
    if fs::read(path).is_ok_and(|present| present == text.as_bytes()) && !is_secret {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new~");
    let beside = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if is_secret {
        // Never what an earlier run may have left open to others.
        if beside.exists() {
            fs::remove_file(&beside).with_context(cannot)?;
        }
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(&beside).with_context(cannot)?;
    file.write_all(text.as_bytes()).with_context(cannot)?;
    drop(file);
    fs::rename(&beside, path).with_context(cannot)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(value: &str, with_secrets: bool) -> Exported {
        let key = "acme/shop".parse().unwrap();
        let config = Config::load(None, std::iter::empty()).unwrap();
        Exported::of(&key, value.as_bytes(), with_secrets, &config)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    const FULL: &str = r#"{"version":1, "labels":{"on":"yes"}, "url":"https://u:p@a.example/?t=1",
        "events":["order.*"], "headers":{"X-Key":"k"}, "max_concurrency":8,
        "filters":[{"field":"data.n","operator":"equals","value":1.10}],
        "description":"one\ntwo: \"three\"", "timeout":"15s",
        "secrets":["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"]}"#;

    #[test]
    fn a_file_is_in_order_and_holds_no_secret() {
        let yaml = exported(FULL, false).text(Form::Yaml).unwrap();
        assert_eq!(
            yaml,
            "\
# Its secrets are on the topic alone; `hooktide subscriptions apply` keeps them.
tenant: acme
id: shop
url: https://[redacted]@a.example/?[redacted]
events:
- order.*
headers:
  X-Key: \"[redacted]\"
timeout: 15s
max_concurrency: 8
filters:
- field: data.n
  operator: equals
  value: 1.1
description: |-
  one
  two: \"three\"
labels:
  \"on\": \"yes\"
"
        );
        let json = exported(FULL, false).text(Form::Json).unwrap();
        assert!(json.starts_with("{\n  \"tenant\": \"acme\",\n  \"id\": \"shop\",\n"));
        assert!(
            json.contains("\"value\":1.10") && !json.contains("whsec_"),
            "{json}"
        );
        let secret = exported(FULL, true).text(Form::Yaml).unwrap();
        assert!(
            secret.contains("whsec_") && secret.contains("u:p@a"),
            "{secret}"
        );
    }

    #[test]
    fn references_stay_and_digits_are_not_lost() {
        let value = r#"{"url":"https://a.example/","events":["*"],"secrets":[{"env":"SHOP"}],
            "filters":[{"field":"data.n","operator":"equals","value":12345678901234567890123}]}"#;
        let text = exported(value, false).text(Form::Yaml).unwrap();
        assert!(
            text.starts_with("{\n") && text.contains("12345678901234567890123"),
            "{text}"
        );
        assert!(text.contains(r#""secrets": [{"env":"SHOP"}]"#), "{text}");
    }
}
