//! The Kafka broker of a test run: the one that `HOOKTIDE_TEST_KAFKA` (host:port) names, else one
//! started from Maven Central's jars, else one in Docker.

pub mod cluster;
mod docker;
mod maven;
pub mod node;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::kafka::Kafka;
use super::{tail, watchdog};
use node::{Node, Plan};

/// How long a broker may take until it answers.
const START: Duration = Duration::from_secs(90);

/// The most memory of a broker's JVM, in MiB.
pub const HEAP: u32 = 512;

/// A started broker; it ends with the run at the latest.
pub struct Broker {
    kafka: Kafka,
    /// None: somebody else's, or a container that the watchdog ends.
    node: Mutex<Option<Node>>,
}

/// Why there is no broker.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// This machine has none to offer: a reason to skip tests.
    #[error("{0}")]
    Missing(String),
    /// There should be one, but it does not work: a reason to fail.
    #[error("the test broker did not start: {0}")]
    Failed(String),
}

impl StartError {
    fn of(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl Broker {
    /// Finds or starts a broker and waits until it answers.
    pub fn start() -> Result<Self, StartError> {
        if let Ok(servers) = std::env::var("HOOKTIDE_TEST_KAFKA") {
            return Self::await_ready(Started {
                bootstrap_servers: servers,
                node: None,
            });
        }
        let no_jars = match maven::libraries() {
            Ok(libraries) => {
                let plan = Plan::new(1, HEAP).map_err(StartError::of)?;
                return Self::start_node(plan, &libraries, &watchdog::folder().join("broker"));
            }
            Err(StartError::Missing(why)) => why,
            Err(failed) => return Err(failed),
        };
        match docker::start() {
            Ok(started) => Self::await_ready(started),
            Err(StartError::Missing(no_docker)) => Err(StartError::Missing(format!(
                "HOOKTIDE_TEST_KAFKA is not set; {no_jars}; {no_docker}"
            ))),
            Err(failed) => Err(failed),
        }
    }

    /// Starts one that nobody else uses, to be frozen and killed: `HOOKTIDE_TEST_KAFKA` is no such.
    pub fn start_apart(folder: &Path) -> Result<Self, StartError> {
        let plan = Plan::new(1, HEAP).map_err(StartError::of)?;
        Self::start_apart_as(plan, folder)
    }

    /// The same with more than a plain listener.
    pub fn start_apart_as(plan: Plan, folder: &Path) -> Result<Self, StartError> {
        Self::start_node(plan, &maven::libraries()?, folder)
    }

    fn start_node(plan: Plan, libraries: &Path, folder: &Path) -> Result<Self, StartError> {
        let servers = plan.plain.to_string();
        let nodes = Node::start_all(&[plan], libraries, folder).map_err(StartError::of)?;
        Self::await_ready(Started {
            bootstrap_servers: servers,
            node: nodes.into_iter().next(),
        })
    }

    /// Freezes it (`STOP`) or lets it go on (`CONT`).
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let node = self.node();
        node.as_ref().context(NOT_OURS)?.signal(name)
    }

    /// Ends it at once, without a chance to clean up, and waits until it is gone.
    pub fn kill9(&self) -> anyhow::Result<()> {
        self.node().as_mut().context(NOT_OURS)?.kill9();
        Ok(())
    }

    /// Starts it again after [`Broker::kill9`] and waits until it answers. Blocks.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.node().as_mut().context(NOT_OURS)?.launch()?;
        Ok(self.wait_until_it_answers()?)
    }

    /// Lets this user in by the listener for SCRAM from now on. Blocks.
    pub fn admit(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let mut command = {
            let node = self.node();
            node.as_ref().context(NOT_OURS)?.java(128)
        };
        let credentials = format!("SCRAM-SHA-256=[password={password}]");
        command
            .args(["kafka.admin.ConfigCommand", "--alter"])
            .args(["--bootstrap-server", self.kafka.bootstrap_servers()])
            .args(["--entity-type", "users", "--entity-name", user])
            .args(["--add-config", &credentials]);
        run(&mut command).map_err(anyhow::Error::msg)
    }

    /// How to reach it.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Ends the broker, if this run started it, and waits until it is gone.
    pub fn stop(&self) {
        drop(self.node().take());
    }

    fn await_ready(started: Started) -> Result<Self, StartError> {
        let broker = Self {
            kafka: Kafka::new(&started.bootstrap_servers).map_err(StartError::of)?,
            node: Mutex::new(started.node),
        };
        broker.wait_until_it_answers().map(|()| broker)
    }

    fn wait_until_it_answers(&self) -> Result<(), StartError> {
        let until = Instant::now() + START;
        let has_ended = || self.node().as_mut().is_some_and(Node::has_ended);
        let answer = loop {
            let answer = self.kafka.ask_for_metadata(Duration::from_secs(1));
            if answer.is_ok() || has_ended() || Instant::now() > until {
                break answer;
            }
        };
        answer.map_err(|error| {
            let log = self.node().as_ref().map(|node| tail(&node.log(), 4_096));
            StartError::Failed(format!(
                "{} gave no metadata: {error:#}\n{}",
                self.kafka.bootstrap_servers(),
                log.unwrap_or_default()
            ))
        })
    }

    fn node(&self) -> MutexGuard<'_, Option<Node>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NOT_OURS: &str = "not started by this run";

/// A broker that may still be on its way up.
struct Started {
    bootstrap_servers: String,
    /// The process to end; none when somebody else's, or a container that the watchdog ends.
    node: Option<Node>,
}

/// Runs a command to its end; the error holds what it said.
pub fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The folder with Kafka's jars, for Java clients; none when they cannot be had.
pub fn libraries() -> Option<PathBuf> {
    maven::libraries().ok()
}
