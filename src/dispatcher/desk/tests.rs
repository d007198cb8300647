//! What becomes of a task, without Kafka or HTTP.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;

use super::super::{auto_disable, standing};
use super::*;
use crate::http::{Answer, ErrorClass, Exchange, Failure};
use crate::metrics::KafkaMetrics;
use crate::record::subscription::Rules;
use crate::record::{Coordinates, DeliveryId, EventKey, TaskHeaders};
use crate::retry::Policy;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const KEY: &[u8] = b"acme/s1";

fn at(offset: i64) -> Coordinates {
    Coordinates {
        topic: "deliveries".into(),
        partition: 0,
        offset,
    }
}

fn ledger() -> Ledger {
    Ledger {
        deliveries: "deliveries".into(),
        tiers: ["1s", "3s", "10s"]
            .map(|name| format!("retry.{name}").into())
            .into(),
        dlq: "dlq".into(),
        attempts: "attempts".into(),
        record_deliveries: true,
        record_failures: true,
        longest_retry_after: Duration::from_secs(3_600),
        default_policy: Policy::schedule(vec![Duration::from_secs(1)], 0.0).unwrap(),
        default_max_age: Duration::from_hours(24),
        resume_within: Duration::from_hours(6),
        instance: "i".into(),
    }
}

fn standing() -> Standing {
    Standing::new(standing::Settings {
        rule: auto_disable::Rule {
            is_on: true,
            after: Duration::from_hours(1),
            min_attempts: 2,
            warn_at: 0.5,
        },
        endpoints: "endpoints".into(),
        notices: "notices".into(),
        partitions: 4,
        window: Duration::from_mins(1),
        instance: "i".into(),
    })
}

fn metrics() -> DispatcherMetrics {
    let registry = Registry::new();
    DispatcherMetrics::register(&registry, &KafkaMetrics::register(&registry).unwrap()).unwrap()
}

fn desk() -> Desk {
    let ladder = Ladder::try_new([1, 3, 10].map(Duration::from_secs)).unwrap();
    Desk::new(
        ladder,
        ledger(),
        endpoints::Settings {
            breaker: endpoints::breaker::Settings {
                failure_ratio: 0.8,
                min_requests: 10,
                window: Duration::from_secs(30),
                first_probe: Duration::from_secs(5),
                longest_probe: Duration::from_secs(300),
            },
            max_in_flight: 1_024,
            max_per_host: 256,
            is_adaptive: false,
        },
        standing(),
        metrics(),
    )
}

/// A table whose only subscription's newest record is at offset 0.
fn table(members: &str) -> SubscriptionTable {
    let mut table = SubscriptionTable::new(Rules::default());
    let value =
        format!(r#"{{"url":"https://example.com/","events":["*"],"signatures":[]{members}}}"#);
    table.apply(Some(KEY), Some(value.as_bytes()), 0);
    assert_eq!(table.counts().invalid, 0, "{value}");
    table
}

fn view(table: &SubscriptionTable) -> TableView<'_> {
    static NOTHING: LazyLock<EndpointTable> = LazyLock::new(EndpointTable::default);
    TableView {
        endpoints: &NOTHING,
        table,
        position: 1,
    }
}

fn record(offset: i64, change: impl FnOnce(&mut TaskHeaders)) -> Incoming {
    let mut headers = TaskHeaders {
        delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("e"), "s1"),
        event_id: "e".into(),
        event_type: "order.created".into(),
        attempt: 0,
        charged: 0,
        parks: 0,
        parked: None,
        first_seen: NOW,
        not_before: None,
        source: "events/0/0".parse().unwrap(),
        revision: 0,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough: crate::record::Headers::new(),
    };
    change(&mut headers);
    Incoming {
        at: at(offset),
        timestamp: Some(NOW),
        key: Some(Bytes::from_static(KEY)),
        value: Some(Bytes::from_static(b"{\"type\":\"order.created\"}")),
        headers: headers.encode(),
    }
}

/// A lane with all the room that it can have.
fn lane(index: usize, delay: Option<Duration>) -> LaneView {
    LaneView {
        index,
        delay,
        room: 700,
        free_memory: 64 << 20,
    }
}

/// Where records went, in their order.
fn written(desk: &mut Desk) -> Vec<(String, Outgoing)> {
    let records = desk.outbox().take("attempts", 1);
    records
        .into_iter()
        .map(|record| (record.topic.to_string(), record))
        .collect()
}

