//! What is seen, in whatever order, and what is shown of it.

use super::*;

const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);

fn at(millis: u64) -> Timestamp {
    START.after(Duration::from_millis(millis))
}

fn event(offset: i64) -> Sighting {
    Sighting::Event {
        at: coordinates(offset),
        id: format!("evt_{offset}"),
        event_type: "order.created".to_owned(),
        tenant: "acme".to_owned(),
    }
}

fn task(offset: i64) -> Sighting {
    Sighting::Task {
        source: coordinates(offset),
        event_id: format!("evt_{offset}"),
        delivery_id: "msg_1".to_owned(),
        subscription: "acme/shop".to_owned(),
    }
}

fn coordinates(offset: i64) -> Coordinates {
    Coordinates {
        topic: "events".into(),
        partition: 0,
        offset,
    }
}

fn attempt(outcome: &str, status: Option<u16>, error: Option<&str>, wait: Option<u64>) -> Sighting {
    Sighting::Request(RecordedAttempt {
        delivery_id: "msg_1".to_owned(),
        event_id: "evt_1".to_owned(),
        subscription: "acme/shop".to_owned(),
        attempt: 2,
        started_at: at(1_000),
        duration: Duration::from_millis(12),
        outcome: outcome.to_owned(),
        status,
        error: error.map(str::to_owned),
        next_attempt_at: wait.map(|millis| at(1_012 + millis)),
    })
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn an_event_waits_for_its_tasks_and_stands_before_its_requests() {
    let mut show = Show::new(START, Detail::Everything);
    show.take(&event(1), at(0));
    // Nobody wants this one.
    show.take(&event(2), at(1));
    show.take(&task(1), at(50));
    show.take(&attempt("delivered", Some(204), None, None), at(60));
    show.take(&task(1), at(90));
    assert!(show.lines(at(499)).is_empty());
    let first = show.lines(at(500));
    assert_eq!(first[0].at, Duration::ZERO);
    assert_eq!(texts(first), ["order.created evt_1 of acme → 2 tasks"]);
    let second = texts(show.lines(at(600)));
    assert_eq!(
        second,
        ["evt_1 to acme/shop, attempt 2: 204 in 12 ms → delivered"]
    );
    let last = texts(show.lines(at(2_001)));
    assert_eq!(last, ["order.created evt_2 of acme → no task"]);
    assert!(show.events.is_empty() && show.waiting.is_empty());
}

#[test]
fn a_task_that_is_read_before_its_event_counts() {
    let mut show = Show::new(START, Detail::Everything);
    show.take(&task(1), at(0));
    show.take(&event(1), at(5));
    show.take(&task(1), at(10));
    assert_eq!(
        texts(show.lines(at(505))),
        ["order.created evt_1 of acme → 2 tasks"]
    );
}

#[test]
fn requests_say_what_came_and_what_follows() {
    fn check(sighting: Sighting, expected: &str, mood: Mood) {
        let mut show = Show::new(START, Detail::Everything);
        show.take(&sighting, at(0));
        let lines = show.last_lines();
        assert_eq!((&*lines[0].text, lines[0].mood), (expected, mood));
    }
    let head = "evt_1 to acme/shop, attempt 2:";
    check(
        attempt("retry", Some(503), None, Some(3_000)),
        &format!("{head} 503 in 12 ms → again in 3.0 s"),
        Mood::Later,
    );
    check(
        attempt("retry", None, Some("connect"), Some(950)),
        &format!("{head} connect in 12 ms → again in 0.9 s"),
        Mood::Later,
    );
    check(
        attempt("dead", Some(410), None, None),
        &format!("{head} 410 in 12 ms → dead"),
        Mood::Bad,
    );
    check(
        Sighting::DeadLetter {
            delivery_id: "msg_1".to_owned(),
            event_id: "evt_1".to_owned(),
            subscription: "acme/shop".to_owned(),
            reason: "exhausted".to_owned(),
            last: Some(format!("{}é", "x".repeat(59))),
            requests: 3,
        },
        &format!(
            "evt_1 to acme/shop: exhausted after 3 requests, the last: {}",
            "x".repeat(59)
        ),
        Mood::Bad,
    );
}

#[test]
fn what_waits_is_bounded() {
    let mut show = Show::new(START, Detail::Everything);
    for offset in 0..ROOM as i64 + 5 {
        show.take(&event(offset), at(0));
    }
    assert_eq!(show.lines(at(0)).len(), 5);
    assert_eq!(show.events.len(), ROOM);
}

#[test]
fn totals_count_and_add_up() {
    let mut show = Show::new(START, Detail::Totals);
    for sighting in [
        event(1),
        task(1),
        task(1),
        task(1),
        attempt("delivered", Some(204), None, None),
        attempt("retry", Some(503), None, Some(1)),
        attempt("dead", Some(410), None, None),
        Sighting::Nothing,
    ] {
        show.take(&sighting, at(0));
    }
    assert!(show.last_lines().is_empty());
    assert_eq!(
        show.totals().to_string(),
        "events 1 · tasks 3 = delivered 1 + dead letters 0 + under way 2 · requests 3 = delivered 1 + to retry 1 + given up 1"
    );
}
