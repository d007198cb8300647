//! The request body of an event: `{"type":...,"timestamp":...,"data":...,"id":...}` without white
//! space, its values as the producer wrote them.

mod fields;

use bytes::Bytes;

pub use fields::{Fields, FieldsError};
use fields::{Selected, Selection};

use crate::record::json_text::{Document, Kind, Node, minify_into, quote};

/// What stands in the body where the event itself does not say; plain text, not JSON.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// The record's time, RFC 3339.
    pub timestamp: &'a str,
    /// `topic/partition/offset` of the record.
    pub id: &'a str,
}

/// Renders the body. `fields` is the subscription's selection; without one the body holds the whole
/// `data` and nothing beside it.
///
/// With one, `data` holds what is selected in it (`{}` if nothing is), and further members of the
/// event's root of which something is selected, such as `metadata`, follow behind `id` in the order
/// of the event. Objects of which nothing is selected are left out.
///
/// A `timestamp` or `id` that is missing or null is taken from the defaults. `type` and `data` are
/// required of every event; were one missing, `null` would stand in its place.
pub fn render(event: &Document<'_>, defaults: Defaults<'_>, fields: Option<&Fields>) -> Bytes {
    let mut body = Vec::with_capacity(match fields {
        None => whole_size(event),
        // Usually little of a large event: the body waits in memory, so it must not hold more.
        Some(_) => 256,
    });
    body.extend_from_slice(b"{\"type\":");
    value(event.member("type"), &mut body);
    body.extend_from_slice(b",\"timestamp\":");
    value_or(event.member("timestamp"), defaults.timestamp, &mut body);
    body.extend_from_slice(b",\"data\":");
    match fields {
        None => value(event.member("data"), &mut body),
        Some(fields) => selected_data(event.member("data"), fields, &mut body),
    }
    body.extend_from_slice(b",\"id\":");
    value_or(event.member("id"), defaults.id, &mut body);
    if let Some(fields) = fields {
        further_members(event, fields, &mut body);
    }
    body.push(b'}');
    body.into()
}

/// Room for a body without selection, in bytes.
fn whole_size(event: &Document<'_>) -> usize {
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
    let written = match (data, fields.root().selection("data")) {
        (Some(data), Some(selection)) => select(data, selection, body),
        (None, _) | (_, None) => false,
    };
    if !written {
        body.extend_from_slice(b"{}");
    }
}

fn further_members(event: &Document<'_>, fields: &Fields, body: &mut Vec<u8>) {
    let mut further: Vec<(usize, &Selection)> = fields
        .root()
        .iter()
        .filter(|(name, _)| !matches!(*name, "type" | "timestamp" | "data" | "id"))
        .filter_map(|(name, selection)| Some((event.position(name)?, selection)))
        .collect();
    further.sort_by_key(|(position, _)| *position);
    for (position, selection) in further {
        let (name, node) = &event.members()[position];
        member(name.source(), *node, selection, body);
    }
}

/// Writes what is selected of a value; nothing, and false, if nothing is.
fn select(node: Node<'_>, selection: &Selection, body: &mut Vec<u8>) -> bool {
    match selection {
        Selection::Whole => {
            minify_into(node.text(), body);
            true
        }
        Selection::Members(selected) => select_members(node, selected, body),
    }
}

/// As [`select`]; recurses as deep as a path has steps.
fn select_members(node: Node<'_>, selected: &Selected, body: &mut Vec<u8>) -> bool {
    // Of a repeated name the last counts, and stands where that one stands.
    let mut last = vec![None; selected.len()];
    for (position, (name, value)) in node.members().enumerate() {
        if let Some(index) = selected.position(&name.unescaped()) {
            last[index] = Some((position, name, value));
        }
    }
    let mut found: Vec<_> = last
        .into_iter()
        .zip(selected.iter())
        .filter_map(|(found, (_, selection))| Some((found?, selection)))
        .collect();
    found.sort_by_key(|((position, ..), _)| *position);

    let start = body.len();
    body.push(b'{');
    for ((_, name, value), selection) in found {
        member(name.source(), value, selection, body);
    }
    if body.len() == start + 1 {
        body.truncate(start);
        return false;
    }
    body.push(b'}');
    true
}

/// Writes a member behind others, or nothing if nothing of it is selected.
fn member(name: &str, node: Node<'_>, selection: &Selection, body: &mut Vec<u8>) {
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

    const DEFAULTS: Defaults<'static> = Defaults {
        timestamp: "2026-11-22T10:00:00.000Z",
        id: "events/3/17",
    };

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
        let body = render(&document, DEFAULTS, fields.as_ref());
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
                render(&document, DEFAULTS, Some(&fields)),
                render(&document, DEFAULTS, None)
            );
        });
    }
}
