//! Records of real topics become events; what is not there is named, and never made up.

use super::debezium::tests::{ROW, change};
use super::*;
use crate::clock::Timestamp;
use crate::router::event_form::{EventForm, FormError};

/// A mapping of the topic `t`, but for the members given in TOML.
pub(super) fn mapping(members: &str) -> Mapping {
    toml::from_str(&format!("topic = 't'\n{members}")).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(members: &str) -> String {
    let refused = toml::from_str::<Mapping>(&format!("topic = 't'\n{members}"));
    refused.unwrap_err().message().to_owned()
}

/// A record on `shop.orders`.
#[derive(Clone, Copy, Default)]
pub(super) struct Record<'a> {
    key: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
    value: &'a [u8],
}

/// The event in the plain form, judged as that; else the reason.
pub(super) fn event(mapping: &Mapping, record: Record<'_>) -> Result<String, String> {
    let mut headers = Headers::new();
    for (name, value) in record.headers {
        headers.push(name, Some(value));
    }
    let source = Source {
        topic: "shop.orders",
        key: record.key,
        headers: &headers,
    };
    let read = || {
        let form = EventForm::of_source(Some(mapping), source, record.value)?;
        let decoded = form.decode(&headers, None)?;
        let at = "shop.orders/0/7".parse().unwrap();
        decoded.read(&at, Timestamp::from_millis(0))?;
        Ok(String::from_utf8(decoded.text.to_vec()).unwrap())
    };
    read().map_err(|error: FormError| error.reason().to_owned())
}

pub(super) fn value(text: &str) -> Record<'_> {
    Record {
        value: text.as_bytes(),
        ..Record::default()
    }
}

pub(super) fn ok(event: &str) -> Result<String, String> {
    Ok(event.to_owned())
}

fn because(reason: &str) -> Result<String, String> {
    Err(reason.to_owned())
}

