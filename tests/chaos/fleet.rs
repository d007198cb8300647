//! The processes of a run, and a journal of what was done to them.

mod diary;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hooktide::clock::Timestamp;

use crate::brokers::Brokers;
use crate::plan::{DRAIN, SESSION, TRANSACTION};
use crate::receiver::Receiver;
use crate::record::Strike;
use crate::support::Bed;
use crate::support::hooktide::Installation;
use crate::support::process::Process;
use crate::support::scene::BOTH;
pub use diary::Diary;

/// How long a process may take until it is ready, on a busy machine with a broker on its way up.
pub const READY: Duration = Duration::from_secs(90);
/// How long a process may take to end that was asked to.
pub const END: Duration = Duration::from_secs(60);

/// Everything that can be struck.
pub struct Fleet {
    /// The installation that all processes belong to.
    pub installation: Installation,
    /// The receiver of all requests.
    pub receiver: Receiver,
    /// The Kafka of the run.
    pub brokers: Brokers,
    /// Static members.
    pub members: Vec<tokio::sync::Mutex<Member>>,
    journal: Mutex<Journal>,
}

/// A static member; its process changes.
pub struct Member {
    /// Its instance id.
    pub instance: String,
    /// As it runs now, or the one that ran last.
    pub process: Process,
}

/// What was done, and what was seen beside the topics and the receiver.
#[derive(Debug, Default)]
pub struct Journal {
    /// What was done.
    pub strikes: Vec<Strike>,
    /// What should not have happened.
    pub incidents: Vec<String>,
    /// Kill points that were not passed in time.
    pub missed: Vec<String>,
    /// Of all processes that ran.
    pub logs: Vec<PathBuf>,
}

/// The settings of a run: what takes long in production is short.
const SETTINGS: [(&str, &str); 8] = [
    ("retry.tiers", r#"["1s","2s","5s"]"#),
    ("http.timeout", "3s"),
    ("http.connect_timeout", "2s"),
    ("breaker.first_probe", "1s"),
    ("breaker.longest_probe", "2s"),
    ("dispatcher.max_in_flight", "256"),
    ("topics.partitions", "4"),
    ("attempts.response_bytes", "0B"),
];

/// The tiers that the settings make.
pub const TIERS: [&str; 3] = ["retry.1s", "retry.2s", "retry.5s"];

impl Fleet {
    /// Makes topics and starts this many members, which reach Kafka by wires.
    pub async fn start(
        bed: &Bed,
        brokers: Brokers,
        receiver: Receiver,
        members: usize,
    ) -> anyhow::Result<Self> {
        let mut installation = Installation::new(bed)?
            .set("kafka.bootstrap_servers", &brokers.bootstrap_servers())
            .set("kafka.session_timeout", &seconds(SESSION))
            .set("kafka.transaction_timeout", &seconds(TRANSACTION))
            .set("shutdown.timeout", &seconds(DRAIN));
        for (key, value) in SETTINGS {
            installation = installation.set(key, value);
        }
        installation.create_topics(4).await?;
        let mut fleet = Self {
            installation,
            receiver,
            brokers,
            members: Vec::new(),
            journal: Mutex::default(),
        };
        for number in 0..members {
            let instance = instance(number);
            let process = fleet.launch(&instance)?;
            let member = Member { instance, process };
            fleet.members.push(tokio::sync::Mutex::new(member));
        }
        fleet.all_ready().await?;
        Ok(fleet)
    }

    /// Starts a process as a static member.
    pub fn launch(&self, instance: &str) -> anyhow::Result<Process> {
        self.noted(self.installation.start(instance, BOTH)?)
    }

    /// The same, to die at a kill point.
    pub fn launch_armed(&self, instance: &str, at: &str) -> anyhow::Result<Process> {
        self.noted(self.installation.start_armed(instance, BOTH, at)?)
    }

    /// Starts a process as a dynamic member.
    pub fn launch_guest(&self) -> anyhow::Result<Process> {
        self.noted(self.installation.start_dynamic(BOTH)?)
    }

    fn noted(&self, process: Process) -> anyhow::Result<Process> {
        self.journal().logs.push(process.log().to_owned());
        Ok(process)
    }

    /// Waits until every member is ready. One that has ended is an incident, and is started again.
    pub async fn all_ready(&self) -> anyhow::Result<()> {
        for member in &self.members {
            let mut member = member.lock().await;
            while let Err(error) = member.process.wait_ready(READY).await {
                let Some(status) = member.process.exit_status() else {
                    return Err(error);
                };
                let instance = member.instance.clone();
                self.strike(Strike::on("ended by itself", &instance));
                let log = member.process.log().display().to_string();
                self.incident(format!("{instance} ended by itself with {status}: {log}"));
                member.process = self.launch(&instance)?;
            }
        }
        Ok(())
    }

    /// Asks all members to end.
    pub async fn end(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.lock().await.process.sigterm()?;
        }
        for member in &self.members {
            let member = member.lock().await;
            let status = member.process.wait_exit(END).await?;
            if status.code() != Some(0) {
                self.incident(format!("{} ended with {status}", member.instance));
            }
        }
        Ok(())
    }

    /// Notes a strike.
    pub fn strike(&self, strike: Strike) {
        self.journal().strikes.push(strike);
    }

    /// Notes what should not have happened.
    pub fn incident(&self, told: String) {
        self.journal().incidents.push(told);
    }

    /// Notes a kill point that nobody passed.
    pub fn missed(&self, point: String) {
        self.journal().missed.push(point);
    }

    /// What was noted.
    pub fn into_journal(self) -> Journal {
        self.journal
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// The strikes, and the rebalances that the processes' logs tell of.
    pub fn all_strikes(&self) -> anyhow::Result<Vec<Strike>> {
        let mut strikes = self.strikes.clone();
        for log in &self.logs {
            let text = std::fs::read_to_string(log)?;
            let diary = Diary::read(&text);
            strikes.extend(diary.rebalances);
        }
        strikes.sort_by_key(|strike| strike.from);
        Ok(strikes)
    }
}

/// The instance id of a static member.
pub fn instance(member: usize) -> String {
    format!("member-{member}")
}

/// The instance id of a process that chose one for itself.
pub fn instance_of(process: &Process) -> anyhow::Result<String> {
    let diary = Diary::read(&process.log_text()?);
    diary.instance.context("its log names no instance")
}

/// Lets time pass.
pub async fn pause(time: Duration) {
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}

/// How long ago that was.
pub fn since(start: Timestamp) -> Duration {
    Timestamp::now().since(start)
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}
