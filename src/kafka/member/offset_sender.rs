//! Adds offsets to transactions, on a thread of its own.
//!
//! librdkafka's call heeds its timeout only while the group's coordinator answers. While it looks for a
//! coordinator it waits without end (its issue 5456), and it looks no further once the one that it
//! remembers has died and was taken off the list of brokers (5511). So whoever waits here gives a call up
//! that takes too long. It is left behind with its producer, whose successor fences it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

struct Call {
    offsets: TopicPartitionList,
    group: Arc<ConsumerGroupMetadata>,
    timeout: Duration,
}

/// A producer's thread for these calls. It ends, and lets go of the producer, when this is dropped and no
/// call is under way any more.
pub(super) struct OffsetSender {
    calls: Sender<Call>,
    answers: Receiver<KafkaResult<()>>,
    patience: Duration,
}

impl OffsetSender {
    /// Starts the thread. `patience` is what a call may take beyond its own timeout.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn start<C: ProducerContext + 'static>(
        client: Arc<BaseProducer<C>>,
        patience: Duration,
    ) -> KafkaResult<Self> {
        let (calls, inbox) = bounded::<Call>(1);
        let (outbox, answers) = bounded(1);
        thread::Builder::new()
            .name("offset-sender".into())
            .spawn(move || {
                while let Ok(call) = inbox.recv() {
                    let answer = client.send_offsets_to_transaction(
                        &call.offsets,
                        &call.group,
                        call.timeout,
                    );
                    if outbox.send(answer).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            calls,
            answers,
            patience,
        })
    }

    /// Makes the call. None: it does not come back, and the producer is of no more use.
    pub(super) fn send(
        &self,
        offsets: &TopicPartitionList,
        group: &Arc<ConsumerGroupMetadata>,
        timeout: Duration,
    ) -> Option<KafkaResult<()>> {
        let call = Call {
            offsets: offsets.clone(),
            group: Arc::clone(group),
            timeout,
        };
        self.calls.send(call).ok()?;
        self.answers.recv_timeout(timeout + self.patience).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::ClientConfig;
    use rdkafka::Offset;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_call_that_does_not_come_back_is_given_up() {
        let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(2).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let transaction = MockCoordinator::Transaction("id".into());
        cluster.coordinator(transaction, 1).unwrap();
        cluster
            .coordinator(MockCoordinator::Group("g".into()), 2)
            .unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let consumer: BaseConsumer = config.clone().set("group.id", "g").create().unwrap();
        let group = Arc::new(consumer.group_metadata().unwrap());
        let client: BaseProducer = config.set("transactional.id", "id").create().unwrap();
        client.init_transactions(SOON).unwrap();
        let client = Arc::new(client);
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("t", 0, Offset::Offset(1))
            .unwrap();

        let sender = OffsetSender::start(Arc::clone(&client), SOON).unwrap();
        client.begin_transaction().unwrap();
        sender.send(&offsets, &group, SOON).unwrap().unwrap();
        client.commit_transaction(SOON).unwrap();

        let second = Duration::from_secs(1);
        let sender = OffsetSender::start(Arc::clone(&client), second).unwrap();
        client.begin_transaction().unwrap();
        cluster.broker_down(2).unwrap();
        let began = Instant::now();
        // The first ones may find out that the connection has ended.
        while let Some(sent) = sender.send(&offsets, &group, second) {
            sent.unwrap_err();
            assert!(
                began.elapsed() < SOON,
                "librdkafka heeds its timeout: this can go"
            );
        }
        assert!(began.elapsed() < SOON);
    }
}
