//! Change events as connectors write them become events, with what they hold and no more.

use crate::router::event_form::mapping::tests::{event, mapping, ok, value};

pub(in super::super) const ROW: &str = r#"{"id":1,"total":12.50}"#;
const SOURCE: &str = r#"{"version":"3.2.0.Final","connector":"postgresql","name":"shop","ts_ms":1795341600000,"snapshot":"false","db":"shop","schema":"public","table":"orders","txId":571,"lsn":24023128}"#;

/// A change event without Connect's schema.
pub(in super::super) fn change(operation: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{SOURCE},"transaction":null,"op":"{operation}","ts_ms":1795341600123}}"#
    )
}

#[test]
fn debezium_is_unwrapped() {
    fn check(members: &str, text: &str, expected: Result<&str, &str>) {
        let mapping = mapping(&format!("unwrap = 'debezium'\n{members}"));
        let metadata = format!(
            r#","metadata":{{"source":{SOURCE},"transaction":null,"op":"?","ts_ms":1795341600123}}}}"#
        );
        let found = event(&mapping, value(text)).map(|event| {
            let operation = event
                .find(r#""op":""#)
                .map(|at| event[at + 6..].split_at(1).0);
            let expected = metadata.replace('?', operation.unwrap_or_default());
            event.strip_suffix(&expected).unwrap_or(&event).to_owned()
        });
        assert_eq!(
            found.as_deref().map_err(|error| &**error),
            expected,
            "{members} {text}"
        );
    }
    let time = r#""timestamp":"2026-11-22T10:00:00.000Z""#;
    let created =
        format!(r#"{{"type":"orders.created",{time},"data":{{"before":null,"after":{ROW}}}"#);
    check("", &change("c", "null", ROW), Ok(&created));
    let with_schema = |payload: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","name":"shop.public.orders.Envelope"}},"payload":{payload}}}"#
        )
    };
    check("", &with_schema(&change("c", "null", ROW)), Ok(&created));
    let updated = format!(
        r#"{{"type":"order.updated","tenant":"acme",{time},"data":{{"before":{ROW},"after":{{"id":2}}}}"#
    );
    let members = "type = { constant = 'order' }\ntenant = { constant = 'acme' }";
    check(members, &change("u", ROW, r#"{"id":2}"#), Ok(&updated));
    let deleted = format!(
        r#"{{"id":"1","type":"shop.orders.deleted",{time},"data":{{"before":{ROW},"after":null}}"#
    );
    let members = "type = { path = 'source.table', prefix = 'shop.' }\nid = { path = ['after.id', 'before.id'] }";
    check(members, &change("d", ROW, "null"), Ok(&deleted));
    // Own times and data.
    let own = r#"{"type":"orders.created","timestamp":"2026-11-22T10:00:00.123Z","data":12.50"#;
    let members = "time = { path = 'ts_ms', unit = 'ms' }\ndata = { path = 'after.total' }";
    check(members, &change("c", "null", ROW), Ok(own));

    let read = change("r", "null", ROW);
    check("", &read, Err("skipped"));
    check("snapshots = 'skip'", &read, Err("skipped"));
    check("snapshots = 'created'", &read, Ok(&created));
    check("", &change("t", "null", "null"), Err("skipped"));
    check(
        "",
        r#"{"op":"m","message":{"prefix":"p","content":"aGk="},"source":{}}"#,
        Err("skipped"),
    );
    check("", r#"{"schema":null,"payload":null}"#, Err("skipped"));
    check("", &change("x", "null", ROW), Err("not_debezium"));
    check("", r#"{"ts_ms":1}"#, Err("not_debezium"));
    check("", r#"{"op":1}"#, Err("not_debezium"));
    check("", r#"{"op":"c"}"#, Err("not_debezium"));
    check("", "[]", Err("not_debezium"));
    check("", r#"{"op":"c","after":{}}"#, Err("mapping_no_type"));
}

#[test]
fn what_a_connector_leaves_out_is_not_added() {
    fn check(text: &str, expected: &str) {
        let mapping = mapping("unwrap = 'debezium'");
        assert_eq!(event(&mapping, value(text)), ok(expected), "{text}");
    }
    // The connector's own time where the database has none.
    check(
        r#"{"after":{"a":1},"source":{"table":"t","ts_ms":0},"op":"c","ts_ms":1795341600000}"#,
        r#"{"type":"t.created","timestamp":"2026-11-22T10:00:00.000Z","data":{"after":{"a":1}},"metadata":{"source":{"table":"t","ts_ms":0},"op":"c","ts_ms":1795341600000}}"#,
    );
    // MongoDB's rows are texts.
    check(
        r#"{"before":null,"after":"{\"_id\":{\"$oid\":\"6\"}}","source":{"collection":"carts"},"op":"u"}"#,
        r#"{"type":"carts.updated","data":{"before":null,"after":{"_id":{"$oid":"6"}}},"metadata":{"source":{"collection":"carts"},"op":"u"}}"#,
    );
    check(
        r#"{"after":"{,","source":{"collection":"carts"},"op":"u"}"#,
        r#"{"type":"carts.updated","data":{"after":"{,"},"metadata":{"source":{"collection":"carts"},"op":"u"}}"#,
    );
}
