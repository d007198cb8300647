//! The judge sees what is wrong: made-up records, each with one thing that must not be.

use std::time::Duration;

use hooktide::clock::Timestamp;

use super::{Verdict, judge};
use crate::record::{Attempt, End, Letter, Outcome, Record, Request, Strike, Subscriber, Task};
use crate::support::{Bed, Outcome as TestOutcome, tests};

tests! {
    plain:
        a_run_without_fault_is_good,
        a_missing_task_is_lost,
        a_task_without_an_end_is_lost,
        a_success_that_nobody_took_is_lost,
        a_second_task_is_seen,
        a_chain_that_forks_is_seen,
        what_goes_on_after_its_end_is_seen,
        what_is_early_is_seen,
        dead_letters_are_exhausted_tasks_once_each,
        a_deleted_subscription_cancels,
        a_request_of_no_task_is_seen,
        a_repeat_without_a_fault_is_seen,
        a_fault_explains_what_was_in_flight_in_its_process,
        a_drained_process_owes_what_was_answered,
        a_broken_connection_explains_what_was_sent_again,
        what_kafka_suffers_explains_nothing_by_itself,
        a_standstill_is_measured_around_a_fault_of_nobody,
        incidents_count;
    kafka:
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn attempt(number: u32, started: i64, outcome: Outcome) -> Attempt {
    Attempt {
        delivery: "msg_1".into(),
        subscriber: "acme/one".into(),
        source: "events/0/0".into(),
        number,
        started: at(started),
        ended: at(started + 10),
        recorded: at(started + 15),
        outcome,
        status: Some(match outcome {
            Outcome::Delivered => 204,
            Outcome::Retry | Outcome::Dead => 503,
        }),
        next: (outcome == Outcome::Retry).then(|| at(started + 1_010)),
        instance: "a".into(),
    }
}

fn request(arrived: i64, end: Option<(i64, End)>) -> Request {
    Request {
        delivery: "msg_1".into(),
        // One for each second.
        connection: u64::try_from(arrived / 1_000).expect("not negative"),
        arrived: at(arrived),
        end: end.map(|(time, end)| (at(time), end)),
    }
}

fn answered(arrived: i64, status: u16) -> Request {
    request(arrived, Some((arrived + 2, End::Answered(status))))
}

fn strike(instance: &str, from: i64, until: i64) -> Strike {
    Strike {
        from: at(from),
        noticed: at(from),
        until: at(until),
        ..Strike::on("kill", instance)
    }
}

/// One event, delivered at its second request.
fn good() -> Record {
    Record {
        events: vec!["evt_1".into()],
        subscribers: vec![Subscriber {
            key: "acme/one".into(),
            is_deleted: false,
        }],
        tasks: vec![Task {
            delivery: "msg_1".into(),
            event: "evt_1".into(),
            subscriber: "acme/one".into(),
        }],
        attempts: vec![
            attempt(1, 5_000, Outcome::Retry),
            attempt(2, 7_000, Outcome::Delivered),
        ],
        requests: vec![answered(5_004, 503), answered(7_004, 204)],
        ..Record::default()
    }
}

/// The verdict on a good record after a change.
fn after(change: impl FnOnce(&mut Record)) -> Verdict {
    let mut record = good();
    change(&mut record);
    judge(&record)
}

#[track_caller]
fn check_told(verdict: &Verdict, told: &str) {
    let evidence = verdict.evidence.join("\n");
    assert!(verdict.violations > 0, "nothing is wrong with {verdict:?}");
    assert!(evidence.contains(told), "`{told}` is not in: {evidence}");
}

async fn a_run_without_fault_is_good(_: Bed) -> TestOutcome {
    let verdict = judge(&good());
    assert!(verdict.is_good(), "{verdict:?}");
    let counts = (verdict.deliveries, verdict.delivered, verdict.requests);
    assert_eq!((counts, verdict.doubled), ((1, 1, 2), 0));
    Ok(())
}

async fn a_missing_task_is_lost(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.events.push("evt_2".into()));
    check_told(&verdict, "lost: no task for evt_2");
    assert_eq!(verdict.lost, 1);
    Ok(())
}

async fn a_task_without_an_end_is_lost(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.attempts.truncate(1));
    check_told(&verdict, "lost: msg_1 has no end");
    assert_eq!(verdict.lost, 1);
    Ok(())
}

async fn a_success_that_nobody_took_is_lost(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.requests.truncate(1));
    check_told(&verdict, "the receiver has not taken msg_1");
    assert_eq!(verdict.lost, 1);
    Ok(())
}

