//! YAML 1.2 without its surprises: only `true` and `false` are booleans, a repeated member is an error,
//! aliases are bounded, and numbers keep the text that they have in the file.

use std::{fmt, thread};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned, alias_limits, budget, options};

use super::tree::{Tree, Value};
use crate::record::json_text::{Kind, Node};

/// Of one file.
const MOST_VALUES: usize = 2_000_000;
const MOST_DOCUMENTS: usize = 100_000;
/// What aliases of one file may stand for.
const MOST_REPEATED: usize = 200_000;
/// How many aliases may lie in one another.
const DEEPEST_ALIAS: usize = 4;
/// The library calls itself for each level of nesting: here is room for all that its bounds allow.
const STACK: usize = 64 << 20;

/// Why a file is not taken.
#[derive(Debug)]
pub(super) struct YamlError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// The documents of a file; empty ones are passed over.
pub(super) fn documents(text: &str) -> Result<Vec<Tree>, YamlError> {
    let failed = |message: &str| YamlError {
        line: 1,
        message: message.to_owned(),
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || read(text))
            .map_err(|error| failed(&error.to_string()))?
            .join()
            .unwrap_or_else(|_| Err(failed("cannot be read as YAML")))
    })
}

fn read(text: &str) -> Result<Vec<Tree>, YamlError> {
    let options = options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // What is no number of JSON is refused below.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
        budget: budget! {
            max_nodes: MOST_VALUES,
            max_events: 2 * MOST_VALUES,
            max_documents: MOST_DOCUMENTS,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: MOST_REPEATED,
            max_replay_stack_depth: DEEPEST_ALIAS,
        },
    };
    let documents: Vec<Marked> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| YamlError {
            line: error.location().map_or(1, |at| line(&at)),
            message: first_line(&error.without_snippet().to_string()),
        })?;
    documents
        .into_iter()
        .map(|document| document.tree(text))
        .collect()
}

/// What the library says, in one line and without the place, which is said beside.
fn first_line(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let message = match message.rsplit_once(" at line ") {
        Some((message, _)) => message,
        None => message,
    };
    message.trim_start_matches("error: ").to_owned()
}

fn line(at: &Location) -> usize {
    usize::try_from(at.line()).unwrap_or(usize::MAX).max(1)
}

/// A value as the library gives it.
struct Marked(Spanned<Given>);

enum Given {
    Null,
    Bool(bool),
    /// As JSON, where it can be told.
    Number(Option<String>),
    Text(String),
    List(Vec<Marked>),
    Object(Vec<(String, Marked)>),
}

impl Marked {
    fn tree(self, file: &str) -> Result<Tree, YamlError> {
        let line = line(&self.0.referenced);
        let value = match self.0.value {
            Given::Null => Value::Plain("null".to_owned()),
            Given::Bool(value) => Value::Plain(value.to_string()),
            Given::Number(read) => {
                // As it was written, if that is JSON too: `1.10`, and more digits than a float holds.
                let written = source(file, &self.0.defined).filter(|text| is_number(text));
                let number = written.map(str::to_owned).or(read);
                Value::Plain(number.ok_or_else(|| {
                    YamlError {
                        line,
                        message:
                            "this number cannot be expressed in JSON: quote it if it is a text"
                                .to_owned(),
                    }
                })?)
            }
            Given::Text(text) => Value::Text(text),
            Given::List(entries) => {
                let entries = entries.into_iter().map(|entry| entry.tree(file));
                Value::List(entries.collect::<Result<_, _>>()?)
            }
            Given::Object(members) => {
                let members = members.into_iter();
                let members = members.map(|(name, value)| Ok((name, value.tree(file)?)));
                Value::Object(members.collect::<Result<_, _>>()?)
            }
        };
        Ok(Tree { line, value })
    }
}

fn source<'a>(file: &'a str, at: &Location) -> Option<&'a str> {
    let span = at.span();
    let from = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    Some(file.get(from..from.checked_add(length)?)?.trim())
}

fn is_number(text: &str) -> bool {
    Node::parse(text.as_bytes()).is_ok_and(|node| node.kind() == Kind::Number)
}

