//! What expressions say of events, what is refused, and that nothing hostile gets far.

use std::time::{Duration, Instant};

use super::*;
use crate::record::json_text::Document;
use crate::router::payload::tests::facts;

const EVENT: &str = r#"{"id":"evt_1","type":"order.created","tenant":"acme","timestamp":"2026-11-22T10:00:00Z",
    "data":{"amount":150.5,"count":3,"big":18446744073709551615,"name":"J\u00fcrgen","nothing":null,"paid":true,
    "items":[{"sku":"A-1","qty":2},{"sku":"B-2","qty":5}],"tags":["x","y"],"twice":1,"twice":2,
    "a b":1},"metadata":{"region":"eu"}}"#;

fn ask(event: &str, expression: &str) -> Result<bool, Failure> {
    let document = Document::parse(event.as_bytes()).unwrap();
    let expression = Expression::compile(expression).unwrap();
    expression.holds(&EventValue::of(&facts(&document)))
}

#[test]
fn expressions_read_the_event() {
    fn check(expression: &str, expected: bool) {
        assert_eq!(ask(EVENT, expression), Ok(expected), "{expression}");
    }
    check("type == 'order.created'", true);
    check("tenant == 'acme' && id == 'evt_1'", true);
    check("data.amount > 100.0", true);
    check("data.amount > 100", true);
    check("data.count * 2 == 6", true);
    check("data.count % 2 == 0", false);
    check("data.big == 18446744073709551615u", true);
    check("data.name == 'Jürgen' && data.name.startsWith('J')", true);
    check("data.name.matches('^J.r')", true);
    check("matches(data.name, '^X')", false);
    check("data.nothing == null", true);
    check("data.paid", true);
    check("data.twice == 2", true);
    check("data['a b'] == 1", true);
    check("has(data.amount) && !has(data.missing)", true);
    check("has(metadata.region)", true);
    check("'region' in metadata", true);
    check("data.items[1].sku == 'B-2'", true);
    check("data.items.exists(i, i.sku == 'A-1' && i.qty > 1)", true);
    check("data.items.all(i, i.qty > 2)", false);
    check("data.items.exists_one(i, i.qty > 2)", true);
    check("size(data.items.filter(i, i.qty > 2)) == 1", true);
    check("data.items.filter(i, i.qty > 2)[0].sku == 'B-2'", true);
    check(
        "data.items.exists(i, data.tags.exists(t, i.sku.contains(t)))",
        false,
    );
    check("data.tags == ['x', 'y'] && ['x', 'y'] == data.tags", true);
    check("data.tags != ['x'] && ['x'] != data.tags", true);
    check(
        "data == data && data.items == data.items && data != metadata",
        true,
    );
    check("'x' in data.tags && !('z' in data.tags)", true);
    check("data.name in ['Jürgen', 'Else']", true);
    check("data.exists(k, k == 'amount')", true);
    check(
        "size(data.name) == 6 && data.tags.size() == 2 && size(metadata) == 1",
        true,
    );
    check("timestamp > timestamp('2026-01-01T00:00:00Z')", true);
    check("timestamp.getFullYear() == 2026", true);
    check(
        "timestamp - duration('1h') < timestamp('2026-11-22T09:30:00Z')",
        true,
    );
    check("data.count > 2 ? data.paid : false", true);
    check("data.name + '!' == 'Jürgen!'", true);
    check("double(data.count) * 1.5 > 4.0", true);
    // A missing part that does not matter.
    check("data.missing > 1 || data.paid", true);
}

#[test]
fn what_cannot_be_told_says_why() {
    fn check(expression: &str, reason: FailureReason, message: &str) {
        let failure = ask(EVENT, expression).unwrap_err();
        assert_eq!(
            (failure.reason, failure.message.as_str()),
            (reason, message),
            "{expression}"
        );
    }
    check(
        "data.missing == 1",
        FailureReason::Missing,
        "there is no `missing`",
    );
    check(
        "data.items[7].sku == 'A'",
        FailureReason::Missing,
        "a list has no element of that index",
    );
    check(
        "data.items[-1].sku == 'A'",
        FailureReason::Missing,
        "a list has no element of that index",
    );
    check(
        "metadata.a.b == 1",
        FailureReason::Missing,
        "there is no `a`",
    );
    check(
        "data.name > 1",
        FailureReason::Type,
        "found no matching overload for '_>_' applied to '(string, int)'",
    );
    check(
        "data.count",
        FailureReason::NotBoolean,
        "its result is of type int, neither true nor false",
    );
    check(
        "data.amount + data.count > 1.0",
        FailureReason::Type,
        "`add` of values of these types",
    );
    check(
        "data.count / 0 == 1",
        FailureReason::Value,
        "division by zero",
    );
    check(
        "int(data.name) == 1",
        FailureReason::Value,
        "`int` of a value that it cannot take",
    );
    check(
        "data.big + data.big > 1u",
        FailureReason::Value,
        "`add` of numbers that are too large",
    );
    let no_metadata = r#"{"type":"t","data":{}}"#;
    assert_eq!(ask(no_metadata, "has(metadata.region)"), Ok(false));
}

