//! A command's short dealings with the cluster: every wait is bounded, nothing is tried again behind
//! the user's back, and an error says what librdkafka said last and what to do.

mod group_progress;
mod newest_records;
mod raw_copy;
mod record_count;
mod record_writer;
mod tail;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

pub use group_progress::GroupProgress;
pub use newest_records::{Expected, NewestRecord, newest_records};
pub use raw_copy::raw_copy;
pub use record_count::RecordCount;
pub use record_writer::{Landing, RecordWriter};
pub use tail::Tail;

use crate::config::Config;

/// How long the cluster may be silent before a command gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the news of a new topic may take to reach every broker.
const NEWS: Duration = Duration::from_secs(2);
/// How often a topic is asked for until then.
const GLANCE: Duration = Duration::from_millis(50);

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
}

impl ClientContext for LastWord {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
        // That all brokers are down is the conclusion; the cause was said before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for LastWord {}

impl ProducerContext for LastWord {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// How many partitions a topic has. It is asked for by a producer, whatever comes after: of consumers
/// the binding does not pass on why a broker cannot be reached.
fn partitions<C: ProducerContext>(
    config: &Config,
    topic: &str,
    client: &BaseProducer<C>,
    last_word: &LastWord,
) -> Result<usize, ErrandError> {
    let asked = Instant::now();
    loop {
        let answer = client.client().fetch_metadata(Some(topic), PATIENCE);
        let metadata = answer.map_err(|error| {
            // Long enough for all that it has to say.
            client.poll(GLANCE);
            ErrandError::Silent {
                servers: config.kafka.bootstrap_servers.clone(),
                cause: last_word.or(error),
            }
        })?;
        let found = metadata.topics().iter().find(|seen| seen.name() == topic);
        let code = found.and_then(|seen| seen.error().map(RDKafkaErrorCode::from));
        match (found, code) {
            (Some(found), None) => return Ok(found.partitions().len()),
            // The broker that answers may not have heard yet of a topic that was made just now.
            (None, _)
            | (
                Some(_),
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::LeaderNotAvailable,
                ),
            ) => {
                if asked.elapsed() > NEWS {
                    return Err(absent(config, topic, code));
                }
                std::thread::sleep(GLANCE);
            }
            (Some(_), Some(code)) => {
                let topic = topic.to_owned();
                return Err(ErrandError::Topic { topic, code });
            }
        }
    }
}

fn absent(config: &Config, topic: &str, code: Option<RDKafkaErrorCode>) -> ErrandError {
    let is_own = config.topics.is_own(topic);
    let topic = topic.to_owned();
    match code {
        Some(code @ RDKafkaErrorCode::LeaderNotAvailable) => ErrandError::Topic { topic, code },
        Some(_) | None if is_own => ErrandError::NoOwnTopic(topic),
        Some(_) | None => ErrandError::NoTopic(topic),
    }
}
