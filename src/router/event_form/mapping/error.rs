//! What can be wrong with a mapping, and why a record has no event by it.

use std::fmt;

use super::debezium::Operation;
use super::part::Unit;
use crate::record::JsonError;
use crate::record::json_text::PathError;

/// What becomes of a record that is passed over, as metrics name it.
const PASSED_OVER: &str = "skipped";

/// A member of an event that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// What happened.
    Type,
    /// What tells it from others.
    Id,
    /// Whose it is.
    Tenant,
    /// When it happened.
    Time,
    /// What there is to know of it.
    Data,
}

impl Member {
    /// Options of a [part](super::part::Part) that mean nothing for it, or that would make all events
    /// equal in what must tell them apart.
    pub(super) const fn refuses(self) -> &'static [&'static str] {
        match self {
            Self::Type | Self::Tenant => &["unit", "json", "optional"],
            Self::Id => &["constant", "topic", "default", "unit", "json"],
            Self::Time => &["constant", "topic", "default", "values", "json"],
            Self::Data => &[
                "capture",
                "lower_case",
                "values",
                "prefix",
                "suffix",
                "default",
                "optional",
                "unit",
            ],
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Type => "type",
            Self::Id => "id",
            Self::Tenant => "tenant",
            Self::Time => "time",
            Self::Data => "data",
        })
    }
}

/// A rule that a mapping breaks as it is written.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingRule {
    /// Nothing, or too much.
    #[error("must have exactly one of `constant`, `header`, `key`, `path`, `topic`, `value`")]
    Sources,
    /// `key = false` and the like.
    #[error("`{0}` must be true, or left out")]
    False(&'static str),
    /// A header without a name.
    #[error("`header` must not be empty")]
    NoHeader,
    /// `path = []`, or a very long list.
    #[error("`path` must be a path, or a list of 1 to {most} paths", most = super::part::MOST_PATHS)]
    Paths,
    /// No path.
    #[error("`{option}`: {cause}")]
    Path {
        /// `path` or `key`.
        option: &'static str,
        /// Why.
        cause: PathError,
    },
    /// No regular expression, or one that captures nothing, or more than one thing.
    #[error("`capture` must be a regular expression with one group in parentheses")]
    Capture,
    /// An option that the member does not take.
    #[error("`{member}` takes no `{option}`")]
    Option {
        /// Whose.
        member: Member,
        /// Which.
        option: &'static str,
    },
    /// A path where there is no JSON.
    #[error("`{0}` takes a `path` only where `format` is \"json\"")]
    PathIntoText(Member),
    /// A text that no event can have.
    #[error("`{member}` cannot be `{text}`")]
    Unusable {
        /// Of what.
        member: Member,
        /// Which.
        text: String,
    },
    /// Neither `type` nor an envelope that tells it.
    #[error("must have a `type`, or `unwrap`")]
    NoType,
    /// `snapshots` alone.
    #[error("takes `snapshots` only with `unwrap`")]
    SnapshotsOfNothing,
    /// Debezium writes JSON or with a schema.
    #[error("takes `unwrap` only where `format` is \"json\"")]
    UnwrapText,
}

/// Why a record is no event by its topic's mapping.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    /// What the mapping names is not there.
    #[error("the mapping finds no `{0}` in the record")]
    Missing(Member),
    /// It is an object, a list, or no UTF-8.
    #[error("what the mapping takes as `{0}` is not a text, a number, true or false")]
    NotText(Member),
    /// Not so many of the unit since 1970, within the years that a time can say.
    #[error("what the mapping takes as `time` is not a time in `{0}`")]
    BadTime(Unit),
    /// The key has no paths.
    #[error("the mapping has a path into the key, which is not JSON")]
    KeyNotJson,
    /// A text that should hold JSON.
    #[error("what the mapping takes as `data` is a text that is not JSON: {0}")]
    DataNotJson(JsonError),
    /// No change event.
    #[error("the value is no change event of Debezium: {0}")]
    NotDebezium(&'static str),
    /// The value is not of its format.
    #[error(transparent)]
    Value(#[from] JsonError),
    /// Nothing is wrong: it says nothing that happened to a row, or nothing that is asked for.
    #[error("{0} is passed over")]
    PassedOver(Operation),
}

impl MappingError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`. What is passed
    /// over is not rejected, and has the name of that.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing(Member::Type) => "mapping_no_type",
            Self::Missing(Member::Id) => "mapping_no_id",
            Self::Missing(Member::Tenant) => "mapping_no_tenant",
            Self::Missing(Member::Time) => "mapping_no_time",
            Self::Missing(Member::Data) => "mapping_no_data",
            Self::NotText(_) => "mapping_not_text",
            Self::BadTime(_) => "bad_timestamp",
            Self::KeyNotJson => "mapping_key_not_json",
            Self::DataNotJson(_) => "mapping_data_not_json",
            Self::NotDebezium(_) => "not_debezium",
            Self::Value(error) => error.reason(),
            Self::PassedOver(_) => PASSED_OVER,
        }
    }

    pub(super) fn not_utf8(error: &std::str::Utf8Error) -> Self {
        Self::Value(JsonError::NotUtf8 {
            at: error.valid_up_to(),
        })
    }
}
