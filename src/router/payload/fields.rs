//! A subscription's `fields`: which parts of an event its endpoint gets.

use crate::record::json_text::{Kind, Node, Path, PathError, Step, minify_into};

/// The selected paths, ascending, none of them below another. Lists that select the same are equal
/// and hash alike, so that a body is rendered once for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields(Box<[Path]>);

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
        let mut parsed = Vec::with_capacity(paths.len());
        for (index, text) in paths.iter().enumerate() {
            let path: Path = text
                .parse()
                .map_err(|error| FieldsError::Path { index, error })?;
            parsed.push(path);
        }
        parsed.sort_unstable();
        // What begins with a path stands right behind it.
        parsed.dedup_by(|later, kept| later.steps().starts_with(kept.steps()));
        Ok(Self(parsed.into()))
    }

    /// What is selected of the event's root.
    pub(super) fn root(&self) -> Selection<'_> {
        Selection {
            paths: self.0.iter().map(Path::steps).collect(),
            depth: 0,
        }
    }
}

/// What is selected of one value: the paths that lead into it. They all have so many steps behind them.
#[derive(Clone, Debug)]
pub(super) struct Selection<'a> {
    paths: Vec<&'a [Step]>,
    depth: usize,
}

impl<'a> Selection<'a> {
    /// The names of the members that are selected, each once.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let mut last = None;
        self.paths.iter().filter_map(move |path| {
            let Some(Step::Member(name)) = path.get(self.depth) else {
                return None;
            };
            (last.replace(&**name) != Some(&**name)).then_some(&**name)
        })
    }

    /// What is selected of the member of this name, in the encoding of [`Node::string`]; nothing if
    /// nothing is.
    pub(super) fn member(&self, name: &[u8]) -> Option<Self> {
        // Members are first in the order of steps, and the order of UTF-8 is that of code points.
        let from = self.paths.partition_point(|path| {
            matches!(path.get(self.depth), Some(Step::Member(present)) if present.as_bytes() < name)
        });
        self.narrowed(
            &self.paths[from..],
            |step| matches!(step, Step::Member(present) if present.as_bytes() == name),
        )
    }

    /// What is selected of the element at this place.
    fn element(&self, at: usize) -> Option<Self> {
        let mut selected = self.narrowed(&self.paths, |step| match step {
            Step::Each => true,
            Step::Element(index) => *index as usize == at,
            Step::Member(_) => false,
        })?;
        // Two kinds of steps led here.
        let depth = selected.depth;
        selected.paths.sort_unstable_by_key(|path| &path[depth..]);
        Some(selected)
    }

    /// The paths among these whose next step is one of those.
    fn narrowed(&self, among: &[&'a [Step]], is_meant: impl Fn(&Step) -> bool) -> Option<Self> {
        let paths: Vec<_> = among
            .iter()
            .filter(|path| path.get(self.depth).is_some_and(&is_meant))
            .copied()
            .collect();
        (!paths.is_empty()).then_some(Self {
            paths,
            depth: self.depth + 1,
        })
    }

    fn is_whole(&self) -> bool {
        self.paths.iter().any(|path| path.len() == self.depth)
    }

    fn enters_lists(&self) -> bool {
        self.paths
            .iter()
            .any(|path| matches!(path.get(self.depth), Some(Step::Each | Step::Element(_))))
    }
}

/// Writes what is selected of a value; nothing, and false, if nothing is. Recurses as deep as a path
/// has steps.
pub(super) fn select(node: Node<'_>, selection: &Selection<'_>, body: &mut Vec<u8>) -> bool {
    if selection.is_whole() {
        minify_into(node.text(), body);
        return true;
    }
    match node.kind() {
        Kind::Object => select_members(node, selection, body),
        Kind::Array if selection.enters_lists() => {
            select_elements(node, selection, body);
            true
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => false,
    }
}

fn select_members(node: Node<'_>, selection: &Selection<'_>, body: &mut Vec<u8>) -> bool {
    let mut found = Vec::new();
    for (position, (name, value)) in node.members().enumerate() {
        let unescaped = name.unescaped();
        if let Some(selected) = selection.member(&unescaped) {
            found.push((unescaped.into_owned(), position, name, value, selected));
        }
    }
    // Of a repeated name the last counts, and stands where that one stands.
    found.sort_by(|left, right| (&left.0, right.1).cmp(&(&right.0, left.1)));
    found.dedup_by(|later, kept| later.0 == kept.0);
    found.sort_by_key(|(_, position, ..)| *position);

    let start = body.len();
    body.push(b'{');
    for (_, _, name, value, selected) in found {
        member(name.source(), value, &selected, body);
    }
    if body.len() == start + 1 {
        body.truncate(start);
        return false;
    }
    body.push(b'}');
    true
}

/// A list stays a list, of those elements of which something is selected.
fn select_elements(node: Node<'_>, selection: &Selection<'_>, body: &mut Vec<u8>) {
    body.push(b'[');
    let mut is_first = true;
    for (at, element) in node.elements().enumerate() {
        let Some(selected) = selection.element(at) else {
            continue;
        };
        let start = body.len();
        if !is_first {
            body.push(b',');
        }
        if select(element, &selected, body) {
            is_first = false;
        } else {
            body.truncate(start);
        }
    }
    body.push(b']');
}

/// Writes a member behind others, or nothing if nothing of it is selected.
pub(super) fn member(name: &str, node: Node<'_>, selection: &Selection<'_>, body: &mut Vec<u8>) {
    let start = body.len();
    if body.last() != Some(&b'{') {
        body.push(b',');
    }
    body.extend_from_slice(name.as_bytes());
    body.push(b':');
    if !select(node, selection, body) {
        body.truncate(start);
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
