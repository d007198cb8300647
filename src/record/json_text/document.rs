//! The root of an event, as filters and selections of fields see it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Error, Kind, Name, Node, Path, Step, quote};

/// The members of an event's root with their source text, in their order. Of a repeated name the
/// last one counts.
#[derive(Clone, Debug, Default)]
pub struct Document<'a>(Vec<(Name<'a>, Node<'a>)>);

impl<'a> Document<'a> {
    /// Checks and reads the text of an object.
    ///
    /// # Errors
    /// Not JSON, nested too deep, or another value than an object.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        Self::of(Node::parse(text)?)
    }

    /// The same of a text that is known to be UTF-8.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_str(text: &'a str) -> Result<Self, Error> {
        Self::of(Node::parse_str(text)?)
    }

    fn of(root: Node<'a>) -> Result<Self, Error> {
        match root.kind() {
            Kind::Object => Ok(Self(root.members().collect())),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => {
                Err(Error::NotAnObject)
            }
        }
    }

    /// Adds a member behind those that are there: from here on its name leads to this value.
    pub fn insert(&mut self, name: &str, value: Node<'a>) {
        self.0.push((Name::new(Cow::Owned(quote(name))), value));
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<Node<'a>> {
        self.position(name).map(|at| self.0[at].1)
    }

    /// The value that a path leads to; the first one where it leads to several.
    pub fn get(&self, path: &Path) -> Option<Node<'a>> {
        let (member, rest) = self.enter(path)?;
        member.get(rest)
    }

    /// Whether any value that a path leads to passes the test.
    pub fn any(&self, path: &Path, mut test: impl FnMut(Node<'a>) -> bool) -> bool {
        self.enter(path)
            .is_some_and(|(member, rest)| member.any(rest, &mut test))
    }

    fn enter<'path>(&self, path: &'path Path) -> Option<(Node<'a>, &'path [Step])> {
        match path.steps().split_first()? {
            (Step::Member(name), rest) => Some((self.member(name)?, rest)),
            // A path begins with a name.
            (Step::Each | Step::Element(_), _) => None,
        }
    }

    /// Where the member of this name stands among all.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().rposition(|(present, _)| present.is(name))
    }

    /// A name that is given more than once, unescaped.
    pub fn duplicate(&self) -> Option<Cow<'_, [u8]>> {
        /// Fewer names than this are compared with each other: quicker than a set.
        const FEW: usize = 16;
        let names = || self.0.iter().map(|(name, _)| name.unescaped());
        if self.0.len() < FEW {
            return names()
                .enumerate()
                .find(|(index, name)| names().take(*index).any(|before| before == *name))
                .map(|(_, name)| name);
        }
        // An object of a million members must not cost a million squared.
        let mut seen = BTreeSet::new();
        names().find(|name| !seen.insert(name.clone()))
    }

    /// All members, repeated names and all.
    pub fn members(&self) -> &[(Name<'a>, Node<'a>)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_members_and_paths() {
        let mut event =
            Document::parse(br#"{"type":"a","data":{"x":1},"time":"t","d\u0061ta":{"x":2}}"#)
                .unwrap();
        let text = |event: &Document<'_>, path: &str| {
            let found = event.get(&path.parse().unwrap());
            found.map(|node| node.text().to_owned())
        };
        assert_eq!(text(&event, "type").as_deref(), Some(r#""a""#));
        assert_eq!(text(&event, "data.x").as_deref(), Some("2"));
        assert_eq!(text(&event, "timestamp"), None);
        event.insert("timestamp", event.member("time").unwrap());
        assert_eq!(text(&event, "timestamp").as_deref(), Some(r#""t""#));
        event.insert("timestamp", event.member("data").unwrap());
        assert_eq!(text(&event, "timestamp.x").as_deref(), Some("2"));
    }

    #[test]
    fn finds_a_repeated_name() {
        fn check(names: impl Iterator<Item = String>, expected: Option<&str>) {
            let members: Vec<_> = names.map(|name| format!("\"{name}\":1")).collect();
            let text = format!("{{{}}}", members.join(","));
            let document = Document::parse(text.as_bytes()).unwrap();
            let found = document.duplicate();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
        let numbers = |count: usize| (0..count).map(|number| number.to_string());
        let again = |name: &str| std::iter::once(name.to_owned());
        for count in [3, 15, 16, 100_000] {
            check(numbers(count), None);
            check(numbers(count).chain(again("1")), Some("1"));
            check(numbers(count).chain(again("\\u0032")), Some("2"));
        }
    }

    #[test]
    fn refuses_other_values() {
        for text in ["[]", "null", "\"{}\"", "1"] {
            let refused = Document::parse(text.as_bytes());
            assert!(matches!(refused, Err(Error::NotAnObject)), "{text}");
        }
        assert!(matches!(Document::parse(b"{"), Err(Error::Syntax(_))));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(matches!(
            Document::parse(deep.as_bytes()),
            Err(Error::TooDeep)
        ));
    }
}
