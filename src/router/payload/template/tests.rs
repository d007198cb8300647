//! What templates make, that values stay values, and that no template does too much.

mod bounds;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::record::json_text::Document;
use crate::record::subscription::{Rules, Subscription};
use crate::record::{DeliveryId, EventKey, SubscriptionKey};
use crate::router::payload::tests::{any_json, facts};

const FUEL: u64 = 200_000;

fn made(event: &str, content_type: &str, text: &str) -> Result<String, String> {
    let template =
        Template::compile(text, content_type, FUEL).map_err(|error| error.to_string())?;
    let document = Document::parse(event.as_bytes()).unwrap();
    let key: SubscriptionKey = "acme/s1".parse().unwrap();
    let value = br#"{"url":"https://e.com/","events":["*"],"signatures":[],"labels":{"a b":"x"}}"#;
    let subscription = Subscription::parse(&key, value, &Rules::default()).unwrap();
    let recipient = Recipient {
        key: &key,
        subscription: &subscription,
        delivery_id: &DeliveryId::derive("acme", "t", EventKey::Id("e"), "s1"),
    };
    let event = EventValues::of(&facts(&document));
    template
        .render(&event, recipient)
        .map_err(|error| error.to_string())
}

const EVENT: &str = r#"{"type":"order.created","id":"evt_1","data":{"n":1.10,"big":12345678901234567890123,
    "huge":123456789012345678901234567890123456789012345,"s":"a\"b\\c\n<&>","t":true,"none":null,
    "items":[{"b":2,"a":1.0},{"b":3}],"twice":1,"twice":2,"lone":"\ud800"}}"#;

