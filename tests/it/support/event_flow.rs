//! Events that keep coming while something breaks.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::kafka::{Kafka, NewRecord};
use super::scene::event;

/// How often some are produced.
const TICK: Duration = Duration::from_millis(50);

/// A steady stream of numbered events; it ends when it is told to, or dropped.
pub struct EventFlow {
    begun: Arc<AtomicUsize>,
    end: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl EventFlow {
    /// Produces about so many events a second to `topic`, each time to the broker's acknowledgement.
    pub fn start(kafka: &Kafka, topic: &str, per_second: usize) -> Self {
        let begun = Arc::new(AtomicUsize::new(0));
        let end = CancellationToken::new();
        let each = (per_second * TICK.as_millis() as usize).div_ceil(1_000);
        let (kafka, topic) = (kafka.clone(), topic.to_owned());
        let (count, ended) = (Arc::clone(&begun), end.clone());
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            while ended.run_until_cancelled(tick.tick()).await.is_some() {
                let first = count.load(Ordering::Relaxed);
                count.store(first + each, Ordering::Relaxed);
                kafka
                    .produce_all(&topic, &numbered(first..first + each))
                    .await?;
            }
            Ok(())
        });
        Self {
            begun,
            end,
            task: Some(task),
        }
    }

    /// How many events were handed to the producer so far; they need not be on Kafka yet.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// What became of it so far, for messages of failures.
    pub fn state(&self) -> String {
        let ended = self.task.as_ref().is_none_or(JoinHandle::is_finished);
        let state = if ended { "it has failed" } else { "it flows" };
        format!("{} events were produced, {state}", self.begun())
    }

    /// Ends it: how many events are on Kafka.
    pub async fn stop(mut self) -> anyhow::Result<usize> {
        self.end.cancel();
        if let Some(task) = self.task.take() {
            task.await??;
        }
        Ok(self.begun())
    }
}

impl Drop for EventFlow {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Events `evt_<number>` of the tenant of [`event`].
pub fn numbered(numbers: Range<usize>) -> Vec<NewRecord> {
    numbers
        .map(|number| NewRecord::value(event(&format!("evt_{number}"), json!({})).to_string()))
        .collect()
}
