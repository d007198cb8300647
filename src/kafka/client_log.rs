//! What librdkafka says, as log lines of ours: bounded, because a client without brokers says the
//! same thing twenty times a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// So many lines a window, at most; the rest is counted.
const LINES: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

/// The log of one client. A context with more to do than logging keeps one and passes its `log` and
/// `error` on; one with nothing else to do is this.
#[derive(Debug)]
pub struct ClientLog {
    client: &'static str,
    limit: Mutex<Limit>,
}

impl ClientLog {
    /// For a client, by the name that its lines carry.
    pub fn new(client: &'static str) -> Self {
        Self {
            client,
            limit: Mutex::new(Limit::default()),
        }
    }

    fn may_write(&self) -> bool {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
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
        if !self.may_write() {
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
        if !is_end && self.may_write() {
            let client = self.client;
            tracing::error!(target: "librdkafka", client, %error, reason, "client error");
        }
    }
}

impl ConsumerContext for ClientLog {}

#[derive(Debug, Default)]
struct Limit {
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
    fn admit(&mut self, now: Instant) -> Admission {
        let suppressed = match &mut self.window {
            Some((began, seen)) if now.saturating_duration_since(*began) < WINDOW => {
                *seen = seen.saturating_add(1);
                return if *seen <= LINES {
                    Admission::Write { suppressed: 0 }
                } else {
                    Admission::Suppress
                };
            }
            Some((_, seen)) => seen.saturating_sub(LINES),
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
    fn a_window_has_so_many_lines_and_the_next_one_tells_of_the_rest() {
        let start = Instant::now();
        let mut limit = Limit::default();
        let admitted = (0..100)
            .map(|step| limit.admit(start + Duration::from_millis(step)))
            .filter(|admission| *admission == Admission::Write { suppressed: 0 })
            .count();
        assert_eq!(admitted, 20);
        let before = start + WINDOW - Duration::from_millis(1);
        assert_eq!(limit.admit(before), Admission::Suppress);
        let after = limit.admit(start + WINDOW);
        assert_eq!(after, Admission::Write { suppressed: 81 });
        let next = limit.admit(start + WINDOW);
        assert_eq!(next, Admission::Write { suppressed: 0 });
    }
}
