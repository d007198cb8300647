//! What a process goes by that takes an endpoint over, or has it again.

use super::*;

/// What a successor learns of `a` from what `endpoints` would write.
fn succeed(endpoints: &Endpoints<u32>, now: Timestamp) -> Endpoints<u32> {
    let written = endpoints.restraint(&key("a"), 0).unwrap();
    let mut successor = self::endpoints(100);
    assert!(!successor.knows(&key("a"), 0));
    successor.learn(&key("a"), terms("a", 5), written, now);
    assert!(successor.knows(&key("a"), 0) && !successor.knows(&key("a"), 1));
    successor
}

#[test]
fn a_successor_goes_on_where_the_breaker_was() {
    let mut endpoints = endpoints(100);
    break_down(&mut endpoints, 0, at(0));
    let mut endpoints = succeed(&endpoints, at(1_000));
    assert_eq!(endpoints.open_breakers(), 1);
    for number in 0..50 {
        endpoints.admit(&key("a"), terms("a", 5), None, number, at(1_000));
    }
    assert!(started(&mut endpoints, at(4_999)).is_empty());
    let away = endpoints.take_put_off();
    assert_eq!(away.len(), 50);
    assert!(away.iter().all(|one| one.until >= at(5_000)));
    // One probe at its time; the next wait is twice as long, as it would have been.
    for number in 0..3 {
        endpoints.admit(&key("a"), terms("a", 5), None, number, at(5_000));
    }
    assert_eq!(started(&mut endpoints, at(5_000)), [0]);
    end(&mut endpoints, "a", Heard::NoAnswer, MS(1), at(5_000));
    endpoints.take_put_off();
    let mut endpoints = succeed(&endpoints, at(60_000));
    for number in 0..3 {
        endpoints.admit(&key("a"), terms("a", 5), None, number, at(60_000));
    }
    assert_eq!(started(&mut endpoints, at(60_000)), [0]);
    end(&mut endpoints, "a", Heard::Accepted, MS(1), at(60_000));
    assert_eq!(endpoints.open_breakers(), 0);
    assert_eq!(endpoints.restraint(&key("a"), 0).unwrap().breaker, None);
    assert_eq!(endpoints.restraint(&key("a"), 1), None);
}

#[test]
fn a_successor_keeps_to_a_retry_after() {
    let mut endpoints = endpoints(100);
    endpoints.admit(&key("a"), terms("a", 5), None, 0, at(0));
    assert_eq!(started(&mut endpoints, at(0)), [0]);
    let retry_after = Some(Duration::from_secs(7));
    let heard = Heard::Throttled { retry_after };
    end(&mut endpoints, "a", heard, MS(1), at(0));
    let mut endpoints = succeed(&endpoints, at(100));
    endpoints.admit(&key("a"), terms("a", 5), None, 1, at(100));
    assert!(started(&mut endpoints, at(6_999)).is_empty());
    assert_eq!(endpoints.next_time(), Some(at(7_000)));
    endpoints.wake(at(7_000));
    assert_eq!(started(&mut endpoints, at(7_000)), [1]);
}

#[test]
fn a_newer_subscription_begins_with_a_closed_breaker_and_is_not_blamed_for_the_old_one() {
    let mut endpoints = endpoints(100);
    break_down(&mut endpoints, 0, at(0));
    let newer = Terms {
        revision: 1,
        ..terms("a", 5)
    };
    assert!(!endpoints.knows(&key("a"), 1));
    endpoints.learn(&key("a"), newer, Restraint::default(), at(10));
    assert_eq!(endpoints.open_breakers(), 0);
    for number in 0..5 {
        endpoints.admit(&key("a"), newer, None, number, at(10));
    }
    assert_eq!(started(&mut endpoints, at(10)).len(), 5);
    for _ in 0..5 {
        let change = endpoints.heard(&key("a"), ended(Heard::NoAnswer, MS(1), at(20)), at(20));
        assert_eq!(change, Change::None);
    }
    assert_eq!(endpoints.open_breakers(), 0);
}

#[test]
fn what_others_have_written_meanwhile_is_learnt_anew() {
    let mut endpoints = endpoints(100);
    break_down(&mut endpoints, 0, at(0));
    assert!(endpoints.restraint(&key("a"), 0).unwrap().breaker.is_some());
    endpoints.learn(&key("a"), terms("a", 5), Restraint::default(), at(0));
    break_down(&mut endpoints, 0, at(1));
    assert!(!endpoints.has_forgotten(&key("a"), 0));
    // The partition goes, and comes back when somebody else has found the endpoint well.
    endpoints.clear_waiting();
    assert!(!endpoints.knows(&key("a"), 0) && endpoints.has_forgotten(&key("a"), 0));
    endpoints.learn(&key("a"), terms("a", 5), Restraint::default(), at(2));
    assert_eq!(endpoints.open_breakers(), 0);
    endpoints.admit(&key("a"), terms("a", 5), None, 1, at(2));
    assert_eq!(started(&mut endpoints, at(2)), [1]);
}
