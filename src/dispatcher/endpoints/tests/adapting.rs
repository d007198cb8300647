//! Receivers that bear so many requests at once, played: where the limit settles, what that costs, and what
//! gets through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// What a receiver does with a request that it has no place for.
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    /// Answers 429 or 503 at once.
    Refuses(Heard),
    /// Lets it wait for a place.
    Queues,
}

/// What was seen from one time on.
#[derive(Debug, Default)]
struct Seen {
    delivered: u32,
    refused: u32,
    /// Places that were used, by delivery.
    out: Vec<usize>,
}

impl Seen {
    fn mean_out(&self) -> f64 {
        self.out.iter().sum::<usize>() as f64 / self.out.len() as f64
    }
}

/// How long one request takes at a place, and what differs from one to the next.
const SERVICE: u64 = 100;
const FROM: u64 = 30_000;
const END: u64 = 60_000;

/// Plays an endpoint with always enough to do, and returns what was seen from [`FROM`] until [`END`].
/// `places`: how many it has at a time, in milliseconds.
fn play(places: impl Fn(u64) -> usize, beyond: Beyond, is_adaptive: bool) -> Seen {
    let terms = Terms {
        is_adaptive,
        ..terms("a", 64)
    };
    let mut endpoints = endpoints::<u32>(1_024);
    endpoints.learn(&key("a"), terms, Restraint::default(), at(0));
    let (mut now, mut seen, mut made) = (0_u64, Seen::default(), 0_u32);
    // When each request that is out ends, when it began, and how.
    let mut out: BinaryHeap<Reverse<(u64, u64, bool)>> = BinaryHeap::new();
    // When each place is free.
    let mut busy: Vec<u64> = Vec::new();
    while now < END {
        let mut starts = Vec::new();
        loop {
            if endpoints.waiting() == 0 {
                made += 1;
                endpoints.admit(&key("a"), terms, None, made, at(now));
            }
            match endpoints.start_next(at(now)) {
                Some(task) => starts.push(task),
                None => break,
            }
        }
        endpoints.take_put_off();
        for task in starts {
            busy.retain(|until| *until > now);
            busy.sort_unstable();
            let takes = SERVICE - 20 + u64::from(task).wrapping_mul(2_654_435_761) % 41;
            let places = places(now);
            match beyond {
                Beyond::Refuses(_) if busy.len() >= places => {
                    out.push(Reverse((now + 2, now, false)));
                }
                Beyond::Refuses(_) | Beyond::Queues => {
                    let begins = match busy.len().checked_sub(places) {
                        Some(before) => busy[before],
                        None => now,
                    };
                    busy.push(begins + takes);
                    out.push(Reverse((begins + takes, now, true)));
                }
            }
        }
        let Some(Reverse((end, began, is_accepted))) = out.pop() else {
            break;
        };
        now = end.max(now);
        endpoints.wake(at(now));
        if now >= FROM {
            seen.out.push(out.len() + 1);
            seen.delivered += u32::from(is_accepted);
            seen.refused += u32::from(!is_accepted);
        }
        let heard = match beyond {
            Beyond::Refuses(heard) if !is_accepted => heard,
            Beyond::Refuses(_) | Beyond::Queues => Heard::Accepted,
        };
        let ended = Ended {
            revision: 0,
            heard,
            began: at(began),
            took: MS(now - began),
        };
        endpoints.ended(&key("a"), at(now));
        endpoints.heard(&key("a"), ended, at(now));
    }
    seen
}

const THROTTLED: Beyond = Beyond::Refuses(Heard::Throttled { retry_after: None });

#[test]
fn where_more_is_refused_the_limit_settles_just_below() {
    for places in [1, 2, 3, 8, 30, 60] {
        let seen = play(|_| places, THROTTLED, true);
        let best = (END - FROM) as f64 / SERVICE as f64 * places as f64;
        let share = f64::from(seen.delivered) / best;
        assert!(
            share >= 0.85,
            "{places} places: {share} of what is possible"
        );
        let all = f64::from(seen.delivered + seen.refused);
        let refused = f64::from(seen.refused) / all;
        assert!(refused <= 0.06, "{places} places: {refused} refused");
    }
}

#[test]
fn where_more_is_slower_the_limit_settles_where_nothing_is_gained() {
    for places in [2, 8, 20] {
        let seen = play(|_| places, Beyond::Queues, true);
        let best = (END - FROM) as f64 / SERVICE as f64 * places as f64;
        let share = f64::from(seen.delivered) / best;
        assert!(share >= 0.9, "{places} places: {share} of what is possible");
        let out = seen.mean_out() / places as f64;
        assert!(
            (0.9..=3.0).contains(&out),
            "{places} places: {out} times as many out"
        );
    }
}

#[test]
fn when_an_endpoint_bears_more_the_limit_follows() {
    for beyond in [THROTTLED, Beyond::Queues] {
        let doubled = |now| if now < FROM / 2 { 10 } else { 20 };
        let seen = play(doubled, beyond, true);
        let best = (END - FROM) as f64 / SERVICE as f64 * 20.0;
        let share = f64::from(seen.delivered) / best;
        assert!(share >= 0.85, "{share} of what is possible");
        let halved = |now| if now < FROM { 20 } else { 10 };
        let seen = play(halved, beyond, true);
        let share = f64::from(seen.delivered) / best * 2.0;
        assert!(share >= 0.8, "{share} of what is possible");
        assert!(seen.mean_out() <= 25.0, "{} out", seen.mean_out());
    }
}

#[test]
fn an_endpoint_that_bears_all_gets_all() {
    let seen = play(|_| 1_000, THROTTLED, true);
    assert_eq!(seen.refused, 0);
    assert!(seen.mean_out() >= 63.0, "{}", seen.mean_out());
}
