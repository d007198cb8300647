//! Avro records as JSON. Schemas are read by the `apache-avro` crate; values are turned into JSON
//! text here, for four reasons: that crate (0.22) reads past the end of a value as null, nests
//! without bound, forgets the order of maps, and would build a tree only to be printed.
//!
//! | Avro | JSON |
//! |---|---|
//! | null, boolean, int, long, string | the same; a long keeps all its digits |
//! | string of a field with `"json": true` | the JSON value whose text it is |
//! | float, double | the shortest number that reads back the same; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | bytes, fixed | a string, standard base64 |
//! | enum | its symbol |
//! | union | the value alone |
//! | array, map, record | array, object, object, in their order |
//! | decimal, big-decimal | a number with exactly its digits: `12.50` |
//! | uuid | a string, lower case with hyphens |
//! | date | `"2026-11-22"` |
//! | time-millis, time-micros | `"10:00:00.000"`, with three or six decimals |
//! | timestamp-millis, -micros, -nanos | `"2026-11-22T10:00:00.000Z"`, with three, six or nine decimals |
//! | local-timestamp-... | the same without the `Z` |
//! | duration | ISO 8601: `"P1M2DT3.004S"` |

mod decode;
mod logical;
mod shape;

use apache_avro::Schema as Parsed;

use decode::Nulls;
pub(super) use logical::uuid;
use shape::{Shape, Shapes};

/// A writer's schema, ready to read what was written with it.
#[derive(Debug)]
pub struct AvroSchema {
    root: Shape,
    /// What names stand for.
    named: Vec<Shape>,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No Avro schema, or one that refers to what it was not given.
    #[error("{0}")]
    Parse(Box<apache_avro::Error>),
    /// A name that is defined nowhere.
    #[error("`{0}` is not defined")]
    Undefined(String),
    /// A scale beyond all use, whose zeros would have to be written out.
    #[error("a decimal has the scale {0}, the most is {most}", most = logical::MOST_SCALE)]
    Scale(usize),
}

/// Why bytes are not a value of a schema that can be used.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AvroError {
    /// They end too early.
    #[error("the avro value ends too early")]
    Truncated,
    /// They go on after the value.
    #[error("{0} bytes follow the avro value")]
    Trailing(usize),
    /// Something in them cannot be.
    #[error("no avro value of its schema: {0}")]
    Invalid(&'static str),
    /// Arrays, maps and records nest too deep.
    #[error("the avro value nests deeper than {most} levels", most = crate::record::json_text::MAX_DEPTH)]
    TooDeep,
    /// The JSON would be too long.
    #[error("the avro value has more than {LONGEST_JSON} bytes as JSON")]
    TooLarge,
}

/// The longest JSON that a value may become: a few bytes can stand for any number of nulls.
pub const LONGEST_JSON: usize = 16 * 1024 * 1024;

impl AvroError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Truncated | Self::Trailing(_) | Self::Invalid(_) => "not_avro",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
        }
    }
}

impl AvroSchema {
    /// Reads a schema; `references` are the schemas that it, or one of them, names.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn parse(schema: &str, references: &[String]) -> Result<Self, SchemaError> {
        let parsed = match references {
            [] => Parsed::parse_str(schema).map(|schema| (schema, Vec::new())),
            _ => Parsed::parse_str_with_list(schema, references),
        };
        let (schema, references) = parsed.map_err(|error| SchemaError::Parse(Box::new(error)))?;
        let mut shapes = Shapes::default();
        for reference in &references {
            shapes.shape(reference, None)?;
        }
        let root = shapes.shape(&schema, None)?;
        Ok(Self {
            root,
            named: shapes.finish()?,
        })
    }

    /// One value as JSON.
    ///
    /// # Errors
    /// [`AvroError`].
    pub fn to_json(&self, value: &[u8]) -> Result<String, AvroError> {
        decode::to_json(self, value, Nulls::Kept)
    }

    /// The same without those fields of records that are null, as if they were not there.
    ///
    /// # Errors
    /// [`AvroError`].
    pub fn to_json_without_nulls(&self, value: &[u8]) -> Result<String, AvroError> {
        decode::to_json(self, value, Nulls::Dropped)
    }
}

#[cfg(test)]
mod tests;
