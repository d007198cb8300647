//! The layers of a configuration, each flattened to dotted keys, so that they merge key by key and
//! every value remembers where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{ConfigError, Origin};

/// Tables whose members a user names freely; what follows them in a key is one name, dots and all.
const OPEN_TABLES: [&str; 2] = ["kafka.properties", "topics.names"];

/// What an environment variable must begin with to be a setting.
const ENVIRONMENT_PREFIX: &str = "HOOKTIDE__";

/// Settings by dotted key.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub(super) BTreeMap<String, Leaf>);

/// One setting.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Without the value: it may be a secret.
impl std::fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Leaf({})", self.origin)
    }
}

impl Layer {
    /// The lowest layer, which also says which keys there are and of what type.
    pub(super) fn defaults(text: &str) -> Result<Self, ConfigError> {
        let table = parse_toml(text, Path::new("config/default.toml"))?;
        let mut layer = Self::default();
        layer.add_table("", table, &Origin::Default, None)?;
        Ok(layer)
    }

    /// Lays a TOML file over this layer.
    pub(super) fn merge_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let origin = Origin::File(path.to_owned());
        let text = read(path, &origin)?;
        let known = self.clone();
        self.add_table("", parse_toml(&text, path)?, &origin, Some(&known))
    }

    /// Lays environment variables over this layer; those that are not ours are passed over.
    pub(super) fn merge_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        // Sorted, so that a whole table comes before its single members, whatever the order was.
        let ours: BTreeMap<_, _> = variables
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        let known = self.clone();
        let mut seen = BTreeMap::<String, String>::new();
        for (name, text) in ours {
            let (key, from_file) = key_of_variable(&name);
            if let Some(first) = seen.insert(key.clone(), name.clone()) {
                return Err(ConfigError::GivenTwice {
                    key,
                    first,
                    second: name,
                });
            }
            let origin = Origin::Environment(name);
            let text = if from_file {
                let text = read(Path::new(&text), &origin)?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            } else {
                text
            };
            let value = known.typed(&key, text, &origin)?;
            self.add(&key, value, &origin, Some(&known))?;
        }
        Ok(())
    }

    /// The settings as the nested tables that serde reads.
    pub(super) fn nested(&self) -> Table {
        let mut root = Table::new();
        for open in OPEN_TABLES {
            // Named even when empty: serde wants the field.
            let _: Option<&mut Table> = table_at(&mut root, open);
        }
        for (key, leaf) in &self.0 {
            let (table, name) = open_member(key)
                .or_else(|| key.rsplit_once('.'))
                .unwrap_or(("", key));
            if let Some(table) = table_at(&mut root, table) {
                table.insert(name.to_owned(), leaf.value.clone());
            }
        }
        root
    }

    /// Gives a text from the environment the type that the setting has.
    fn typed(&self, key: &str, text: String, origin: &Origin) -> Result<Value, ConfigError> {
        let invalid = |rule: String| ConfigError::Invalid {
            key: key.to_owned(),
            origin: origin.clone(),
            rule,
        };
        if open_member(key).is_some() {
            return Ok(Value::String(text));
        }
        let json = |wanted: &str| {
            serde_json::from_str::<serde_json::Value>(&text)
                .ok()
                .and_then(toml_of_json)
                .ok_or_else(|| invalid(format!("must be a {wanted}, written as JSON")))
        };
        match self.0.get(key).map(|leaf| &leaf.value) {
            Some(Value::Integer(_)) => text
                .parse()
                .map(Value::Integer)
                .map_err(|_| invalid("must be a whole number".to_owned())),
            Some(Value::Boolean(_)) => text
                .parse()
                .map(Value::Boolean)
                .map_err(|_| invalid("must be true or false".to_owned())),
            Some(Value::Array(_)) => json("list"),
            Some(Value::Float(_)) => text
                .parse()
                .map(Value::Float)
                .map_err(|_| invalid("must be a number".to_owned())),
            Some(Value::String(_) | Value::Datetime(_) | Value::Table(_)) => {
                Ok(Value::String(text))
            }
            None if self.is_table(key) => json("table"),
            None => Err(self.unknown(key, origin)),
        }
    }

    fn add_table(
        &mut self,
        above: &str,
        table: Table,
        origin: &Origin,
        known: Option<&Self>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if above.is_empty() {
                name
            } else {
                format!("{above}.{name}")
            };
            self.add(&key, value, origin, known)?;
        }
        Ok(())
    }

    /// Adds a value under a key; `known` is the layer that says which keys there are (all, if none).
    fn add(
        &mut self,
        key: &str,
        value: Value,
        origin: &Origin,
        known: Option<&Self>,
    ) -> Result<(), ConfigError> {
        let invalid = |rule: &str| ConfigError::Invalid {
            key: key.to_owned(),
            origin: origin.clone(),
            rule: rule.to_owned(),
        };
        let value = match (value, open_member(key)) {
            (Value::Table(table), _) => {
                let is_setting = known.is_some_and(|known| known.0.contains_key(key));
                return if is_setting {
                    Err(invalid("must be a single value, not a table"))
                } else {
                    self.add_table(key, table, origin, known)
                };
            }
            (Value::String(text), Some(_)) => Value::String(text),
            (Value::Integer(number), Some(_)) => Value::String(number.to_string()),
            (Value::Boolean(flag), Some(_)) => Value::String(flag.to_string()),
            (Value::Float(number), Some(_)) => Value::String(number.to_string()),
            (Value::Datetime(_) | Value::Array(_), Some(_)) => {
                return Err(invalid("must be a string, a number, true or false"));
            }
            (other, None) => other,
        };
        if let Some(known) = known
            && open_member(key).is_none()
            && !known.0.contains_key(key)
        {
            return Err(if known.is_table(key) {
                invalid("is a table of settings, not a single value")
            } else {
                known.unknown(key, origin)
            });
        }
        let origin = origin.clone();
        self.0.insert(key.to_owned(), Leaf { value, origin });
        Ok(())
    }

    fn is_table(&self, key: &str) -> bool {
        OPEN_TABLES.contains(&key)
            || self
                .0
                .keys()
                .any(|known| known.strip_prefix(key).is_some_and(|r| r.starts_with('.')))
    }

    fn unknown(&self, key: &str, origin: &Origin) -> ConfigError {
        let suggestion = self
            .0
            .keys()
            .map(|known| (strsim::osa_distance(known, key), known))
            .filter(|(distance, _)| *distance <= 3)
            .min()
            .map(|(_, known)| known.clone());
        ConfigError::UnknownKey {
            key: key.to_owned(),
            origin: origin.clone(),
            suggestion,
        }
    }
}

