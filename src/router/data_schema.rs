//! A JSON Schema of the `data` of events, compiled once and bounded in what it can cost.
//!
//! Whoever may write to the topic `event_types` is not trusted with the router's time: a schema must stand
//! alone (no other document is ever fetched), its patterns take linear time, and the work that it can
//! make of an event is known before it is begun ([`survey`]).

mod survey;

use std::panic::{self, AssertUnwindSafe};
use std::thread;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::record::json_text::Node;
use survey::Survey;
pub use survey::SurveyError;

/// The library recurses over a schema when it compiles it; in bytes.
const COMPILER_STACK: usize = 16 << 20;
/// How large one compiled pattern may be, in bytes.
const LARGEST_PATTERN: usize = 256 * 1_024;
/// Parts of the schema times bytes of the data: no part is asked more often of an event than it has
/// values, and a value takes a byte at least.
const MOST_WORK: u64 = 1_000_000_000;
/// Levels of the data times levels of a recursive schema: what decides how much of the stack is taken.
const DEEPEST: usize = 1_024;
/// The longest message, in bytes.
const LONGEST_MESSAGE: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct DataSchema {
    validator: Validator,
    survey: Survey,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SchemaError {
    /// Not JSON that the library can hold.
    #[error("schema: {0}")]
    Json(String),
    /// It could cost too much, or does not stand alone.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// Not a JSON Schema.
    #[error("schema: {place}: {message}")]
    Invalid {
        /// A JSON pointer into it.
        place: String,
        /// What is wrong there.
        message: String,
    },
}

/// Why data is not as its schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It breaks a rule.
    Violation {
        /// What is wrong where, and the rule.
        message: String,
    },
    /// It takes more work to say than one event may.
    TooComplex,
}

impl DataSchema {
    /// Compiles the text of a schema.
    ///
    /// # Errors
    /// Names the place and what is wrong there.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| SchemaError::Json(bounded(error.to_string())))?;
        let survey = Survey::of(&schema)?;
        let validator = thread::scope(|scope| {
            let compiler = thread::Builder::new().stack_size(COMPILER_STACK);
            match compiler.spawn_scoped(scope, || build(&schema)) {
                Ok(compiling) => compiling.join().unwrap_or_else(|_| Err(unreadable())),
                Err(_) => Err(unreadable()),
            }
        })?;
        Ok(Self { validator, survey })
    }

    /// Whether data is as the schema says.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn check(&self, data: Node<'_>) -> Result<(), Mismatch> {
        let text = data.text();
        let work = self.survey.parts.saturating_mul(text.len() as u64);
        let is_too_deep = self.survey.is_recursive && depth(text) * self.survey.deepest > DEEPEST;
        if work > MOST_WORK || is_too_deep {
            return Err(Mismatch::TooComplex);
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            // JSON as it may be written, but no Unicode text: there is no schema for that.
            return Err(Mismatch::Violation {
                message: "data holds half of a surrogate pair, or a number beyond any bounds"
                    .to_owned(),
            });
        };
        // The library is not ours to know free of panics; one must not end the router.
        let judge = || match self.validator.is_valid(&value) {
            true => Ok(()),
            false => Err(self.explain(&value)),
        };
        match panic::catch_unwind(AssertUnwindSafe(judge)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => Err(Mismatch::Violation { message }),
            Err(_) => Err(Mismatch::TooComplex),
        }
    }

    /// What is wrong. Values are left out: the message goes into logs.
    fn explain(&self, value: &Value) -> String {
        // Looking for the place takes exponential time where branches of a schema lead back to it.
        if self.survey.is_recursive {
            return "data does not satisfy the schema (it is recursive, so the place is not looked for)"
                .to_owned();
        }
        let Err(error) = self.validator.validate(value) else {
            return "data does not satisfy the schema".to_owned();
        };
        let place = dotted(error.instance_path().as_str());
        let rule = bounded(error.schema_path().as_str().to_owned());
        bounded(format!("{place}: {} (rule {rule})", error.masked()))
    }
}

fn build(schema: &Value) -> Result<Validator, SchemaError> {
    jsonschema::options()
        .with_draft(draft(schema))
        .offline()
        .should_validate_formats(true)
        // Compiling a pattern that an event brings along has no bound.
        .with_format("regex", |_: &str| true)
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(LARGEST_PATTERN)
                .dfa_size_limit(LARGEST_PATTERN),
        )
        .build(schema)
        .map_err(|error| SchemaError::Invalid {
            place: bounded(format!("`{}`", error.instance_path().as_str())),
            message: bounded(error.to_string()),
        })
}

/// That of `$schema`, else the newest. [`Survey`] has seen to it that it is one of these.
fn draft(schema: &Value) -> Draft {
    let said = schema
        .get("$schema")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if said.contains("draft-06") {
        Draft::Draft6
    } else if said.contains("draft-07") {
        Draft::Draft7
    } else if said.contains("2019-09") {
        Draft::Draft201909
    } else {
        Draft::Draft202012
    }
}

fn unreadable() -> SchemaError {
    SchemaError::Invalid {
        place: "``".to_owned(),
        message: "it cannot be compiled".to_owned(),
    }
}

/// How deep the arrays and objects of a valid JSON text stand in one another.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !is_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// `/items/0/sku` as filters write it: `data.items[0].sku`.
fn dotted(pointer: &str) -> String {
    let mut path = "data".to_owned();
    for segment in pointer.split('/').skip(1) {
        match segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            true => path += &format!("[{segment}]"),
            false => path += &format!(".{}", segment.replace("~1", "/").replace("~0", "~")),
        }
    }
    path.truncate(path.floor_char_boundary(LONGEST_MESSAGE / 2));
    path
}

/// On one line and not too long: names in it come from outside.
fn bounded(text: String) -> String {
    let mut text = text.replace(char::is_control, "\u{fffd}");
    text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
    text
}

#[cfg(test)]
mod tests;
