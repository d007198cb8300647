//! Which members of a subscription change, as a person may see it: nothing secret is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::subscriptions::sameness;
use crate::cli::subscriptions::view::redacted_members;
use crate::record::json_text::Node;

/// A member that changes. Both sides can look the same: then what is not shown changes.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) member: String,
    /// None: it is not there.
    pub(super) old: Option<Box<RawValue>>,
    /// None: it goes.
    pub(super) new: Option<Box<RawValue>>,
}

/// What is different in a new value, in the order of names.
pub(super) fn differences(old: &[u8], new: &[u8]) -> Vec<Difference> {
    let (before, after) = (
        sameness::members(str::from_utf8(old).unwrap_or_default()),
        sameness::members(str::from_utf8(new).unwrap_or_default()),
    );
    let (shown_before, shown_after) = (shown(old), shown(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| match (before.get(*name), after.get(*name)) {
            (Some(old), Some(new)) => !sameness::is_same(old, new),
            (old, new) => old.is_some() || new.is_some(),
        })
        .map(|name| Difference {
            member: name.clone(),
            old: before.get(name).and_then(|_| raw(shown_before.get(name))),
            new: after.get(name).and_then(|_| raw(shown_after.get(name))),
        })
        .collect()
}

fn raw(text: Option<&String>) -> Option<Box<RawValue>> {
    RawValue::from_string(text?.clone()).ok()
}

/// Members by their names, redacted.
fn shown(value: &[u8]) -> BTreeMap<String, String> {
    let named = redacted_members(value).into_iter().map(|(name, value)| {
        let said = Node::parse(name.as_bytes()).ok().and_then(Node::string);
        let said = said.map(|said| String::from_utf8_lossy(&said).into_owned());
        (said.unwrap_or(name), value)
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_and_secrets_are_not() {
        fn check(old: &str, new: &str, expected: &[&str]) {
            let found: Vec<_> = differences(old.as_bytes(), new.as_bytes())
                .iter()
                .map(|difference| {
                    let side = |side: &Option<Box<RawValue>>| {
                        side.as_ref()
                            .map_or("-".to_owned(), |raw| raw.get().to_owned())
                    };
                    let Difference { member, old, new } = difference;
                    format!("{member} {} {}", side(old), side(new))
                })
                .collect();
            assert_eq!(found, expected);
        }
        check(
            r#"{"timeout":"1s"}"#,
            r#"{"timeout":"1s","state":"active"}"#,
            &[],
        );
        check(
            r#"{"timeout":"1s","state":"paused"}"#,
            r#"{"timeout":"2s","fields":["a"]}"#,
            &[
                r#"fields - ["a"]"#,
                r#"state "paused" -"#,
                r#"timeout "1s" "2s""#,
            ],
        );
        check(
            r#"{"secrets":["whsec_a"],"headers":{"A":"b"}}"#,
            r#"{"secrets":["whsec_b"],"headers":{"A":"c"}}"#,
            &[
                r#"headers {"A":"[redacted]"} {"A":"[redacted]"}"#,
                r#"secrets ["[redacted]"] ["[redacted]"]"#,
            ],
        );
        check(
            "not JSON",
            r#"{"url":"https://u:p@a/"}"#,
            &[r#"url - "https://[redacted]@a/""#],
        );
    }
}