/// `HOOKTIDE__KAFKA__PROPERTIES__SASL_PASSWORD__FILE` is `kafka.properties.sasl.password`, from a file.
fn key_of_variable(name: &str) -> (String, bool) {
    let name = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or(name);
    let (name, from_file) = match name.strip_suffix("__FILE") {
        Some(shorter) => (shorter, true),
        None => (name, false),
    };
    let key = name.to_ascii_lowercase().replace("__", ".");
    let key = match open_member(&key) {
        Some((table, member)) => format!("{table}.{}", member.replace('_', ".")),
        None => key,
    };
    (key, from_file)
}

/// Takes a key inside an open table apart: the table, and the member's whole name.
fn open_member(key: &str) -> Option<(&'static str, &str)> {
    OPEN_TABLES.iter().find_map(|table| {
        let member = key.strip_prefix(table)?.strip_prefix('.')?;
        Some((*table, member))
    })
}

/// The table at a dotted path, made where it is missing; none where a single value is in the way.
fn table_at<'root>(root: &'root mut Table, path: &str) -> Option<&'root mut Table> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    names.try_fold(root, |table, name| {
        table
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
    })
}

fn toml_of_json(json: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    match json {
        Json::Null => None,
        Json::Bool(flag) => Some(Value::Boolean(flag)),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Integer)
            .or_else(|| number.as_f64().map(Value::Float)),
        Json::String(text) => Some(Value::String(text)),
        Json::Array(items) => items
            .into_iter()
            .map(toml_of_json)
            .collect::<Option<Vec<_>>>()
            .map(Value::Array),
        Json::Object(members) => members
            .into_iter()
            .map(|(name, value)| Some((name, toml_of_json(value)?)))
            .collect::<Option<Table>>()
            .map(Value::Table),
    }
}

fn read(path: &Path, origin: &Origin) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
        path: PathBuf::from(path),
        origin: origin.clone(),
        cause,
    })
}

fn parse_toml(text: &str, path: &Path) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let before = error.span().map_or(0, |span| span.start);
        ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + text.bytes().take(before).filter(|b| *b == b'\n').count(),
            message: error.message().to_owned(),
        }
    })
}
