//! How endpoints come to stand, without Kafka or HTTP.

mod held_back;

use bytes::Bytes;

use super::*;
use crate::dispatcher::endpoints::endpoint::Restraint;
use crate::endpoint_table::partition_of;
use crate::http::{Answer, Exchange};
use crate::kafka::record::Incoming;
use crate::record::subscription::Rules;
use crate::record::{DeliveryId, EndpointWish, EventKey, TaskHeaders, WishedState};
use crate::subscription_table::Compiled;

const KEY: &str = "acme/s1";
const HOUR: Duration = Duration::from_hours(1);

/// A dispatcher's standing and what has become of its records.
struct Scene {
    standing: Standing,
    table: EndpointTable,
    subscriptions: SubscriptionTable,
    /// Of the subscriptions.
    position: i64,
    written: i64,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        let settings = Settings {
            rule: Rule {
                is_on: true,
                after: 10 * HOUR,
                min_attempts: 10,
                warn_at: 0.5,
            },
            endpoints: "endpoints".into(),
            notices: "notices".into(),
            partitions: 4,
            window: HOUR,
            instance: "i".into(),
        };
        let mut scene = Self {
            standing: Standing::new(settings),
            table: EndpointTable::default(),
            subscriptions: SubscriptionTable::new(Rules::default()),
            position: 0,
            written: 0,
            now: Timestamp::from_millis(1_000_000),
        };
        scene.subscribe(5);
        scene.take_over();
        assert!(scene.merge().is_empty());
        scene
    }

    fn subscribe(&mut self, revision: i64) {
        let value = br#"{"url":"https://e.com/","events":["*"],"signatures":[]}"#;
        let key = Some(KEY.as_bytes());
        self.subscriptions.apply(key, Some(value), revision);
        self.position = revision + 1;
    }

    /// The partition is somebody's who knows only what is on the topic.
    fn take_over(&mut self) {
        let all = (0..4).collect();
        self.standing.assigned(all);
    }

    fn key(&self) -> SubscriptionKey {
        KEY.parse().unwrap()
    }

    fn task(&self, source: &str) -> HeldTask {
        let headers = TaskHeaders {
            delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("e"), "s1"),
            event_id: "e".into(),
            event_type: "order.created".into(),
            attempt: 0,
            charged: 0,
            parks: 0,
            parked: None,
            first_seen: self.now,
            not_before: None,
            source: source.parse().unwrap(),
            revision: 5,
            content_type: None,
            method: None,
            target: None,
            is_test: false,
            passthrough: Headers::new(),
        };
        let record = Incoming {
            at: Coordinates {
                topic: "deliveries".into(),
                partition: partition_of(&self.key(), 4),
                offset: 0,
            },
            timestamp: None,
            key: Some(Bytes::from(KEY)),
            value: Some(Bytes::from("{}")),
            headers: headers.encode(),
        };
        HeldTask::read(&record, 0).unwrap()
    }

    /// An answer at `revision`, and which notices follow.
    fn answer(&mut self, heard: Heard, revision: i64) -> Vec<String> {
        self.ended(heard, revision, None, "events/0/0")
    }

    fn ended(
        &mut self,
        heard: Heard,
        revision: i64,
        dead: Option<Reason>,
        source: &str,
    ) -> Vec<String> {
        let records = self.sent(source, revision, |scene, sent| {
            scene
                .standing
                .heard(sent, heard, dead, &scene.table, scene.now)
        });
        self.commit(records)
    }

    /// After an answer, this keeps requests back.
    fn restrain(&mut self, restraint: Restraint, revision: i64) {
        let records = self.sent("events/0/0", revision, |scene, sent| {
            let (standing, now) = (&mut scene.standing, scene.now);
            standing.restrained(sent, restraint, &scene.table, now);
            standing.save_restraints(now)
        });
        assert!(self.commit(records).is_empty());
    }

    fn restraint(&self, revision: i64) -> Restraint {
        self.standing.restraint(&self.table, &self.key(), revision)
    }

    /// What `judge` writes about a request that has ended.
    fn sent(
        &mut self,
        source: &str,
        revision: i64,
        judge: impl FnOnce(&mut Self, Sent<'_>) -> Vec<Outgoing>,
    ) -> Vec<Outgoing> {
        let task = self.task(source);
        let value = br#"{"url":"https://e.com/","events":["*"],"signatures":[]}"#;
        let compiled = Compiled::parse(&self.key(), value, &Rules::default()).unwrap();
        let exchange = Exchange {
            duration: Duration::ZERO,
            result: Ok(Answer {
                status: 500,
                ..Answer::default()
            }),
        };
        let sent = Sent {
            task: &task,
            compiled: &compiled,
            revision,
            started_at: self.now,
            ended_by: self.now,
            exchange: &exchange,
        };
        judge(self, sent)
    }

    /// What is told, but for changes of subscriptions.
    fn merge(&mut self) -> Vec<String> {
        let mut told = self.merge_all();
        told.retain(|kind| kind != "subscription.changed");
        told
    }

    fn merge_all(&mut self) -> Vec<String> {
        let (table, subscriptions) = (&self.table, &self.subscriptions);
        let records = self
            .standing
            .merge(table, subscriptions, self.position, self.now);
        self.commit(records)
    }

    /// Shows the table what was written; the types of notices among it.
    fn commit(&mut self, records: Vec<Outgoing>) -> Vec<String> {
        let mut told = Vec::new();
        for record in records {
            let value = record.value.as_deref();
            if &*record.topic == "endpoints" {
                let partition = record.partition.unwrap();
                let key = record.key.unwrap();
                if key == KEY {
                    assert_eq!(partition, partition_of(&self.key(), 4));
                    self.written += 1;
                }
                self.table.apply(&key, value, partition, self.written);
            } else {
                let notice: serde_json::Value = serde_json::from_slice(value.unwrap()).unwrap();
                told.push(notice["type"].as_str().unwrap().to_owned());
            }
        }
        told
    }

    fn disabled(&self, revision: i64) -> Option<DisabledReason> {
        let disabled = self.standing.disabled(&self.table, &self.key(), revision);
        let on_topic = self.table.disabled(&self.key(), revision);
        assert_eq!(disabled, on_topic, "this process, all others");
        disabled.map(|disabled| disabled.reason)
    }

    fn wish(&mut self, wished: Option<WishedState>) {
        let key = WishKey::State(self.key()).to_string();
        let at = self.now;
        let value = wished.map(|wished| EndpointWish { wished, at }.encode().unwrap());
        self.table.apply(key.as_bytes(), value.as_deref(), 0, 0);
    }

    fn later(&mut self, wait: Duration) {
        self.now = self.now.after(wait);
    }
}

