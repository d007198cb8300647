//! Follows the endpoints topic, and proves to a dispatcher that it knows all that its predecessor has
//! committed of a partition.

use std::sync::{Arc, RwLockReadGuard};
use std::time::{Duration, Instant};

use prometheus::IntGaugeVec;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use super::client_log::ClientLog;
use super::table_reader::{self, Followed, Read, Settings, TableReader, TableReaderError};
use crate::endpoint_table::EndpointTable;
use crate::telemetry::Component;
use crate::wake::Waker;

/// How long one question to the cluster may take.
const ANSWER: Duration = Duration::from_secs(1);
/// How often the committed ends are asked for while a restoration waits.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The table and how far it is, shared by both roles.
pub struct EndpointReader {
    reader: TableReader<EndpointTable>,
    /// Sees what is not committed yet.
    uncommitted: BaseConsumer<ClientLog>,
}

/// Partitions whose state must be known before work on them starts.
#[derive(Debug, Default)]
pub struct Restoration {
    partitions: Vec<i32>,
    /// Their ends, transactions that are still open included, as of after the assignment.
    ends: Option<Vec<i64>>,
    asked: Option<Instant>,
}

impl Restoration {
    /// Of these partitions, which were just assigned.
    pub fn of(partitions: Vec<i32>) -> Self {
        Self {
            partitions,
            ..Self::default()
        }
    }

    /// Whether that has been found out, or there is nothing to find out.
    pub fn is_over(&self) -> bool {
        self.partitions.is_empty()
    }
}

impl Followed for EndpointTable {
    fn apply(&mut self, record: Read<'_>) {
        Self::apply(
            self,
            record.key,
            record.value.and_then(Result::ok), // Nothing of them is decoded.
            record.partition,
            record.offset,
        );
    }

    fn clear(&mut self) {
        Self::clear(self);
    }
}

impl EndpointReader {
    /// Starts to read all partitions from their beginning. `config` is that of a consumer without a
    /// group.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(
        config: &ClientConfig,
        topic: Arc<str>,
        partitions: i32,
        counts: IntGaugeVec,
        health: Component,
    ) -> Result<Self, TableReaderError> {
        let name = "endpoints";
        let uncommitted = config
            .clone()
            .set("isolation.level", "read_uncommitted")
            .create_with_context(ClientLog::new(name))
            .map_err(|error| TableReaderError::Client(name, error))?;
        let settings = Settings {
            name,
            table: EndpointTable::new(Arc::clone(&topic)),
            topic,
            partitions,
            report: Box::new(move |table: &EndpointTable| report(table, &counts)),
            health,
            decoder: None,
        };
        let reader = TableReader::start(config, settings)?;
        Ok(Self {
            reader,
            uncommitted,
        })
    }

    /// The table as it is now.
    pub fn table(&self) -> RwLockReadGuard<'_, EndpointTable> {
        self.reader.table()
    }

    /// Whether the table has been read to its ends once.
    pub fn is_loaded(&self) -> bool {
        self.reader.is_loaded()
    }

    /// Whether everything is in the table that was committed of these partitions before they were
    /// assigned. The last transaction of a predecessor may still be open: the partition's
    /// uncommitted end covers it, and the reader gets there once it is committed or aborted.
    pub fn is_restored(&self, restoration: &mut Restoration) -> bool {
        let partitions = &restoration.partitions;
        let is_there = |ends: &Vec<i64>| {
            let mut all = partitions.iter().zip(ends);
            all.all(|(partition, end)| self.reader.position(*partition) >= *end)
        };
        if partitions.is_empty() || restoration.ends.as_ref().is_some_and(is_there) {
            *restoration = Restoration::default();
            return true;
        }
        if restoration
            .asked
            .is_some_and(|asked| asked.elapsed() < ASK_AGAIN)
        {
            return false;
        }
        restoration.asked = Some(Instant::now());
        let topic = self.reader.topic();
        if restoration.ends.is_none() {
            match table_reader::ends(&self.uncommitted, topic, partitions, ANSWER) {
                Ok(ends) => restoration.ends = Some(ends),
                Err(error) => {
                    tracing::warn!(%error, "the end of the endpoints topic is not known, tasks wait");
                    return false;
                }
            }
        }
        // Has the reader prove the ends that are committed by now.
        if let Err(error) = self.reader.ask_ends(partitions, ANSWER) {
            tracing::warn!(%error, "the endpoints topic does not answer, tasks wait");
        }
        if !self.is_loaded() {
            // Being read anew, as another topic: what its end is, is to be asked again.
            restoration.ends = None;
        }
        false
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

fn report(table: &EndpointTable, to: &IntGaugeVec) {
    let counts = table.counts();
    for (state, count) in [
        ("failing", counts.failing),
        ("disabled", counts.disabled),
        ("braked", counts.brakes),
    ] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        to.with_label_values(&[state]).set(count);
    }
}