fn topics(written: &[(String, Outgoing)]) -> Vec<&str> {
    written.iter().map(|(topic, _)| topic.as_str()).collect()
}

fn answered(status: u16) -> Exchange {
    Exchange {
        duration: Duration::from_millis(5),
        result: Ok(Answer {
            status,
            ..Answer::default()
        }),
    }
}

/// Sends the only task that may go and concludes its request.
fn send(desk: &mut Desk, table: &SubscriptionTable, exchange: &Exchange) {
    let (task, compiled, revision) = desk.next_to_send(view(table), NOW).unwrap();
    desk.landed(&task.subscription, NOW);
    let sent = Sent {
        task: &task,
        compiled: &compiled,
        revision,
        started_at: NOW,
        ended_by: NOW,
        exchange,
    };
    desk.conclude(sent, view(table), NOW, 0.0);
}

#[test]
fn an_outcome_is_terminal_and_says_where_the_task_goes() {
    fn check(members: &str, attempt: u32, exchange: Exchange, expected: &[&str]) {
        let (mut desk, table) = (desk(), table(members));
        let record = record(7, |headers| {
            (headers.attempt, headers.charged) = (attempt, attempt)
        });
        desk.take(&record, lane(3, None), view(&table), NOW);
        assert!(desk.bytes() > 0);
        send(&mut desk, &table, &exchange);
        // What people are told has tests of its own.
        let mut written = written(&mut desk);
        written.retain(|(topic, _)| topic != "notices");
        assert_eq!(topics(&written), expected, "{members} {exchange:?}");
        assert_eq!(desk.take_finished(), [(3, 7)]);
        desk.outbox().committed();
        assert_eq!(desk.bytes(), 0);
    }
    let failed = |class| Exchange {
        duration: Duration::ZERO,
        result: Err(Failure::new(class, "")),
    };
    check("", 0, answered(204), &["attempts"]);
    check("", 0, answered(500), &["retry.1s", "attempts"]);
    check("", 1, answered(500), &["dlq", "attempts"]);
    check("", 0, answered(410), &["dlq", "attempts"]);
    check(
        "",
        0,
        failed(ErrorClass::RefusedAddress),
        &["dlq", "attempts"],
    );
    let schedule = r#","retry":{"schedule":["300ms","7s","1h"]}"#;
    // Too short for any tier: through tier 0, so that the count of attempts is durable.
    check(
        schedule,
        0,
        failed(ErrorClass::Timeout),
        &["deliveries", "attempts"],
    );
    check(schedule, 1, answered(503), &["retry.3s", "attempts"]);
    check(schedule, 2, answered(302), &["retry.10s", "attempts"]);
    // Our own fault charges nothing and so exhausts nothing.
    check(
        r#","retry":{"max_retries":0}"#,
        0,
        answered(500),
        &["dlq", "attempts"],
    );
    check(
        r#","retry":{"max_retries":0}"#,
        0,
        failed(ErrorClass::Internal),
        &["retry.1s", "attempts"],
    );
    // Nor does it turn at full speed.
    let at_once = r#","retry":{"schedule":["0s"]}"#;
    check(
        at_once,
        0,
        failed(ErrorClass::Proxy),
        &["retry.1s", "attempts"],
    );
    check(at_once, 0, answered(500), &["deliveries", "attempts"]);
}

#[test]
fn a_test_says_nothing_against_its_endpoint_and_is_over_soon() {
    let of_test = |age| {
        record(0, move |headers: &mut TaskHeaders| {
            headers.is_test = true;
            headers.first_seen = NOW.before(age);
        })
    };
    for status in [410, 429, 500] {
        let (mut desk, table) = (desk(), table(""));
        desk.assigned([0].into());
        desk.take(&of_test(Duration::ZERO), lane(0, None), view(&table), NOW);
        send(&mut desk, &table, &answered(status));
        desk.tell_all(NOW);
        assert_eq!(
            topics(&written(&mut desk))[..2],
            ["dlq", "attempts"],
            "{status}"
        );
        assert!(
            desk.standing
                .disabled(view(&table).endpoints, &"acme/s1".parse().unwrap(), 0)
                .is_none()
        );
    }
    let (mut desk, table) = (desk(), table(""));
    let late = of_test(Duration::from_secs(301));
    desk.take(&late, lane(0, None), view(&table), NOW);
    assert!(desk.next_to_send(view(&table), NOW).is_none());
    let (topic, letter) = written(&mut desk).remove(0);
    assert_eq!(topic, "dlq");
    assert_eq!(letter.headers.get("hooktide-reason"), Some(&b"expired"[..]));
    assert_eq!(letter.headers.get("hooktide-test"), Some(&b"1"[..]));
}