#[test]
fn gone_is_for_good_until_the_subscription_is_newer() {
    let mut scene = Scene::new();
    assert_eq!(scene.answer(Heard::Gone, 5), ["endpoint.disabled"]);
    assert_eq!(scene.disabled(5), Some(DisabledReason::Gone));
    // Requests that were under way.
    for heard in [Heard::Accepted, Heard::Gone, Heard::Broken] {
        assert!(scene.answer(heard, 5).is_empty());
    }
    assert_eq!(scene.disabled(5), Some(DisabledReason::Gone));
    assert!(scene.merge().is_empty());
    scene.subscribe(6);
    assert_eq!(scene.disabled(6), None);
    assert_eq!(scene.merge(), ["endpoint.enabled"]);
    assert!(scene.table.state(&scene.key()).is_none());
    assert!(scene.merge().is_empty());
}

#[test]
fn failures_are_told_then_end_it_also_when_the_partition_moves() {
    for moves in [1_000, 2, 7] {
        let mut scene = Scene::new();
        let mut told = Vec::new();
        for failure in 1..60 {
            told.extend(scene.answer(Heard::Broken, 5));
            scene.later(HOUR / 2);
            if failure % moves == 0 {
                scene.take_over();
            }
        }
        assert_eq!(told, ["endpoint.failing", "endpoint.disabled"], "{moves}");
        assert_eq!(scene.disabled(5), Some(DisabledReason::Failing));
        // First failures, doublings, eighths of the time, warning, end: not one each.
        assert!(scene.written < 30, "{}", scene.written);
    }
}

#[test]
fn a_success_is_told_if_the_failure_was_and_leaves_nothing() {
    for (failures, expected) in [(3, &[][..]), (15, &["endpoint.recovered"])] {
        let mut scene = Scene::new();
        for _ in 0..failures {
            scene.answer(Heard::TimedOut, 5);
            scene.later(HOUR / 2);
        }
        assert!(scene.table.state(&scene.key()).is_some());
        assert_eq!(scene.answer(Heard::Accepted, 5), expected);
        assert!(scene.table.state(&scene.key()).is_none());
        let written = scene.written;
        assert!(scene.answer(Heard::Accepted, 5).is_empty());
        assert_eq!(scene.written, written);
    }
}

