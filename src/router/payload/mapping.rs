//! A subscription's `mapping`: a body of its own, each value taken from a path of the event.

use std::ops::Range;

use crate::record::json_text::{Document, Kind, Node, Path, PathError, Step, minify_into, quote};

/// The members of the body, as a tree. Mappings that say the same in the same order are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    root: Vec<(Box<str>, Part)>,
    /// Where the values come from, in the order of the tree.
    sources: Box<[Source]>,
}

/// Why a mapping is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("mapping.{target}: {rule}")]
pub struct MappingError {
    /// The member of the mapping.
    pub target: String,
    /// The rule that it breaks.
    pub rule: MappingRule,
}

/// A rule that mappings obey.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingRule {
    /// One of the two paths.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A target with `[0]`.
    #[error("a list of the body is made with `[*]`, an element of it cannot be named")]
    Element,
    /// A target with other lists than its source.
    #[error("must have as many `[*]` as its source, or none")]
    Lists,
    /// Two targets of which one would stand inside of the other's value.
    #[error("stands in the way of another member")]
    Conflict,
}

/// What stands at one place of the body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    form: Form,
    /// The sources of what is in it.
    sources: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Value,
    Object(Vec<(Box<str>, Part)>),
    List(Box<Part>),
}

/// A path, cut behind each `[*]` that makes a list of the body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    member: Box<str>,
    /// The steps up to the first list, then those up to the next, and so on.
    legs: Box<[Box<[Step]>]>,
    /// Its lists are not lists of the body: all that it leads to goes into one.
    gathers: bool,
}

impl Mapping {
    /// The most members.
    pub const MAX_MEMBERS: usize = 256;

