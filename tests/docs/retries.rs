//! The examples of `docs/retries.md`, read as subscriptions have them.

use std::time::Duration;

use hooktide::duration_text::canonical;
use hooktide::record::Subscription;
use hooktide::record::subscription::Rules;
use serde_json::{Value, json};

use crate::reference::rows;

fn subscription(member: &str, text: &str) -> Subscription {
    let value: Value = serde_json::from_str(text.trim_matches('`'))
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut subscription = json!({
        "url": "https://example.com/hooks", "events": ["*"], "signatures": [],
    });
    subscription[member] = value;
    let (key, bytes) = (
        "acme/shop".parse().unwrap(),
        subscription.to_string().into_bytes(),
    );
    Subscription::parse(&key, &bytes, &Rules::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `retry` and the waits that the page promises of it.
fn check(retry: &str, waits: &str) {
    let subscription = subscription("retry", retry);
    let policy = subscription.retry().unwrap();
    let at = |jitter| (1..).map_while(move |failed| policy.wait(failed, jitter));
    let shown: Vec<_> = at(0.0).map(canonical).collect();
    assert_eq!(shown.join(", "), waits, "{retry}");
    let (shortest, longest): (Duration, Duration) = (at(0.0).sum(), at(1.0).sum());
    assert!(longest >= shortest, "{retry}");
    if retry.contains(r#""jitter": 0"#) || retry.contains("schedule") {
        assert!(at(1.0).eq(at(0.0)), "{retry}");
    }
}

#[test]
fn policies_wait_as_the_page_says() {
    let (policies, elsewhere) = (
        rows("docs/retries.md", "Policies"),
        rows("docs/retries.md", "In the words of other systems"),
    );
    assert!(policies.len() >= 6 && elsewhere.len() >= 5);
    for row in policies {
        check(&row[0], &row[1]);
    }
    for row in elsewhere {
        check(&row[1], &row[2]);
    }
}

#[test]
fn answers_are_those_of_subscriptions() {
    let rows = rows("docs/retries.md", "What a status means");
    assert!(rows.len() >= 4);
    for row in rows {
        let answers = subscription("answers", &row[0]).answers().clone();
        assert_ne!(answers, Default::default(), "{}", row[0]);
    }
}
