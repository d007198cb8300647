//! What librdkafka says, as log lines of ours: bounded, because a client without brokers says the
//! same thing twenty times a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// So many lines a window, at most; the rest is counted.
const LINES: Allowance = Allowance {
    lines: 20,
    window: Duration::from_secs(10),
};
/// And of those that say that brokers cannot be reached, which an outage brings for as long as it lasts.
const OUTAGES: Allowance = Allowance {
    lines: 1,
    window: Duration::from_mins(1),
};

/// The log of one client. A context with more to do than logging keeps one and passes its `log` and
/// `error` on; one with nothing else to do is this.
#[derive(Debug)]
pub struct ClientLog {
    client: &'static str,
    limit: Mutex<Limit>,
    outages: Mutex<Limit>,
}

/// Whether an error says that brokers cannot be reached. Clients are told so, again and again, by each way that
/// they have to be told anything; their log has it.
pub fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
    )
}

impl ClientLog {
    /// For a client, by the name that its lines carry.
    pub fn new(client: &'static str) -> Self {
        Self {
            client,
            limit: Mutex::new(Limit::of(LINES)),
            outages: Mutex::new(Limit::of(OUTAGES)),
        }
    }

    fn may_write(&self, limit: &Mutex<Limit>) -> bool {
        let mut limit = limit.lock().unwrap_or_else(PoisonError::into_inner);
        match limit.admit(Instant::now()) {
            Admission::Write { suppressed: 0 } => true,
            Admission::Write { suppressed } => {
                let client = self.client;
                tracing::warn!(client, suppressed, "librdkafka said more than was logged");
                true
            }
            Admission::Suppress => false,
        }
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        let client = self.client;
        // Debug lines come only when the user asked for them, and then all of them are wanted.
        if matches!(level, Debug) {
            return tracing::debug!(target: "librdkafka", client, facility, "{message}");
        }
        if !self.may_write(&self.limit) {
            return;
        }
        match level {
            Emerg | Alert | Critical | Error => {
                tracing::error!(target: "librdkafka", client, facility, "{message}");
            }
            Warning => tracing::warn!(target: "librdkafka", client, facility, "{message}"),
            Notice | Info | Debug => {
                tracing::info!(target: "librdkafka", client, facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is reported where the partition is read.
        let is_end = error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF);
        let limit = match is_outage(&error) {
            true => &self.outages,
            false => &self.limit,
        };
        if !is_end && self.may_write(limit) {
            let client = self.client;
            tracing::error!(target: "librdkafka", client, %error, reason, "client error");
        }
    }
}

impl ConsumerContext for ClientLog {}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    lines: u32,
    window: Duration,
}

#[derive(Debug)]
struct Limit {
    allowed: Allowance,
    /// When the window began, and how many lines it has seen.
    window: Option<(Instant, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// Write the line; so many were suppressed in the window before.
    Write {
        suppressed: u32,
    },
    Suppress,
}

impl Limit {
    fn of(allowed: Allowance) -> Self {
        let window = None;
        Self { allowed, window }
    }

    fn admit(&mut self, now: Instant) -> Admission {
        let Allowance { lines, window } = self.allowed;
        let suppressed = match &mut self.window {
            Some((began, seen)) if now.saturating_duration_since(*began) < window => {
                *seen = seen.saturating_add(1);
                return if *seen <= lines {
                    Admission::Write { suppressed: 0 }
                } else {
                    Admission::Suppress
                };
            }
            Some((_, seen)) => seen.saturating_sub(lines),
            None => 0,
        };
        self.window = Some((now, 1));
        Admission::Write { suppressed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_a_minute() {
        let mut limit = Limit::of(OUTAGES);
        let start = Instant::now();
        let seconds = (0..180).map(|second| start + Duration::from_secs(second));
        let admitted: Vec<_> = seconds.map(|now| limit.admit(now)).collect();
        for (second, admission) in (0..).zip(admitted) {
            let suppressed = if second == 0 { 0 } else { 59 };
            let told = Admission::Write { suppressed };
            let is_told = second % 60 == 0;
            assert_eq!(admission == told, is_told, "{second}: {admission:?}");
        }
    }

    #[test]
    fn a_window_has_so_many_lines_and_the_next_one_tells_of_the_rest() {
        let start = Instant::now();
        let mut limit = Limit::of(LINES);
        let admitted = (0..100)
            .map(|step| limit.admit(start + Duration::from_millis(step)))
            .filter(|admission| *admission == Admission::Write { suppressed: 0 })
            .count();
        assert_eq!(admitted, 20);
        let before = start + LINES.window - Duration::from_millis(1);
        assert_eq!(limit.admit(before), Admission::Suppress);
        let after = limit.admit(start + LINES.window);
        assert_eq!(after, Admission::Write { suppressed: 81 });
        let next = limit.admit(start + LINES.window);
        assert_eq!(next, Admission::Write { suppressed: 0 });
    }
}