#[test]
fn each_member_comes_from_where_it_is_said() {
    fn check(members: &str, expected: &str) {
        let record = Record {
            key: Some(br#"{"shop":"s1","n":7}"#),
            headers: &[("kind", b"old"), ("kind", b"Order.Made"), ("when", b"1795341600.5")],
            value: br#"{"a":{"kind":"paid","n":12,"ok":true,"none":null,"text":"{\"x\":1.10}"},"l":[{"id":"i1"}]}"#,
        };
        let mapping = mapping(members);
        assert_eq!(event(&mapping, record), ok(expected), "{members}");
    }
    let all = r#"{"a":{"kind":"paid","n":12,"ok":true,"none":null,"text":"{\"x\":1.10}"},"l":[{"id":"i1"}]}"#;
    let with = |event_type: &str| format!(r#"{{"type":"{event_type}","data":{all}}}"#);
    check("type = { constant = 'order.made' }", &with("order.made"));
    check("type = { header = 'kind' }", &with("Order.Made"));
    check("type = { topic = true }", &with("shop.orders"));
    check("type = { key = 'shop' }", &with("s1"));
    check(
        "type = { path = 'a.kind', prefix = 'order.', suffix = '.v1' }",
        &with("order.paid.v1"),
    );
    check(
        "type = { path = ['a.none', 'a.gone', 'a.kind'] }",
        &with("paid"),
    );
    check("type = { path = 'a.ok' }", &with("true"));
    check(
        "type = { path = 'a.gone', default = 'other' }",
        &with("other"),
    );
    check(
        "type = { header = 'kind', lower_case = true }",
        &with("order.made"),
    );
    check(
        r"type = { topic = true, capture = '^shop\.(.*)$' }",
        &with("orders"),
    );
    check(
        "type = { topic = true, capture = '^(no)', default = 'x' }",
        &with("x"),
    );
    check(
        "type = { path = 'a.n', values = { 12 = 'made', 13 = 'paid' }, prefix = 'order.' }",
        &with("order.made"),
    );
    let rest = |members: &str, event: &str| {
        check(&format!("type = {{ constant = 't' }}\n{members}"), event);
    };
    let before = |member: &str| format!(r#"{{{member},"type":"t","data":{all}}}"#);
    let behind = |member: &str| format!(r#"{{"type":"t",{member},"data":{all}}}"#);
    rest("id = { path = 'l[0].id' }", &before(r#""id":"i1""#));
    rest("id = { key = 'n' }", &before(r#""id":"7""#));
    rest(
        "id = { key = true }",
        &before(r#""id":"{\"shop\":\"s1\",\"n\":7}""#),
    );
    rest("id = { header = 'gone', optional = true }", &with("t"));
    rest(
        "tenant = { constant = 'acme' }",
        &behind(r#""tenant":"acme""#),
    );
    let time = r#""timestamp":"2026-11-22T10:00:00.500Z""#;
    rest("time = { header = 'when', unit = 's' }", &behind(time));
    rest("data = { path = 'a.n' }", r#"{"type":"t","data":12}"#);
    rest("data = { path = 'a.none' }", r#"{"type":"t","data":null}"#);
    rest(
        "data = { path = ['a.none', 'a.ok'] }",
        r#"{"type":"t","data":true}"#,
    );
    rest(
        "data = { path = 'a.text', json = true }",
        r#"{"type":"t","data":{"x":1.10}}"#,
    );
    rest(
        "data = { path = 'a.n', json = true }",
        r#"{"type":"t","data":12}"#,
    );
    rest(
        "data = { header = 'kind' }",
        r#"{"type":"t","data":"Order.Made"}"#,
    );
    rest(
        "data = { key = true, json = true }",
        r#"{"type":"t","data":{"shop":"s1","n":7}}"#,
    );
    rest("data = { value = true }", &with("t"));
}

#[test]
fn values_need_not_be_objects_or_json() {
    fn check(format: &str, bytes: &[u8], expected: Result<String, String>) {
        let mapping = mapping(&format!("{format}\ntype = {{ constant = 't' }}"));
        let record = Record {
            value: bytes,
            ..Record::default()
        };
        assert_eq!(event(&mapping, record), expected, "{format} {bytes:?}");
    }
    let data = |data: &str| Ok(format!(r#"{{"type":"t","data":{data}}}"#));
    check("", b" [1, 2] ", data("[1, 2]"));
    check("", b"\"a\"", data("\"a\""));
    check("", b"hello", because("not_json"));
    check("", b"", because("not_json"));
    check("", br#"1,"tenant":"forged""#, because("not_json"));
    check("", b"\x00\x00\x00\x00\x01x", because("no_schema_registry"));
    check("", b"\x00\x00", because("truncated_framing"));
    // A member of a mapped value makes no CloudEvent of it.
    check(
        "",
        br#"{"specversion":"1.0"}"#,
        data(r#"{"specversion":"1.0"}"#),
    );
    check("format = 'text'", b"say \"hi\"", data(r#""say \"hi\"""#));
    check("format = 'text'", b"", data(r#""""#));
    check("format = 'text'", b"\xff", because("not_utf8"));
    check("format = 'bytes'", b"\x00\xff", data(r#""AP8=""#));
    check("format = 'json'", b"1", data("1"));
    let parsed = "format = 'text'\ndata = { value = true, json = true }";
    check(parsed, br#"{"a":1}"#, data(r#"{"a":1}"#));
    check(parsed, b"{", because("mapping_data_not_json"));
    let deep = "[".repeat(128) + &"]".repeat(128);
    check("", deep.as_bytes(), because("too_deep"));
}

#[test]
fn what_is_not_there_is_named() {
    fn check(members: &str, record: Record<'_>, reason: &str) {
        let mapping = mapping(members);
        assert_eq!(event(&mapping, record), because(reason), "{members}");
    }
    let record = value(r#"{"o":{},"t":"acme","e":"","n":null,"s":"\ud800","x":"no json"}"#);
    check("type = { path = 'kind' }", record, "mapping_no_type");
    check("type = { path = 'n' }", record, "mapping_no_type");
    check(
        "type = { path = 't', values = { other = 'x' } }",
        record,
        "mapping_no_type",
    );
    check(
        "type = { path = 't', capture = '^(x)' }",
        record,
        "mapping_no_type",
    );
    check("type = { header = 'kind' }", record, "mapping_no_type");
    check("type = { path = 'o' }", record, "mapping_not_text");
    check("type = { path = 's' }", record, "mapping_not_text");
    check("type = { path = 'e' }", record, "bad_type");
    let rest = |members: &str, record: Record<'_>, reason: &str| {
        check(
            &format!("type = {{ constant = 't' }}\n{members}"),
            record,
            reason,
        );
    };
    rest("id = { key = true }", record, "mapping_no_id");
    rest("id = { key = 'id' }", record, "mapping_no_id");
    rest(
        "tenant = { header = 'tenant' }",
        record,
        "mapping_no_tenant",
    );
    rest("tenant = { path = 'x' }", record, "bad_tenant");
    rest("time = { path = 'n' }", record, "mapping_no_time");
    rest("time = { path = 't' }", record, "bad_timestamp");
    rest(
        "time = { path = 't', unit = 'ms' }",
        record,
        "bad_timestamp",
    );
    rest("data = { path = 'gone' }", record, "mapping_no_data");
    rest(
        "data = { path = 'x', json = true }",
        record,
        "mapping_data_not_json",
    );
    let key = Record {
        key: Some(b"k-1"),
        headers: &[("tenant", b"\xff"), ("kind", b"a\nb")],
        value: b"1",
    };
    rest("id = { key = 'id' }", key, "mapping_key_not_json");
    rest("tenant = { header = 'tenant' }", key, "mapping_not_text");
    check("type = { header = 'kind' }", key, "bad_type");
}

/// Whatever the record says of itself, what the operator fixes stays.
#[test]
fn a_record_cannot_forge_what_is_constant() {
    let mapping = mapping("type = { header = 'kind' }\ntenant = { constant = 'acme' }");
    let record = Record {
        headers: &[
            ("kind", br#"a","tenant":"other"#),
            ("ce_specversion", b"1.0"),
            ("ce_tenant", b"other"),
        ],
        value: br#"{"tenant":"other","type":"x","data":1}"#,
        ..Record::default()
    };
    let expected = r#"{"type":"a\",\"tenant\":\"other","tenant":"acme","data":{"tenant":"other","type":"x","data":1}}"#;
    assert_eq!(event(&mapping, record), ok(expected));
}

#[test]
fn wrong_mappings_are_refused_by_name() {
    fn check(members: &str, said: &str) {
        let refusal = refusal(members);
        assert!(refusal.contains(said), "{members}: {refusal}");
    }
    check("", "must have a `type`, or `unwrap`");
    check("typ = 1", "unknown field `typ`");
    check("type = 'order'", "invalid type: string");
    check("type = { heder = 'x' }", "unknown field `heder`");
    check("type = {}", "exactly one of");
    check("type = { prefix = 'x' }", "exactly one of");
    check("type = { header = 'x', key = true }", "exactly one of");
    check("type = { topic = false }", "`topic` must be true");
    check("type = { key = false }", "`key` must be true");
    check("type = { key = 1 }", "path into a key");
    check("type = { header = '' }", "`header` must not be empty");
    check(
        "type = { path = 'a..b' }",
        "`path`: a path must not have an empty step",
    );
    check("type = { key = '' }", "`key`: a path must not be empty");
    check("type = { path = [] }", "1 to 16 paths");
    check("type = { path = 1 }", "a path, or a list of paths");
    check("type = { topic = true, capture = 'x' }", "one group");
    check("type = { topic = true, capture = '(' }", "one group");
    check("type = { topic = true, capture = '(a)(b)' }", "one group");
    check("type = { constant = '' }", "`type` cannot be ``");
    check(
        "type = { header = 'a', default = '' }",
        "`type` cannot be ``",
    );
    check(
        "type = { header = 'a', values = { a = '' } }",
        "`type` cannot be ``",
    );
    check(
        "type = { header = 'a', unit = 'ms' }",
        "`type` takes no `unit`",
    );
    check(
        "type = { header = 'a', json = true }",
        "`type` takes no `json`",
    );
    check(
        "type = { header = 'a', optional = true }",
        "`type` takes no `optional`",
    );
    let rest = |members: &str, said: &str| {
        check(&format!("type = {{ constant = 't' }}\n{members}"), said);
    };
    rest("tenant = { constant = 'a/b' }", "`tenant` cannot be `a/b`");
    rest(
        "tenant = { path = 't', default = '.a' }",
        "`tenant` cannot be `.a`",
    );
    rest("id = { constant = 'x' }", "`id` takes no `constant`");
    rest("id = { topic = true }", "`id` takes no `topic`");
    rest(
        "id = { path = 'id', default = 'x' }",
        "`id` takes no `default`",
    );
    rest("time = { constant = 'x' }", "`time` takes no `constant`");
    rest(
        "time = { path = 'x', unit = 'min' }",
        "unknown variant `min`",
    );
    rest(
        "data = { path = 'x', prefix = 'y' }",
        "`data` takes no `prefix`",
    );
    rest(
        "data = { path = 'x', capture = '(x)' }",
        "`data` takes no `capture`",
    );
    rest("format = 'avro'", "unknown variant `avro`");
    rest(
        "format = 'text'\nid = { path = 'id' }",
        "`id` takes a `path` only where",
    );
    rest(
        "format = 'bytes'\nunwrap = 'debezium'",
        "takes `unwrap` only where",
    );
    rest("snapshots = 'skip'", "takes `snapshots` only with `unwrap`");
    rest("unwrap = 'maxwell'", "unknown variant `maxwell`");
}

#[test]
fn the_first_mapping_that_is_meant_counts() {
    let all = ["a", "^eu\\.", "^"].map(|topic| {
        let text = format!("topic = '{topic}'\ntype = {{ constant = 't' }}");
        toml::from_str::<Mapping>(&text).unwrap()
    });
    let found = |topic: &str| {
        let found = Mapping::of(&all, topic)?;
        all.iter().position(|one| std::ptr::eq(one, found))
    };
    assert_eq!(found("a"), Some(0));
    assert_eq!(found("eu.a"), Some(1));
    assert_eq!(found("us.a"), Some(2));
    assert_eq!(found("__consumer_offsets"), None);
    assert!(Mapping::of(&all[..1], "b").is_none());
}

proptest::proptest! {
    /// What an event has of a record stands in the record, or in the mapping; and it is JSON.
    #[test]
    fn a_mapping_adds_nothing(
        kind in "[a-z\"\\\\]{0,8}",
        tenant in "[a-z]{0,8}",
        id in proptest::option::of("[ -~]{0,8}"),
        data in proptest::sample::select(vec!["1", "null", "{\"tenant\":\"x\"}", "[\"\\ud800\"]", "\"a\""]),
    ) {
        let mapping = mapping(
            "type = { header = 'kind' }\ntenant = { path = 'tenant' }\n\
             id = { key = true, optional = true }\ndata = { path = 'data' }",
        );
        let text = format!(r#"{{"tenant":{},"data":{data}}}"#, quote(&tenant));
        let headers = [("kind", kind.as_bytes())];
        let record = Record {
            key: id.as_deref().map(str::as_bytes),
            headers: &headers,
            value: text.as_bytes(),
        };
        let is_event = !kind.is_empty() && !tenant.is_empty() && id.as_deref() != Some("");
        let found = event(&mapping, record);
        proptest::prop_assert_eq!(found.is_ok(), is_event, "{:?}", found);
        if let Ok(event) = found {
            let id = id.map(|id| format!("\"id\":{},", quote(&id))).unwrap_or_default();
            let (kind, tenant) = (quote(&kind), quote(&tenant));
            let expected = format!(r#"{{{id}"type":{kind},"tenant":{tenant},"data":{data}}}"#);
            proptest::prop_assert_eq!(event, expected);
        }
    }

    /// Whatever a topic holds, it is an event, passed over, or an error of a fixed set.
    #[test]
    fn any_value_has_a_verdict(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
        cut in 0_usize..400,
        operation in proptest::sample::select(vec!["c", "u", "d", "r", "t", "m", "?"]),
    ) {
        let whole = change(operation, "null", ROW);
        let cut = &whole.as_bytes()[..cut.min(whole.len())];
        for members in [
            "unwrap = 'debezium'",
            "type = { path = 'op' }\ntime = { path = 'ts_ms', unit = 'ms' }\ndata = { path = 'after' }",
            "format = 'text'\ntype = { constant = 't' }",
            "format = 'bytes'\ntype = { constant = 't' }",
        ] {
            let mapping = mapping(members);
            for value in [bytes.as_slice(), cut, whole.as_bytes()] {
                let record = Record { key: Some(&bytes), value, ..Record::default() };
                if let Ok(event) = event(&mapping, record) {
                    proptest::prop_assert!(Node::parse(event.as_bytes()).is_ok(), "{}", event);
                }
            }
        }
    }
}