async fn a_second_task_is_seen(_: Bed) -> TestOutcome {
    let again = |record: &mut Record| record.tasks.push(record.tasks[0].clone());
    check_told(&after(again), "made twice");
    let other = |record: &mut Record| {
        let task = record.tasks[0].clone();
        record.tasks.push(Task {
            delivery: "msg_2".into(),
            ..task
        });
    };
    check_told(&after(other), "made twice");
    Ok(())
}

async fn a_chain_that_forks_is_seen(_: Bed) -> TestOutcome {
    let fork = |record: &mut Record| record.attempts.push(attempt(2, 7_500, Outcome::Delivered));
    check_told(&after(fork), "a chain was started twice");
    let gap = |record: &mut Record| record.attempts[1].number = 3;
    check_told(&after(gap), "a chain was started twice");
    let source = |record: &mut Record| record.attempts[1].source = "events/0/1".into();
    check_told(&after(source), "a chain was started twice");
    Ok(())
}

async fn what_goes_on_after_its_end_is_seen(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.attempts.push(attempt(3, 9_000, Outcome::Delivered)));
    check_told(&verdict, "went on after its end");
    Ok(())
}

async fn what_is_early_is_seen(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.attempts[0].next = Some(at(7_001)));
    check_told(&verdict, "early");
    Ok(())
}

async fn dead_letters_are_exhausted_tasks_once_each(_: Bed) -> TestOutcome {
    let letter = |requests| Letter {
        delivery: "msg_1".into(),
        reason: "exhausted".into(),
        requests,
        subscriber: "acme/one".into(),
    };
    let dead = |letters: Vec<Letter>| {
        after(|record| {
            record.attempts[1] = attempt(2, 7_000, Outcome::Dead);
            record.requests[1] = answered(7_004, 503);
            record.letters = letters;
        })
    };
    let verdict = dead(vec![letter(2)]);
    assert!(
        verdict.is_good() && verdict.dead_lettered == 1,
        "{verdict:?}"
    );
    check_told(&dead(Vec::new()), "ends do not agree");
    check_told(&dead(vec![letter(2), letter(2)]), "ends do not agree");
    check_told(&dead(vec![letter(1)]), "ends do not agree");
    let beside_success = after(|record| record.letters = vec![letter(2)]);
    check_told(&beside_success, "ends do not agree");
    Ok(())
}

async fn a_deleted_subscription_cancels(_: Bed) -> TestOutcome {
    let verdict = after(|record| {
        record.subscribers[0].is_deleted = true;
        record.attempts.truncate(1);
        record.requests.truncate(1);
        // Not routed any more.
        record.events.push("evt_2".into());
    });
    assert!(verdict.is_good() && verdict.cancelled == 1, "{verdict:?}");
    Ok(())
}

async fn a_request_of_no_task_is_seen(_: Bed) -> TestOutcome {
    let verdict = after(|record| {
        record.requests.push(Request {
            delivery: "msg_9".into(),
            ..answered(6_000, 204)
        });
    });
    check_told(&verdict, "of no task: msg_9");
    Ok(())
}

async fn a_repeat_without_a_fault_is_seen(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.requests.push(answered(4_000, 503)));
    check_told(&verdict, "not in flight at any fault");
    assert_eq!((verdict.doubled, verdict.unexplained), (1, 1));
    Ok(())
}

/// A request came at 4,000 that is not in the books, and again at 5,004.
async fn a_fault_explains_what_was_in_flight_in_its_process(_: Bed) -> TestOutcome {
    // On the connection of that second, `owner` has another delivery in the books.
    let struck = |strike: Strike, owner: &str, end: Option<(i64, End)>| {
        after(|record| {
            record.requests.push(request(4_000, end));
            record.events.push("evt_2".into());
            record.tasks.push(Task {
                delivery: "msg_2".into(),
                event: "evt_2".into(),
                subscriber: "acme/one".into(),
            });
            record.requests.push(Request {
                delivery: "msg_2".into(),
                ..answered(4_100, 204)
            });
            record.attempts.push(Attempt {
                delivery: "msg_2".into(),
                instance: owner.into(),
                ..attempt(1, 4_098, Outcome::Delivered)
            });
            record.strikes = vec![strike];
        })
    };
    let explained = |verdict: &Verdict| (verdict.doubled, verdict.unexplained);
    let early = Some((4_002, End::Answered(503)));
    // Open, or answered and not committed.
    for end in [None, early] {
        let verdict = struck(strike("a", 4_500, 4_510), "a", end);
        assert_eq!(explained(&verdict), (1, 0), "{verdict:?}");
        assert_eq!(verdict.faults["kill"].doubled, 1);
        assert!(verdict.is_good());
    }
    // Of another process; before it came; after it came again.
    for strike in [
        strike("b", 4_500, 4_510),
        strike("a", 1_000, 1_010),
        strike("a", 5_500, 5_510),
    ] {
        let verdict = struck(strike, "a", early);
        assert_eq!(explained(&verdict), (1, 1), "{verdict:?}");
    }
    // What this process answered long after it is in the books: so it would be too.
    let verdict = after(|record| {
        record.requests.push(answered(3_500, 503));
        record.attempts[0] = attempt(1, 4_990, Outcome::Retry);
        record.requests[0] = answered(4_994, 503);
        record.strikes = vec![Strike {
            until: at(4_992),
            ..strike("a", 4_980, 4_992)
        }];
        record.attempts.push(Attempt {
            delivery: "msg_2".into(),
            ..attempt(1, 4_900, Outcome::Delivered)
        });
    });
    assert_eq!(explained(&verdict), (1, 1), "{verdict:?}");
    Ok(())
}

