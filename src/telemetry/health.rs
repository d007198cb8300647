//! What `/health` and `/ready` answer from: each loop says that it moves, and in which state it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A loop that has not moved for so long is taken to be stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// How far a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Reads its tables, waits for an assignment.
    Starting = 0,
    /// Works.
    Ready = 1,
    /// Waits for something outside to recover.
    Holding = 2,
    /// Finishes what runs and takes nothing new.
    Draining = 3,
}

impl State {
    const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Holding, Self::Draining];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Holding => "holding",
            Self::Draining => "draining",
        }
    }
}

/// All components of the process. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Health {
    components: Arc<Mutex<BTreeMap<&'static str, Component>>>,
    started: Instant,
}

/// One loop's handle. Clones are handles to the same; beats cost one relaxed store.
#[derive(Clone, Debug)]
pub struct Component(Arc<Pulse>);

#[derive(Debug)]
struct Pulse {
    started: Instant,
    /// Milliseconds from `started` to the last beat: monotonic time, so that a step of the wall
    /// clock declares nobody dead.
    last_beat: AtomicU64,
    state: AtomicU8,
}

/// What a component is seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How far it is.
    pub state: State,
    /// Milliseconds since its last beat.
    pub last_beat_ms: u64,
}

impl Health {
    /// No components yet; `now` is the origin of monotonic time.
    pub fn new(now: Instant) -> Self {
        Self {
            components: Arc::default(),
            started: now,
        }
    }

    /// The handle of a component, made with its first beat at `now` in [`State::Starting`] if it is
    /// new.
    pub fn component(&self, name: &'static str, now: Instant) -> Component {
        let mut components = self
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let component = components.entry(name).or_insert_with(|| {
            let component = Component(Arc::new(Pulse {
                started: self.started,
                last_beat: AtomicU64::new(0),
                state: AtomicU8::new(State::Starting as u8),
            }));
            component.beat(now);
            component
        });
        component.clone()
    }

    /// Says for all components that the process moves: while it waits before any of them does.
    pub fn beat(&self, now: Instant) {
        let components = self
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        components
            .values()
            .for_each(|component| component.beat(now));
    }

    /// Whether every component has moved lately.
    pub fn is_healthy(&self, now: Instant) -> bool {
        self.reports(now)
            .values()
            .all(|report| u128::from(report.last_beat_ms) < STUCK_AFTER.as_millis())
    }

    /// Whether there are components, and all are [`State::Ready`].
    pub fn is_ready(&self, now: Instant) -> bool {
        let reports = self.reports(now);
        !reports.is_empty() && reports.values().all(|report| report.state == State::Ready)
    }

    pub(super) fn reports(&self, now: Instant) -> BTreeMap<&'static str, Report> {
        let components = self
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        components
            .iter()
            .map(|(name, component)| (*name, component.report(now)))
            .collect()
    }
}

impl Component {
    /// Says that the loop moves.
    pub fn beat(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.0.started).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.0.last_beat.store(millis, Ordering::Relaxed);
    }

    /// Says which state the loop is in.
    pub fn set(&self, state: State) {
        self.0.state.store(state as u8, Ordering::Relaxed);
    }

    /// One that works holds, or one that holds works again. In other states this changes nothing.
    pub fn hold(&self, holds: bool) {
        let (from, to) = match holds {
            true => (State::Ready, State::Holding),
            false => (State::Holding, State::Ready),
        };
        if self.state() == from {
            self.set(to);
        }
    }

    /// The state that was set last.
    pub fn state(&self) -> State {
        let stored = self.0.state.load(Ordering::Relaxed);
        let mut states = State::ALL.into_iter();
        states
            .find(|state| *state as u8 == stored)
            .unwrap_or(State::Starting)
    }

    fn report(&self, now: Instant) -> Report {
        let last_beat = Duration::from_millis(self.0.last_beat.load(Ordering::Relaxed));
        let age = now
            .saturating_duration_since(self.0.started)
            .saturating_sub(last_beat);
        Report {
            state: self.state(),
            last_beat_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_component_is() {
        let now = Instant::now();
        let health = Health::new(now);
        assert!(
            !health.is_ready(now),
            "a process without loops does nothing"
        );
        let router = health.component("router", now);
        let dispatcher = health.component("dispatcher", now);
        router.set(State::Ready);
        assert!(!health.is_ready(now));
        for (state, expected) in [
            (State::Ready, true),
            (State::Holding, false),
            (State::Draining, false),
            (State::Starting, false),
        ] {
            dispatcher.set(state);
            assert_eq!(
                (dispatcher.state(), health.is_ready(now)),
                (state, expected)
            );
        }
    }

    #[test]
    fn healthy_while_every_component_moves() {
        let start = Instant::now();
        let health = Health::new(start);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(health.is_healthy(start));
        let router = health.component("router", later(5));
        let again = health.component("router", later(9));
        assert!(health.is_healthy(later(34)));
        assert!(!health.is_healthy(later(35)), "the second call is no beat");
        again.beat(later(36));
        assert!(health.is_healthy(later(60)));
        router.beat(later(61));
        assert_eq!(health.reports(later(62))["router"].last_beat_ms, 1_000);
        health.beat(later(90));
        assert_eq!(health.reports(later(91))["router"].last_beat_ms, 1_000);
    }
}
