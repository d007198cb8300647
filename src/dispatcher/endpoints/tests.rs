//! Who goes when, and who waits elsewhere: endpoints without Kafka or HTTP.

mod a_day;
mod adapting;
mod crowding;
mod successors;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::rate::Pace;
use super::*;
use crate::dispatcher::heard::Heard;

const BREAKER: breaker::Settings = breaker::Settings {
    failure_ratio: 0.8,
    min_requests: 5,
    window: Duration::from_secs(30),
    first_probe: Duration::from_secs(5),
    longest_probe: Duration::from_secs(300),
};
const MS: fn(u64) -> Duration = Duration::from_millis;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000).after(MS(millis))
}

fn key(id: &str) -> SubscriptionKey {
    SubscriptionKey::try_new("t", id).unwrap()
}

fn ladder() -> Ladder {
    let seconds = [5, 30, 120, 600, 3_600, 21_600];
    Ladder::try_new(seconds.map(Duration::from_secs)).unwrap()
}

/// Of a process with so many places, half of them for one host.
fn endpoints<T>(max_in_flight: usize) -> Endpoints<T> {
    let settings = Settings {
        breaker: BREAKER,
        max_in_flight,
        max_per_host: max_in_flight / 2,
        is_adaptive: false,
    };
    Endpoints::new(settings, ladder(), |_| Origin::New)
}

/// On a host of its own.
fn terms(id: &str, max_concurrency: usize) -> Terms {
    Terms {
        max_concurrency,
        is_adaptive: false,
        pace: None,
        host: id.bytes().map(u64::from).sum(),
        revision: 0,
    }
}

fn started<T>(endpoints: &mut Endpoints<T>, now: Timestamp) -> Vec<T> {
    std::iter::from_fn(|| endpoints.start_next(now)).collect()
}

fn ended(heard: Heard, took: Duration, now: Timestamp) -> Ended {
    Ended {
        revision: 0,
        heard,
        began: now.before(took),
        took,
    }
}

fn end<T>(endpoints: &mut Endpoints<T>, id: &str, heard: Heard, took: Duration, now: Timestamp) {
    endpoints.ended(&key(id), now);
    endpoints.heard(&key(id), ended(heard, took, now), now);
}

#[test]
fn endpoints_take_turns_and_keep_their_limits() {
    let mut endpoints = endpoints(100);
    for number in 0..4 {
        endpoints.admit(&key("a"), terms("a", 2), None, format!("a{number}"), at(0));
    }
    for number in 0..2 {
        endpoints.admit(&key("b"), terms("b", 1), None, format!("b{number}"), at(0));
    }
    assert_eq!(started(&mut endpoints, at(0)), ["a0", "b0", "a1"]);
    assert_eq!(endpoints.waiting(), 3);
    end(&mut endpoints, "b", Heard::Accepted, MS(1), at(1));
    assert_eq!(started(&mut endpoints, at(1)), ["b1"]);
}

#[test]
fn an_endpoint_has_as_many_places_as_are_left_free() {
    let mut endpoints = endpoints(12);
    for id in ["a", "b", "c"] {
        for _ in 0..20 {
            endpoints.admit(&key(id), terms(id, 20), None, id, at(0));
        }
    }
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for id in started(&mut endpoints, at(0)) {
        *count.entry(id).or_default() += 1;
    }
    assert_eq!(count, BTreeMap::from([("a", 3), ("b", 3), ("c", 3)]));
    // One that comes anew finds room at once.
    endpoints.admit(&key("d"), terms("d", 20), None, "d", at(0));
    assert_eq!(started(&mut endpoints, at(0)), ["d"]);
    // What is given back goes to those that wait.
    end(&mut endpoints, "a", Heard::Accepted, MS(1), at(1));
    assert_eq!(started(&mut endpoints, at(1)).len(), 1);
}

#[test]
fn all_endpoints_of_a_host_share_its_places() {
    let mut endpoints = endpoints(8);
    let on_one_host = Terms {
        host: 7,
        ..terms("", 4)
    };
    for id in ["a", "b", "c"] {
        for _ in 0..4 {
            endpoints.admit(&key(id), on_one_host, None, id, at(0));
        }
    }
    let mut out = started(&mut endpoints, at(0));
    assert_eq!(out.len(), 4, "{out:?}");
    for _ in 0..8 {
        let id = out.remove(0);
        end(&mut endpoints, id, Heard::Accepted, MS(1), at(1));
        out.append(&mut started(&mut endpoints, at(1)));
        assert_eq!(out.len(), 4);
    }
    assert_eq!(endpoints.waiting(), 0);
}

