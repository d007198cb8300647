//! A Hooktide installation of a test's own: application id, topics, configuration, processes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::free_port::free_port;
use super::kafka::{Committed, Kafka, Landed, NewRecord};
use super::process::Process;
use super::topic_reader::Record;
use super::{Bed, unique_name};

/// One application id and what belongs to it. Settings go to the processes as environment.
pub struct Installation {
    id: String,
    kafka: Kafka,
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    started: AtomicUsize,
}

/// What a command that ran to its end has left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// None: ended by a signal.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Installation {
    /// An installation with small topics, whose events begin at the earliest and which may post to
    /// 127.0.0.1. Nothing is made on Kafka yet.
    pub fn new(bed: &Bed) -> anyhow::Result<Self> {
        let id = unique_name();
        let kafka = bed.kafka()?.clone();
        let installation = Self {
            folder: bed.folder().to_owned(),
            settings: BTreeMap::new(),
            started: AtomicUsize::new(0),
            id,
            kafka,
        };
        let events = serde_json::json!([installation.events_topic()]).to_string();
        let servers = installation.kafka.bootstrap_servers().to_owned();
        let id = installation.id.clone();
        let replicas = installation.kafka.replicas().to_string();
        Ok(installation
            .set("application_id", &id)
            .set("kafka.bootstrap_servers", &servers)
            .set("topics.partitions", "4")
            .set("topics.replication_factor", &replicas)
            .set("events.topics", &events)
            .set("events.start", "earliest")
            .set("http.allow_networks", r#"["127.0.0.0/8"]"#))
    }

    /// Sets a configuration key (`retry.tiers`), lists and tables as JSON.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The application id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The cluster that it is on.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The full name of one of its own topics (`deliveries`, `retry.1s`).
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.id)
    }

    /// The events topic of the test; not under the prefix of own topics.
    pub fn events_topic(&self) -> String {
        format!("{}-events", self.id)
    }

    /// Makes its own topics by the command that is there for it, and the events topic.
    pub async fn create_topics(&self, events_partitions: i32) -> anyhow::Result<()> {
        let ran = self.command(&["topics", "create"]).await?;
        anyhow::ensure!(ran.code == Some(0), "topics create: {ran:?}");
        self.kafka
            .create_topic(&self.events_topic(), events_partitions, &[])
            .await
    }

    /// Runs `hooktide` with these arguments to its end.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.command_fed(arguments, "").await
    }

    /// Runs `hooktide` with these arguments and this on its stdin to its end.
    pub async fn command_fed(&self, arguments: &[&str], input: &str) -> anyhow::Result<Ran> {
        self.run_to_end(self.hooktide(arguments), input).await
    }

    async fn run_to_end(&self, mut command: Command, input: &str) -> anyhow::Result<Ran> {
        let input = input.to_owned();
        let run = move || {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut stdin = child.stdin.take();
            // Beside the reading of its output, or both sides could wait for each other; and one that
            // ends before it has read everything is what some tests are about.
            let feeder = std::thread::spawn(move || {
                let fed = stdin
                    .as_mut()
                    .map(|stdin| stdin.write_all(input.as_bytes()));
                drop(fed);
            });
            let output = child.wait_with_output();
            drop(feeder.join());
            output
        };
        let output = tokio::task::spawn_blocking(run).await??;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts `hooktide run` as a static member of this name; `roles` as for `--roles`.
    pub fn start(&self, instance: &str, roles: &str) -> anyhow::Result<Process> {
        self.start_with(roles, &[("instance_id", instance)])
    }

    /// Starts `hooktide run` without an instance id.
    pub fn start_dynamic(&self, roles: &str) -> anyhow::Result<Process> {
        self.start_with(roles, &[])
    }

    /// Starts `hooktide run` with settings of this process alone.
    pub fn start_with(&self, roles: &str, settings: &[(&str, &str)]) -> anyhow::Result<Process> {
        self.start_as(roles, settings, &[])
    }

    /// Starts `hooktide run` as a static member that dies at a kill point: `dispatcher:committed:7`.
    pub fn start_armed(&self, instance: &str, roles: &str, at: &str) -> anyhow::Result<Process> {
        let armed = [(hooktide::kill_point::VARIABLE, at)];
        self.start_as(roles, &[("instance_id", instance)], &armed)
    }

    /// The same with variables of its environment that are no settings: what only debug builds hear.
    pub fn start_as(
        &self,
        roles: &str,
        settings: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Process> {
        let telemetry = ([127, 0, 0, 1], free_port()?).into();
        let mut command = self.hooktide(&["run", "--roles", roles]);
        command.env(
            variable("telemetry.listen"),
            std::net::SocketAddr::to_string(&telemetry),
        );
        for (key, value) in settings {
            command.env(variable(key), value);
        }
        command.envs(variables.iter().copied());
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.join(format!("{}-{number}.log", self.id));
        Process::spawn(command, telemetry, log)
    }

    /// Produces an event with the default partitioner and no key.
    pub async fn produce_event(&self, event: &Value) -> anyhow::Result<Landed> {
        let record = NewRecord::value(event.to_string());
        self.kafka.produce(&self.events_topic(), &record).await
    }

    /// Writes a subscription under `tenant/id`.
    pub async fn put_subscription(
        &self,
        key: &str,
        subscription: &Value,
    ) -> anyhow::Result<Landed> {
        let record = NewRecord::keyed(key, subscription.to_string());
        self.kafka
            .produce(&self.topic("subscriptions"), &record)
            .await
    }

    /// Writes the tombstone of a subscription.
    pub async fn delete_subscription(&self, key: &str) -> anyhow::Result<Landed> {
        let record = NewRecord {
            key: Some(key.to_owned()),
            ..NewRecord::default()
        };
        self.kafka
            .produce(&self.topic("subscriptions"), &record)
            .await
    }

    /// All committed records of one of its own topics.
    pub async fn read_topic(&self, name: &str) -> anyhow::Result<Vec<Record>> {
        self.kafka.read_topic(&self.topic(name)).await
    }

    /// Follows one of its own topics until `condition` holds for all its records.
    pub async fn wait_for_topic(
        &self,
        name: &str,
        within: Duration,
        condition: impl Fn(&[Record]) -> bool + Send + 'static,
    ) -> anyhow::Result<Vec<Record>> {
        self.kafka
            .wait_for_topic(&self.topic(name), within, condition)
            .await
    }

    /// What a role's group (`router`, `dispatcher`) has committed on these full topic names.
    pub async fn committed(&self, role: &str, topics: &[&str]) -> anyhow::Result<Vec<Committed>> {
        let group = format!("{}.{role}", self.id);
        self.kafka.committed(&group, topics).await
    }

    /// Runs `hooktide` to its end where no more files than these may be open.
    pub async fn command_with_files(&self, files: u32, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_hooktide"));
        self.run_to_end(self.equipped(command, arguments), "").await
    }

    fn hooktide(&self, arguments: &[&str]) -> Command {
        self.equipped(Command::new(env!("CARGO_BIN_EXE_hooktide")), arguments)
    }

    fn equipped(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(&self.folder);
        // Settings of the machine that runs the tests are not the test's.
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("HOOKTIDE__")) {
            command.env_remove(name);
        }
        // What a shell says of proxies is not for Hooktide: through this one nothing would arrive.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(name, "http://127.0.0.1:1");
            command.env(name.to_lowercase(), "http://127.0.0.1:1");
        }
        let settings = self.settings.iter();
        command.envs(settings.map(|(key, value)| (variable(key), value)));
        command
    }
}

impl Ran {
    /// The data as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{self:?}"))
    }
}

/// `retry.tiers` → `HOOKTIDE__RETRY__TIERS`.
fn variable(key: &str) -> String {
    format!("HOOKTIDE__{}", key.replace('.', "__").to_uppercase())
}