#[test]
fn a_retry_counts_and_keeps_everything_else() {
    let (mut desk, table) = (desk(), table(r#","retry":{"schedule":["7s"]}"#));
    let original = record(0, |headers| headers.passthrough.push("x-own", None));
    desk.take(&original, lane(0, None), view(&table), NOW);
    send(&mut desk, &table, &answered(500));
    let (_, retry) = written(&mut desk).remove(0);
    assert_eq!((&retry.key, &retry.value), (&original.key, &original.value));
    let before = TaskHeaders::decode(&original.headers).unwrap();
    let after = TaskHeaders::decode(&retry.headers).unwrap();
    let expected = TaskHeaders {
        attempt: 1,
        charged: 1,
        not_before: Some(NOW.after(Duration::from_secs(7))),
        ..before
    };
    assert_eq!(after, expected);
}

#[test]
fn the_subscription_as_it_is_now_decides() {
    fn check(table: &SubscriptionTable, expected: &[&str]) {
        let mut desk = desk();
        desk.take(&record(0, |_| {}), lane(0, None), view(table), NOW);
        assert!(desk.next_to_send(view(table), NOW).is_none());
        assert_eq!(topics(&written(&mut desk)), expected);
        assert_eq!(desk.take_finished(), [(0, 0)]);
    }
    check(&table(r#","state":"paused""#), &["retry.1s"]);
    check(&table(r#","state":"disabled""#), &["dlq"]);
    let mut deleted = table("");
    deleted.apply(Some(KEY), None, 1);
    check(&deleted, &["notices"]);
    let mut invalid = table("");
    invalid.apply(Some(KEY), Some(b"{}"), 1);
    check(&invalid, &["retry.1s"]);
}

#[test]
fn a_pause_takes_the_next_tier_each_time_and_no_longer_than_the_task_lives() {
    fn check(members: &str, parked: Option<Parked>, lay: Option<u64>, expected: &str) {
        let (mut desk, table) = (desk(), table(&format!(r#","state":"paused"{members}"#)));
        let record = record(0, |headers| headers.parked = parked);
        let lane = lane(0, lay.map(Duration::from_secs));
        desk.take(&record, lane, view(&table), NOW);
        assert_eq!(
            topics(&written(&mut desk)),
            [expected],
            "{parked:?} {lay:?}"
        );
    }
    check("", None, None, "retry.1s");
    check("", Some(Parked::Paused), Some(1), "retry.3s");
    check("", Some(Parked::Braked), Some(3), "retry.10s");
    check("", Some(Parked::Paused), Some(10), "retry.10s");
    // It comes from there for another reason: this pause has just begun.
    check("", Some(Parked::RateLimited), Some(10), "retry.1s");
    check("", None, Some(10), "retry.1s");
    let short = r#","max_age":"2s""#;
    check(short, Some(Parked::Paused), Some(3), "retry.3s");
}

#[test]
fn a_change_reaches_a_task_that_waits_for_its_place() {
    let (mut desk, mut table) = (desk(), table(""));
    desk.take(&record(0, |_| {}), lane(0, None), view(&table), NOW);
    table.apply(Some(KEY), None, 1);
    assert!(desk.next_to_send(view(&table), NOW).is_none());
    assert_eq!(topics(&written(&mut desk)), ["notices"]);
    assert_eq!(desk.take_finished(), [(0, 0)]);
}

#[test]
fn a_task_is_never_decided_on_an_older_table() {
    let (mut desk, table) = (desk(), table(""));
    desk.take(
        &record(0, |headers| headers.revision = 5),
        lane(0, None),
        view(&table),
        NOW,
    );
    assert!(desk.next_to_send(view(&table), NOW).is_none());
    assert!(desk.wants_table_end(NOW));
    desk.table_ends_at(6, NOW);
    desk.catch_up(view(&table), NOW);
    assert!(
        desk.next_to_send(view(&table), NOW).is_none(),
        "the table is still behind"
    );
    desk.catch_up(
        TableView {
            endpoints: view(&table).endpoints,
            table: &table,
            position: 6,
        },
        NOW,
    );
    assert!(desk.next_to_send(view(&table), NOW).is_some());
}

#[test]
fn a_task_newer_than_its_whole_topic_is_kept_when_its_subscription_is_not_there() {
    let (mut desk, empty) = (desk(), SubscriptionTable::new(Rules::default()));
    desk.take(
        &record(0, |headers| headers.revision = 5),
        lane(0, None),
        view(&empty),
        NOW,
    );
    desk.table_ends_at(1, NOW);
    desk.catch_up(view(&empty), NOW);
    assert_eq!(topics(&written(&mut desk)), ["dlq"]);
}

/// While its topic is read for the first time or anew, the table holds a part of what there is.
#[test]
fn a_table_that_is_being_read_decides_nothing() {
    let (mut desk, table) = (desk(), table(""));
    let empty = SubscriptionTable::new(Rules::default());
    let unread = TableView {
        endpoints: view(&table).endpoints,
        table: &empty,
        position: -1,
    };
    desk.take(&record(0, |_| ()), lane(0, None), view(&table), NOW);
    desk.take(&record(1, |_| ()), lane(0, None), unread, NOW);
    assert!(desk.next_to_send(unread, NOW).is_none());
    desk.table_ends_at(1, NOW);
    desk.catch_up(unread, NOW);
    assert!(written(&mut desk).is_empty() && desk.take_finished().is_empty());
    desk.catch_up(view(&table), NOW);
    assert!(desk.next_to_send(view(&table), NOW).is_some());
    assert!(desk.next_to_send(view(&table), NOW).is_some());
}

#[test]
fn waits_hop_or_rest_and_are_never_cut_short() {
    fn check(wait_ms: u64, hops_to: Option<&str>) {
        let (mut desk, table) = (desk(), table(""));
        let due = NOW.after(Duration::from_millis(wait_ms));
        let record = record(0, |headers| headers.not_before = Some(due));
        desk.take(&record, lane(0, None), view(&table), NOW);
        assert_eq!(
            topics(&written(&mut desk)).first().copied(),
            hops_to,
            "{wait_ms}"
        );
        if hops_to.is_none() && wait_ms > 0 {
            let just_before = Timestamp::from_millis(due.as_millis() - 1);
            desk.wake(view(&table), just_before);
            assert!(
                desk.next_to_send(view(&table), just_before).is_none(),
                "{wait_ms}"
            );
            desk.wake(view(&table), due);
        }
        assert_eq!(
            desk.next_to_send(view(&table), due).is_some(),
            hops_to.is_none(),
            "{wait_ms}"
        );
    }
    check(0, None);
    check(500, None);
    check(900, Some("retry.1s"));
    check(2_999, Some("retry.3s"));
    check(86_400_000, Some("retry.10s"));
}

#[test]
fn what_is_not_a_task_is_kept_as_it_came() {
    let (mut desk, table) = (desk(), table(""));
    let mut odd = record(4, |_| {});
    odd.headers = crate::record::Headers::new();
    desk.take(&odd, lane(2, None), view(&table), NOW);
    let written = written(&mut desk);
    assert_eq!(topics(&written), ["dlq"]);
    assert_eq!(written[0].1.value, odd.value);
    assert_eq!(
        written[0].1.headers.get("hooktide-reason"),
        Some(&b"undeliverable"[..])
    );
    assert_eq!(desk.take_finished(), [(2, 4)]);
}

#[test]
fn a_full_window_sheds_what_waits_long_for_a_saturated_endpoint() {
    let (mut desk, table) = (desk(), table(r#","max_concurrency":1"#));
    for offset in 0..3 {
        desk.take(&record(offset, |_| {}), lane(0, None), view(&table), NOW);
    }
    let on_the_wire = desk.next_to_send(view(&table), NOW).unwrap();
    assert!(desk.next_to_send(view(&table), NOW).is_none());
    desk.make_room(|_| Some(Full::Memory), view(&table), NOW);
    assert!(written(&mut desk).is_empty(), "not at once");
    let later = NOW.after(Duration::from_secs(1));
    desk.make_room(|_| None, view(&table), later);
    assert!(written(&mut desk).is_empty(), "not from a window with room");
    desk.make_room(|lane| Some(Full::Lane(lane)), view(&table), later);
    assert_eq!(topics(&written(&mut desk)), ["retry.1s", "retry.1s"]);
    assert_eq!(desk.take_finished(), [(0, 1), (0, 2)]);
    assert_eq!(on_the_wire.0.at, at(0));
}
