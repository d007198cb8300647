//! A subscription's `fields`: which parts of an event its endpoint gets.

use crate::record::json_text::{Path, PathError, Step};

/// The selected paths as a tree. Lists that select the same are equal and hash alike, so that a body
/// is rendered once for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields(Selected);

/// Why a list of fields is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldsError {
    /// More than [`Fields::MAX_PATHS`].
    #[error("more than {} fields", Fields::MAX_PATHS)]
    TooMany,
    /// One of the paths.
    #[error("fields[{index}]: {error}")]
    Path {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        error: PathError,
    },
}

/// What is selected of one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Selection {
    /// All of it.
    Whole,
    /// Only these members, if it is an object.
    Members(Selected),
}

/// Selected members of an object: ascending by name, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Selected(Vec<(Box<str>, Selection)>);

impl Fields {
    /// The most paths in a list.
    pub const MAX_PATHS: usize = 256;

    /// Reads a list of paths. Their order and repetitions mean nothing, and a path below one that is
    /// selected whole adds nothing. An empty list selects nothing.
    ///
    /// # Errors
    /// Too many paths, or one that is refused.
    pub fn parse(paths: &[String]) -> Result<Self, FieldsError> {
        if paths.len() > Self::MAX_PATHS {
            return Err(FieldsError::TooMany);
        }
        let mut root = Selected::default();
        for (index, text) in paths.iter().enumerate() {
            let path: Path = text
                .parse()
                .map_err(|error| FieldsError::Path { index, error })?;
            root.add(path.steps());
        }
        Ok(Self(root))
    }

    /// The selected members of the event's root.
    pub(super) fn root(&self) -> &Selected {
        &self.0
    }
}

impl Selected {
    /// How many members are selected.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and what is selected below them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Selection)> {
        self.0.iter().map(|(name, selection)| (&**name, selection))
    }

    /// Where among the selected members this name stands.
    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        self.search(name).ok()
    }

    /// What is selected below this name.
    pub(super) fn selection(&self, name: &str) -> Option<&Selection> {
        self.position(name.as_bytes()).map(|index| &self.0[index].1)
    }

    /// The order of UTF-8 is that of code points, so names compare as bytes.
    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(present, _)| present.as_bytes().cmp(name))
    }

    /// Recurses as deep as a path has steps.
    fn add(&mut self, steps: &[Step]) {
        let Some((Step::Member(name), rest)) = steps.split_first() else {
            return;
        };
        let index = match self.search(name.as_bytes()) {
            Ok(index) => index,
            Err(index) => {
                let nothing = Selection::Members(Self::default());
                self.0.insert(index, (name.clone(), nothing));
                index
            }
        };
        let selection = &mut self.0[index].1;
        match selection {
            Selection::Whole => {}
            Selection::Members(_) if rest.is_empty() => *selection = Selection::Whole,
            Selection::Members(members) => members.add(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn parse(paths: &[&str]) -> Result<Fields, FieldsError> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Fields::parse(&paths)
    }

    #[test]
    fn lists_that_select_the_same_are_equal() {
        fn check(left: &[&str], right: &[&str], expected: bool) {
            let (left, right) = (parse(left).unwrap(), parse(right).unwrap());
            let hash = |fields: &Fields| {
                let mut hasher = DefaultHasher::new();
                fields.hash(&mut hasher);
                hasher.finish()
            };
            assert_eq!(left == right, expected);
            assert_eq!(hash(&left) == hash(&right), expected);
        }
        check(&["data.a", "data.b"], &["data.b", "data.a", "data.b"], true);
        check(&["data.a", "data.a.b"], &["data.a"], true);
        check(&["data.a.b", "data.a"], &["data.a"], true);
        check(&["data.a.b"], &["data.a"], false);
        check(&["data.a"], &["data"], false);
        check(&[], &["data"], false);
    }

    #[test]
    fn refuses_by_place() {
        let refused = parse(&["data.a", "data..b"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "fields[1]: a path must not have an empty step (`data..b`)"
        );
        assert_eq!(parse(&["a"; 257]), Err(FieldsError::TooMany));
        assert!(parse(&["a"; 256]).is_ok());
    }
}
