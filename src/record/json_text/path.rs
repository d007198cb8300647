//! The way to values inside of an event: `data.order.id`, `data.items[*].sku`, `data.items[0].sku`.

use std::fmt;
use std::str::FromStr;

/// A path, parsed once: names of members, joined by dots, each with steps into arrays behind it. A
/// member whose own name holds a dot or a bracket cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Box<[Step]>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// `name`: into the member of this name.
    Member(Box<str>),
    /// `[*]`: into every element of an array.
    Each,
    /// `[0]`: into this element of an array.
    Element(u32),
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
    /// `[`, `]` and `*` elsewhere than in a step into an array.
    #[error("`[`, `]` and `*` make steps into lists, `[*]` or `[0]`, behind a name (`{0}`)")]
    Brackets(String),
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

    /// How many of them lead into every element of an array.
    pub fn lists(&self) -> usize {
        self.0.iter().filter(|step| **step == Step::Each).count()
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
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, brackets) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.is_empty() && brackets.is_empty() {
                return Err(PathError::EmptyStep(text.to_owned()));
            }
            let broken = || PathError::Brackets(text.to_owned());
            if name.is_empty() || name.contains([']', '*']) {
                return Err(broken());
            }
            steps.push(Step::Member(name.into()));
            let mut rest = brackets;
            while !rest.is_empty() {
                let (inside, behind) = rest
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once(']'))
                    .ok_or_else(broken)?;
                steps.push(array_step(inside).ok_or_else(broken)?);
                rest = behind;
            }
        }
        if steps.len() > Self::MAX_STEPS {
            return Err(PathError::TooManySteps);
        }
        Ok(Self(steps.into()))
    }
}

/// What stands between brackets; an index is a plain decimal, so that a path has one text.
fn array_step(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::Each);
    }
    let index: u32 = inside.parse().ok()?;
    (index.to_string() == inside).then_some(Step::Element(index))
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Member(name) => write!(formatter, "{dot}{name}")?,
                Step::Each => formatter.write_str("[*]")?,
                Step::Element(index) => write!(formatter, "[{index}]")?,
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
        for text in [
            "type",
            "data.amount",
            "data.größe.a b.0",
            "metadata.x-y",
            "data.items[*].sku",
            "data.items[0][12].tags[*]",
            "data[*][*]",
        ] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        let path: Path = "a[*].b[2]".parse().unwrap();
        assert_eq!(path.steps().len(), 4);
        assert_eq!(path.lists(), 1);
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
        for text in [
            "data.*",
            "data.items[]",
            "data.items[01]",
            "data.items[+1]",
            "data.items[-1]",
            "data.items[4294967296]",
            "data.items[a]",
            "data.items[*",
            "data.items]",
            "data.items[0]x",
            "data.[0]",
            "[0]",
            "data.items[*.sku]",
            "data.it*ms",
        ] {
            check(text, PathError::Brackets(text.to_owned()));
        }
        check(&"a".repeat(Path::MAX_BYTES + 1), PathError::TooLong);
        check(
            &["a"; Path::MAX_STEPS + 1].join("."),
            PathError::TooManySteps,
        );
        let brackets = format!("a{}", "[*]".repeat(Path::MAX_STEPS));
        check(&brackets, PathError::TooManySteps);
        assert!(["a"; Path::MAX_STEPS].join(".").parse::<Path>().is_ok());
    }
}
