//! `[redacted]` in a file stands for what the record on the topic has there. So what is exported can
//! lie in a repository, and be applied again, without anything secret in it.

use crate::record::json_text::{Kind, Node, quote};

use super::sameness;
use super::view::{REDACTED, redacted_members};

/// The mark, as it stands in strings.
const MARK: &str = "[redacted]";

/// A mark that stands for nothing.
#[derive(Debug, thiserror::Error)]
#[error("`{field}`: is {MARK}, and the record on the topic has nothing there to keep")]
pub(super) struct Lost {
    pub(super) field: String,
}

/// Whether something is to be kept.
pub(super) fn is_in(value: &str) -> bool {
    value.contains(MARK)
}

/// The object with what its marks stand for.
///
/// # Errors
/// The first mark that stands for nothing: what it was made from is not there, or has changed around it.
pub(super) fn restored(value: &str, present: Option<&[u8]>) -> Result<String, Lost> {
    if !is_in(value) {
        return Ok(value.to_owned());
    }
    let Ok(object) = Node::parse(value.as_bytes()) else {
        return Ok(value.to_owned()); // which is for others to judge
    };
    let old = present.and_then(|present| Node::parse(present).ok());
    let shown = present.map(redacted_members).unwrap_or_default();
    let mut members = Vec::new();
    for (name, member) in object.members() {
        let label = String::from_utf8_lossy(&name.unescaped()).into_owned();
        let old = old.and_then(|old| old.member(&label));
        let kept = if !is_in(member.text()) {
            member.text().to_owned()
        } else if label == "headers" && member.kind() == Kind::Object {
            headers(member, old)?
        } else {
            let shown = shown.iter().find(|(shown, _)| name.source() == shown);
            match (shown, old) {
                (Some((_, shown)), Some(old)) if sameness::is_same(shown, member.text()) => {
                    old.text().to_owned()
                }
                _ => return Err(Lost { field: label }),
            }
        };
        members.push(format!("{}:{kept}", quote(&label)));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// Each header for itself, so that one can change while another is kept.
fn headers(headers: Node<'_>, old: Option<Node<'_>>) -> Result<String, Lost> {
    let mut members = Vec::new();
    for (name, value) in headers.members() {
        let label = String::from_utf8_lossy(&name.unescaped()).into_owned();
        let kept = if sameness::is_same(value.text(), REDACTED) {
            let mut olds = old.into_iter().flat_map(Node::members);
            let same = olds.find(|(old, _)| {
                let old = old.unescaped();
                old.eq_ignore_ascii_case(label.as_bytes())
            });
            let Some((_, old)) = same else {
                let field = format!("headers.{label}");
                return Err(Lost { field });
            };
            old.text().to_owned()
        } else {
            value.text().to_owned()
        };
        members.push(format!("{}:{kept}", quote(&label)));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"url":"https://u:p@a/?t=1","headers":{"X-Key":"k","B":"c"},
        "secrets":["whsec_x"],"events":["*"]}"#;

    #[test]
    fn marks_stand_for_what_the_record_has() {
        fn check(value: &str, expected: &str) {
            let found = restored(value, Some(OLD.as_bytes())).unwrap();
            assert_eq!(found, expected, "{value}");
        }
        check(r#"{"events": ["a"]}"#, r#"{"events": ["a"]}"#);
        check(
            r#"{"url":"https://[redacted]@a/?[redacted]","events":["b"]}"#,
            r#"{"url":"https://u:p@a/?t=1","events":["b"]}"#,
        );
        check(
            r#"{"headers":{"x-key":"[redacted]","B":"new","C":"d"}}"#,
            r#"{"headers":{"x-key":"k","B":"new","C":"d"}}"#,
        );
        check(
            r#"{"secrets":["[redacted]"]}"#,
            r#"{"secrets":["whsec_x"]}"#,
        );
    }

    #[test]
    fn marks_that_stand_for_nothing_are_named() {
        fn check(value: &str, present: Option<&str>, field: &str) {
            let lost = restored(value, present.map(str::as_bytes)).unwrap_err();
            assert_eq!(lost.field, field, "{value}");
        }
        let url = r#"{"url":"https://[redacted]@b/?[redacted]"}"#;
        check(url, Some(OLD), "url");
        check(r#"{"url":"https://[redacted]@a/?[redacted]"}"#, None, "url");
        check(
            r#"{"headers":{"New":"[redacted]"}}"#,
            Some(OLD),
            "headers.New",
        );
        check(
            r#"{"headers":{"B":"[redacted]"}}"#,
            Some("no JSON"),
            "headers.B",
        );
        check(
            r#"{"description":"x [redacted]"}"#,
            Some(OLD),
            "description",
        );
        check(
            r#"{"secrets":["[redacted]","[redacted]"]}"#,
            Some(OLD),
            "secrets",
        );
    }
}
