//! The way to a value inside of an event: `data.order.id`.

use std::fmt;
use std::str::FromStr;

/// A path, parsed once: names of members, joined by dots. A member whose own name holds a dot
/// cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Box<[Step]>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into the member of this name.
    Member(Box<str>),
}

/// Why a text is not a path.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// The text is empty.
    #[error("a path must not be empty")]
    Empty,
    /// Two dots in a row, or one at an end.
    #[error("a path must not have an empty step (`{0}`)")]
    EmptyStep(String),
    /// `[`, `]` and `*` are kept for steps into arrays.
    #[error("a path must not hold `[`, `]` or `*` (`{0}`)")]
    Reserved(String),
    /// Longer than [`Path::MAX_BYTES`].
    #[error("a path must not be longer than {} bytes", Path::MAX_BYTES)]
    TooLong,
    /// More than [`Path::MAX_STEPS`].
    #[error("a path must not have more than {} steps", Path::MAX_STEPS)]
    TooManySteps,
}

impl Path {
    /// The longest text, in bytes.
    pub const MAX_BYTES: usize = 512;
    /// The most steps.
    pub const MAX_STEPS: usize = 32;

    /// The steps from the event's root; at least one.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong);
        }
        if text.contains(['[', ']', '*']) {
            return Err(PathError::Reserved(text.to_owned()));
        }
        if text.split('.').any(str::is_empty) {
            return Err(PathError::EmptyStep(text.to_owned()));
        }
        let steps: Box<[Step]> = text
            .split('.')
            .map(|name| Step::Member(name.into()))
            .collect();
        if steps.len() > Self::MAX_STEPS {
            return Err(PathError::TooManySteps);
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Member(name) => write!(formatter, "{dot}{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for text in ["type", "data.amount", "data.größe.a b.0", "metadata.x-y"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        assert_eq!("a.b".parse::<Path>().unwrap().steps().len(), 2);
    }

    #[test]
    fn refuses_by_name() {
        fn check(text: &str, expected: PathError) {
            assert_eq!(text.parse::<Path>(), Err(expected), "{text}");
        }
        check("", PathError::Empty);
        for text in [".", "a.", ".a", "a..b"] {
            check(text, PathError::EmptyStep(text.to_owned()));
        }
        for text in ["data.items[*].sku", "data.items[0]", "data.*"] {
            check(text, PathError::Reserved(text.to_owned()));
        }
        check(&"a".repeat(Path::MAX_BYTES + 1), PathError::TooLong);
        check(
            &["a"; Path::MAX_STEPS + 1].join("."),
            PathError::TooManySteps,
        );
        assert!(["a"; Path::MAX_STEPS].join(".").parse::<Path>().is_ok());
    }
}
