//! Who waits in memory, and who is in others' way.

use super::*;

/// What becomes of one more task of an endpoint that has `held` of them and takes `takes` for each.
#[track_caller]
fn check_crowd(
    held: u32,
    takes: Duration,
    arrival: Arrival,
    others: bool,
    expected: Option<Parked>,
) {
    let mut endpoints = endpoints(1_000);
    endpoints.admit(&key("a"), terms("a", 8), None, 0, at(0));
    assert_eq!(started(&mut endpoints, at(0)).len(), 1);
    end(&mut endpoints, "a", Heard::Accepted, takes, at(0));
    if others {
        endpoints.admit(&key("b"), terms("b", 8), Some(arrival), 0, at(0));
    }
    for number in 0..held {
        endpoints.admit(&key("a"), terms("a", 8), None, number, at(0));
        started(&mut endpoints, at(0));
    }
    assert!(endpoints.take_put_off().is_empty());
    endpoints.admit(&key("a"), terms("a", 8), Some(arrival), 99, at(0));
    let why = endpoints.take_put_off().first().map(|one| one.why);
    assert_eq!(why, expected, "{held} {takes:?} {arrival:?} {others}");
}

#[test]
fn only_what_would_wait_long_or_hinder_others_is_put_off() {
    let with_room = Arrival {
        lane: 0,
        room: 100,
        age: Duration::ZERO,
    };
    let crowded = Arrival {
        room: 10,
        ..with_room
    };
    let lagging = Arrival {
        age: Duration::from_secs(3),
        ..crowded
    };
    let crowd = Some(Parked::Crowded);
    // 8 at once, a second each: 12 wait 1.5 s.
    check_crowd(20, MS(1_000), with_room, true, None);
    check_crowd(20, MS(1_000), crowded, true, crowd);
    // Nobody else is known to come that way, but may.
    check_crowd(20, MS(1_000), crowded, false, crowd);
    // Fast: the partition waits a moment for it.
    check_crowd(20, MS(10), crowded, true, None);
    // But not while others behind it are late.
    check_crowd(20, MS(10), lagging, true, crowd);
    check_crowd(20, MS(10), lagging, false, None);
    // Whatever room there is: nothing waits in memory for ever.
    check_crowd(88, MS(1_000), with_room, false, crowd);
}

#[test]
fn what_is_stuck_makes_room() {
    fn check(others: bool, full: Full, expected: &[i32]) {
        let mut endpoints = endpoints(100);
        let from = Arrival {
            lane: 0,
            room: 100,
            age: Duration::ZERO,
        };
        for number in 0..3 {
            endpoints.admit(&key("slow"), terms("slow", 1), Some(from), number, at(0));
        }
        if others {
            endpoints.admit(&key("free"), terms("free", 8), Some(from), 10, at(0));
        }
        assert_eq!(endpoints.start_next(at(0)), Some(0));
        endpoints.put_off_stuck(|_| Some((full, at(0))), at(999));
        assert!(endpoints.take_put_off().is_empty(), "not at once");
        endpoints.put_off_stuck(|_| Some((full, at(0))), at(1_000));
        let away = endpoints.take_put_off().into_iter().map(|one| one.task);
        assert_eq!(away.collect::<Vec<_>>(), expected, "{others} {full:?}");
        let free: &[i32] = if others { &[10] } else { &[] };
        assert_eq!(started(&mut endpoints, at(1_000)), free);
    }
    check(true, Full::Lane(0), &[1, 2]);
    check(false, Full::Lane(0), &[1, 2]);
    check(false, Full::Memory, &[1, 2]);
}

#[test]
fn nobody_is_put_off_while_nothing_can_go() {
    let mut endpoints = endpoints(1_000);
    endpoints.admit(&key("a"), terms("a", 1), None, 0, at(0));
    assert_eq!(started(&mut endpoints, at(0)), [0]);
    endpoints.hold(true);
    // So slow that no other could wait here.
    end(&mut endpoints, "a", Heard::NoAnswer, MS(60_000), at(0));
    for number in 1..4 {
        endpoints.admit(&key("a"), terms("a", 1), None, number, at(0));
    }
    endpoints.put_off_stuck(|_| Some((Full::Memory, at(0))), at(60_000));
    assert!(endpoints.take_put_off().is_empty());
    assert_eq!(endpoints.waiting(), 3);
    endpoints.hold(false);
    endpoints.admit(&key("a"), terms("a", 1), None, 4, at(0));
    let away = endpoints.take_put_off();
    assert_eq!(away.len(), 1);
    assert_eq!(away[0].task, 4);
}