impl<'de> Deserialize<'de> for Marked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_none<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Given, D::Error> {
        Given::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Given, E> {
        Ok(Given::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Given, E> {
        Ok(Given::Number(Some(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Given, E> {
        Ok(Given::Number(Some(value.to_string())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Given, E> {
        Ok(Given::Number(Some(value.to_string())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Given, E> {
        Ok(Given::Number(Some(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Given, E> {
        let number = serde_json::Number::from_f64(value);
        Ok(Given::Number(number.map(|number| number.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Given, E> {
        Ok(Given::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Given, E> {
        Ok(Given::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Given::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Given::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Vec<String> {
        let documents = documents(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
        documents.iter().map(Tree::json).collect()
    }

    #[test]
    fn yaml_is_what_it_seems() {
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(json(text), expected, "{text:?}");
        }
        check("", &[]);
        check("# only a comment\n---\n---\n", &[]);
        check("a: 1\n---\nb: 2\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("[a, {b: c}]", &[r#"["a",{"b":"c"}]"#]);
        // What YAML 1.1 made booleans, octals, times and so on.
        check(
            "on: no\nn: y\no: off\nc: NO\nt: true\nf: False",
            &[r#"{"on":"no","n":"y","o":"off","c":"NO","t":true,"f":false}"#],
        );
        check(
            "a: 0755\nb: 1_000\nc: 1:30\nd: 2026-12-01T00:00:00Z\ne: 2026-12-01",
            &[r#"{"a":"0755","b":"1_000","c":"1:30","d":"2026-12-01T00:00:00Z","e":"2026-12-01"}"#],
        );
        check(
            "a: ~\nb:\nc: null\nd: ''",
            &[r#"{"a":null,"b":null,"c":null,"d":""}"#],
        );
        check(
            "a: '1'\nb: \"true\"\nc: !!str 5",
            &[r#"{"a":"1","b":"true","c":"5"}"#],
        );
        // Text of several lines, and quotes.
        check(
            "a: |\n  one\n  \"two\"\n",
            &[r#"{"a":"one\u000a\"two\"\u000a"}"#],
        );
        check("1: a\nyes: b", &[r#"{"1":"a","yes":"b"}"#]);
    }

    #[test]
    fn numbers_keep_their_text() {
        fn check(number: &str, expected: &str) {
            let found = json(&format!("a: {number}\nb: [ {number} ]"));
            assert_eq!(found, [format!(r#"{{"a":{expected},"b":[{expected}]}}"#)]);
        }
        for number in [
            "0",
            "-1",
            "1.10",
            "1e3",
            "1E400",
            "100",
            "12345678901234567890123",
            "0.1234567890123456789012345",
            "-0.0",
        ] {
            check(number, number);
        }
        check("0x1f", "31");
        check("+1", "1");
        check(".5", "0.5");
        // Through an alias, too.
        assert_eq!(json("a: &x 1.10\nb: *x"), [r#"{"a":1.10,"b":1.10}"#]);
    }

    #[test]
    fn anchors_and_merges_are_resolved() {
        let text = "- &base {url: u, events: [a]}\n- {<<: *base, state: paused}";
        assert_eq!(
            json(text),
            [r#"[{"url":"u","events":["a"]},{"state":"paused","url":"u","events":["a"]}]"#]
        );
    }

    #[test]
    fn errors_name_the_line() {
        fn check(text: &str, line: usize, words: &str) {
            let error = documents(text).unwrap_err();
            assert!(error.message.contains(words), "{text:?}: {error:?}");
            assert!(
                !error.message.contains('\n') && !error.message.contains("line"),
                "{error:?}"
            );
            assert_eq!(error.line, line, "{text:?}: {error:?}");
        }
        check("a: 1\nb: 2\na: 3\n", 3, "duplicate");
        check("a: [1\nb: 2\n", 2, "");
        check("ok: 1\n---\na: 'b\n", 3, "");
        check("a: *nowhere\n", 1, "unknown anchor");
        check("a: 1\nb: .inf\n", 2, "JSON");
        check("a: .nan\n", 1, "JSON");
        check("a: !secret x\n", 1, "tag");
        check("a:\n\t- b\n", 2, "");
        check("a: {b: [c, &d {e: *d}]}\n", 1, "");
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*l{},", level - 1).repeat(10);
            bomb += &format!("l{level}: &l{level} [{}]\n", before.trim_end_matches(','));
        }
        assert!(documents(&bomb).is_err());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(documents(&format!("a: {}", nested(100))).is_err());
        // What nests by aliases.
        let mut chain = format!("- &l0 {}\n", nested(60));
        for level in 1..100 {
            let (open, close) = ("[".repeat(60), "]".repeat(60));
            chain += &format!("- &l{level} {open}*l{}{close}\n", level - 1);
        }
        assert!(documents(&chain).is_err());
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let text = "# first\nurl: u\nfilters:\n  - field: a\n    operator: b\n  - not:\n      field: c\n---\nurl: x\n";
        let documents = documents(text).unwrap();
        let check =
            |path: &str, line: usize| assert_eq!(documents[0].line_of(path), line, "{path}");
        check("url", 2);
        check("filters[0].operator", 5);
        check("filters[1].not.field", 7);
        check("filters[1].not.missing.more", 7);
        check("missing", 2);
        assert_eq!(documents[1].line_of("url"), 9);
    }
}
