//! What can be wrong with a configuration, and where each value came from.

use std::fmt;
use std::path::PathBuf;

/// The layer that gave a setting its value; later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, compiled in.
    Default,
    /// The file given with `--config`.
    File(PathBuf),
    /// An environment variable, by its name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
        }
    }
}

/// Why a configuration is refused. No variant shows a value of `kafka.properties`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read: that of `--config`, or one that a `__FILE` variable names.
    #[error("cannot read {} ({origin}): {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Who asked for it.
        origin: Origin,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What the parser expected; never the line itself, which may hold a password.
        message: String,
    },
    /// A key that no setting has.
    #[error("unknown setting `{key}` ({origin}){}", hint(suggestion.as_deref()))]
    UnknownKey {
        /// The full dotted key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// A key that is spelled nearly so.
        suggestion: Option<String>,
    },
    /// Two environment variables say the same setting.
    #[error("`{key}` is given twice, by {first} and {second}")]
    GivenTwice {
        /// The full dotted key.
        key: String,
        /// One variable.
        first: String,
        /// The other.
        second: String,
    },
    /// A value of the wrong type or form, out of its bounds, or at odds with another setting.
    #[error("`{key}` ({origin}): {rule}")]
    Invalid {
        /// The full dotted key.
        key: String,
        /// Where the value stands.
        origin: Origin,
        /// What holds for it.
        rule: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}