#[test]
fn values_are_written_as_the_content_type_asks() {
    fn check(content_type: &str, text: &str, expected: &str) {
        assert_eq!(
            made(EVENT, content_type, text).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
    let json = "application/json";
    check(
        json,
        r#"{"a":"{{ data.s }}"}"#,
        r#"{"a":"a\"b\\c\u000a<&>"}"#,
    );
    check(json, "{{ data.s | tojson }}", r#""a\"b\\c\u000a<&>""#);
    check(
        "application/hal+json; charset=utf-8",
        r#"["{{ data.s }}"]"#,
        r#"["a\"b\\c\u000a<&>"]"#,
    );
    check(json, "{{ data.items }}", r#"[{"b":2,"a":1.0},{"b":3}]"#);
    check(
        json,
        "[{{ data.t }},{{ data.none }},{{ data.big }},{{ data.twice }}]",
        "[true,null,12345678901234567890123,2]",
    );
    check(json, "{{ source('data.n') }}", "1.10");
    check(
        json,
        "[{{ data.n }},{{ source('data.huge') }}]",
        "[1.1,123456789012345678901234567890123456789012345]",
    );
    check(
        json,
        r#"{{ {"b": data.n, "list": [data.items[1], "\"", 1.5, none]} | tojson }}"#,
        r#"{"b":1.1,"list":[{"b":3},"\"",1.5,null]}"#,
    );
    check(json, "{{ event.data.items[0] }}", r#"{"b":2,"a":1.0}"#);
    check(json, "{{ (data.n + 2) | round(1) }}", "3.1");
    check(
        json,
        "[{% for i in data.items if i.b > 2 %}{{ i.b }}{% endfor %}]",
        "[3]",
    );
    check(
        json,
        r#""{{ id }} {{ tenant }} {{ timestamp }} {{ type }}""#,
        r#""evt_1 acme 2026-11-22T10:00:00Z order.created""#,
    );
    check(
        json,
        r#"{{ subscription.labels["a b"] | tojson }}"#,
        r#""x""#,
    );
    check(json, r#""{{ data.lone }}""#, "\"\u{fffd}\"");
    check(json, "{{ data.missing | default(0) }}", "0");
    check(json, "{{ 1 if data.missing is defined else 2 }}", "2");
    check("text/plain", "{{ data.s }}", "a\"b\\c\n<&>");
    check(
        "application/x-www-form-urlencoded",
        "s={{ data.s }}&n={{ data.n }}",
        "s=a%22b%5Cc%0A%3C%26%3E&n=1%2E1",
    );
    check(
        "text/html",
        "<p>{{ data.s }}</p>",
        "<p>a&quot;b\\c\n&lt;&amp;&gt;</p>",
    );
}

#[test]
fn failures_name_line_and_reason() {
    fn check(text: &str, expected: &str) {
        let failed = made(EVENT, "application/json", text).unwrap_err();
        assert!(failed.starts_with(expected), "{text}: {failed}");
    }
    check("{\n\"a\": {{ data.missing }} }", "line 2: undefined value");
    check("{{ data.missing.more }}", "line 1: undefined value");
    check("{{ metadata.region }}", "line 1: undefined value");
    check("{{ nothing }}", "line 1: undefined value");
    check("\n\n{% if %}", "line 3: syntax error");
    check("{{ data.s | shout }}", "line 1: unknown filter");
    check("{{ data.s + 1 }}", "line 1: invalid operation");
    check(
        "{{ source('data.none.x') }}",
        "line 1: undefined value: source: there is no `data.none.x`",
    );
    check(
        "{{ source('a..b') }}",
        "line 1: invalid operation: source: a path must not",
    );
    check(r#"{"a": {{ data.s }} }"#, "what it makes is not JSON");
    check("", "what it makes is not JSON");
    check(&"[".repeat(200), "what it makes is not JSON");
    let deep = "[".repeat(130) + &"]".repeat(130);
    check(&deep, "what it makes is nested deeper than 128 levels");
}

#[test]
fn nothing_outside_of_the_event_can_be_reached() {
    for text in [
        "{% include 'body' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{{ debug() }}",
        "{{ env }}",
        "{{ self }}",
        "{{ event.__class__ }}",
        "{{ event.tojson() }}",
    ] {
        assert!(made(EVENT, "text/plain", text).is_err(), "{text}");
    }
}

#[test]
fn template_bombs_run_out_of_fuel() {
    let double = "{% set x = x ~ x %}".repeat(60);
    let blocks = "{% set x %}{{ x }}{{ x }}{% endset %}".repeat(60);
    let replaced = "{% set x = x | replace('a', x) %}".repeat(20);
    for text in [
        "{% for i in range(100000) %}{% for j in range(100000) %}a{% endfor %}{% endfor %}"
            .to_owned(),
        format!("{{% set x = 'aaaaaaaa' %}}{double}{{{{ x }}}}"),
        format!("{{% set x = 'aaaaaaaa' %}}{blocks}{{{{ x }}}}"),
        format!("{{% set x = 'aaaaaaaa' %}}{replaced}{{{{ x }}}}"),
        "{{ 'a' * 1000000000 }}".to_owned(),
        "{{ ([data, data] | join) | replace('x', data.s) }}".to_owned(),
        "{{ (range(10000) | list) * 100000 }}".to_owned(),
        "{{ 'a' | indent(1000000000) }}{{ '%1000000000d' | format(1) }}".to_owned(),
        "{% for i in range(1000) %}{{ data | tojson }}{% endfor %}".to_owned(),
        "{% for i in range(100000) %}{{ source('data.s') }}{% endfor %}".to_owned(),
        "{% for i in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}".to_owned(),
    ] {
        let event = format!(r#"{{"type":"t","data":{{"s":"{}"}}}}"#, "x".repeat(100_000));
        let failed = made(&event, "text/plain", &text).unwrap_err();
        let is_bounded = [
            "is not supported",
            "unknown filter",
            "router.template_fuel",
            "too large",
            "recursion",
            "too large",
            "invalid",
        ]
        .iter()
        .any(|bound| failed.contains(bound));
        assert!(is_bounded, "{text}: {failed}");
    }
    for text in [
        format!("{{{{ [{}] | tojson }}}}", vec!["data"; 5_000].join(",")),
        format!("{{{{ [{}] }}}}", vec!["data"; 5_000].join(",")),
        format!("{{{{ [{}] | string }}}}", vec!["data"; 5_000].join(",")),
        format!("{{{{ {} }}}}", vec!["data"; 3_000].join("~")),
        format!("{{{{ {} }}}}", vec!["data.s"; 3_000].join("+")),
        "{{ ([data.s] * 100000) | join }}".to_owned(),
        "{{ ([data] * 100000) | join(',') }}".to_owned(),
        "{{ ([data.s] * 100000) | map('upper') | list | length }}".to_owned(),
        "{{ ([data.s] * 100000) | map('replace', 'x', 'yy') | join }}".to_owned(),
        "{{ ([data.s] * 100000) | sum }}".to_owned(),
        "{{ ([data.s] * 100000) | tojson }}".to_owned(),
        "{{ ([data.s] * 100000) | string | length }}".to_owned(),
        "{{ ([data.s] * 100000) | unique | list }}".to_owned(),
        "{{ ([data.s] * 100000) | sort | first }}".to_owned(),
        "{{ ([data.s] * 100000) | groupby('x') }}".to_owned(),
        "{{ data.s | list | map('replace', 'x', data.s) | list | length }}".to_owned(),
        "{{ data.s | replace('x', data.s) }}".to_owned(),
        "{{ data.s | split('') | join(data.s) }}".to_owned(),
        "{{ data.s | urlencode | urlencode | urlencode | escape | escape }}{{ data.s * 64 }}"
            .to_owned(),
        "{{ data.s | indent(10000) | indent(10000) }}{{ data.s * 64 }}".to_owned(),
        "{{ ('%s' * 5000) | format(data.s) }}{{ data.s * 64 }}".to_owned(),
        "{{ ([data.s] * 100000) | batch(2) | list | tojson }}".to_owned(),
        "{{ dict(a=[data.s] * 100000) | pprint }}".to_owned(),
        "{% set x = [data] %}{% for i in range(10000) %}{{ x }}{% endfor %}".to_owned(),
        "{% for i in range(100000) %}{{ data == data }}{% endfor %}".to_owned(),
        "{% for i in range(100000) %}{{ data.s in data.s }}{% endfor %}".to_owned(),
    ] {
        let event = format!(r#"{{"type":"t","data":{{"s":"{}"}}}}"#, "x".repeat(50_000));
        let failed = made(&event, "text/plain", &text);
        assert!(
            failed.as_ref().is_err_and(|error| error.len() < 1_000),
            "{text:.60}"
        );
    }
    // Nor does compiling one.
    for text in [
        "{{ ".to_owned() + &"(".repeat(10_000),
        "{{ ".to_owned() + &"[".repeat(10_000),
        "{{ ".to_owned() + &"not ".repeat(10_000),
        "{{ ".to_owned() + &"-".repeat(10_000) + "1 }}",
        "{% if a %}".repeat(5_000),
        "{{ a".to_owned() + &".a".repeat(16_380) + " }}",
        "{{ 1".to_owned() + &"+1".repeat(16_380) + " }}",
        "{{ a".to_owned() + &"~a".repeat(16_380) + " }}",
        "{{ 1".to_owned() + &"|e".repeat(16_380) + " }}",
        "{{ a".to_owned() + &"[0]".repeat(10_920) + " }}",
        "{{ a".to_owned() + &"()".repeat(16_380) + " }}",
        "{{ 1".to_owned() + &"if 1 else 1".repeat(2_900) + " }}",
        "{%if a%}x{%elif b%}".to_owned() + &"x{%elif b%}".repeat(2_900) + "{%endif%}",
    ] {
        let worker = std::thread::Builder::new().stack_size(2 * 1_024 * 1_024);
        let work = move || drop(made(EVENT, "text/plain", &text));
        worker.spawn(work).unwrap().join().unwrap();
    }
}

#[test]
fn what_is_said_again_means_the_same() {
    let mut wrong = Vec::new();
    let mut check = |text: &'static str, expected: &str| {
        let made = made(EVENT, "text/plain", text);
        if made.as_deref() != Ok(expected) {
            wrong.push((text, made));
        }
    };
    check("* ~ {{ '* ~' }} {# ~ #}*", "* ~ * ~ *");
    check(
        "{{ 2 * 3 }} {{ 2 ** 3 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 1 / 4 }}",
        "6 8 3 3 0.25",
    );
    check(
        "{{ 1 + 2 + 3 - 4 * 5 }} {{ -data.twice + 3 }} {{ 'ab' * 3 }}",
        "-14 1 ababab",
    );
    check(
        "{{ data.s[2:3] ~ 1 ~ data.items ~ none }}",
        r#"b1[{"b":2,"a":1.0},{"b":3}]null"#,
    );
    check(
        "{{ data.items[::-1] }}{{ data.items[1:] }}",
        r#"[{"b":3},{"b":2,"a":1.0}][{"b":3}]"#,
    );
    check(
        "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 2 not in [1, 3] }}",
        "true false true",
    );
    check(
        "{{ 2 in [1, 2] and 'b' in data.s or none }} {{ not 1 }}",
        "true false",
    );
    check(
        "{{ 'x' if data.t else 'y' }}{{ ('x' if false) | default('z') }}",
        "xz",
    );
    check(
        "{% if data.none %}1{% elif data.t %}2{% else %}3{% endif %}",
        "2",
    );
    check(
        "{% if false %}1{% elif false %}2{% else %}3{% endif %}",
        "3",
    );
    check(
        "{% for k, v in {'a': 1, \"b\": 2.5} | items if k != 'c' %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}",
        "1a12b2.5",
    );
    check("{% for x in [] %}1{% else %}2{% endfor %}", "2");
    check(
        "{% for x in range(4) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
        "abab",
    );
    check(
        "{% set a, (b, c) = (1, (2, 3)) %}{{ a }}{{ b }}{{ c }}",
        "123",
    );
    check(
        "{% with a = 1, (b, c) = (2, 3) %}{{ [a, b, c] }}{% endwith %}",
        "[1,2,3]",
    );
    check("{% set x | upper %}a{{ 1 }}{% endset %}{{ x }}", "A1");
    check(
        "{% filter upper | replace('A', 'b') %}a{{ 1 }}{% endfilter %}",
        "b1",
    );
    check(
        "{% set n = namespace(sum=0) %}{% for i in [1, 2] %}{% set n.sum = n.sum + i %}{% endfor %}{{ n.sum }}",
        "3",
    );
    check(
        "{% raw %}{{ a }}{% b %}{# c #}{% endraw %}{{ 1 }}",
        "{{ a }}{% b %}{# c #}1",
    );
    check(
        "{ {{- 1 }}{{ {'a': 1} }}} {{ '\\n\\\\\"\\u00e4' }}",
        "{1{\"a\":1}} \n\\\"\u{e4}",
    );
    check(
        "{{ data.items | map(attribute='b') | sum }} {{ data.items | sum(attribute='b') }}",
        "5 5",
    );
    check(
        "{{ [0.5, true] | sum(start=1) }} {{ 'a,b,c' | split(',', 1) }}",
        r#"2.5 ["a","b,c"]"#,
    );
    check(
        "{{ data.items | selectattr('b', 'gt', 2) | list }}",
        r#"[{"b":3}]"#,
    );
    check("{{ ['b', 'a', 'b'] | unique | sort | join('-') }}", "a-b");
    check(
        "{{ 3 is odd }}{{ 'ab' is startingwith 'a' }}{{ 2 is in [2] }}{{ 1 is not eq 1 }}",
        "truetruetruefalse",
    );
    check(
        "{{ source('data.n') is string }}{{ data.missing is defined }}",
        "truefalse",
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_counted_is_refused_with_its_line() {
    for text in [
        "\n{% for i in [1] recursive %}{% endfor %}",
        "\n{% autoescape true %}{% endautoescape %}",
        "\n{% do range(1) %}",
        "\n{{ loop([1]) }}",
        "\n{{ data.items.keys() }}",
        "\n{{ data.f()() }}",
        "\n{{ range(*[1]) }}",
        "\n{{ dict(**data) }}",
    ] {
        let refused = made(EVENT, "text/plain", text).unwrap_err();
        assert!(refused.starts_with("line 2: "), "{text}: {refused}");
        assert!(refused.ends_with(" is not supported"), "{text}: {refused}");
    }
}

#[test]
fn a_long_message_is_cut() {
    let failed = made(
        EVENT,
        "text/plain",
        &format!("{{{{ data | {} }}}}", "x".repeat(5_000)),
    );
    assert!(failed.unwrap_err().len() <= LONGEST_MESSAGE + 20);
}

proptest! {
    #[test]
    fn a_value_cannot_leave_its_text(said in any::<String>()) {
        let event = json!({"type": "t", "data": {"s": said}}).to_string();
        let json = made(&event, "application/json", r#"{"a":"{{ data.s }}","b":{{ data.s | tojson }}}"#);
        let json: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
        prop_assert_eq!(json, json!({"a": said, "b": said}));
        let form = made(&event, "application/x-www-form-urlencoded", "a={{ data.s }}&b=1").unwrap();
        let pairs: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).collect();
        prop_assert_eq!(pairs, [("a".into(), said.as_str().into()), ("b".into(), "1".into())]);
    }

    #[test]
    fn an_event_comes_through_as_it_is(data in any_json()) {
        let event = json!({"type": "t", "data": data}).to_string();
        prop_assert_eq!(made(&event, "application/json", "{{ data | tojson }}").unwrap(), data.to_string());
    }
}
