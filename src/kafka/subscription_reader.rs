//! Follows the subscriptions topic and keeps the table that both roles look things up in.
//!
//! The topic has one partition, so its offset is one clock: a role asks for the topic's end and
//! waits until the table has passed it; from then on everything acknowledged before the question is
//! in the table.

use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

use prometheus::IntGaugeVec;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaResult;

use super::table_reader::{
    Decoder, Decoding, Followed, Read, Settings, TableReader, TableReaderError,
};
use crate::kafka::record::TopicPartition;
use crate::metrics::KafkaMetrics;
use crate::record::{Framed, Headers};
use crate::router::event_form::table_record;
use crate::schema_registry::{Lookup, SchemaRegistry};
use crate::subscription_table::SubscriptionTable;
use crate::telemetry::Component;
use crate::wake::Waker;

/// The table and how far it is, shared by both roles.
pub struct SubscriptionReader {
    reader: TableReader<SubscriptionTable>,
    at: TopicPartition,
}

impl Followed for SubscriptionTable {
    fn apply(&mut self, record: Read<'_>) {
        let value = record.value.map(|value| value.map_err(Clone::clone));
        self.apply_decoded(Some(record.key), value, record.offset);
    }

    fn clear(&mut self) {
        Self::clear(self);
    }
}

impl SubscriptionReader {
    /// Starts to read the topic from its beginning. `config` is that of a consumer without a group.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(
        config: &ClientConfig,
        topic: Arc<str>,
        table: SubscriptionTable,
        metrics: &KafkaMetrics,
        health: Component,
        schemas: SchemaRegistry,
    ) -> Result<Self, TableReaderError> {
        let at = TopicPartition {
            topic: Arc::clone(&topic),
            partition: 0,
        };
        let counts = metrics.subscriptions.clone();
        let decoder = Decoder {
            decode: Box::new(move |headers, value| decode(&schemas, headers, value)),
            held: metrics.subscriptions_held.clone(),
        };
        let settings = Settings {
            name: "subscriptions",
            topic,
            partitions: 1,
            table,
            report: Box::new(move |table| report(table, &counts)),
            health,
            decoder: Some(decoder),
        };
        let reader = TableReader::start(config, settings)?;
        Ok(Self { reader, at })
    }

    /// The table as it is now.
    pub fn table(&self) -> RwLockReadGuard<'_, SubscriptionTable> {
        self.reader.table()
    }

    /// The partition that is read.
    pub fn at(&self) -> &TopicPartition {
        &self.at
    }

    /// Everything below this offset is in the table. -1 while the table is read for the first time,
    /// or anew: a part of a compacted topic is no earlier state of it, and says nothing yet.
    ///
    /// To be asked while [`Self::table`] is held, if it is to be about that table.
    pub fn position(&self) -> i64 {
        self.reader.position(0)
    }

    /// The topic's end now. Everything acknowledged before this call is below it. The reader makes
    /// sure to get there: wait until [`Self::position`] reaches it.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn ask_end(&self, timeout: Duration) -> KafkaResult<i64> {
        let ends = self.reader.ask_ends(&[0], timeout)?;
        Ok(ends.first().copied().unwrap_or_default())
    }

    /// Wakes this loop whenever the table has moved.
    pub fn wake_on_change(&self, waker: Waker) {
        self.reader.wake_on_change(waker);
    }

    /// Ends the reader's thread.
    pub fn stop(&self) {
        self.reader.stop();
    }
}

fn decode(schemas: &SchemaRegistry, headers: &Headers, value: &[u8]) -> Decoding {
    let framed = match Framed::find(headers, value) {
        Ok(None) => return Decoding::AsItIs,
        Ok(Some(framed)) => framed,
        Err(error) => return Decoding::Unreadable(error.into()),
    };
    match schemas.look_up(framed.schema) {
        Lookup::Pending => Decoding::Pending,
        Lookup::Known(schema) => match table_record(framed, &schema) {
            Ok(value) => Decoding::Decoded(value),
            Err(error) => Decoding::Unreadable(error),
        },
    }
}

fn report(table: &SubscriptionTable, to: &IntGaugeVec) {
    let counts = table.counts();
    for (state, count) in [
        ("active", counts.active),
        ("paused", counts.paused),
        ("disabled", counts.disabled),
        ("invalid", counts.invalid),
    ] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        to.with_label_values(&[state]).set(count);
    }
}
