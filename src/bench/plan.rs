//! What is measured.

use std::time::Duration;

use serde::Serialize;

use super::load::LEAST_SIZE;
use super::neighbour::Neighbour;

/// The most endpoints: each has a port of its own.
const MOST_RECEIVERS: u32 = 1_000;
/// The most hooktide processes.
const MOST_PROCESSES: usize = 64;
/// Subscriptions if nobody says how many. Tasks are placed by subscription: with one alone, they would
/// all lie on one partition, which is nobody's case.
const USUAL_SUBSCRIPTIONS: u64 = 100;
const GREATEST_SIZE: usize = 900_000;

/// Numbers that fit together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    events: u64,
    size: usize,
    subscriptions: u64,
    fan_out: u64,
    receivers: u32,
    rate: Option<u32>,
    beside: Option<Neighbour>,
    processes: usize,
    #[serde(rename = "delay_ms", serialize_with = "as_millis")]
    delay: Duration,
}

/// What is asked for; see [`Plan::try_new`].
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// How many events.
    pub events: u64,
    /// Bytes of each.
    pub size: usize,
    /// How many subscriptions there are; none: a hundred, or as many more as fit the other numbers.
    pub subscriptions: Option<u64>,
    /// How many of them each event goes to.
    pub fan_out: u64,
    /// How many endpoints they have between them.
    pub receivers: u32,
    /// Events a second; none: as fast as Kafka takes them.
    pub rate: Option<u32>,
    /// Endpoints beside which the same is measured once more.
    pub beside: Option<Neighbour>,
    /// How many `hooktide run` share the work.
    pub processes: usize,
    /// How long an endpoint takes to answer.
    pub delay: Duration,
}

/// Which numbers do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to measure.
    #[error("--events, --fan-out, --receivers, --processes and --rate must be at least 1")]
    Zero,
    /// An event holds some members besides its filler, and a topic takes only so much.
    #[error("--size must be from {LEAST_SIZE} to {GREATEST_SIZE} bytes")]
    Size,
    /// Every event type has the same number of subscriptions.
    #[error("--subscriptions must be a multiple of --fan-out")]
    FanOut,
    /// What is measured beside others is latency, which says nothing while all is waiting.
    #[error("--beside needs a --rate")]
    Beside,
    /// Ports and processes of one machine.
    #[error("at most {MOST_RECEIVERS} --receivers and {MOST_PROCESSES} --processes")]
    TooMany,
}

impl Plan {
    /// A plan in which every event goes to exactly `fan_out` subscriptions.
    ///
    /// # Errors
    /// Says which numbers do not fit.
    pub fn try_new(wish: Wish) -> Result<Self, PlanError> {
        let Wish {
            events,
            size,
            subscriptions,
            fan_out,
            receivers,
            rate,
            beside,
            processes,
            delay,
        } = wish;
        let usual = USUAL_SUBSCRIPTIONS.max(u64::from(receivers));
        let subscriptions = subscriptions.unwrap_or(usual.next_multiple_of(fan_out.max(1)));
        if events == 0 || fan_out == 0 || receivers == 0 || processes == 0 || rate == Some(0) {
            return Err(PlanError::Zero);
        }
        if beside.is_some() && rate.is_none() {
            return Err(PlanError::Beside);
        }
        if !(LEAST_SIZE..=GREATEST_SIZE).contains(&size) {
            return Err(PlanError::Size);
        }
        if subscriptions == 0 || subscriptions % fan_out != 0 {
            return Err(PlanError::FanOut);
        }
        if receivers > MOST_RECEIVERS || processes > MOST_PROCESSES {
            return Err(PlanError::TooMany);
        }
        Ok(Self {
            events,
            size,
            subscriptions,
            fan_out,
            receivers,
            rate,
            beside,
            processes,
            delay,
        })
    }

    /// How many events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of each event.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> u64 {
        self.subscriptions
    }

    /// How many of them each event goes to.
    pub fn fan_out(&self) -> u64 {
        self.fan_out
    }

    /// How many event types there are: each has subscriptions of its own.
    pub fn types(&self) -> u64 {
        self.subscriptions / self.fan_out
    }

    /// How many requests must arrive.
    pub fn deliveries(&self) -> u64 {
        self.events.saturating_mul(self.fan_out)
    }

    /// How many endpoints there are.
    pub fn receivers(&self) -> u32 {
        self.receivers
    }

    /// Events a second; none: as fast as Kafka takes them.
    pub fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// Endpoints beside which the same is measured once more.
    pub fn beside(&self) -> Option<Neighbour> {
        self.beside
    }

    /// How many `hooktide run` share the work.
    pub fn processes(&self) -> usize {
        self.processes
    }

    /// How long an endpoint takes to answer.
    pub fn delay(&self) -> Duration {
        self.delay
    }
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Wish = Wish {
        events: 100,
        size: 512,
        subscriptions: None,
        fan_out: 1,
        receivers: 1,
        rate: None,
        beside: None,
        processes: 1,
        delay: Duration::ZERO,
    };

    #[test]
    fn numbers_that_fit_make_a_plan() {
        fn check(change: impl Fn(&mut Wish), subscriptions: u64, types: u64, deliveries: u64) {
            let mut wish = USUAL;
            change(&mut wish);
            let plan = Plan::try_new(wish).unwrap();
            assert_eq!(plan.subscriptions(), subscriptions, "{wish:?}");
            assert_eq!(plan.types(), types, "{wish:?}");
            assert_eq!(plan.deliveries(), deliveries, "{wish:?}");
        }
        check(|_| {}, 100, 100, 100);
        check(|wish| wish.fan_out = 10, 100, 10, 1_000);
        check(|wish| wish.fan_out = 150, 150, 1, 15_000);
        check(|wish| wish.receivers = 101, 101, 101, 100);
        check(
            |wish| (wish.receivers, wish.fan_out) = (101, 5),
            105,
            21,
            500,
        );
        check(|wish| wish.subscriptions = Some(1), 1, 1, 100);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        fn check(change: impl Fn(&mut Wish), expected: PlanError) {
            let mut wish = USUAL;
            change(&mut wish);
            assert_eq!(Plan::try_new(wish), Err(expected), "{wish:?}");
        }
        check(|wish| wish.events = 0, PlanError::Zero);
        check(|wish| wish.fan_out = 0, PlanError::Zero);
        check(|wish| wish.rate = Some(0), PlanError::Zero);
        check(
            |wish| wish.beside = Some(Neighbour::Hang),
            PlanError::Beside,
        );
        check(|wish| wish.size = 10, PlanError::Size);
        check(|wish| wish.size = 1 << 20, PlanError::Size);
        check(|wish| wish.subscriptions = Some(0), PlanError::FanOut);
        check(
            |wish| (wish.subscriptions, wish.fan_out) = (Some(3), 2),
            PlanError::FanOut,
        );
        check(|wish| wish.receivers = 1_001, PlanError::TooMany);
        check(|wish| wish.processes = 65, PlanError::TooMany);
    }
}