#[test]
fn an_endpoint_that_moves_takes_its_requests_along() {
    let mut endpoints = endpoints(8);
    let on = |host| Terms {
        host,
        ..terms("", 4)
    };
    for number in 0..4 {
        endpoints.admit(&key("a"), on(1), None, number, at(0));
    }
    assert_eq!(started(&mut endpoints, at(0)).len(), 4);
    // The host is full: this one waits there.
    endpoints.admit(&key("b"), on(1), None, 10, at(0));
    assert!(started(&mut endpoints, at(0)).is_empty());
    endpoints.admit(&key("a"), on(2), None, 4, at(1));
    assert_eq!(started(&mut endpoints, at(1)), [10]);
    for _ in 0..4 {
        end(&mut endpoints, "a", Heard::Accepted, MS(1), at(2));
    }
    end(&mut endpoints, "b", Heard::Accepted, MS(1), at(2));
    assert_eq!(started(&mut endpoints, at(2)), [4]);
    // All places at the old host are free again.
    for number in 0..4 {
        endpoints.admit(&key("c"), on(1), None, number, at(3));
    }
    assert_eq!(started(&mut endpoints, at(3)), [0, 1, 2, 3]);
}

#[test]
fn a_rate_is_kept_and_its_times_are_told() {
    let mut endpoints = endpoints(100);
    let terms = Terms {
        pace: Some(Pace::new(50, Duration::from_secs(1))),
        ..terms("a", 64)
    };
    for number in 0..100 {
        endpoints.admit(&key("a"), terms, None, number, at(0));
    }
    let mut now = at(0);
    let mut times = Vec::new();
    while endpoints.waiting() > 0 {
        endpoints.wake(now);
        for _ in started(&mut endpoints, now) {
            times.push(now.since(at(0)).as_millis());
            end(&mut endpoints, "a", Heard::Accepted, MS(1), now);
        }
        now = endpoints.next_time().unwrap_or(now);
    }
    // Five together, then one every 20 ms.
    assert_eq!(times[..7], [0, 0, 0, 0, 0, 20, 40]);
    assert_eq!(times.last(), Some(&1_900));
}

/// Breaks an endpoint by failures and returns what was put off by then.
fn break_down(endpoints: &mut Endpoints<u32>, waiting: u32, now: Timestamp) -> Vec<PutOff<u32>> {
    for number in 0..5 + waiting {
        endpoints.admit(&key("a"), terms("a", 5), None, number, now);
    }
    assert_eq!(started(endpoints, now).len(), 5);
    for _ in 0..5 {
        endpoints.ended(&key("a"), now);
        endpoints.heard(&key("a"), ended(Heard::NoAnswer, MS(1), now), now);
    }
    endpoints.take_put_off()
}

#[test]
fn an_open_breaker_sends_all_away_and_one_back_as_the_probe() {
    let mut endpoints = endpoints(100);
    let away = break_down(&mut endpoints, 3, at(0));
    assert_eq!(endpoints.open_breakers(), 1);
    let of = |away: &[PutOff<u32>]| -> Vec<(u32, u64)> {
        let since = |one: &PutOff<u32>| one.until.since(at(0)).as_millis() as u64;
        away.iter().map(|one| (one.task, since(one))).collect()
    };
    assert!(away.iter().all(|one| one.why == Parked::BreakerOpen));
    assert_eq!(of(&away)[0], (5, 5_000), "the probe");
    assert!(of(&away)[1..].iter().all(|(_, until)| *until >= 5_000));
    // Nothing goes before the probe is due; whoever comes is sent away, for longer and longer.
    for (now, least) in [(1_000, 5_000), (4_999, 5_000)] {
        endpoints.admit(&key("a"), terms("a", 5), None, 90, at(now));
        assert_eq!(endpoints.start_next(at(now)), None);
        assert!(of(&endpoints.take_put_off())[0].1 >= now + least);
    }
    // One probe at a time.
    endpoints.admit(&key("a"), terms("a", 5), None, 5, at(5_000));
    assert_eq!(started(&mut endpoints, at(5_000)), [5]);
    endpoints.admit(&key("a"), terms("a", 5), None, 6, at(5_000));
    assert!(started(&mut endpoints, at(5_000)).is_empty());
    end(&mut endpoints, "a", Heard::NoAnswer, MS(1), at(5_100));
    assert!(started(&mut endpoints, at(9_000)).is_empty());
    // The one that had waited behind the probe is the next: twice as long after it.
    assert_eq!(of(&endpoints.take_put_off()), [(6, 15_100)]);
    endpoints.admit(&key("a"), terms("a", 5), None, 6, at(15_100));
    assert_eq!(started(&mut endpoints, at(15_100)), [6]);
    end(&mut endpoints, "a", Heard::Accepted, MS(1), at(15_200));
    assert_eq!(endpoints.open_breakers(), 0);
    for number in 0..5 {
        endpoints.admit(&key("a"), terms("a", 5), None, number, at(15_200));
    }
    assert_eq!(started(&mut endpoints, at(15_200)).len(), 5);
}

#[test]
fn a_probe_that_was_not_made_is_made_by_the_next() {
    let mut endpoints = endpoints(100);
    break_down(&mut endpoints, 0, at(0));
    endpoints.admit(&key("a"), terms("a", 5), None, 1, at(5_000));
    assert_eq!(started(&mut endpoints, at(5_000)), [1]);
    endpoints.ended(&key("a"), at(5_001));
    endpoints.unheard(&key("a"), at(5_001));
    endpoints.admit(&key("a"), terms("a", 5), None, 2, at(5_002));
    assert_eq!(started(&mut endpoints, at(5_002)), [2]);
}