#[test]
fn a_full_host_is_in_the_way_of_other_hosts_only() {
    fn check(other_host: bool, expected: bool) {
        let mut endpoints = endpoints(4);
        let lagging = Arrival {
            lane: 0,
            room: 1,
            age: Duration::from_secs(5),
        };
        // Two places at the host, both taken by the first.
        let at_the_host = |id: &str| Terms {
            host: 7,
            ..terms(id, 8)
        };
        for number in 0..2 {
            endpoints.admit(&key("a"), at_the_host("a"), None, number, at(0));
        }
        assert_eq!(started(&mut endpoints, at(0)), [0, 1]);
        endpoints.admit(&key("b"), at_the_host("b"), Some(lagging), 2, at(0));
        assert!(started(&mut endpoints, at(0)).is_empty());
        if other_host {
            endpoints.admit(&key("c"), terms("c", 8), Some(lagging), 3, at(0));
        }
        endpoints.admit(&key("b"), at_the_host("b"), Some(lagging), 4, at(0));
        assert_eq!(!endpoints.take_put_off().is_empty(), expected);
        // Somebody may come whom nobody has seen yet.
        endpoints.put_off_stuck(|_| Some((Full::Lane(0), at(0))), at(1_000));
        assert_eq!(!endpoints.take_put_off().is_empty(), expected);
        endpoints.put_off_stuck(|_| Some((Full::Lane(0), at(0))), at(5_000));
        assert_eq!(endpoints.take_put_off().is_empty(), expected);
    }
    check(false, false);
    check(true, true);
}

/// How long a crowd has waited says nothing of how long an outage lasts.
#[test]
fn an_outage_is_not_as_long_as_the_crowd_before_it() {
    let mut endpoints = endpoints(1_000);
    let arrival = Arrival {
        lane: 0,
        room: 1,
        age: Duration::from_secs(3),
    };
    let admit = |endpoints: &mut Endpoints<u32>, task, now| {
        endpoints.admit(&key("a"), terms("a", 4), Some(arrival), task, now);
    };
    for task in 0..4 {
        admit(&mut endpoints, task, at(0));
    }
    assert_eq!(started(&mut endpoints, at(0)).len(), 4);
    end(&mut endpoints, "a", Heard::NoAnswer, MS(5_000), at(5_000));
    for task in 4..10_004 {
        admit(&mut endpoints, task, at(5_000));
        started(&mut endpoints, at(5_000));
    }
    let crowd = endpoints.take_put_off();
    assert!(crowd.iter().all(|one| one.why == Parked::Crowded));
    assert!(crowd.len() > 9_000, "{}", crowd.len());

    for _ in 0..4 {
        end(&mut endpoints, "a", Heard::NoAnswer, MS(5_000), at(5_000));
    }
    assert_eq!(endpoints.open_breakers(), 1);
    for task in 4..1_004 {
        admit(&mut endpoints, task, at(5_000));
    }
    let outage = endpoints.take_put_off();
    let latest = outage.iter().map(|one| one.until).max();
    assert!(outage.iter().all(|one| one.why == Parked::BreakerOpen));
    assert!(
        latest.is_some_and(|latest| latest.since(at(5_000)) < Duration::from_secs(60)),
        "{latest:?}"
    );
}

#[test]
fn a_place_at_a_host_goes_to_one_who_can_use_it() {
    let mut endpoints = endpoints(4);
    let at_the_host = |id: &str| Terms {
        host: 7,
        ..terms(id, 8)
    };
    for id in ["a", "b", "c", "d"] {
        endpoints.admit(&key(id), at_the_host(id), None, id, at(0));
    }
    assert_eq!(started(&mut endpoints, at(0)), ["a", "b"]);
    // Those two stand in line at the host, and have nothing to send any more when they are asked.
    endpoints.put_off_stuck(|_| Some((Full::Memory, at(0))), at(5_000));
    assert_eq!(endpoints.take_put_off().len(), 2);
    endpoints.admit(&key("e"), at_the_host("e"), None, "e", at(5_000));
    assert!(started(&mut endpoints, at(5_000)).is_empty());
    end(&mut endpoints, "a", Heard::Accepted, MS(5_000), at(5_000));
    assert_eq!(started(&mut endpoints, at(5_000)), ["e"]);
}
