//! The Kafka broker of a test run: the one that `HOOKTIDE_TEST_KAFKA` (host:port) names, else one
//! started from Maven Central's jars, else one in Docker.

mod docker;
mod maven;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::kafka::Kafka;
use super::{tail, watchdog};

/// How long a broker may take until it answers.
const START: Duration = Duration::from_secs(90);

/// A started broker; it ends with the run at the latest.
pub struct Broker {
    kafka: Kafka,
    process: Mutex<Option<Child>>,
    /// Where its data is; none where it cannot be started again.
    folder: Option<PathBuf>,
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

impl Broker {
    /// Finds or starts a broker and waits until it answers.
    pub fn start() -> Result<Self, StartError> {
        if let Ok(servers) = std::env::var("HOOKTIDE_TEST_KAFKA") {
            return Self::await_ready(Started {
                bootstrap_servers: servers,
                process: None,
                log: None,
            });
        }
        let no_jars = match maven::libraries() {
            Ok(libraries) => {
                let folder = watchdog::folder().join("broker");
                return Self::await_ready(maven::start(&libraries, &folder)?);
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

    /// Starts one that nobody else uses, to be frozen: `HOOKTIDE_TEST_KAFKA` is no such.
    pub fn start_apart(folder: &Path) -> Result<Self, StartError> {
        let mut broker = Self::await_ready(maven::start(&maven::libraries()?, folder)?)?;
        broker.folder = Some(folder.to_owned());
        Ok(broker)
    }

    /// Freezes it (`STOP`) or lets it go on (`CONT`).
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let id = process.as_ref().context("not started by this run")?.id();
        let status = Command::new("kill")
            .args(["-s", name, &id.to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "kill -s {name} ended with {status}");
        Ok(())
    }

    /// Ends one that was started apart and starts it again with what it has stored. Returns when it
    /// answers.
    pub fn restart(&self) -> anyhow::Result<()> {
        let folder = self.folder.as_ref().context("not started apart")?;
        self.stop();
        let started = maven::launch(&maven::libraries()?, folder)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        let until = Instant::now() + START;
        while let Err(error) = self.kafka.ask_for_metadata(Duration::from_secs(1)) {
            anyhow::ensure!(Instant::now() < until, "no metadata again: {error:#}");
        }
        Ok(())
    }

    /// How to reach it.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Ends the broker, if this run started it, and waits until it is gone.
    pub fn stop(&self) {
        let process = self.process.lock().map(|mut process| process.take());
        if let Some(mut process) = process.unwrap_or_else(|poison| poison.into_inner().take()) {
            // Either can only fail because it has ended already.
            drop(process.kill());
            drop(process.wait());
            watchdog::release(process.id());
        }
    }

    fn await_ready(started: Started) -> Result<Self, StartError> {
        let broker = Self {
            kafka: Kafka::new(&started.bootstrap_servers)
                .map_err(|error| StartError::Failed(format!("{error:#}")))?,
            process: Mutex::new(started.process),
            folder: None,
        };
        let until = Instant::now() + START;
        let answer = loop {
            let answer = broker.kafka.ask_for_metadata(Duration::from_secs(1));
            if answer.is_ok() || broker.has_ended() || Instant::now() > until {
                break answer;
            }
        };
        answer.map(|()| broker).map_err(|error| {
            let log = started.log.map(|file| tail(&file, 4_096));
            StartError::Failed(format!(
                "{} gave no metadata: {error:#}\n{}",
                started.bootstrap_servers,
                log.unwrap_or_default()
            ))
        })
    }

    fn has_ended(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(Some(_))))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A broker that may still be on its way up.
struct Started {
    bootstrap_servers: String,
    /// The process to end; none when somebody else's, or a container that the watchdog ends.
    process: Option<Child>,
    log: Option<PathBuf>,
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
