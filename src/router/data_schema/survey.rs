//! What a schema could cost, found out before it is compiled: it is walked as a validator would walk it,
//! each reference as often as it is followed.

use serde_json::{Map, Value};

/// The most parts that a schema may have, each reference counted with all that it leads to.
const MOST_PARTS: u64 = 20_000;
/// How deep subschemas may stand in one another, through references too.
const DEEPEST: usize = 48;
/// The most patterns, each reference counted with all that it leads to.
const MOST_PATTERNS: u64 = 500;

/// Subschemas by name.
const BY_NAME: [&str; 4] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
];
/// One subschema; `items` may be a list of them.
const SINGLE: [&str; 11] = [
    "additionalProperties",
    "additionalItems",
    "unevaluatedProperties",
    "unevaluatedItems",
    "items",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
];
/// A list of subschemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// What looks at what its neighbours have said, and so has them say it once more.
const TWICE: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];
/// What makes a reference mean something else than its text says.
const REFUSED: [&str; 5] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
];
/// Words of the dialects that are read.
const DIALECTS: [&str; 4] = ["draft-06", "draft-07", "2019-09", "2020-12"];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Subschemas and what they list, each reference counted with all that it leads to.
    pub(super) parts: u64,
    /// How deep subschemas stand in one another.
    pub(super) deepest: usize,
    /// Whether a subschema leads back to itself.
    pub(super) is_recursive: bool,
}

/// Why a schema is not used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SurveyError {
    /// Too many parts.
    #[error(
        "schema: it has more than {MOST_PARTS} parts, each reference counted with what it leads to"
    )]
    TooLarge,
    /// Too deep.
    #[error("schema: subschemas stand more than {DEEPEST} deep in one another")]
    TooDeep,
    /// Too many patterns.
    #[error(
        "schema: it has more than {MOST_PATTERNS} patterns, each reference counted with what it leads to"
    )]
    TooManyPatterns,
    /// A reference that leaves the schema.
    #[error(
        "schema: `{0}` is not a reference into the same schema (`#` or `#/...`): no other document is read"
    )]
    Foreign(String),
    /// A reference to nothing.
    #[error("schema: `{0}` leads nowhere")]
    Nowhere(String),
    /// A keyword that is not supported.
    #[error("schema: `{0}` is not supported: use `$ref` with `#/...`")]
    Unsupported(&'static str),
    /// `$id` in a subschema.
    #[error("schema: `$id` may stand at the top only")]
    InnerId,
    /// Another dialect.
    #[error("schema: `$schema` must be that of draft 6, 7, 2019-09 or 2020-12")]
    Dialect,
}

impl Survey {
    /// Walks a schema.
    ///
    /// # Errors
    /// [`SurveyError`].
    pub(super) fn of(schema: &Value) -> Result<Self, SurveyError> {
        if let Some(said) = schema.get("$schema") {
            let said = said.as_str().unwrap_or_default();
            let is_known = said.starts_with("https://json-schema.org/")
                || said.starts_with("http://json-schema.org/");
            if !is_known || !DIALECTS.iter().any(|dialect| said.contains(dialect)) {
                return Err(SurveyError::Dialect);
            }
        }
        let mut walk = Walk {
            root: schema,
            patterns: 0,
            above: Vec::new(),
            found: Self {
                parts: 0,
                deepest: 0,
                is_recursive: false,
            },
        };
        walk.schema(schema)?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    root: &'a Value,
    patterns: u64,
    /// The subschemas that the one at hand stands in.
    above: Vec<&'a Value>,
    found: Survey,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Value) -> Result<(), SurveyError> {
        self.count(1)?;
        let Value::Object(members) = schema else {
            return Ok(()); // `true`, `false`, or wrong, which the library says.
        };
        if self.above.iter().any(|above| std::ptr::eq(*above, schema)) {
            self.found.is_recursive = true;
            return Ok(());
        }
        self.above.push(schema);
        if self.above.len() > DEEPEST {
            return Err(SurveyError::TooDeep);
        }
        self.found.deepest = self.found.deepest.max(self.above.len());
        let times = match TWICE.iter().any(|keyword| members.contains_key(*keyword)) {
            true => 2,
            false => 1,
        };
        for _ in 0..times {
            self.members(members)?;
        }
        self.above.pop();
        Ok(())
    }

    fn members(&mut self, members: &'a Map<String, Value>) -> Result<(), SurveyError> {
        if let Some(keyword) = REFUSED.into_iter().find(|name| members.contains_key(*name)) {
            return Err(SurveyError::Unsupported(keyword));
        }
        if self.above.len() > 1 && members.contains_key("$id") {
            return Err(SurveyError::InnerId);
        }
        for (name, value) in members {
            match (&**name, value) {
                ("$ref", Value::String(reference)) => {
                    let target = self.target(reference)?;
                    self.schema(target)?;
                }
                ("$defs" | "definitions", _) => {} // Walked where they are referred to.
                (by_name, Value::Object(inner)) if BY_NAME.contains(&by_name) => {
                    if by_name == "patternProperties" {
                        self.pattern(inner.len())?;
                    }
                    for inner in inner.values() {
                        match inner {
                            Value::Array(names) => self.count(names.len())?,
                            inner => self.schema(inner)?,
                        }
                    }
                }
                (list, Value::Array(inner)) if LISTS.contains(&list) || list == "items" => {
                    for inner in inner {
                        self.schema(inner)?;
                    }
                }
                (single, inner) if SINGLE.contains(&single) => self.schema(inner)?,
                ("pattern", _) => self.pattern(1)?,
                (_, other) => self.values(other)?,
            }
        }
        Ok(())
    }

    /// What a keyword lists: each entry may be compared with.
    fn values(&mut self, value: &Value) -> Result<(), SurveyError> {
        self.count(1)?;
        match value {
            Value::Array(inner) => inner.iter().try_for_each(|inner| self.values(inner)),
            Value::Object(inner) => inner.values().try_for_each(|inner| self.values(inner)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn target(&self, reference: &str) -> Result<&'a Value, SurveyError> {
        let shown = || {
            let mut shown = reference.replace(char::is_control, "\u{fffd}");
            shown.truncate(shown.floor_char_boundary(128));
            shown
        };
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
            .ok_or_else(|| SurveyError::Foreign(shown()))?;
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        self.root
            .pointer(&pointer)
            .ok_or_else(|| SurveyError::Nowhere(shown()))
    }

    fn count(&mut self, parts: usize) -> Result<(), SurveyError> {
        self.found.parts += parts as u64;
        match self.found.parts > MOST_PARTS {
            true => Err(SurveyError::TooLarge),
            false => Ok(()),
        }
    }

    fn pattern(&mut self, patterns: usize) -> Result<(), SurveyError> {
        self.count(patterns)?;
        self.patterns += patterns as u64;
        match self.patterns > MOST_PATTERNS {
            true => Err(SurveyError::TooManyPatterns),
            false => Ok(()),
        }
    }
}
