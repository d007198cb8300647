//! What a template can make a router do, counted in bytes that it allocates: no more than its fuel pays for, whatever the
//! template and the event.

use allocation_counter::measure;
use proptest::prelude::*;

use super::{FUEL, made};
use crate::router::payload::template::meter::BYTES_PER_FUEL;

/// All that is ever allocated for one rendering, in bytes, for each byte that the fuel pays for. Texts that grow
/// are copied, JSON escapes make six bytes of one, and a value in a list takes 24 and more; a bomb makes thousands.
const MOST: u64 = 32 * FUEL * BYTES_PER_FUEL;

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

fn listed(text: &str, times: usize) -> String {
    vec![text; times].join(",")
}

/// Every way to make much of little that is known: lists of the same again and again, in lists, compared, searched,
/// joined and made texts.
fn bombs() -> Vec<String> {
    let grown = "{% set x = [data] %}".to_owned() + &repeated("{% set x = [x, x] %}", 40);
    let twins = "{% set x = [1] %}{% set y = [1] %}".to_owned()
        + &repeated("{% set x = [x, x] %}{% set y = [y, y] %}", 40);
    let added = "{% set x = [1] %}".to_owned() + &repeated("{% set x = x + x %}", 30);
    let lazily = format!("{added}{}", repeated("{% set x = x + [1] %}", 60));
    let maps =
        "{% set x = {'a': 1} %}".to_owned() + &repeated("{% set x = {'a': x, 'b': x} %}", 40);
    let many = listed("data", 5_000);
    let texts = listed("data.s", 5_000);
    let each = "{% for i in range(10000) %}";
    vec![
        format!("{{{{ [{many}] in 'abc' }}}}"),
        format!("{{{{ [{texts}] in 'abc' }}}}"),
        format!("{{{{ ([{texts}] in 'abc') or ([{texts}] in 'abc') }}}}"),
        format!("{{{{ [{many}] is startingwith 'a' }}}}"),
        format!("{{{{ 'a' is endingwith([{many}]) }}}}"),
        format!("{{{{ [{many}] | select('in', 'abc') | list }}}}"),
        format!("{{{{ [{many}] == [{many}] }}}}"),
        format!("{{{{ [{texts}] < [{texts}] }}}}"),
        format!("{{{{ [{texts}] | sum }}}}"),
        format!("{{{{ [{texts}] | sum(start='') }}}}"),
        format!("{{{{ [{many}] | unique | list }}}}"),
        format!("{{{{ [{many}] | sort | first }}}}"),
        format!("{{{{ [{many}] | map('string') | list | length }}}}"),
        format!("{{{{ [{many}] | map('in', 'abc') | list }}}}"),
        format!("{{{{ {{[{many}]: 1}} }}}}"),
        format!("{{{{ data[[{many}]] }}}}"),
        format!("{{{{ [{many}] ~ [{many}] }}}}"),
        format!("{{{{ dict(a=[{many}]) in 'abc' }}}}"),
        format!("{{% set n = namespace(a=[{many}]) %}}{{{{ n in 'abc' }}}}"),
        format!("{grown}{{{{ x in 'abc' }}}}"),
        format!("{grown}{{{{ x }}}}"),
        format!("{grown}{{{{ x | tojson | length }}}}"),
        format!("{grown}{{{{ x | string | length }}}}"),
        format!("{grown}{{{{ x ~ x }}}}"),
        format!("{grown}{{{{ [x] | join(x) }}}}"),
        format!("{twins}{{{{ x == y }}}}"),
        format!("{twins}{{{{ x < y }}}}"),
        format!("{twins}{{{{ x in [y] }}}}"),
        format!("{twins}{{{{ [x, y] | unique | list | length }}}}"),
        format!("{twins}{{{{ [x, y] | max | length }}}}"),
        format!("{twins}{{{{ [x] | select('eq', y) | list }}}}"),
        format!("{twins}{{{{ {{x: 1, y: 2}} | length }}}}"),
        format!("{maps}{{{{ x == {{'a': x, 'b': x}} }}}}"),
        format!("{maps}{{{{ x in 'abc' }}}}"),
        lazily.clone(),
        format!("{lazily}{{{{ x | length }}}}"),
        format!("{added}{{{{ x | list | length }}}}"),
        format!("{added}{{{{ x[1:] | length }}}}"),
        "{{ ([data] * 100000000) in 'abc' }}".to_owned(),
        "{{ ([1] * 100000000) == ([2] * 100000000) }}".to_owned(),
        "{{ (([1] * 10000) * 10000) | last }}".to_owned(),
        "{{ ('a' * 100000000) | length }}".to_owned(),
        "{{ ([data.s] * 100000) | join }}".to_owned(),
        format!("{each}{{{{ data in 'abc' }}}}{{% endfor %}}"),
        format!("{each}{{{{ data == {{'s': data.s}} }}}}{{% endfor %}}"),
        format!("{each}{{{{ data.s == data.s[1:] }}}}{{% endfor %}}"),
        format!("{each}{{{{ data.s | split('') | length }}}}{{% endfor %}}"),
        format!("{each}{{{{ data.s | list | length }}}}{{% endfor %}}"),
        format!("{each}{{{{ data.s[::-1] | length }}}}{{% endfor %}}"),
        format!("{each}{{{{ data.s | upper | lower | trim | length }}}}{{% endfor %}}"),
        format!("{each}{{{{ data | tojson | length }}}}{{% endfor %}}"),
        format!("{each}{{% set x %}}{{{{ data }}}}{{% endset %}}{{% endfor %}}"),
        format!("{each}{{{{ source('data.s') | length }}}}{{% endfor %}}"),
        "{% set n = namespace(x='a') %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}".to_owned(),
        repeated("{% set x = (data.s | default([])) | list %}", 300),
        "{{ data.s | split('') | map('list') | map('list') | map('list') | list | length }}".to_owned(),
    ]
}

