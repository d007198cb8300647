//! JSON as it was written. A receiver gets the numbers, key order and escapes of the producer, so
//! values are kept as source text and looked at in place: no tree is built, nothing is re-printed.
//!
//! Text is checked once, when a [`Node`] is made; all else walks over text known to be valid. No
//! step here recurses, so nesting costs no stack.

mod document;
mod escapes;
mod minify;
mod path;
mod scan;

use std::borrow::Cow;

use serde_json::value::RawValue;

pub use document::Document;
pub use escapes::{lossy, quote};
pub use minify::{minify, minify_into};
pub use path::{Path, PathError, Step};

/// How deep arrays and objects may nest; what most JSON readers of receivers accept.
pub const MAX_DEPTH: usize = 128;

/// Why a text is not taken as JSON.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not UTF-8.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Arrays and objects nest deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object was required.
    #[error("not a JSON object")]
    NotAnObject,
}

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number of any size and precision.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One JSON value as source text: valid, nested at most [`MAX_DEPTH`] deep, without white space
/// around it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a>(&'a str);

impl<'a> Node<'a> {
    /// Checks the text of one value.
    ///
    /// # Errors
    /// [`Error::Syntax`] and [`Error::TooDeep`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice::<&RawValue>(text)?.try_into()
    }

    /// The same of a text that is known to be UTF-8.
    ///
    /// # Errors
    /// [`Error::Syntax`] and [`Error::TooDeep`].
    pub fn parse_str(text: &'a str) -> Result<Self, Error> {
        serde_json::from_str::<&RawValue>(text)?.try_into()
    }

    /// The value as it was written.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The members of an object as they stand, repeated names and all. None if it is no object.
    pub fn members(self) -> Members<'a> {
        let inside = match self.kind() {
            Kind::Object => 1,
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => self.0.len(),
        };
        Members {
            text: self.0,
            at: inside,
        }
    }

    /// The elements of an array. None if it is no array.
    pub fn elements(self) -> Elements<'a> {
        let inside = match self.kind() {
            Kind::Array => 1,
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => self.0.len(),
        };
        Elements {
            text: self.0,
            at: inside,
        }
    }

    /// The last member of this name (as most readers, `serde_json` too, resolve a repeated name).
    pub fn member(self, name: &str) -> Option<Node<'a>> {
        self.members()
            .filter(|(present, _)| present.is(name))
            .last()
            .map(|(_, value)| value)
    }

    /// The value that the steps lead to; the first one where they lead to several.
    pub fn get(self, steps: &[Step]) -> Option<Node<'a>> {
        let mut found = None;
        self.any(steps, &mut |node| {
            found = Some(node);
            true
        });
        found
    }

    /// Whether any value that the steps lead to passes the test, which is asked in the order of the
    /// text and not beyond the first that does. Recurses as deep as a path has steps.
    pub fn any(self, steps: &[Step], test: &mut impl FnMut(Node<'a>) -> bool) -> bool {
        let Some((step, rest)) = steps.split_first() else {
            return test(self);
        };
        match step {
            Step::Member(name) => self.member(name).is_some_and(|node| node.any(rest, test)),
            Step::Each => self.elements().any(|element| element.any(rest, test)),
            Step::Element(index) => self
                .elements()
                .nth(*index as usize)
                .is_some_and(|element| element.any(rest, test)),
        }
    }

    /// What a string says, its escapes resolved, as UTF-8 in which an escaped lone surrogate is
    /// encoded like any other code point (WTF-8). Comparing such bytes compares by code point.
    pub fn string(self) -> Option<Cow<'a, [u8]>> {
        matches!(self.kind(), Kind::String).then(|| escapes::unescape(unquoted(self.0)))
    }
}

impl<'a> TryFrom<&'a RawValue> for Node<'a> {
    type Error = Error;

    fn try_from(value: &'a RawValue) -> Result<Self, Error> {
        let text = value.get().trim_ascii();
        if scan::is_deeper_than(text, MAX_DEPTH) {
            return Err(Error::TooDeep);
        }
        Ok(Self(text))
    }
}

/// The name of an object's member, as source text.
#[derive(Clone, Debug)]
pub struct Name<'a> {
    source: Cow<'a, str>,
    /// Looked for once: names are compared often, and hardly one has any.
    has_escapes: bool,
}

impl<'a> Name<'a> {
    fn new(source: Cow<'a, str>) -> Self {
        let has_escapes = source.as_bytes().contains(&b'\\');
        Self {
            source,
            has_escapes,
        }
    }

    /// The name as it was written, in its quotes.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it says this; `"\u0061"` says `a`.
    pub fn is(&self, name: &str) -> bool {
        match self.has_escapes {
            false => unquoted(&self.source) == name,
            true => *self.unescaped() == *name.as_bytes(),
        }
    }

    /// What it says, in the encoding of [`Node::string`].
    pub fn unescaped(&self) -> Cow<'_, [u8]> {
        match self.has_escapes {
            false => Cow::Borrowed(unquoted(&self.source).as_bytes()),
            true => escapes::unescape(unquoted(&self.source)),
        }
    }
}

/// See [`Node::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Name<'a>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = scan::next_value(self.text, &mut self.at)?;
        let value = scan::next_value(self.text, &mut self.at)?;
        Some((Name::new(Cow::Borrowed(name)), Node(value)))
    }
}

/// See [`Node::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        scan::next_value(self.text, &mut self.at).map(Node)
    }
}