    /// Reads pairs of a path in the body and one in the event.
    ///
    /// # Errors
    /// Names the member and the rule.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, MappingError> {
        let mut root = Vec::new();
        let mut unordered = Vec::with_capacity(pairs.len());
        for (target, source) in pairs {
            let refuse = |rule| MappingError {
                target: target.clone(),
                rule,
            };
            let path: Path = source
                .parse()
                .map_err(|error| refuse(MappingRule::Path(error)))?;
            let place: Path = target
                .parse()
                .map_err(|error| refuse(MappingRule::Path(error)))?;
            if place
                .steps()
                .iter()
                .any(|step| matches!(step, Step::Element(_)))
            {
                return Err(refuse(MappingRule::Element));
            }
            if place.lists() != 0 && place.lists() != path.lists() {
                return Err(refuse(MappingRule::Lists));
            }
            let index = unordered.len();
            unordered.push(Source::new(&path, place.lists() == 0));
            insert(&mut root, place.steps(), index).ok_or_else(|| refuse(MappingRule::Conflict))?;
        }
        let mut sources = Vec::with_capacity(unordered.len());
        for (_, part) in &mut root {
            order(part, &unordered, &mut sources);
        }
        Ok(Self {
            root,
            sources: sources.into(),
        })
    }

    /// Writes the body: an object of what is found; what is not is left out.
    pub(super) fn render(&self, event: &Document<'_>, body: &mut Vec<u8>) {
        let places: Vec<Option<Node<'_>>> = self
            .sources
            .iter()
            .map(|source| event.member(&source.member))
            .collect();
        if !self.write_members(&self.root, &places, 0, body) {
            body.extend_from_slice(b"{}");
        }
    }

    /// Nothing, and false, if nothing is found. Recurses as deep as a path has steps. `places` are
    /// where the sources of this part stand, behind `lists` lists.
    fn write(
        &self,
        part: &Part,
        places: &[Option<Node<'_>>],
        lists: usize,
        body: &mut Vec<u8>,
    ) -> bool {
        match &part.form {
            Form::Value => {
                let source = &self.sources[part.sources.start];
                places[0].is_some_and(|node| source.write(node, lists, body))
            }
            Form::Object(members) => self.write_members(members, places, lists, body),
            Form::List(element) => self.write_list(element, places, lists, body),
        }
    }

    fn write_members(
        &self,
        members: &[(Box<str>, Part)],
        places: &[Option<Node<'_>>],
        lists: usize,
        body: &mut Vec<u8>,
    ) -> bool {
        let start = body.len();
        body.push(b'{');
        let mut rest = places;
        for (name, part) in members {
            let (own, others) = rest.split_at(part.sources.len());
            rest = others;
            let before = body.len();
            if before > start + 1 {
                body.push(b',');
            }
            body.extend_from_slice(name.as_bytes());
            body.push(b':');
            if !self.write(part, own, lists, body) {
                body.truncate(before);
            }
        }
        if body.len() == start + 1 {
            body.truncate(start);
            return false;
        }
        body.push(b'}');
        true
    }

    /// The elements of several sources' lists meet by their places.
    fn write_list(
        &self,
        element: &Part,
        places: &[Option<Node<'_>>],
        lists: usize,
        body: &mut Vec<u8>,
    ) -> bool {
        let mut longest = None;
        let mut columns = Vec::with_capacity(places.len());
        for (source, place) in self.sources[element.sources.clone()].iter().zip(places) {
            let list = place
                .and_then(|node| node.get(&source.legs[lists]))
                .filter(|node| node.kind() == Kind::Array);
            let elements: Vec<Node<'_>> =
                list.map_or_else(Vec::new, |node| node.elements().collect());
            longest = longest.max(list.map(|_| elements.len()));
            columns.push(elements);
        }
        let Some(longest) = longest else {
            return false;
        };
        body.push(b'[');
        let mut is_first = true;
        for at in 0..longest {
            let row: Vec<_> = columns
                .iter()
                .map(|column| column.get(at).copied())
                .collect();
            let start = body.len();
            if !is_first {
                body.push(b',');
            }
            if self.write(element, &row, lists + 1, body) {
                is_first = false;
            } else {
                body.truncate(start);
            }
        }
        body.push(b']');
        true
    }
}

impl Source {
    fn new(path: &Path, gathers: bool) -> Self {
        let (member, rest) = match path.steps() {
            [Step::Member(name), rest @ ..] => (name.clone(), rest),
            // A path begins with a name.
            rest => (Box::default(), rest),
        };
        let legs = if gathers {
            [rest.into()].into()
        } else {
            rest.split(|step| *step == Step::Each)
                .map(Into::into)
                .collect()
        };
        Self {
            member,
            legs,
            gathers: gathers && path.lists() > 0,
        }
    }

    fn write(&self, node: Node<'_>, lists: usize, body: &mut Vec<u8>) -> bool {
        let leg = &self.legs[lists];
        if !self.gathers {
            let found = node.get(leg);
            if let Some(found) = found {
                minify_into(found.text(), body);
            }
            return found.is_some();
        }
        let start = body.len();
        body.push(b'[');
        node.any(leg, &mut |found| {
            if body.len() > start + 1 {
                body.push(b',');
            }
            minify_into(found.text(), body);
            false
        });
        if body.len() == start + 1 {
            body.truncate(start);
            return false;
        }
        body.push(b']');
        true
    }
}

/// None: something is there that is no such thing.
fn insert(members: &mut Vec<(Box<str>, Part)>, steps: &[Step], source: usize) -> Option<()> {
    let (Step::Member(name), rest) = steps.split_first()? else {
        return None;
    };
    let name = quote(name).into_boxed_str();
    match members.iter_mut().find(|(present, _)| *present == name) {
        Some((_, part)) => part.insert(rest, source),
        None => {
            members.push((name, Part::new(rest, source)?));
            Some(())
        }
    }
}

impl Part {
    fn new(steps: &[Step], source: usize) -> Option<Self> {
        let form = match steps {
            [] => Form::Value,
            [Step::Each, rest @ ..] => Form::List(Box::new(Self::new(rest, source)?)),
            [Step::Member(_), ..] => {
                let mut members = Vec::new();
                insert(&mut members, steps, source)?;
                Form::Object(members)
            }
            [Step::Element(_), ..] => return None,
        };
        Some(Self {
            form,
            sources: source..source + 1,
        })
    }

    fn insert(&mut self, steps: &[Step], source: usize) -> Option<()> {
        match (&mut self.form, steps) {
            (Form::Object(members), [Step::Member(_), ..]) => insert(members, steps, source),
            (Form::List(element), [Step::Each, rest @ ..]) => element.insert(rest, source),
            (Form::Value | Form::Object(_) | Form::List(_), _) => None,
        }
    }
}

/// Puts the sources into the order of the tree, so that those of each part stand together.
fn order(part: &mut Part, unordered: &[Source], sources: &mut Vec<Source>) {
    let start = sources.len();
    match &mut part.form {
        Form::Value => sources.push(unordered[part.sources.start].clone()),
        Form::Object(members) => {
            for (_, member) in members {
                order(member, unordered, sources);
            }
        }
        Form::List(element) => order(element, unordered, sources),
    }
    part.sources = start..sources.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn mapping(pairs: &[(&str, &str)]) -> Result<Mapping, MappingError> {
        let owned = |(target, source): &(&str, &str)| ((*target).to_owned(), (*source).to_owned());
        Mapping::parse(&pairs.iter().map(owned).collect::<Vec<_>>())
    }

    fn mapped(event: &str, pairs: &[(&str, &str)]) -> String {
        let document = Document::parse(event.as_bytes()).unwrap();
        let mut body = Vec::new();
        mapping(pairs).unwrap().render(&document, &mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn values_go_where_the_mapping_says() {
        const EVENT: &str = r#"{"type":"order.paid","data":{"orderId":10.50,"customerEmail":"\u0061@b",
            "nothing":null,"items":[{"sku":"A","n":1,"tags":["x","y"]},{"n":2},{"sku":"C","tags":[]}],
            "names":["p","q"],"empty":[]}}"#;
        fn check(pairs: &[(&str, &str)], expected: &str) {
            assert_eq!(mapped(EVENT, pairs), expected, "{pairs:?}");
        }
        check(
            &[
                ("external_id", "data.orderId"),
                ("customer.email", "data.customerEmail"),
                ("customer.none", "data.missing"),
                ("kind", "type"),
            ],
            r#"{"external_id":10.50,"customer":{"email":"\u0061@b"},"kind":"order.paid"}"#,
        );
        check(
            &[("a.b", "data.missing"), ("c", "data.nothing")],
            r#"{"c":null}"#,
        );
        check(&[("a", "data.missing")], "{}");
        check(&[], "{}");
        // Without a list of its own, a member gathers.
        check(&[("skus", "data.items[*].sku")], r#"{"skus":["A","C"]}"#);
        check(
            &[("none", "data.items[*].missing"), ("e", "data.empty[*]")],
            "{}",
        );
        check(&[("second", "data.items[1].n")], r#"{"second":2}"#);
        // Elements meet by their places.
        check(
            &[
                ("lines[*].article", "data.items[*].sku"),
                ("lines[*].count", "data.items[*].n"),
                ("lines[*].name", "data.names[*]"),
            ],
            r#"{"lines":[{"article":"A","count":1,"name":"p"},{"count":2,"name":"q"},{"article":"C"}]}"#,
        );
        check(
            &[("lines[*].labels[*].text", "data.items[*].tags[*]")],
            r#"{"lines":[{"labels":[{"text":"x"},{"text":"y"}]},{"labels":[]}]}"#,
        );
        check(&[("flat[*]", "data.items[*].sku")], r#"{"flat":["A","C"]}"#);
        check(
            &[("l[*].x", "data.empty[*]"), ("m[*]", "data.orderId[*]")],
            r#"{"l":[]}"#,
        );
        check(
            &[("first[*]", "data.items[0].tags[*]")],
            r#"{"first":["x","y"]}"#,
        );
    }

    #[test]
    fn refuses_by_member_and_rule() {
        fn check(pairs: &[(&str, &str)], expected: &str) {
            assert_eq!(mapping(pairs).unwrap_err().to_string(), expected);
        }
        check(
            &[("a..b", "data.a")],
            "mapping.a..b: a path must not have an empty step (`a..b`)",
        );
        check(&[("a", "")], "mapping.a: a path must not be empty");
        check(
            &[("a[0]", "data.a")],
            "mapping.a[0]: a list of the body is made with `[*]`, an element of it cannot be named",
        );
        check(
            &[("a[*][*]", "data.a[*]")],
            "mapping.a[*][*]: must have as many `[*]` as its source, or none",
        );
        let conflict = "stands in the way of another member";
        for (first, second) in [
            ("a", "a.b"),
            ("a.b", "a"),
            ("a", "a"),
            ("a[*]", "a.b"),
            ("a[*].b", "a[*]"),
        ] {
            let source = |target: &str| {
                if target.contains('*') {
                    "data[*]"
                } else {
                    "data"
                }
            };
            check(
                &[(first, source(first)), (second, source(second))],
                &format!("mapping.{second}: {conflict}"),
            );
        }
    }

    /// Every value below, but objects and lists.
    fn leaves(value: &Value) -> Vec<Value> {
        match value {
            Value::Object(members) => members.values().flat_map(leaves).collect(),
            Value::Array(elements) => elements.iter().flat_map(leaves).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                vec![value.clone()]
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_added(
            data in crate::router::payload::tests::any_json(),
            pairs in prop::collection::vec(
                ("[a-c](\\.[a-c]){0,2}", "data(\\.[a-c]|\\[\\*\\]|\\[[01]\\]){0,3}"),
                0..5,
            ),
        ) {
            let Ok(mapping) = Mapping::parse(&pairs) else {
                return Ok(());
            };
            let event = format!(r#"{{"type":"t","data":{data}}}"#);
            let document = Document::parse(event.as_bytes()).unwrap();
            let mut body = Vec::new();
            mapping.render(&document, &mut body);
            let body: Value = serde_json::from_slice(&body).unwrap();
            let there = leaves(&data);
            for leaf in leaves(&body) {
                prop_assert!(there.contains(&leaf), "{leaf} is not in {data}");
            }
        }
    }
}