#[test]
fn no_more_is_allocated_than_the_fuel_pays_for() {
    let event = format!(r#"{{"type":"t","data":{{"s":"{}"}}}}"#, "x".repeat(50_000));
    for text in bombs() {
        let mut failed = Ok(String::new());
        let used = measure(|| failed = made(&event, "text/plain", &text));
        let shown = &text[text.len().saturating_sub(60)..];
        let failed = failed.expect_err(shown);
        let is_named = [
            "router.template_fuel",
            "nested too deep",
            "unknown",
            "takes numbers alone",
            "cannot be converted",
        ];
        assert!(
            is_named.iter().any(|name| failed.contains(name)),
            "{shown}: {failed}"
        );
        assert!(
            used.bytes_total < MOST,
            "{shown}: {} bytes",
            used.bytes_total
        );
    }
}

#[test]
fn values_nest_no_deeper_than_a_stack_bears() {
    let deeper = |by: &str, times| format!("{{% set x = [] %}}{}", repeated(by, times));
    let in_a_loop =
        "{% set n = namespace(x=[]) %}{% for i in range(50000) %}{% set n.x = [n.x] %}{% endfor %}";
    let circle = "{% set n = namespace() %}{% set n.x = n %}{{ n in 'a' }}{{ n }}{{ n == n.x }}";
    for text in [
        deeper("{% set x = [x] %}", 1_500),
        deeper("{% set x = {'a': x} %}", 1_000),
        deeper("{% set x = (x, 1) %}", 1_000),
        deeper("{% set x = dict(a=x) %}", 1_000),
        deeper("{% set x = namespace(a=x) %}", 800),
        deeper("{% set x = [x] | map('list') %}", 800),
        in_a_loop.to_owned(),
        circle.to_owned(),
    ] {
        let worker = std::thread::Builder::new().stack_size(1_024 * 1_024);
        let work = move || made(r#"{"type":"t","data":1}"#, "text/plain", &text);
        let failed = worker.spawn(work).unwrap().join().unwrap().unwrap_err();
        let is_named = ["nested too deep", "takes no lists"];
        assert!(
            is_named.iter().any(|name| failed.contains(name)),
            "{failed}"
        );
    }
}

/// Anything that templates are made of, put together any way.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "data",
        "data.s",
        "data.l",
        "event",
        "x",
        "y",
        "1",
        "'ab'",
        "none",
        "data.l[0]",
        "range(50)",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 40, 4, |inner| {
            let operator =
                prop::sample::select(vec!["==", "<", "in", "not in", "+", "~", "*", "and", "or"]);
            let filter = prop::sample::select(vec![
                "string",
                "tojson",
                "list",
                "unique",
                "sort",
                "reverse",
                "join",
                "items",
                "length",
                "map('string')",
                "select('in', data)",
                "map(attribute='s')",
                "first",
                "upper",
                "split('x')",
                "sum",
                "max",
                "d(1)",
            ]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|items| format!("[{}]", items.join(", "))),
                (inner.clone(), inner.clone()).prop_map(|(k, v)| format!("{{{k}: {v}, 's': {v}}}")),
                (inner.clone(), filter).prop_map(|(of, filter)| format!("({of} | {filter})")),
                (inner.clone(), -3..3_i32).prop_map(|(of, at)| format!("({of}[{at}:])")),
                inner.prop_map(|of| format!("(1 if {of} else 2)")),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_that_can_be_written_allocates_more(
        steps in prop::collection::vec((prop::bool::ANY, any_expression()), 1..12),
        rounds in 1..100_u32,
    ) {
        let mut text = "{% set x = data.l %}{% set y = data.s %}".to_owned();
        for (is_x, expression) in &steps {
            let name = if *is_x { "x" } else { "y" };
            text += &format!("{{% set {name} = [x, {expression}] %}}{{% for i in range({rounds}) %}}{{{{ {expression} }}}}{{% endfor %}}");
        }
        let event = format!(r#"{{"type":"t","data":{{"s":"{}","l":["a",{{"s":"b"}}]}}}}"#, "x".repeat(5_000));
        let used = measure(|| drop(made(&event, "text/html", &text)));
        prop_assert!(used.bytes_total < MOST, "{} bytes", used.bytes_total);
    }
}
