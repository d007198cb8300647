//! Follows the topics of a run from their beginnings, as any careful consumer would: committed records
//! only. At the end everything is in the record, up to the ends that the topics had then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use hooktide::clock::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::record::{Attempt, Letter, Outcome, Task};
use crate::support::hooktide::Installation;

/// How long the ends may take to be read once nobody writes any more.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// What the topics hold.
#[derive(Debug, Default)]
pub struct Found {
    /// Ids of events.
    pub events: Vec<String>,
    /// As the router made them.
    pub tasks: Vec<Task>,
    /// Requests in the books.
    pub attempts: Vec<Attempt>,
    /// Given up.
    pub letters: Vec<Letter>,
    /// The last record of each partition that tasks or events lie on.
    pub last: Last,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// How far things are, for those who wait; without the subscription that is deleted.
#[derive(Debug, Default)]
pub struct Progress {
    events: AtomicU64,
    tasks: AtomicU64,
    ended: AtomicU64,
    last: Mutex<Last>,
}

/// The last record of each partition that tasks or events lie on.
pub type Last = BTreeMap<(String, i32), i64>;

impl Progress {
    /// Events that were produced.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Tasks that were made.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// As in [`Found::last`].
    pub fn last(&self) -> Last {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deliveries that came to their end.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A thread that reads.
pub struct Follower {
    progress: Arc<Progress>,
    is_last_look: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Found>>,
}

struct Reader {
    config: ClientConfig,
    consumer: BaseConsumer,
    partitions: Vec<(String, i32)>,
    names: Names,
    deleted: String,
    progress: Arc<Progress>,
    found: Found,
    /// How many tasks, attempts and letters are told of.
    told: (usize, usize, usize),
}

struct Names {
    events: String,
    deliveries: String,
    attempts: String,
    dlq: String,
}

impl Follower {
    /// Begins; the topics must be there. `tiers` as in `retry.1s`, `deleted` is the subscription that
    /// will be deleted.
    pub fn start(
        installation: &Installation,
        tiers: &[&str],
        deleted: &str,
    ) -> anyhow::Result<Self> {
        let names = Names {
            events: installation.events_topic(),
            deliveries: installation.topic("deliveries"),
            attempts: installation.topic("attempts"),
            dlq: installation.topic("dlq"),
        };
        let mut config = installation.kafka().client_config();
        config
            // Needed to assign, never committed to.
            .set("group.id", "hooktide-chaos-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("reconnect.backoff.max.ms", "500");
        let consumer: BaseConsumer = config.create()?;
        let mut topics = vec![
            names.events.clone(),
            names.deliveries.clone(),
            names.attempts.clone(),
            names.dlq.clone(),
        ];
        topics.extend(tiers.iter().map(|tier| installation.topic(tier)));
        let mut partitions = Vec::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(20))?;
            let topic_metadata = metadata.topics().first().context("metadata of a topic")?;
            let ids = topic_metadata.partitions().iter().map(|one| one.id());
            partitions.extend(ids.map(|id| (topic.clone(), id)));
        }
        let progress = Arc::new(Progress::default());
        let is_last_look = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            config,
            consumer,
            partitions,
            names,
            deleted: deleted.to_owned(),
            progress: Arc::clone(&progress),
            found: Found::default(),
            told: (0, 0, 0),
        };
        let last = Arc::clone(&is_last_look);
        let thread = std::thread::spawn(move || reader.follow(&last));
        Ok(Self {
            progress,
            is_last_look,
            thread,
        })
    }

    /// How far things are.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Reads up to the ends of now.
    pub async fn finish(self) -> anyhow::Result<Found> {
        self.is_last_look.store(true, Ordering::Release);
        let join = move || self.thread.join();
        let found = tokio::task::spawn_blocking(join).await?;
        found.map_err(|_| anyhow::anyhow!("the reader of topics has panicked"))?
    }
}

impl Reader {
    fn follow(mut self, is_last_look: &AtomicBool) -> anyhow::Result<Found> {
        let beginning = self.list(|_| Offset::Beginning)?;
        self.consumer.assign(&beginning)?;
        while !is_last_look.load(Ordering::Acquire) {
            self.read();
        }
        // An end that is told after a new assignment was seen by a fetch that began after it.
        let positions = self.consumer.position()?;
        let again = self.list(|(topic, partition)| {
            let position = positions.find_partition(topic, *partition);
            match position.map(|found| found.offset()) {
                Some(Offset::Offset(at)) => Offset::Offset(at),
                _ => Offset::Beginning,
            }
        })?;
        // By a client that knows nothing of brokers that died meanwhile.
        leave_behind(std::mem::replace(&mut self.consumer, self.config.create()?));
        self.consumer.assign(&again)?;
        // Nobody writes any more, so each partition has one end.
        let mut unread = self.partitions.len();
        let until = Instant::now() + LAST_LOOK;
        while unread > 0 {
            anyhow::ensure!(Instant::now() < until, "{unread} partitions have no end");
            unread -= usize::from(self.read());
        }
        leave_behind(self.consumer);
        Ok(self.found)
    }

