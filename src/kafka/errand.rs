//! A command's short dealings with the cluster: every wait is bounded, nothing is tried again behind
//! the user's back, and an error says what librdkafka said last and what to do.

mod newest_records;
mod record_writer;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub use newest_records::{NewestRecord, newest_records};
pub use record_writer::{Landing, RecordWriter};

use crate::config::Config;

/// How long the cluster may be silent before a command gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an errand failed. Each text holds its cause's.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// A configuration that librdkafka refuses.
    #[error("cannot set up a Kafka client: {0}")]
    Client(KafkaError),
    /// No broker answers.
    #[error(
        "Kafka at `{servers}` does not answer within {} s ({cause}): is it running, and is `kafka.bootstrap_servers` right?",
        PATIENCE.as_secs()
    )]
    Silent {
        /// `kafka.bootstrap_servers`.
        servers: String,
        /// The last thing that librdkafka said about it.
        cause: String,
    },
    /// One of our own topics is not there.
    #[error("topic `{0}` does not exist: make it with `hooktide topics create`")]
    NoOwnTopic(String),
    /// A topic of the user's is not there.
    #[error("topic `{0}` does not exist: make it first, or check its name")]
    NoTopic(String),
    /// The cluster has the topic but keeps us from it.
    #[error("topic `{topic}` cannot be used: {code}")]
    Topic {
        /// The full name.
        topic: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
    },
    /// A table topic with several partitions has no one clock.
    #[error(
        "topic `{topic}` has {partitions} partitions where it must have one: see `hooktide topics check`"
    )]
    Partitions {
        /// The full name.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
    /// Reading stopped short of the end.
    #[error("topic `{topic}` cannot be read to its end: {cause}")]
    Unread {
        /// The full name.
        topic: String,
        /// What librdkafka said last.
        cause: String,
    },
    /// A record can never be written; nothing of it is on the topic.
    #[error("topic `{topic}` does not take it: {error}")]
    Refused {
        /// The full name.
        topic: String,
        /// What the broker or librdkafka said.
        error: KafkaError,
    },
    /// No acknowledgement came in time.
    #[error("topic `{topic}` has not acknowledged it, and may have it all the same: {error}")]
    Unacknowledged {
        /// The full name.
        topic: String,
        /// What the broker or librdkafka said.
        error: KafkaError,
    },
}

/// Keeps what librdkafka said last, for the error of a command that failed. Its lines are shown only
/// at the log level `debug`: a person at a terminal wants one error, not twenty a second.
#[derive(Debug, Default)]
struct LastWord(Mutex<Option<String>>);

impl LastWord {
    /// What was said last, or else what `error` says.
    fn or(&self, error: impl ToString) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .unwrap_or_else(|| error.to_string())
    }

    fn note(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ClientContext for LastWord {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
        // That all brokers are down is the conclusion; the cause was said before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
    }
}

impl ConsumerContext for LastWord {}

/// The cluster as one command sees it.
struct Errand<'a> {
    config: &'a Config,
    topic: &'a str,
}

impl Errand<'_> {
    /// How many partitions the topic has. `serve` lets the client say why nobody answers.
    fn partitions<C: ClientContext>(
        &self,
        client: &Client<C>,
        serve: impl FnOnce(),
        last_word: impl FnOnce(KafkaError) -> String,
    ) -> Result<usize, ErrandError> {
        let metadata = client
            .fetch_metadata(Some(self.topic), PATIENCE)
            .map_err(|error| {
                serve();
                ErrandError::Silent {
                    servers: self.config.kafka.bootstrap_servers.clone(),
                    cause: last_word(error),
                }
            })?;
        let found = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic);
        let code = found.and_then(|topic| topic.error().map(RDKafkaErrorCode::from));
        let topic = self.topic.to_owned();
        match (found, code) {
            (None, _) | (_, Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                Err(if self.config.topics.is_own(self.topic) {
                    ErrandError::NoOwnTopic(topic)
                } else {
                    ErrandError::NoTopic(topic)
                })
            }
            (Some(_), Some(code)) => Err(ErrandError::Topic { topic, code }),
            (Some(found), None) => Ok(found.partitions().len()),
        }
    }
}