#[test]
fn a_retry_after_delays_the_endpoint_and_not_only_its_task() {
    let mut endpoints = endpoints(100);
    for number in 0..3 {
        endpoints.admit(&key("a"), terms("a", 1), None, number, at(0));
    }
    assert_eq!(started(&mut endpoints, at(0)), [0]);
    let throttled = |seconds| Heard::Throttled {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    end(&mut endpoints, "a", throttled(7), MS(1), at(0));
    // Short enough to wait for it here.
    assert!(started(&mut endpoints, at(0)).is_empty());
    assert_eq!(endpoints.next_time(), Some(at(7_000)));
    endpoints.wake(at(6_999));
    assert!(started(&mut endpoints, at(6_999)).is_empty());
    endpoints.wake(at(7_000));
    assert_eq!(started(&mut endpoints, at(7_000)), [1]);
    // Too long.
    end(&mut endpoints, "a", throttled(60), MS(1), at(7_000));
    let away = endpoints.take_put_off();
    assert_eq!(away.len(), 1);
    assert_eq!((away[0].task, away[0].why), (2, Parked::Throttled));
    assert!(away[0].until >= at(67_000));
}

#[test]
fn a_new_assignment_leaves_what_is_out_and_what_is_known() {
    let mut endpoints = endpoints(100);
    endpoints.admit(&key("a"), terms("a", 1), None, 0, at(0));
    endpoints.admit(&key("a"), terms("a", 1), None, 1, at(0));
    assert_eq!(endpoints.start_next(at(0)), Some(0));
    endpoints.clear_waiting();
    endpoints.admit(&key("a"), terms("a", 1), None, 2, at(0));
    assert_eq!(endpoints.start_next(at(0)), None);
    end(&mut endpoints, "a", Heard::Accepted, MS(1), at(0));
    assert_eq!(endpoints.start_next(at(0)), Some(2));
    // Forgotten only when nothing is known any more.
    end(&mut endpoints, "a", Heard::Broken, MS(1), at(0));
    endpoints.forget(at(29_000));
    assert_eq!(endpoints.by_key.len(), 1);
    endpoints.forget(at(30_000));
    assert_eq!(endpoints.by_key.len(), 0);
}

proptest! {
    /// Whatever happens: bounds hold, and no task is lost or doubled.
    #[test]
    fn bounds_hold_and_nothing_is_lost(steps in vec((0_u8..8, 0_u8..5, 1_u64..4_000), 1..400)) {
        let mut endpoints = endpoints::<u64>(6);
        let (mut now, mut made, mut seen) = (at(0), 0_u64, BTreeSet::new());
        let mut out: Vec<u8> = Vec::new();
        for (what, who, millis) in steps {
            let id = who.to_string();
            let terms = Terms {
                pace: (who == 0).then(|| Pace::new(10, Duration::from_secs(1))),
                ..terms(&id, 1 + usize::from(who))
            };
            match what {
                0..=3 => {
                    made += 1;
                    let arrival = Arrival { lane: usize::from(who % 2), room: 4, age: MS(millis) };
                    // Which endpoint it is for stands in its number.
                    endpoints.admit(&key(&id), terms, Some(arrival), made * 8 + u64::from(who), now);
                }
                4 => {
                    now = now.after(MS(millis));
                    endpoints.wake(now);
                }
                _ => if let Some(who) = out.pop() {
                    let heard = [Heard::Accepted, Heard::NoAnswer, Heard::OwnFault][usize::from(what % 3)];
                    end(&mut endpoints, &who.to_string(), heard, MS(millis), now);
                }
            }
            for task in started(&mut endpoints, now) {
                prop_assert!(seen.insert(task));
                out.push((task % 8) as u8);
            }
            for away in endpoints.take_put_off() {
                prop_assert!(away.until >= now);
                prop_assert!(seen.insert(away.task));
            }
            prop_assert!(out.len() <= 6);
            for who in 0..5_u8 {
                let its = out.iter().filter(|one| **one == who).count();
                prop_assert!(its <= (1 + usize::from(who)).min(3), "{its} of {who}");
            }
            prop_assert_eq!(seen.len() + endpoints.waiting(), made as usize);
        }
        // In the end everybody had a turn.
        for _ in 0..100_000 {
            if let Some(who) = out.pop() {
                end(&mut endpoints, &who.to_string(), Heard::Accepted, MS(1), now);
            } else if let Some(next) = endpoints.next_time() {
                now = now.max(next);
                endpoints.wake(now);
            } else {
                break;
            }
            for task in started(&mut endpoints, now) {
                prop_assert!(seen.insert(task));
                out.push((task % 8) as u8);
            }
            for away in endpoints.take_put_off() {
                prop_assert!(seen.insert(away.task));
            }
        }
        prop_assert_eq!(seen.len(), made as usize);
        prop_assert_eq!(endpoints.waiting(), 0);
    }
}
