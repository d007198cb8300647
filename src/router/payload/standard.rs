//! The usual body: `{"type":...,"timestamp":...,"data":...,"id":...}` without white space, its values as
//! the producer wrote them.

use super::Facts;
use super::fields::{Fields, member, select};
use crate::record::json_text::{Document, Kind, Node, minify_into, quote};

/// Renders the body. `fields` is the subscription's selection; without one the body holds the whole
/// `data` and nothing beside it.
///
/// With one, `data` holds what is selected in it (`{}` if nothing is), and further members of the
/// event's root of which something is selected, such as `metadata`, follow behind `id` in the order
/// of the event. Objects of which nothing is selected are left out.
///
/// A `timestamp` or `id` that is missing or null is that of the record. `type` and `data` are required
/// of every event; were one missing, `null` would stand in its place.
pub(super) fn render(facts: &Facts<'_>, fields: Option<&Fields>, body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"type\":");
    kind(facts, body);
    body.extend_from_slice(b",\"timestamp\":");
    timestamp(facts, body);
    body.extend_from_slice(b",\"data\":");
    data(facts, fields, body);
    body.extend_from_slice(b",\"id\":");
    id(facts, body);
    if let Some(fields) = fields {
        further_members(facts.document, fields, body);
    }
    body.push(b'}');
}

/// The event's type as it was written.
pub(super) fn kind(facts: &Facts<'_>, body: &mut Vec<u8>) {
    value(facts.document.member("type"), body);
}

/// The event's time as it was written, else the record's.
pub(super) fn timestamp(facts: &Facts<'_>, body: &mut Vec<u8>) {
    value_or(facts.document.member("timestamp"), facts.timestamp, body);
}

/// The event's id as it was written, else where it stands.
pub(super) fn id(facts: &Facts<'_>, body: &mut Vec<u8>) {
    value_or(facts.document.member("id"), facts.id, body);
}

/// `data`, or what is selected of it.
pub(super) fn data(facts: &Facts<'_>, fields: Option<&Fields>, body: &mut Vec<u8>) {
    let data = facts.document.member("data");
    match fields {
        None => value(data, body),
        Some(fields) => selected_data(data, fields, body),
    }
}

/// Room for a body without selection, in bytes.
pub(super) fn whole_size(event: &Document<'_>) -> usize {
    let values = ["type", "timestamp", "data", "id"];
    let sizes = values.map(|name| event.member(name).map_or(0, |node| node.text().len()));
    sizes.iter().sum::<usize>() + 128
}

fn value(node: Option<Node<'_>>, body: &mut Vec<u8>) {
    minify_into(node.map_or("null", Node::text), body);
}

fn value_or(node: Option<Node<'_>>, default: &str, body: &mut Vec<u8>) {
    match node.filter(|node| node.kind() != Kind::Null) {
        Some(node) => minify_into(node.text(), body),
        None => body.extend_from_slice(quote(default).as_bytes()),
    }
}

fn selected_data(data: Option<Node<'_>>, fields: &Fields, body: &mut Vec<u8>) {
    let written = match (data, fields.root().member(b"data")) {
        (Some(data), Some(selection)) => select(data, &selection, body),
        (None, _) | (_, None) => false,
    };
    if !written {
        body.extend_from_slice(b"{}");
    }
}

