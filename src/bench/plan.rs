//! What is measured.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::load::{LEAST_SIZE, event_type};
use super::neighbour::Neighbour;
use crate::duration_text::parse;

/// The most endpoints: each has a port of its own.
const MOST_RECEIVERS: u32 = 1_000;
/// The most hooktide processes.
const MOST_PROCESSES: usize = 64;
/// Subscriptions if nobody says how many. Tasks are placed by subscription: with one alone, they would
/// all lie on one partition, which is nobody's case.
const USUAL_SUBSCRIPTIONS: u64 = 100;
const GREATEST_SIZE: usize = 900_000;

/// What is asked for, in numbers that fit together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Plan(Wish);

/// What is asked for; see [`Plan::try_new`].
#[derive(Clone, Debug, PartialEq, Args, Serialize)]
pub struct Wish {
    /// Events to produce
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub events: u64,
    /// Bytes of each event
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub size: usize,
    /// Subscriptions that each event goes to
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub fan_out: u64,
    /// Subscriptions in all, a multiple of the fan-out; without it 100 or somewhat more
    #[arg(long, value_name = "N")]
    pub subscriptions: Option<u64>,
    /// Endpoints that the subscriptions have between them
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub receivers: u32,
    /// How long an endpoint takes to answer
    #[arg(long, value_name = "DURATION", value_parser = parse, default_value = "0s")]
    #[serde(rename = "delay_ms", serialize_with = "as_millis")]
    pub delay: Duration,
    /// Events a second; without it they are produced at once
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// The share of deliveries whose first request is answered 503; they are made again after 5 s
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub failing: f64,
    /// Let all first requests fail, and stop hooktide until all are due again: measures how they then go
    /// out, and new events beside them
    #[arg(long, conflicts_with_all = ["failing", "beside"])]
    pub due_at_once: bool,
    /// Measure once more beside endpoints that behave so, which get 200 events a second
    #[arg(long, value_name = "KIND", requires = "rate")]
    pub beside: Option<Neighbour>,
    /// So many tasks wait for that endpoint (`dead` or `limited`) before anything is measured beside it,
    /// and no more come
    #[arg(long, value_name = "N", requires = "beside")]
    pub backlog: Option<u64>,
    /// How many `hooktide run` share the work
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub processes: usize,
    /// Events before those that count; connections, tables and just-in-time compilers are warm after them
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub warm_up: u64,
    /// Endpoints that are reached over TLS
    #[arg(long)]
    pub tls: bool,
    /// Watch for so long what hooktide takes while nothing comes, before anything else is measured
    #[arg(long, value_name = "DURATION", value_parser = parse)]
    #[serde(rename = "idle_ms", serialize_with = "maybe_as_millis")]
    pub idle: Option<Duration>,
    /// Produce all events before hooktide starts, which then catches up
    #[arg(long, conflicts_with_all = ["rate", "beside", "due_at_once"])]
    pub catch_up: bool,
    /// The first subscription's endpoint takes so long to answer; what is measured is the others. Events
    /// have their type as key
    #[arg(long, value_name = "DURATION", value_parser = parse, requires = "rate")]
    #[arg(conflicts_with_all = ["failing", "beside", "due_at_once", "catch_up"])]
    #[serde(rename = "slow_ms", serialize_with = "maybe_as_millis")]
    pub slow: Option<Duration>,
    /// Run the router alone, and hold it against a plain transactional copy of what it writes
    #[arg(long, conflicts_with_all = ["rate", "failing", "beside", "due_at_once", "catch_up", "slow", "idle"])]
    pub router_alone: bool,
    /// Measure this program instead of hooktide. A shell starts it with BOOTSTRAP_SERVERS, TOPIC, GROUP and
    /// URL in its environment; it posts every record's value to URL and the record's key, with the member
    /// `id` of the value as header `webhook-id`
    #[arg(long, value_name = "PROGRAM")]
    #[arg(conflicts_with_all = ["failing", "beside", "due_at_once", "router_alone"])]
    pub instead: Option<String>,
}

/// Which numbers do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to measure.
    #[error(
        "--events, --fan-out, --receivers, --processes, --rate and --backlog must be at least 1"
    )]
    Zero,
    /// An event holds some members besides its filler, and a topic takes only so much.
    #[error("--size must be from {LEAST_SIZE} to {GREATEST_SIZE} bytes")]
    Size,
    /// Every event type has the same number of subscriptions.
    #[error("--subscriptions must be a multiple of --fan-out")]
    FanOut,
    /// It is a part of all deliveries.
    #[error("--failing must be from 0 to 1")]
    Failing,
    /// What is measured beside others is latency, which says nothing while all is waiting.
    #[error("--beside needs a --rate")]
    Beside,
    /// For the others, nothing waits.
    #[error("--backlog goes with --beside dead or --beside limited")]
    Backlog,
    /// A program knows nothing of subscriptions.
    #[error("--instead goes with a --fan-out and --processes of 1")]
    Instead,
    /// Ports and processes of one machine.
    #[error("at most {MOST_RECEIVERS} --receivers and {MOST_PROCESSES} --processes")]
    TooMany,
}