/// What stands between the quotes.
fn unquoted(source: &str) -> &str {
    &source[1..source.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node<'_> {
        Node::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_leads_to_the_source_text() {
        fn check(path: &str, expected: Option<&str>) {
            const EVENT: &str = r#" { "data" : { "amount" : 1.10 , "big":1e3,"é":"\u00e9",
                "o":{"p":[1, {"q":2}]} ,"s":"a\"}{[,\\","\u0061b":true, "n":null,
                "twice":1,"tw\u0069ce":{"x":-0.0}}, "end":[] } "#;
            let path: Path = path.parse().unwrap();
            let found = node(EVENT).get(path.steps());
            assert_eq!(found.map(Node::text), expected, "{path}");
        }
        check("data.amount", Some("1.10"));
        check("data.big", Some("1e3"));
        check("data.é", Some(r#""\u00e9""#));
        check("data.o", Some(r#"{"p":[1, {"q":2}]}"#));
        check("data.o.p", Some(r#"[1, {"q":2}]"#));
        check("data.o.p.q", None);
        check("data.o.p.1", None);
        check("data.s", Some(r#""a\"}{[,\\""#));
        check("data.ab", Some("true"));
        check("data.n", Some("null"));
        check("data.n.x", None);
        check("data.twice", Some(r#"{"x":-0.0}"#));
        check("data.twice.x", Some("-0.0"));
        check("end", Some("[]"));
        check("missing", None);
        check("amount", None);
        check("data.o.p[0]", Some("1"));
        check("data.o.p[1].q", Some("2"));
        check("data.o.p[2]", None);
        check("data.o[0]", None);
        check("data.s[0]", None);
        check("end[*]", None);
        check("data.o.p[*].q", Some("2"));
    }

    #[test]
    fn a_path_into_lists_leads_to_every_element() {
        fn check(path: &str, expected: &[&str]) {
            const EVENT: &str =
                r#"{"a":[{"b":[1,2],"c":"x"},{"b":3},4,{"b":[],"c":null}],"m":[[1],[2,3]]}"#;
            let path: Path = path.parse().unwrap();
            let mut found = Vec::new();
            let any = node(EVENT).any(path.steps(), &mut |node| {
                found.push(node.text());
                false
            });
            assert_eq!((found.as_slice(), any), (expected, false), "{path}");
        }
        check("a[*].b[*]", &["1", "2"]);
        check("a[*].b", &["[1,2]", "3", "[]"]);
        check("a[*].c", &["\"x\"", "null"]);
        check("a[0].b[1]", &["2"]);
        check("m[*][*]", &["1", "2", "3"]);
        check("m[*][1]", &["3"]);
        check(
            "a[*]",
            &[
                r#"{"b":[1,2],"c":"x"}"#,
                r#"{"b":3}"#,
                "4",
                r#"{"b":[],"c":null}"#,
            ],
        );
        check("a.b", &[]);
    }

    #[test]
    fn tells_kinds_apart() {
        fn check(text: &str, kind: Kind) {
            assert_eq!(node(text).kind(), kind, "{text}");
        }
        check(" null", Kind::Null);
        check("true", Kind::Bool);
        check("\n-1", Kind::Number);
        check(r#""[""#, Kind::String);
        check("[ ]", Kind::Array);
        check("{ }", Kind::Object);
        assert_eq!(node("{ }").members().count(), 0);
        assert_eq!(node("[ ]").elements().count(), 0);
        assert_eq!(node(r#"["a"]"#).members().count(), 0);
        assert_eq!(node("12").elements().count(), 0);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "", " ", "{", "[1,]", "{\"a\"}", "01", "1 2", "nul", "\"\n\"", "\"\\x\"", "'a'", "NaN",
        ] {
            let refused = Node::parse(text.as_bytes());
            assert!(matches!(refused, Err(Error::Syntax(_))), "{text:?}");
        }
        let refused = Node::parse(b"\"\xff\"");
        assert!(matches!(refused, Err(Error::Syntax(_))));
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Node::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 1_000_000] {
            let text = nested(depth);
            let refused = Node::parse(text.as_bytes());
            assert!(matches!(refused, Err(Error::TooDeep)), "{depth}");
        }
        // Brackets in strings do not nest.
        assert!(Node::parse(format!("\"{}\"", "[".repeat(1_000)).as_bytes()).is_ok());
    }

    #[test]
    fn members_and_elements_agree_with_serde_json() {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        let value = leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|all| format!("[ {}]", all.join(" ,\t"))),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|all| {
                    let member = |(name, value)| {
                        format!("{} :\n{value}", serde_json::to_string(&name).unwrap())
                    };
                    format!(
                        "{{\r{} }}",
                        all.into_iter().map(member).collect::<Vec<_>>().join(",")
                    )
                }),
            ]
        });
        proptest!(|(text in value)| {
            let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(rebuilt(node(&text)), expected.clone());
            let small = minify(&text);
            prop_assert_eq!(&small, &node(&small).text());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&small).unwrap(), expected);
        });

        fn rebuilt(node: Node<'_>) -> serde_json::Value {
            match node.kind() {
                Kind::Object => node
                    .members()
                    .map(|(name, value)| {
                        let name = String::from_utf8(name.unescaped().into_owned()).unwrap();
                        (name, rebuilt(value))
                    })
                    .collect(),
                Kind::Array => node.elements().map(rebuilt).collect(),
                Kind::Null | Kind::Bool | Kind::Number | Kind::String => {
                    serde_json::from_str(node.text()).unwrap()
                }
            }
        }
    }
}