    fn list(&self, at: impl Fn(&(String, i32)) -> Offset) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            list.add_partition_offset(&partition.0, partition.1, at(partition))?;
        }
        Ok(list)
    }

    /// Takes what has come. True: the end of a partition was reached.
    fn read(&mut self) -> bool {
        match self.consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => {
                if let Err(error) = note(&message, &self.names, &self.progress, &mut self.found) {
                    let problem = format!("a record of {}: {error:#}", message.topic());
                    self.found.problems.push(problem);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return true,
            // A broker that is away comes back.
            Some(Err(_)) | None => {}
        }
        self.tell();
        false
    }

    /// Tells those who wait.
    fn tell(&mut self) {
        let (tasks, attempts, letters) = self.told;
        let found = &self.found;
        let deleted = self.deleted.as_str();
        let count = |all: usize| u64::try_from(all).unwrap_or(u64::MAX);
        let staying = |subscriber: &str| subscriber != deleted;
        let made = found.tasks[tasks..].iter();
        let made = made.filter(|one| staying(&one.subscriber)).count();
        let delivered = found.attempts[attempts..]
            .iter()
            .filter(|one| one.outcome == Outcome::Delivered && staying(&one.subscriber));
        let dead = found.letters[letters..].iter();
        let dead = dead.filter(|one| staying(&one.subscriber)).count();
        let ended = delivered.count() + dead;
        self.progress
            .tasks
            .fetch_add(count(made), Ordering::Relaxed);
        self.progress
            .ended
            .fetch_add(count(ended), Ordering::Relaxed);
        let events = count(found.events.len());
        self.progress.events.store(events, Ordering::Relaxed);
        self.told = (found.tasks.len(), found.attempts.len(), found.letters.len());
    }
}

/// Drops a client elsewhere: its closing may wait for a broker that died meanwhile.
fn leave_behind(consumer: BaseConsumer) {
    std::thread::spawn(move || drop(consumer));
}

/// Notes a record down.
fn note(
    message: &BorrowedMessage<'_>,
    names: &Names,
    progress: &Progress,
    found: &mut Found,
) -> anyhow::Result<()> {
    let topic = message.topic();
    let value = message.payload().unwrap_or_default();
    let header = |name: &str| {
        let headers = message.headers()?;
        let found = headers.iter().filter(|header| header.key == name).last()?;
        std::str::from_utf8(found.value?).ok()
    };
    let needed = |name: &str| header(name).with_context(|| format!("no header {name}"));
    let key =
        || -> anyhow::Result<&str> { Ok(std::str::from_utf8(message.key().context("no key")?)?) };
    if topic == names.attempts {
        let recorded = message.timestamp().to_millis().context("no timestamp")?;
        let recorded = Timestamp::from_millis(recorded);
        found.attempts.push(attempt(value, recorded)?);
        return Ok(());
    }
    if topic == names.dlq {
        found.letters.push(Letter {
            delivery: needed("hooktide-delivery-id")?.to_owned(),
            reason: needed("hooktide-reason")?.to_owned(),
            requests: needed("hooktide-attempt")?.parse()?,
            subscriber: key()?.to_owned(),
        });
        return Ok(());
    }
    let at = (topic.to_owned(), message.partition());
    found.last.insert(at.clone(), message.offset());
    progress.lock().insert(at, message.offset());
    if topic == names.events {
        let event: Event = serde_json::from_slice(value)?;
        found.events.push(event.id);
    } else if topic == names.deliveries
        // A wait that no tier is short enough for passes here too.
        && needed("hooktide-attempt")? == "0"
        && needed("hooktide-parks")? == "0"
    {
        found.tasks.push(Task {
            delivery: needed("hooktide-delivery-id")?.to_owned(),
            event: needed("hooktide-event-id")?.to_owned(),
            subscriber: key()?.to_owned(),
        });
    }
    Ok(())
}

#[derive(Deserialize)]
struct Event {
    id: String,
}

#[derive(Deserialize)]
struct Written {
    delivery_id: String,
    tenant: String,
    subscription: String,
    source: String,
    attempt: u32,
    started_at: String,
    duration_ms: i64,
    outcome: String,
    status: Option<u16>,
    next_attempt_at: Option<String>,
    instance: String,
}

fn attempt(value: &[u8], recorded: Timestamp) -> anyhow::Result<Attempt> {
    let written: Written = serde_json::from_slice(value)?;
    let started = time(&written.started_at)?;
    Ok(Attempt {
        delivery: written.delivery_id,
        subscriber: format!("{}/{}", written.tenant, written.subscription),
        source: written.source,
        number: written.attempt,
        started,
        ended: Timestamp::from_millis(started.as_millis() + written.duration_ms),
        recorded,
        outcome: match written.outcome.as_str() {
            "delivered" => Outcome::Delivered,
            "retry" => Outcome::Retry,
            "dead" => Outcome::Dead,
            other => anyhow::bail!("outcome {other}"),
        },
        status: written.status,
        next: written.next_attempt_at.as_deref().map(time).transpose()?,
        instance: written.instance,
    })
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339)?.unix_timestamp_nanos();
    Ok(Timestamp::from_millis(i64::try_from(nanos / 1_000_000)?))
}