#[test]
fn one_that_fails_now_and_then_is_not_written_at_all() {
    let mut scene = Scene::new();
    for _ in 0..1_000 {
        scene.answer(Heard::Broken, 5);
        scene.answer(Heard::NoAnswer, 5);
        scene.later(Duration::from_secs(5));
        assert!(scene.answer(Heard::Accepted, 5).is_empty());
    }
    assert_eq!(scene.written, 0);
}

#[test]
fn an_operators_wish_is_written_down_and_told_once() {
    let mut scene = Scene::new();
    scene.wish(Some(WishedState::Disabled { revision: 5 }));
    assert_eq!(scene.disabled(5), Some(DisabledReason::Operator));
    assert_eq!(scene.merge(), ["endpoint.disabled"]);
    scene.take_over();
    assert!(scene.merge().is_empty());
    let at = scene.table.disabled(&scene.key(), 5).unwrap().at;
    scene.later(HOUR);
    scene.wish(Some(WishedState::Enabled { lifts: at }));
    assert_eq!(scene.disabled(5), None);
    assert_eq!(scene.merge(), ["endpoint.enabled"]);
    scene.take_over();
    assert!(scene.merge().is_empty());
    assert_eq!(scene.disabled(5), None);
}

#[test]
fn what_is_known_goes_with_its_subscription() {
    let mut scene = Scene::new();
    scene.answer(Heard::Gone, 5);
    scene.subscriptions.apply(Some(KEY.as_bytes()), None, 7);
    scene.position = 8;
    assert!(scene.merge().is_empty());
    assert!(scene.table.state(&scene.key()).is_none());
}

#[test]
fn whoever_does_not_own_the_partition_writes_nothing() {
    let mut scene = Scene::new();
    scene.standing.assigned(HashSet::new());
    assert!(scene.answer(Heard::Gone, 5).is_empty());
    scene.wish(Some(WishedState::Disabled { revision: 5 }));
    assert!(scene.merge().is_empty());
    assert_eq!(scene.written, 0);
}

#[test]
fn deliveries_of_notices_make_no_notices() {
    let mut scene = Scene::new();
    let throttled = Heard::Throttled { retry_after: None };
    let exhausted = Some(Reason::Exhausted);
    let notice = "notices/0/0";
    assert!(scene.ended(throttled, 5, exhausted, notice).is_empty());
    let task = scene.task(notice);
    assert!(scene.standing.cancelled(&task, scene.now).is_none());
    let told = scene.ended(throttled, 5, exhausted, "events/0/0");
    assert_eq!(told, ["endpoint.throttled", "delivery.exhausted"]);
    // Once in a window.
    let again = scene.ended(throttled, 5, exhausted, "events/0/1");
    assert!(again.is_empty());
    let task = scene.task("events/0/0");
    assert!(scene.standing.cancelled(&task, scene.now).is_some());
    assert_eq!(scene.standing.windows_over(scene.now).len(), 0);
    scene.later(HOUR);
    assert_eq!(scene.standing.windows_over(scene.now).len(), 2);
}

#[test]
fn each_change_of_a_subscription_is_told_once_whoever_has_the_partition() {
    const CHANGED: &str = "subscription.changed";
    let mut scene = Scene::new();
    scene.subscribe(6);
    assert_eq!(scene.merge_all(), [CHANGED]);
    assert!(scene.merge_all().is_empty());
    // While it was nobody's.
    scene.subscribe(7);
    scene.take_over();
    assert_eq!(scene.merge_all(), [CHANGED]);
    scene.take_over();
    assert!(scene.merge_all().is_empty());
    let key = Some(KEY.as_bytes());
    scene.subscriptions.apply(key, Some(b"{}"), 8);
    scene.subscriptions.apply(key, None, 9);
    scene.position = 9;
    // The table is ahead of its position, which is what counts.
    assert_eq!(scene.merge_all(), [CHANGED]);
    scene.position = 10;
    assert_eq!(scene.merge_all(), [CHANGED]);
    scene.subscriptions.apply(key, Some(b"{}"), 10);
    scene.position = 11;
    assert_eq!(scene.merge_all(), ["subscription.invalid"]);
    // The topic was made anew.
    scene.position = 3;
    assert!(scene.merge_all().is_empty());
}
