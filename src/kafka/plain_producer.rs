//! A producer without transactions, for what comes from outside of the roles.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::client_log::ClientLog;

/// Produces single records and waits until they are acknowledged. Clones are handles to the same.
#[derive(Clone)]
pub struct PlainProducer {
    producer: FutureProducer<ClientLog>,
}

/// Why a record was not produced.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// A configuration that librdkafka refuses.
    #[error("cannot set up a Kafka client: {0}")]
    Client(KafkaError),
    /// The cluster would not take it, or did not answer.
    #[error("cannot produce to `{topic}`: {cause}")]
    Refused {
        /// Full name.
        topic: String,
        /// What librdkafka said.
        cause: KafkaError,
    },
}

impl PlainProducer {
    /// A producer with the settings of
    /// [`client_config::plain_producer`](super::client_config::plain_producer); connects when used.
    pub fn try_new(config: &ClientConfig) -> Result<Self, ProduceError> {
        let producer = config.create_with_context(ClientLog::new("producer"));
        let producer = producer.map_err(ProduceError::Client)?;
        Ok(Self { producer })
    }

    /// Produces a record and waits for the acknowledgement.
    pub async fn produce(
        &self,
        topic: &str,
        key: Option<&str>,
        value: &[u8],
    ) -> Result<(), ProduceError> {
        let mut record = FutureRecord::<str, [u8]>::to(topic).payload(value);
        record.key = key;
        let sent = self.producer.send(record, Duration::from_secs(30)).await;
        sent.map(drop)
            .map_err(|(cause, _)| ProduceError::Refused {
                topic: topic.to_owned(),
                cause,
            })
    }
}
