//! Follows the topic of event types and keeps the table that events are held against.
//!
//! As with subscriptions, the topic has one partition and its offset is one clock.

use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

use prometheus::IntGaugeVec;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaResult;

use super::table_reader::{Followed, Read, Settings, TableReader, TableReaderError};
use crate::event_type_table::EventTypeTable;
use crate::telemetry::Component;
use crate::wake::Waker;

/// The table and how far it is.
pub struct EventTypeReader(TableReader<EventTypeTable>);

impl Followed for EventTypeTable {
    fn apply(&mut self, record: Read<'_>) {
        // Nothing of them is decoded.
        let value = record.value.and_then(Result::ok);
        Self::apply(self, record.key, value, record.offset);
    }

    fn clear(&mut self) {
        Self::clear(self);
    }
}

impl EventTypeReader {
    /// Starts to read the topic from its beginning. `config` is that of a consumer without a group.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(
        config: &ClientConfig,
        topic: Arc<str>,
        counts: IntGaugeVec,
        health: Component,
    ) -> Result<Self, TableReaderError> {
        let settings = Settings {
            name: "event_types",
            topic,
            partitions: 1,
            table: EventTypeTable::default(),
            report: Box::new(move |table| report(table, &counts)),
            health,
            decoder: None,
        };
        TableReader::start(config, settings).map(Self)
    }

    /// The table as it is now.
    pub fn table(&self) -> RwLockReadGuard<'_, EventTypeTable> {
        self.0.table()
    }

    /// Everything below this offset is in the table; -1 while it is read for the first time, or anew.
    pub fn position(&self) -> i64 {
        self.0.position(0)
    }

    /// The topic's end now: everything acknowledged before this call is below it.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn ask_end(&self, timeout: Duration) -> KafkaResult<i64> {
        let ends = self.0.ask_ends(&[0], timeout)?;
        Ok(ends.first().copied().unwrap_or_default())
    }

    /// Wakes this loop whenever the table has moved.
    pub fn wake_on_change(&self, waker: Waker) {
        self.0.wake_on_change(waker);
    }

    /// Ends the reader's thread.
    pub fn stop(&self) {
        self.0.stop();
    }
}

fn report(table: &EventTypeTable, to: &IntGaugeVec) {
    let counts = table.counts();
    for (state, count) in [("valid", counts.valid), ("invalid", counts.invalid)] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        to.with_label_values(&[state]).set(count);
    }
}
