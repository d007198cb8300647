//! Three brokers that hold three copies of everything, of which two must be in sync: any one may be
//! lost. Each is a controller too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::node::{Node, Plan};
use super::{NOT_OURS, START, StartError, maven};
use crate::support::kafka::Kafka;
use crate::support::tail;

const SIZE: i32 = 3;
/// The most memory of each JVM, in MiB.
const HEAP: u32 = 320;
/// How often a state that announces itself to nobody is asked for.
const POLL: Duration = Duration::from_millis(100);
/// How long a broker may take to answer one question.
const ANSWER: Duration = Duration::from_secs(5);

/// What `server.properties` says of one node, said for three.
const SETTINGS: &str = "\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
# The default is most of these heaps.
log.cleaner.dedupe.buffer.size=4194304
";

/// See the module. It ends when it is dropped, and with the run at the latest.
pub struct Cluster {
    kafka: Kafka,
    nodes: BTreeMap<i32, Mutex<Node>>,
}

impl Cluster {
    /// Starts three brokers with a plain listener each, and waits until all are there. Blocks.
    pub fn start(folder: &Path) -> Result<Self, StartError> {
        Self::start_as(&Self::plans().map_err(StartError::of)?, folder)
    }

    /// What [`Cluster::start`] starts, to be given more listeners or settings.
    pub fn plans() -> anyhow::Result<Vec<Plan>> {
        let plans = (1..=SIZE).map(|id| {
            Ok(Plan {
                settings: SETTINGS.to_owned(),
                ..Plan::new(id, HEAP)?
            })
        });
        plans.collect()
    }

    /// Starts the brokers of these plans, and waits until all are there. Blocks.
    pub fn start_as(plans: &[Plan], folder: &Path) -> Result<Self, StartError> {
        let libraries = maven::libraries()?;
        let nodes = Node::start_all(plans, &libraries, folder).map_err(StartError::of)?;
        let servers: Vec<_> = plans.iter().map(|plan| plan.plain.to_string()).collect();
        let cluster = Self {
            kafka: Kafka::replicated(&servers.join(","), SIZE).map_err(StartError::of)?,
            nodes: nodes
                .into_iter()
                .map(|node| (node.id(), Mutex::new(node)))
                .collect(),
        };
        let until = std::time::Instant::now() + START;
        while let Err(error) = cluster.try_is_in_sync() {
            if std::time::Instant::now() > until {
                return Err(StartError::Failed(format!(
                    "the cluster is not whole: {error:#}\n{}",
                    cluster.log_tails()
                )));
            }
            std::thread::park_timeout(POLL);
        }
        Ok(cluster)
    }

    /// How to reach it: by all of its brokers.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The ids of its brokers.
    pub fn ids(&self) -> Vec<i32> {
        self.nodes.keys().copied().collect()
    }

    /// What was planned for a broker.
    pub fn plan(&self, id: i32) -> anyhow::Result<Plan> {
        Ok(self.node(id)?.plan().clone())
    }

    /// Ends a broker at once, without a chance to clean up, and waits until it is gone.
    pub fn kill9(&self, id: i32) -> anyhow::Result<()> {
        self.node(id)?.kill9();
        Ok(())
    }

    /// Starts a broker again after [`Cluster::kill9`]; [`Cluster::wait_in_sync`] waits for it, once the
    /// others have missed it ([`Cluster::wait_without`]) or it answers ([`Cluster::wait_for_answer`]).
    pub fn restart(&self, id: i32) -> anyhow::Result<()> {
        self.node(id)?.launch()
    }

    /// Freezes a broker (`STOP`) or lets it go on (`CONT`).
    pub fn signal(&self, id: i32, name: &str) -> anyhow::Result<()> {
        self.node(id)?.signal(name)
    }

    /// Starts whoever was killed, lets whoever was frozen go on, and waits until all are in sync.
    pub async fn restore(&self) -> anyhow::Result<()> {
        for id in self.ids() {
            let mut node = self.node(id)?;
            match node.has_ended() {
                true => node.launch()?,
                false => node.signal("CONT")?,
            }
        }
        self.wait_in_sync(START).await
    }