#[test]
fn refuses_by_place_and_rule() {
    fn check(expression: &str, expected: &str) {
        let refused = Expression::compile(expression).map_err(|error| error.to_string());
        assert_eq!(refused.unwrap_err(), expected, "{expression}");
    }
    check(
        "true &&\n  dat.a == 1",
        "line 2, column 3: there is no `dat`: an expression knows `type`, `tenant`, `id`, `timestamp`, `data` and `metadata`",
    );
    check(
        "data.a.lower() == 'a'",
        "line 1, column 13: there is no function `lower`",
    );
    check(
        "size(data.a.map(x, x)) > 1",
        "line 1, column 16: `map` is not supported: `all`, `exists`, `exists_one` and `filter` are",
    );
    check(
        "[data.a] == [1]",
        "line 1, column 1: a list may hold constants only",
    );
    check(
        "{'a': 1} == data",
        "line 1, column 1: objects cannot be made",
    );
    check(
        "data.a.matches(data.b)",
        "line 1, column 20: the pattern of `matches` must be a text that stands in the expression",
    );
    for (expression, start) in [
        ("data.a ==", "line 1, column "),
        ("data.a = 1", "line 1, column "),
        (
            "data.a.matches('(')",
            "line 1, column 16: the pattern of `matches` is refused: ",
        ),
        (
            "data.a.matches('(a{1000}){1000}')",
            "line 1, column 16: the pattern of `matches` is refused: ",
        ),
        ("data.?a == 1", "line 1, column "),
    ] {
        let refused = Expression::compile(expression).map_err(|error| error.to_string());
        assert!(
            refused.as_ref().unwrap_err().starts_with(start),
            "{refused:?}"
        );
    }
}

/// On as little of a stack as any thread of ours has.
fn compile_on_small_stack(text: String) -> Option<String> {
    let work = move || {
        let document = Document::parse(EVENT.as_bytes()).unwrap();
        let compiled = Expression::compile(&text);
        if let Ok(expression) = &compiled {
            drop(expression.holds(&EventValue::of(&facts(&document))));
        }
        compiled.err().map(|error| error.to_string())
    };
    std::thread::Builder::new()
        .stack_size(2 * 1_024 * 1_024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn hostile_texts_are_errors_and_no_overflow() {
    fn check(text: String, expected: &str) {
        let refused = compile_on_small_stack(text.clone());
        let shown = &text[..text.len().min(40)];
        assert!(
            refused
                .as_ref()
                .is_some_and(|error| error.contains(expected)),
            "{shown}: {refused:?}"
        );
    }
    let nested =
        |open: &str, close: &str, count: usize| open.repeat(count) + "true" + &close.repeat(count);
    for count in [17, 1_000, 10_000] {
        check(nested("(", ")", count), "brackets nest deeper");
        check(nested("[", "]", count), "brackets nest deeper");
        check("(".repeat(count), "brackets nest deeper");
        check("true ? ".repeat(count), "choices");
        check(
            "a".to_owned() + &".a".repeat(count.max(401)),
            "more than 400",
        );
    }
    check(vec!["id"; 900].join("||"), "more than 1000 parts");
    check(vec!["1"; 1_000].join(" == "), "operators nest deeper");
    check(
        "data".to_owned() + &".a".repeat(399),
        "operators nest deeper",
    );
    check(
        "data".to_owned() + &"[0]".repeat(399),
        "operators nest deeper",
    );
    check(
        vec!["1"; 1_000].join(" * ") + " == 1",
        "operators nest deeper",
    );
    check(
        "data.a".to_owned() + &" + data.a".repeat(9),
        "`+` more than 8 times",
    );
    check(
        format!("data.a in [{}]", vec!["1"; 1_200].join(",")),
        "more than 1000 parts",
    );
    let loops = "data.a.exists(a, a.exists(b, b.exists(c, c)))";
    check(loops.to_owned(), "loops stand in one another");
    // These are taken, or not; but nothing breaks.
    for text in [
        "!".repeat(4_000) + "true",
        "-".repeat(4_000) + "1 == 1",
        nested("(", ")", 16),
        nested("!(", ")", 16),
        vec!["data.paid"; 60].join(" && "),
        vec!["data.paid"; 60].join(" || "),
        "a.".repeat(1_000),
        "'".repeat(4_001),
        "\\".repeat(4_000),
        "\u{0}\u{feff}".repeat(500),
        "/*".repeat(1_000),
    ] {
        compile_on_small_stack(text);
    }
}

#[test]
fn work_is_bounded() {
    fn check(event: &str, expression: &str) {
        let begun = Instant::now();
        let answer = ask(event, expression);
        let failure = answer.unwrap_err();
        assert_eq!(failure.reason, FailureReason::Limit, "{expression}");
        // Far above what it takes, far below what it would.
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{expression}: {:?}",
            begun.elapsed()
        );
    }
    let list = vec!["0"; 100_000].join(",");
    let event = format!(
        r#"{{"type":"t","data":{{"l":[{list}],"s":"{}"}}}}"#,
        "x".repeat(200_000)
    );
    check(&event, "data.l.all(a, a == 0)");
    check(&event, "data.l.exists(a, data.l.exists(b, b == 1))");
    check(&event, "data.l.exists_one(a, data.s.contains('xy'))");
    check(
        &event,
        "size(data.l.filter(a, data.s.matches('(x+x+)+y'))) == 1",
    );
    check(&event, "data.l == data.l");
    check(&event, "1 in data.l");
    let words = format!(r#"{{"type":"t","data":[{list}]}}"#);
    assert_eq!(ask(&words, "size(data) == 100000"), Ok(true));
    assert_eq!(ask(&words, "data[99999] == 0"), Ok(true));
}

proptest::proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z0-9 .()\\[\\]{}?:&|!+<>=,'\"-]{0,60}") {
        if let Ok(expression) = Expression::compile(&text) {
            let document = Document::parse(EVENT.as_bytes()).unwrap();
            drop(expression.holds(&EventValue::of(&facts(&document))));
        }
    }
}