impl Plan {
    /// A plan in which every event goes to exactly `fan_out` subscriptions.
    ///
    /// # Errors
    /// Says which numbers do not fit.
    pub fn try_new(mut wish: Wish) -> Result<Self, PlanError> {
        let usual = USUAL_SUBSCRIPTIONS.max(u64::from(wish.receivers));
        let usual = usual.next_multiple_of(wish.fan_out.max(1));
        let subscriptions = *wish.subscriptions.get_or_insert(usual);
        if wish.events == 0
            || wish.fan_out == 0
            || wish.receivers == 0
            || wish.processes == 0
            || wish.rate == Some(0)
            || wish.backlog == Some(0)
        {
            return Err(PlanError::Zero);
        }
        if !(0.0..=1.0).contains(&wish.failing) {
            return Err(PlanError::Failing);
        }
        if wish.beside.is_some() && wish.rate.is_none() {
            return Err(PlanError::Beside);
        }
        if wish.backlog.is_some()
            && !matches!(wish.beside, Some(Neighbour::Dead | Neighbour::Limited))
        {
            return Err(PlanError::Backlog);
        }
        if wish.instead.is_some() && (wish.fan_out, wish.processes) != (1, 1) {
            return Err(PlanError::Instead);
        }
        if !(LEAST_SIZE..=GREATEST_SIZE).contains(&wish.size) {
            return Err(PlanError::Size);
        }
        if subscriptions == 0 || !subscriptions.is_multiple_of(wish.fan_out) {
            return Err(PlanError::FanOut);
        }
        if wish.receivers > MOST_RECEIVERS || wish.processes > MOST_PROCESSES {
            return Err(PlanError::TooMany);
        }
        Ok(Self(wish))
    }

    /// What was asked for.
    pub fn asked(&self) -> &Wish {
        &self.0
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> u64 {
        self.0.subscriptions.unwrap_or(USUAL_SUBSCRIPTIONS)
    }

    /// How many event types there are: each has subscriptions of its own.
    pub fn types(&self) -> u64 {
        self.subscriptions() / self.0.fan_out
    }

    /// The first subscription's endpoint, if it is slow: its type's place in a URL.
    pub(super) fn slow_path(&self) -> Option<String> {
        self.0.slow.map(|_| format!("/{}", event_type(0)))
    }

    /// How many deliveries there must be besides those of the first event type, whose endpoint is slow.
    pub(super) fn deliveries_to_others(&self) -> u64 {
        let to_it = self.0.events.div_ceil(self.types());
        (self.0.events - to_it) * self.0.fan_out
    }

    /// How many deliveries there must be.
    pub fn deliveries(&self) -> u64 {
        self.0.events.saturating_mul(self.0.fan_out)
    }
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn maybe_as_millis<S: serde::Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_millis(duration, to),
        None => to.serialize_none(),
    }
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
        failing: 0.0,
        due_at_once: false,
        beside: None,
        backlog: None,
        processes: 1,
        delay: Duration::ZERO,
        warm_up: 200,
        tls: false,
        idle: None,
        catch_up: false,
        slow: None,
        router_alone: false,
        instead: None,
    };

    #[test]
    fn numbers_that_fit_make_a_plan() {
        fn check(change: impl Fn(&mut Wish), subscriptions: u64, types: u64, deliveries: u64) {
            let mut wish = USUAL;
            change(&mut wish);
            let plan = Plan::try_new(wish.clone()).unwrap();
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
            assert_eq!(Plan::try_new(wish.clone()), Err(expected), "{wish:?}");
        }
        check(|wish| wish.events = 0, PlanError::Zero);
        check(|wish| wish.fan_out = 0, PlanError::Zero);
        check(|wish| wish.rate = Some(0), PlanError::Zero);
        check(
            |wish| wish.beside = Some(Neighbour::Hang),
            PlanError::Beside,
        );
        check(|wish| wish.failing = 1.5, PlanError::Failing);
        check(|wish| wish.failing = f64::NAN, PlanError::Failing);
        check(|wish| wish.backlog = Some(9), PlanError::Backlog);
        check(
            |wish| {
                (wish.rate, wish.beside) = (Some(9), Some(Neighbour::Slow));
                wish.backlog = Some(9);
            },
            PlanError::Backlog,
        );
        check(|wish| wish.size = 10, PlanError::Size);
        check(|wish| wish.size = 1 << 20, PlanError::Size);
        check(|wish| wish.subscriptions = Some(0), PlanError::FanOut);
        check(
            |wish| (wish.subscriptions, wish.fan_out) = (Some(3), 2),
            PlanError::FanOut,
        );
        check(
            |wish| (wish.instead, wish.fan_out) = (Some("true".into()), 2),
            PlanError::Instead,
        );
        check(
            |wish| (wish.instead, wish.processes) = (Some("true".into()), 2),
            PlanError::Instead,
        );
        check(|wish| wish.receivers = 1_001, PlanError::TooMany);
        check(|wish| wish.processes = 65, PlanError::TooMany);
    }
}
