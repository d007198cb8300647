//! Processes of a run. Each ends with its stdin, so none outlives this one.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{self, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::BenchError;

/// How long a process that was asked to end may take: `shutdown.timeout` and a little.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// A process.
pub(super) struct Child {
    name: &'static str,
    process: process::Child,
    /// Whether it ends by itself when its stdin does.
    heeds_stdin: bool,
}

/// A process that talks: one JSON document a line.
pub(super) struct Part {
    child: Child,
    says: BufReader<ChildStdout>,
}

/// The first word of a receiver.
#[derive(Deserialize)]
struct Listening {
    listening: Vec<SocketAddr>,
}

impl Child {
    pub(super) fn spawn(name: &'static str, command: &mut Command) -> io::Result<Self> {
        let process = command.spawn()?;
        Ok(Self {
            name,
            process,
            heeds_stdin: true,
        })
    }

    /// A program that knows nothing of us.
    pub(super) fn spawn_foreign(name: &'static str, command: &mut Command) -> io::Result<Self> {
        let mut child = Self::spawn(name, command)?;
        child.heeds_stdin = false;
        Ok(child)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// An error if it has ended.
    pub(super) fn must_run(&mut self) -> Result<(), BenchError> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let name = self.name;
                Err(BenchError::Ended { name, status })
            }
        }
    }

    /// Asks it to end, and waits a while. It is killed when dropped.
    pub(super) fn stop(mut self) {
        drop(self.process.stdin.take());
        let deadline = match self.heeds_stdin {
            true => Instant::now() + PATIENCE,
            false => Instant::now(),
        };
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(GLANCE);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Refused when it has ended, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Part {
    pub(super) fn spawn(name: &'static str, command: &mut Command) -> Result<Self, BenchError> {
        let mut child = Child::spawn(name, command.stdout(Stdio::piped()))?;
        let says = child
            .process
            .stdout
            .take()
            .ok_or(BenchError::Silent(name))?;
        Ok(Self {
            child,
            says: BufReader::new(says),
        })
    }

    /// The next thing that it says.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| BenchError::Silent(self.child.name))
    }

    /// Asks, and reads the answer.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Result<T, BenchError> {
        let name = self.child.name;
        let stdin = self.child.process.stdin.as_mut();
        writeln!(stdin.ok_or(BenchError::Silent(name))?, "{question}")?;
        self.read()
    }

    /// Where a receiver listens.
    pub(super) fn listening(&mut self) -> Result<Vec<SocketAddr>, BenchError> {
        let Listening { listening } = self.read()?;
        Ok(listening)
    }

    /// A receiver counts from zero again.
    pub(super) fn reset(&mut self) -> Result<(), BenchError> {
        self.ask::<super::Count>("reset").map(drop)
    }

    /// From now on a receiver fails the first request of this share of deliveries.
    pub(super) fn fail(&mut self, share: f64) -> Result<(), BenchError> {
        self.ask::<super::Count>(&format!("fail {share}")).map(drop)
    }
}
