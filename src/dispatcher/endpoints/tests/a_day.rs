//! A day on the tiers, played: how often tasks that wait for one endpoint are written again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::retry::Hop;

/// Tasks on the tiers of a ladder, each with the time at which it comes back.
struct Waiting {
    back: BinaryHeap<Reverse<(Timestamp, u32)>>,
    due: Vec<Timestamp>,
    rewrites: u64,
}

impl Waiting {
    /// Writes a task to a tier.
    fn write(&mut self, task: u32, until: Timestamp, ladder: &Ladder, now: Timestamp) {
        self.rewrites += 1;
        self.due[task as usize] = until;
        let stays = match ladder.next_hop_in_line(until.since(now)) {
            Hop::Tier(tier) => tier.delay(),
            Hop::Now | Hop::WaitInMemory(_) => ladder.smallest().delay(),
        };
        self.back.push(Reverse((now.after(stays), task)));
    }
}

/// What has become of tasks.
struct Day {
    /// How often they were written again.
    rewrites: u64,
    /// How many got through.
    delivered: u32,
    /// When the last of them did.
    last: Timestamp,
}

/// Plays `count` tasks that come in a minute to one endpoint, for a day.
fn play_a_day(count: u32, terms: Terms, is_up: impl Fn(Timestamp) -> bool) -> Day {
    let mut endpoints = endpoints(1_024);
    let ladder = ladder();
    let mut waiting = Waiting {
        back: BinaryHeap::new(),
        due: vec![at(0); count as usize],
        rewrites: 0,
    };
    for task in 0..count {
        let comes = at(u64::from(task) * 60_000 / u64::from(count));
        waiting.back.push(Reverse((comes, task)));
    }
    let (mut delivered, mut last) = (0, at(0));
    loop {
        let next_back = waiting.back.peek().map(|next| next.0.0);
        let Some(now) = next_back.into_iter().chain(endpoints.next_time()).min() else {
            break;
        };
        if now >= at(24 * 3_600_000) {
            break;
        }
        endpoints.wake(now);
        while let Some(Reverse((due, task))) = waiting.back.peek().copied()
            && due <= now
        {
            waiting.back.pop();
            let until = waiting.due[task as usize];
            if until.since(now) >= Duration::from_secs(5) {
                waiting.write(task, until, &ladder, now);
                continue;
            }
            let arrival = Arrival {
                lane: 0,
                room: 700_usize.saturating_sub(endpoints.waiting()),
                age: Duration::ZERO,
            };
            endpoints.admit(&key("a"), terms, Some(arrival), task, now);
        }
        while let Some(task) = endpoints.start_next(now) {
            endpoints.ended(&key("a"), now);
            let heard = if is_up(now) {
                Heard::Accepted
            } else {
                Heard::NoAnswer
            };
            endpoints.heard(&key("a"), ended(heard, MS(5), now), now);
            if is_up(now) {
                (delivered, last) = (delivered + 1, now);
            } else {
                // Its policy sends it again in an hour.
                waiting.write(task, now.after(MS(3_600_000)), &ladder, now);
            }
        }
        for away in endpoints.take_put_off() {
            waiting.write(away.task, away.until, &ladder, now);
        }
    }
    Day {
        rewrites: waiting.rewrites,
        delivered,
        last,
    }
}

#[test]
fn tasks_for_a_dead_endpoint_are_written_a_few_times_a_day() {
    let day = play_a_day(20_000, terms("a", 64), |_| false);
    let (rewrites, delivered) = (day.rewrites, day.delivered);
    assert_eq!(delivered, 0);
    assert!(rewrites <= 10 * 20_000, "{rewrites} for 20000 tasks");
}

#[test]
fn tasks_of_a_limited_endpoint_are_written_a_few_times_until_their_turn() {
    let limited = Terms {
        pace: Some(Pace::new(2, Duration::from_secs(1))),
        ..terms("a", 64)
    };
    // Five and a half hours' worth.
    let day = play_a_day(40_000, limited, |_| true);
    assert_eq!(day.delivered, 40_000);
    let rewrites = day.rewrites;
    assert!(rewrites <= 10 * 40_000, "{rewrites} for 40000 tasks");
    // All places were used: nothing was late by more than what waits in memory makes up for.
    let took = day.last.since(at(0));
    assert!(took <= Duration::from_secs(20_000 + 60), "{took:?}");
}

#[test]
fn an_endpoint_that_is_back_gets_what_waits_within_a_multiple_of_its_outage() {
    for outage in [60_000, 600_000, 3_600_000] {
        let day = play_a_day(2_000, terms("a", 64), |now| now >= at(outage));
        assert_eq!(day.delivered, 2_000, "after an outage of {outage} ms");
    }
}