fn further_members(event: &Document<'_>, fields: &Fields, body: &mut Vec<u8>) {
    let root = fields.root();
    let mut further: Vec<_> = root
        .names()
        .filter(|name| !matches!(*name, "type" | "timestamp" | "data" | "id"))
        .filter_map(|name| Some((event.position(name)?, root.member(name.as_bytes())?)))
        .collect();
    further.sort_by_key(|(position, _)| *position);
    for (position, selection) in further {
        let (name, node) = &event.members()[position];
        member(name.source(), *node, &selection, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::payload::Facts;
    use crate::router::payload::tests::facts;

    fn render(document: &Document<'_>, fields: Option<&Fields>) -> Vec<u8> {
        let facts = Facts {
            id: "events/3/17",
            timestamp: "2026-11-22T10:00:00.000Z",
            ..facts(document)
        };
        let mut body = Vec::new();
        super::render(&facts, fields, &mut body);
        body
    }

    const EVENT: &str = r#"{ "metadata" : { "b" : 1, "a" : [ 1 , 2 ] }, "id" : "evt_\u0031",
        "type" : "order.created", "tenant":"acme", "timestamp" : "2026-11-22T11:00:00+01:00",
        "data" : { "z" : 1.10 , "y":1e3, "x" : "\u00e9 é" , "big" : 123456789012345678901234567890,
        "o" : { "p" : { "q" : -0.0, "r" : [ { "s" : 1 } ] }, "t" : null , "e":{} },
        "twice" : { "v" : 1 }, "t\u0077ice" : { "w" : 2 } } }"#;

    fn check(event: &str, fields: Option<&[&str]>, expected: &str) {
        let document = Document::parse(event.as_bytes()).unwrap();
        let fields = fields.map(|paths| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            Fields::parse(&paths).unwrap()
        });
        let body = render(&document, fields.as_ref());
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn values_keep_their_source_text() {
        check(
            EVENT,
            None,
            concat!(
                r#"{"type":"order.created","timestamp":"2026-11-22T11:00:00+01:00","data":"#,
                r#"{"z":1.10,"y":1e3,"x":"\u00e9 é","big":123456789012345678901234567890,"#,
                r#""o":{"p":{"q":-0.0,"r":[{"s":1}]},"t":null,"e":{}},"#,
                r#""twice":{"v":1},"t\u0077ice":{"w":2}},"id":"evt_\u0031"}"#,
            ),
        );
    }

    #[test]
    fn the_record_stands_in_for_what_the_event_does_not_say() {
        let expected = concat!(
            r#"{"type":"a","timestamp":"2026-11-22T10:00:00.000Z","data":[1,2],"#,
            r#""id":"events/3/17"}"#
        );
        check(r#"{"data":[1, 2],"type":"a"}"#, None, expected);
        check(
            r#"{"data":[1, 2],"type":"a","id":null,"timestamp":null}"#,
            None,
            expected,
        );
    }

    #[test]
    fn fields_keep_only_what_they_name() {
        let check = |fields: &[&str], data: &str, further: &str| {
            let expected = format!(
                concat!(
                    r#"{{"type":"order.created","timestamp":"2026-11-22T11:00:00+01:00","#,
                    r#""data":{},"id":"evt_\u0031"{}}}"#
                ),
                data, further
            );
            check(EVENT, Some(fields), &expected);
        };
        // The source's order, not that of the list.
        check(
            &["data.big", "data.x", "data.z"],
            r#"{"z":1.10,"x":"\u00e9 é","big":123456789012345678901234567890}"#,
            "",
        );
        check(&["data.o.p"], r#"{"o":{"p":{"q":-0.0,"r":[{"s":1}]}}}"#, "");
        check(
            &["data.o.p", "data.o.p.q"],
            r#"{"o":{"p":{"q":-0.0,"r":[{"s":1}]}}}"#,
            "",
        );
        check(
            &["data.o.t", "data.o.p.q"],
            r#"{"o":{"p":{"q":-0.0},"t":null}}"#,
            "",
        );
        check(&["data.o.e"], r#"{"o":{"e":{}}}"#, "");
        for nothing in [
            "data.missing",
            "data.o.missing",
            "data.o.p.missing",
            "data.z.missing",
            "data.o.p.r.s",
            "data.o.e.missing",
            "type",
            "id.x",
            "metadata.missing",
            "missing",
        ] {
            check(&[nothing], "{}", "");
        }
        check(&[], "{}", "");
        check(&["data.o.p.r[*].s"], r#"{"o":{"p":{"r":[{"s":1}]}}}"#, "");
        check(&["data.o.p.r[0]"], r#"{"o":{"p":{"r":[{"s":1}]}}}"#, "");
        check(&["data.o.p.r[1]"], r#"{"o":{"p":{"r":[]}}}"#, "");
        check(&["data.o.p.r[*].missing"], r#"{"o":{"p":{"r":[]}}}"#, "");
        check(&["data.o[*]", "data.z[0]"], "{}", "");
        check(&["metadata.a[1]"], "{}", r#","metadata":{"a":[2]}"#);
        check(
            &["metadata.a[1]", "metadata.a[*]"],
            "{}",
            r#","metadata":{"a":[1,2]}"#,
        );
        check(&["data.twice.v"], "{}", "");
        check(&["data.twice.w"], r#"{"t\u0077ice":{"w":2}}"#, "");
        check(&["metadata.a"], "{}", r#","metadata":{"a":[1,2]}"#);
        check(
            &["tenant", "metadata", "metadata.a"],
            "{}",
            r#","metadata":{"b":1,"a":[1,2]},"tenant":"acme""#,
        );
    }

    #[test]
    fn data_need_not_be_an_object() {
        let event = r#"{"type":"a","timestamp":"t","id":"i","data": [ 1 ]}"#;
        let body = |data: &str| format!(r#"{{"type":"a","timestamp":"t","data":{data},"id":"i"}}"#);
        check(event, Some(&["data"]), &body("[1]"));
        check(event, Some(&["data.x"]), &body("{}"));
    }

    #[test]
    fn selecting_every_member_changes_nothing() {
        use proptest::prelude::*;
        let value = prop_oneof![
            "[0-9]",
            Just(r#"{"x": [1 ]}"#.to_owned()),
            Just("\"{\"".to_owned())
        ];
        proptest!(|(members in prop::collection::hash_map("[a-f]{1,2}", value, 1..8))| {
            let data: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
            let event = format!(r#"{{"type":"t","data":{{{}}}}}"#, data.join(" ,"));
            let document = Document::parse(event.as_bytes()).unwrap();
            let paths: Vec<String> = members.keys().map(|name| format!("data.{name}")).collect();
            let fields = Fields::parse(&paths).unwrap();
            prop_assert_eq!(
                render(&document, Some(&fields)),
                render(&document, None)
            );
        });
    }
}
