//! Which tasks may wait in memory for their endpoint, and when those come back that may not.

use std::time::Duration;

use super::breaker::Admits;
use super::endpoint::Endpoint;
use super::turns::Place;
use crate::clock::Timestamp;
use crate::record::Parked;
use crate::retry::Ladder;

/// The longest that a task is to wait in memory for its endpoint.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest, once its endpoint has its share of the window.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// So old a task on a partition that several endpoints share means that some of them wait for others.
const LAGGING: Duration = Duration::from_secs(2);
/// How many tasks wait for a probe that is out: what an endpoint that is back gets at once.
const BEHIND_A_PROBE: usize = 16;

/// A task that must wait elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct PutOff<T> {
    /// The task.
    pub task: T,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub why: Parked,
}

/// What the partition that a task came through is like.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The lane's index.
    pub lane: usize,
    /// How many more unfinished tasks it may have.
    pub room: usize,
    /// How long the task has been on it since it was due.
    pub age: Duration,
}

impl<T> Endpoint<T> {
    pub(super) fn may_take_a_turn(&self, now: Timestamp) -> bool {
        !self.waiting.is_empty()
            && self.has_room()
            && self.ready_at(now).is_some_and(|ready| ready <= now)
    }

    /// Why a task with `ahead` others before it should not wait in memory; none: it may.
    pub(super) fn must_stay_away(
        &self,
        ahead: usize,
        arrival: Option<Arrival>,
        is_shared: bool,
        now: Timestamp,
    ) -> Option<Parked> {
        match self.breaker.admits(now) {
            Admits::Requests => {}
            Admits::Probe if ahead == 0 => return None,
            Admits::Nothing if ahead < BEHIND_A_PROBE => return None,
            Admits::NothingBefore(_) | Admits::Probe | Admits::Nothing => {
                return Some(Parked::BreakerOpen);
            }
        }
        let wait = self.expected_wait(ahead, now);
        let why = || {
            let asked_for = self.asked_for_none_before().since(now);
            match self.terms.pace {
                _ if asked_for > wait / 2 => Parked::Throttled,
                Some(pace) if pace.step >= self.step() => Parked::RateLimited,
                Some(_) | None => Parked::Crowded,
            }
        };
        if wait >= PATIENCE {
            return Some(why());
        }
        let arrival = arrival?;
        // As in `turns.rs`: an endpoint may hold as much of the window as is free.
        let has_its_share = self.held() >= arrival.room.max(1);
        // Where it waits for its turn only, the process is the limit, and all wait alike.
        let is_held_up = !self.has_room() || matches!(self.place, Place::Timed(_));
        let is_slow = wait >= SHORT_PATIENCE;
        let is_in_the_way = arrival.age >= LAGGING && !matches!(self.place, Place::Timed(_));
        let hinders = match self.place {
            // The host's other endpoints would only wait elsewhere as well.
            Place::OnHost => is_shared && (is_slow || is_in_the_way),
            Place::Nowhere | Place::InTurn | Place::Timed(_) | Place::Starved(_) => {
                is_held_up && (is_slow || is_shared && is_in_the_way)
            }
        };
        (has_its_share && hinders).then(why)
    }

    /// After a change for the worse: who waits here and should not any more is put off, in order. How
    /// many that are.
    pub(super) fn send_away(
        &mut self,
        ladder: &Ladder,
        put_off: &mut Vec<PutOff<T>>,
        now: Timestamp,
    ) -> usize {
        let must_go = |endpoint: &Self, ahead| endpoint.must_stay_away(ahead, None, false, now);
        let mut stay = self.waiting.len();
        let mut why = None;
        // The last has most before it: if it may stay, all may.
        while let Some(ahead) = stay.checked_sub(1)
            && let Some(cause) = must_go(self, ahead)
        {
            (stay, why) = (ahead, Some(cause));
        }
        let Some(why) = why else {
            return 0;
        };
        let away = self.waiting.split_off(stay);
        let count = away.len();
        for task in away {
            let until = self.return_of(why, ladder, now);
            put_off.push(PutOff { task, until, why });
        }
        count
    }

    pub(super) fn return_of(&mut self, why: Parked, ladder: &Ladder, now: Timestamp) -> Timestamp {
        match why {
            Parked::BreakerOpen => self.after_outage(|wait| ladder.whole_tier(wait), now),
            Parked::Throttled
            | Parked::RateLimited
            | Parked::Crowded
            | Parked::Paused
            | Parked::Braked
            | Parked::Invalid => {
                let behind_all = now.after(self.expected_wait(self.waiting.len(), now));
                let step = self.step();
                self.lines.of(why).join(behind_all, step)
            }
        }
    }
}
