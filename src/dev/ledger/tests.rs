//! What the books say of what was seen.

use std::sync::Arc;

use super::*;
use crate::receiver::{Arrival, Signature};

const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);

fn at(millis: u64) -> Timestamp {
    START.after(Duration::from_millis(millis))
}

/// A ledger that owes one delivery, `msg_1` of `evt_1` to `acme/good`, whose task was seen.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.owe("evt_1".to_owned(), BTreeSet::from(["acme/good".to_owned()]));
    assert!(!ledger.is_settled());
    ledger.take(&task("evt_1"), at(0));
    ledger
}

fn task(event: &str) -> Sighting {
    Sighting::Task {
        source: "events/0/1".parse().unwrap(),
        event_id: event.to_owned(),
        delivery_id: "msg_1".to_owned(),
        subscription: "acme/good".to_owned(),
    }
}

fn dead() -> Sighting {
    Sighting::DeadLetter {
        delivery_id: "msg_1".to_owned(),
        event_id: "evt_1".to_owned(),
        subscription: "acme/good".to_owned(),
        reason: "exhausted".to_owned(),
        last: None,
        requests: 2,
    }
}

fn attempt(started: u64, outcome: &str) -> Sighting {
    Sighting::Request(RecordedAttempt {
        delivery_id: "msg_1".to_owned(),
        event_id: "evt_1".to_owned(),
        subscription: "acme/good".to_owned(),
        attempt: 1,
        started_at: at(started),
        duration: Duration::from_millis(10),
        outcome: outcome.to_owned(),
        status: None,
        error: None,
        next_attempt_at: None,
    })
}

/// A request that arrives and, if `status` is given, is answered 5 ms later.
fn request(ledger: &mut Ledger, number: u64, arrived: u64, status: Option<u16>) {
    let arrival = Arc::new(Arrival {
        number,
        id: "msg_1".to_owned(),
        at: at(arrived),
        method: "POST".to_owned(),
        path: "/good".to_owned(),
        bytes: 2,
        signature: Signature::Unchecked,
    });
    ledger.seen(&Seen::Arrived(Arc::clone(&arrival)));
    if let Some(status) = status {
        ledger.seen(&Seen::Answered {
            arrival,
            at: at(arrived + 5),
            status,
        });
    }
}

fn check(ledger: Ledger, lost: u64, doubled: u64, unexplained: u64) {
    let (verdict, evidence) = ledger.conclude();
    let found = (verdict.lost, verdict.doubled, verdict.unexplained);
    assert_eq!(found, (lost, doubled, unexplained));
    assert_eq!(verdict.is_good(), lost == 0 && unexplained == 0);
    assert_eq!(evidence.is_empty(), verdict.is_good());
}

#[test]
fn a_delivery_is_kept_or_lost() {
    let mut delivered = ledger();
    request(&mut delivered, 1, 1_000, Some(503));
    delivered.take(&attempt(1_000, "retry"), at(1_050));
    assert!(!delivered.is_settled());
    request(&mut delivered, 2, 2_000, Some(204));
    delivered.take(&attempt(2_000, "delivered"), at(2_050));
    assert!(delivered.is_settled());
    check(delivered, 0, 0, 0);

    let mut given_up = ledger();
    given_up.take(&dead(), at(10));
    check(given_up, 0, 0, 0);

    check(ledger(), 1, 0, 0);

    let mut never_made = Ledger::default();
    let both = ["acme/good", "acme/flaky"].map(str::to_owned);
    never_made.owe("evt_1".to_owned(), BTreeSet::from(both));
    check(never_made, 2, 0, 0);

    // The topics say that it was delivered, the receiver does not.
    let mut claimed = ledger();
    request(&mut claimed, 1, 1_000, Some(503));
    claimed.take(&attempt(1_000, "delivered"), at(1_050));
    check(claimed, 1, 0, 0);
}

#[test]
fn a_double_is_explained_by_a_kill_that_it_was_under_way_at() {
    fn doubled(first: u64, status: Option<u16>, kill: Option<u64>, unexplained: u64) {
        let mut ledger = ledger();
        request(&mut ledger, 1, first, status);
        if let Some(kill) = kill {
            ledger.killed(at(kill));
        }
        request(&mut ledger, 2, 30_000, Some(204));
        ledger.take(&attempt(30_000, "delivered"), at(30_050));
        check(ledger, 0, 1, unexplained);
    }
    doubled(20_000, None, Some(21_000), 0);
    doubled(20_000, Some(204), Some(20_100), 0);
    doubled(20_000, Some(204), Some(30_005), 0);
    // Committed long before the kill.
    doubled(10_000, Some(204), Some(21_000), 1);
    // Came after the kill.
    doubled(20_000, None, Some(18_000), 1);
    doubled(20_000, Some(204), None, 1);
}

#[test]
fn a_second_task_is_never_explained() {
    let mut twice = ledger();
    twice.killed(at(1));
    twice.take(&task("evt_1"), at(2));
    twice.take(&dead(), at(10));
    check(twice, 0, 0, 1);
}

#[test]
fn closed_deliveries_are_remembered_by_id_alone() {
    let mut ledger = ledger();
    request(&mut ledger, 1, 0, Some(204));
    ledger.take(&attempt(0, "delivered"), at(50));
    ledger.close_old(at(1_000));
    assert_eq!(ledger.deliveries.len(), 1);
    ledger.close_old(at(16_000));
    assert!(ledger.deliveries.is_empty());
    assert_eq!(ledger.so_far().ended, 1);
    // Sent again long after its end.
    request(&mut ledger, 2, 20_000, Some(204));
    check(ledger, 0, 1, 1);
}

#[test]
fn deliveries_of_others_do_not_count() {
    let mut ledger = Ledger::default();
    ledger.take(&task("mine"), at(0));
    request(&mut ledger, 1, 0, Some(204));
    assert!(ledger.is_settled());
    check(ledger, 0, 0, 0);
}

#[test]
fn the_verdict_reads_as_a_sentence() {
    fn check(doubled: u64, unexplained: u64, expected: &str) {
        let verdict = Verdict {
            ended: 9,
            lost: 0,
            doubled,
            unexplained,
            kills: 3,
        };
        let tail = " · 9 deliveries ended · 3 kills";
        assert_eq!(verdict.to_string(), format!("{expected}{tail}"));
    }
    check(0, 0, "lost 0 · doubled 0");
    check(7, 0, "lost 0 · doubled 7 (all in flight)");
    check(7, 2, "lost 0 · doubled 7 (2 NOT in flight)");
}
