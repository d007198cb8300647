//! Why a subscription is invalid: which field, and which rule it breaks. Values are not repeated,
//! because any of them may hold a secret.

use super::extra_headers::HeaderError;
use super::signature_scheme::SchemeError;
use super::target_url::UrlError;
use crate::duration_text::DurationError;
use crate::record::{EventPatternError, JsonError};
use crate::retry::PolicyError;
use crate::secret::SecretError;

/// Why the value of a subscription's record is invalid.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubscriptionError {
    /// Not a JSON object that can be used.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field breaks a rule.
    #[error("`{field}`: {rule}")]
    Field {
        /// Its path: `retry.schedule[1]`.
        field: String,
        /// What it breaks.
        rule: Rule,
    },
}

/// What the fields of a subscription must keep to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Rule {
    /// A field that every subscription has.
    #[error("is missing")]
    Missing,
    /// A field that this program does not know, which may be one that it must not ignore.
    #[error("is not known here")]
    Unknown,
    /// The same field twice.
    #[error("is given twice")]
    Repeated,
    /// Another JSON type, or a number outside of what the type holds.
    #[error("must be {0}")]
    Type(&'static str),
    /// A number outside of its range.
    #[error("must be from {least} to {most}")]
    Range {
        /// The least that is allowed.
        least: u32,
        /// The most that is allowed.
        most: u32,
    },
    /// A duration that is zero, or longer than allowed.
    #[error("must be more than 0s and at most {most}")]
    Span {
        /// The most that is allowed, as text.
        most: String,
    },
    /// A text that is too long.
    #[error("must not be longer than {most} bytes")]
    TooLong {
        /// The most that is allowed.
        most: usize,
    },
    /// A list or object with too many entries.
    #[error("must not have more than {most} entries")]
    TooMany {
        /// The most that is allowed.
        most: usize,
    },
    /// A list or text that must hold something.
    #[error("must not be empty")]
    Empty,
    /// A newer form than this program reads.
    #[error("is newer than {known}, which is what this version reads")]
    NewerVersion {
        /// The newest that is read.
        known: u32,
    },
    /// `id` or `tenant` is not that of the record's key.
    #[error("differs from the record's key")]
    DiffersFromKey,
    /// `state` is another word.
    #[error("must be `active`, `paused` or `disabled`")]
    State,
    /// An entry of `answers` that is neither a status nor a class of them.
    #[error("must be a status from 300 to 599, or `3xx`, `4xx` or `5xx`")]
    StatusClass,
    /// `retry` is another text than a preset's name.
    #[error("must be an object, or the preset `standard`")]
    RetryPreset,
    /// `body` is another text than a preset's name.
    #[error(
        "must be `standard`, `cloudevents`, `raw`, `data`, `envelope`, `event` or `hook`, or an object with a `template`"
    )]
    Body,
    /// `method` is another one.
    #[error("must be `POST`, `PUT`, `PATCH` or `DELETE`")]
    Method,
    /// `content_type` is none.
    #[error("must be a media type in visible ASCII characters")]
    ContentType,
    /// Two members that make no sense together.
    #[error("cannot be given beside {0}")]
    Beside(&'static str),
    /// A secret that is none, or several, of `key`, `env`, `file` and `sealed`.
    #[error("must have exactly one of `key`, `env` and `file`")]
    SecretForm,
    /// A sealed secret.
    #[error("sealed secrets are not supported yet")]
    Sealed,
    /// The name of an environment variable.
    #[error("must be letters, digits and `_`, not beginning with a digit")]
    EnvironmentName,
    /// The name of a file.
    #[error("must be a path without `..` and control characters")]
    FilePath,
    /// `not_after` is no time.
    #[error("must be an RFC 3339 time")]
    Time,
    /// See [`UrlError`].
    #[error(transparent)]
    Url(#[from] UrlError),
    /// See [`HeaderError`].
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// See [`SecretError`].
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// See [`SchemeError`].
    #[error(transparent)]
    Signature(#[from] SchemeError),
    /// See [`PolicyError`].
    #[error(transparent)]
    Retry(#[from] PolicyError),
    /// See [`EventPatternError`].
    #[error(transparent)]
    Pattern(#[from] EventPatternError),
    /// See [`DurationError`].
    #[error(transparent)]
    Duration(#[from] DurationError),
}
