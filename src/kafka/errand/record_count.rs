//! Counts what is appended to some topics from now on, and its bytes: what a broker has to store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::Headers;
use tokio_util::sync::CancellationToken;

use super::ErrandError;
use super::tail::consumer_at_the_ends;
use crate::config::Config;

const POLL: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RecordCount(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    bytes: AtomicU64,
}

/// How much that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
}

impl RecordCount {
    /// Counts on a thread of its own, from the topics' ends, until `stop`. Blocks until it can.
    ///
    /// # Errors
    /// No such topic, or the cluster is silent.
    pub fn begin(
        config: &Config,
        topics: &[String],
        stop: CancellationToken,
    ) -> Result<Self, ErrandError> {
        let consumer = consumer_at_the_ends(config, topics)?;
        let count = Self::default();
        let counters = Arc::clone(&count.0);
        thread::spawn(move || {
            while !stop.is_cancelled() {
                if let Some(Ok(message)) = consumer.poll(POLL) {
                    counters.records.fetch_add(1, Ordering::Relaxed);
                    counters.bytes.fetch_add(size(&message), Ordering::Relaxed);
                }
            }
        });
        Ok(count)
    }

    /// How much there is by now.
    pub fn now(&self) -> Counted {
        Counted {
            records: self.0.records.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }
}

fn size(message: &impl Message) -> u64 {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let rest = length(message.key()) + length(message.payload());
    (headers.sum::<usize>() + rest) as u64
}