/// Asked to end, a process waits for its requests: only what was open until the last may come again.
async fn a_drained_process_owes_what_was_answered(_: Bed) -> TestOutcome {
    let asked = |end: Option<(i64, End)>| {
        after(|record| {
            record.requests.push(request(1_000, end));
            record.strikes = vec![strike("a", 1_500, 4_900).draining(Duration::from_secs(3))];
        })
    };
    let verdict = asked(Some((2_000, End::Answered(503))));
    assert_eq!((verdict.doubled, verdict.unexplained), (1, 1));
    for end in [
        None,
        Some((4_800, End::Left)),
        Some((4_800, End::Answered(503))),
    ] {
        let verdict = asked(end);
        assert_eq!((verdict.doubled, verdict.unexplained), (1, 0), "{end:?}");
    }
    Ok(())
}

async fn a_broken_connection_explains_what_was_sent_again(_: Bed) -> TestOutcome {
    let broken = |end| after(|record| record.requests.push(request(5_001, Some((5_002, end)))));
    let verdict = broken(End::Cut);
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.sent_again, verdict.doubled), (1, 0));
    check_told(&broken(End::Answered(204)), "not in flight at any fault");
    Ok(())
}

/// A stall, a reset, a broker that dies: only what the processes lost by it may come again.
async fn what_kafka_suffers_explains_nothing_by_itself(_: Bed) -> TestOutcome {
    let stall = || Strike {
        hits: None,
        ..strike("nobody", 3_900, 4_950)
    };
    let lost = Strike {
        is_fault: false,
        ..strike("a", 3_900, 4_950)
    };
    for (strikes, unexplained) in [(vec![stall()], 1), (vec![stall(), lost], 0)] {
        let verdict = after(|record| {
            record.requests.push(answered(4_000, 503));
            record.strikes = strikes;
        });
        assert_eq!((verdict.doubled, verdict.unexplained), (1, unexplained));
    }
    Ok(())
}

/// The attempts of the good record are recorded at 5,015 and 7,015.
async fn a_standstill_is_measured_around_a_fault_of_nobody(_: Bed) -> TestOutcome {
    let around = |hits: Option<&str>, from, until| {
        let verdict = after(|record| {
            record.strikes = vec![Strike {
                hits: hits.map(str::to_owned),
                ..strike("nobody", from, until)
            }];
        });
        let toll = &verdict.faults["kill"];
        toll.longest_standstill.zip(toll.slowest_recovery)
    };
    for (from, until, left) in [
        (5_500, 6_500, 515),
        (5_000, 5_500, 1_515),
        (6_500, 9_000, 0),
        (1_000, 9_000, 0),
    ] {
        let found = around(None, from, until);
        assert_eq!(found, Some((2_000, left)), "{from} {until}");
    }
    // Nothing before it, or nothing after it.
    assert_eq!(around(None, 1_000, 1_500), None);
    assert_eq!(around(None, 8_000, 9_000), None);
    // One that is over once the process stands still already is not what it stands still for.
    let verdict = after(|record| {
        let of_nobody = |fault: &str, from, until| Strike {
            fault: fault.to_owned(),
            hits: None,
            ..strike("nobody", from, until)
        };
        record.strikes = vec![
            of_nobody("first", 5_000, 5_500),
            of_nobody("next", 6_000, 6_500),
        ];
    });
    let of = |fault: &str| verdict.faults[fault].longest_standstill;
    assert_eq!((of("first"), of("next")), (Some(2_000), None));
    // Such a process has been killed, or frozen.
    assert_eq!(around(Some("a"), 5_500, 6_500), None);
    Ok(())
}

async fn incidents_count(_: Bed) -> TestOutcome {
    let verdict = after(|record| record.incidents.push("it ended by itself".into()));
    check_told(&verdict, "ended by itself");
    Ok(())
}