    /// The broker that leads the controllers, as the youngest record of the living ones says.
    pub async fn controller(&self, within: Duration) -> anyhow::Result<i32> {
        let known = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                let mut youngest = None;
                for id in self.ids() {
                    let node = self.node(id)?;
                    // While it is being written there may be nothing to read.
                    youngest = youngest.max(node.known_controller().ok().flatten());
                }
                if let Some((_, id)) = youngest
                    && !self.node(id)?.has_ended()
                {
                    return anyhow::Ok(id);
                }
            }
        };
        tokio::time::timeout(within, known)
            .await
            .with_context(|| format!("no controller within {within:?}"))?
    }

    /// The broker that coordinates a group.
    pub async fn group_coordinator(&self, group: &str) -> anyhow::Result<i32> {
        self.coordinator("__consumer_offsets", group).await
    }

    /// The broker that coordinates the transactions of a transactional id.
    pub async fn transaction_coordinator(&self, id: &str) -> anyhow::Result<i32> {
        self.coordinator("__transaction_state", id).await
    }

    async fn coordinator(&self, topic: &str, id: &str) -> anyhow::Result<i32> {
        let (config, topic) = (self.kafka.client_config(), topic.to_owned());
        let leaders = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let metadata = consumer.fetch_metadata(Some(&topic), ANSWER)?;
            let topics = metadata.topics().iter();
            let partitions = topics.flat_map(|topic| topic.partitions());
            let leaders = partitions.map(|partition| (partition.id(), partition.leader()));
            anyhow::Ok(leaders.collect::<BTreeMap<_, _>>())
        });
        let leaders = leaders.await??;
        let partitions = i32::try_from(leaders.len())?;
        anyhow::ensure!(partitions > 0, "nobody has a coordinator yet");
        // As `Utils.abs` of Kafka, which is 0 for the smallest number.
        let place = java_hash(id).checked_abs().unwrap_or(0) % partitions;
        let leader = leaders.get(&place).filter(|leader| **leader > 0);
        leader.copied().context("its partition has no leader")
    }

    /// Waits until every partition has a leader and all its copies are in sync.
    pub async fn wait_in_sync(&self, within: Duration) -> anyhow::Result<()> {
        let in_sync = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                let asked = tokio::task::block_in_place(|| self.try_is_in_sync());
                if asked.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(within, in_sync)
            .await
            .with_context(|| format!("not in sync within {within:?}\n{}", self.log_tails()))
    }

    /// Waits until the others know that a broker is gone.
    pub async fn wait_without(&self, id: i32, within: Duration) -> anyhow::Result<()> {
        let missed = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                let asked = tokio::task::block_in_place(|| {
                    let consumer: BaseConsumer = self.kafka.client_config().create()?;
                    let metadata = consumer.fetch_metadata(None, ANSWER)?;
                    anyhow::Ok(metadata.brokers().iter().all(|broker| broker.id() != id))
                });
                if asked.is_ok_and(|is_missed| is_missed) {
                    return;
                }
            }
        };
        tokio::time::timeout(within, missed)
            .await
            .with_context(|| format!("nobody misses broker {id} within {within:?}"))
    }

    /// Waits until a broker itself answers clients, as it does once the others know that it is there.
    pub async fn wait_for_answer(&self, id: i32, within: Duration) -> anyhow::Result<()> {
        let mut config = self.kafka.client_config();
        config.set("bootstrap.servers", self.plan(id)?.plain.to_string());
        let answers = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                let asked = tokio::task::block_in_place(|| {
                    let consumer: BaseConsumer = config.create()?;
                    consumer.fetch_metadata(None, ANSWER)
                });
                if asked.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(within, answers)
            .await
            .with_context(|| {
                let log = self.node(id).map(|node| tail(&node.log(), 2_048));
                format!(
                    "broker {id} does not answer within {within:?}\n{}",
                    log.unwrap_or_default()
                )
            })
    }

    fn try_is_in_sync(&self) -> anyhow::Result<()> {
        let consumer: BaseConsumer = self.kafka.client_config().create()?;
        let metadata = consumer.fetch_metadata(None, ANSWER)?;
        let brokers = metadata.brokers().len();
        anyhow::ensure!(brokers == self.nodes.len(), "{brokers} brokers");
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                let missing = partition.replicas().len() - partition.isr().len();
                let (name, id) = (topic.name(), partition.id());
                anyhow::ensure!(partition.leader() > 0, "{name}/{id} has no leader");
                anyhow::ensure!(missing == 0, "{name}/{id}: {missing} out of sync");
            }
        }
        Ok(())
    }

    /// The last words of each broker.
    pub fn log_tails(&self) -> String {
        let nodes = self.nodes.values();
        let logs = nodes.map(|node| node.lock().unwrap_or_else(PoisonError::into_inner).log());
        logs.map(|log| tail(&log, 2_048)).collect()
    }

    /// Ends all of them.
    pub fn stop(&self) {
        for node in self.nodes.values() {
            node.lock().unwrap_or_else(PoisonError::into_inner).kill9();
        }
    }

    fn node(&self, id: i32) -> anyhow::Result<MutexGuard<'_, Node>> {
        let node = self.nodes.get(&id).context(NOT_OURS)?;
        Ok(node.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    let units = text.encode_utf16();
    units.fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}
