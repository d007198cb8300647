//! One Kafka process on a folder of its own: broker and controller in one. It can be frozen, killed
//! and started again with what it had.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::run;
use crate::support::free_port::free_port;
use crate::support::watchdog;

const SETTINGS: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j.properties");

/// Who may come in by the listener SCRAM is kept with the cluster's metadata.
const SCRAM: &str = "\
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.scram.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;";

/// What a node is to be; [`Plan::new`] chooses its ports.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From 1.
    pub id: i32,
    /// Where plain clients reach it.
    pub plain: SocketAddr,
    /// Where the controllers talk among themselves.
    pub controller: SocketAddr,
    /// The most memory of its JVM, in MiB.
    pub heap: u32,
    /// Where it listens for clients of a wire (`wire.rs`), and the wire's own address, which these
    /// clients are told.
    pub wire: Option<(SocketAddr, SocketAddr)>,
    /// Where it listens for clients that prove who they are by SCRAM-SHA-256, without TLS.
    pub scram: Option<SocketAddr>,
    /// Lines of settings of its own.
    pub settings: String,
    /// Whether its JVM is to be quick to start and frugal rather than fast.
    pub is_frugal: bool,
}

/// What Kafka has by default where the tests' settings are for many tests on two cores.
const AS_BY_DEFAULT: &str = "\
offsets.topic.num.partitions=50
transaction.state.log.num.partitions=50
transaction.abort.timed.out.transaction.cleanup.interval.ms=10000
log.retention.check.interval.ms=300000
log.initial.task.delay.ms=30000
";

impl Plan {
    /// A node with a plain listener alone.
    pub fn new(id: i32, heap: u32) -> anyhow::Result<Self> {
        Ok(Self {
            id,
            plain: local(free_port()?),
            controller: local(free_port()?),
            heap,
            wire: None,
            scram: None,
            settings: String::new(),
            is_frugal: true,
        })
    }

    /// The same as it would run for others: what is measured on it means something.
    pub fn for_measuring(id: i32, heap: u32) -> anyhow::Result<Self> {
        Ok(Self {
            settings: AS_BY_DEFAULT.to_owned(),
            is_frugal: false,
            ..Self::new(id, heap)?
        })
    }

    fn listeners(&self) -> Vec<(&'static str, SocketAddr, SocketAddr)> {
        let mut listeners = vec![("PLAINTEXT", self.plain, self.plain)];
        listeners.extend(self.wire.map(|(at, told)| ("WIRE", at, told)));
        listeners.extend(self.scram.map(|at| ("SCRAM", at, at)));
        listeners
    }

    /// The whole `server.properties`, as one of these `nodes`.
    fn properties(&self, nodes: &[Self], data: &Path) -> String {
        let joined = |parts: Vec<String>| parts.join(",");
        let told = self.listeners().into_iter();
        let advertised = joined(
            told.map(|(name, _, told)| format!("{name}://{told}"))
                .collect(),
        );
        let own = self.listeners().into_iter();
        let mut listening: Vec<_> = own.map(|(name, at, _)| format!("{name}://{at}")).collect();
        listening.push(format!("CONTROLLER://{}", self.controller));
        let voters = nodes
            .iter()
            .map(|node| format!("{}@{}", node.id, node.controller));
        let scram = self.scram.map_or("", |_| SCRAM);
        format!(
            "{SETTINGS}\n\
             {}\n\
             {scram}\n\
             node.id={}\n\
             listeners={}\n\
             advertised.listeners={advertised}\n\
             controller.quorum.voters={}\n\
             log.dirs={}\n",
            self.settings,
            self.id,
            joined(listening),
            joined(voters.collect()),
            data.display()
        )
    }
}

/// See the module.
pub struct Node {
    plan: Plan,
    folder: PathBuf,
    libraries: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Makes the folders of the nodes of one cluster, and starts them: `folder/1`, `folder/2` ...
    pub fn start_all(plans: &[Plan], libraries: &Path, folder: &Path) -> anyhow::Result<Vec<Self>> {
        let cluster = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let mut formatting = Vec::new();
        let mut nodes = Vec::new();
        for plan in plans {
            let node = Self {
                plan: plan.clone(),
                folder: folder.join(plan.id.to_string()),
                libraries: libraries.to_owned(),
                process: None,
            };
            fs::create_dir_all(&node.folder)?;
            fs::write(node.logging(), LOGGING)?;
            let properties = node.plan.properties(plans, &node.folder.join("data"));
            fs::write(node.properties(), properties)?;
            let mut format = node.java(256);
            format
                .args(["kafka.tools.StorageTool", "format"])
                // With a sign of equality: one id in 64 begins with a hyphen.
                .arg(format!("--cluster-id={cluster}"))
                .arg("-c")
                .arg(node.properties());
            formatting.push(std::thread::spawn(move || run(&mut format)));
            nodes.push(node);
        }
        for one in formatting {
            let formatted = one.join().map_err(|_| anyhow::anyhow!("a thread died"))?;
            formatted.map_err(anyhow::Error::msg)?;
        }
        for node in &mut nodes {
            node.launch()?;
        }
        Ok(nodes)
    }

    /// Its id.
    pub fn id(&self) -> i32 {
        self.plan.id
    }

    /// What it is.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it has said in all its lives.
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Whom it last knew as the leader of the controllers, and in which epoch.
    pub fn known_controller(&self) -> anyhow::Result<Option<(i64, i32)>> {
        let file = self.folder.join("data/__cluster_metadata-0/quorum-state");
        let state: serde_json::Value = serde_json::from_slice(&fs::read(file)?)?;
        let number = |name: &str| state[name].as_i64();
        let leader = number("leaderId").and_then(|id| i32::try_from(id).ok());
        let known = leader.filter(|id| *id > 0);
        Ok(number("leaderEpoch").zip(known))
    }

    /// Starts it with what its folder has.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.has_ended(), "node {} runs already", self.plan.id);
        let mut options = File::options();
        let output = options.create(true).append(true).open(self.log())?;
        let mut kafka = self.java(self.plan.heap);
        let process = kafka
            .arg("kafka.Kafka")
            .arg(self.properties())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        watchdog::guard(process.id());
        self.process = Some(process);
        Ok(())
    }

    /// Whether it does not run: not any more, or not yet.
    pub fn has_ended(&mut self) -> bool {
        let running = self.process.as_mut();
        running.is_none_or(|process| matches!(process.try_wait(), Ok(Some(_))))
    }

    /// Freezes it (`STOP`) or lets it go on (`CONT`).
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let status = Command::new("kill")
            .args(["-s", name, &process.id().to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "kill -s {name} ended with {status}");
        Ok(())
    }

    /// Ends it at once, without a chance to clean up, and waits until it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Either can only fail because it has ended already.
            drop(process.kill());
            drop(process.wait());
            watchdog::release(process.id());
        }
    }

    /// A command of Kafka's jars, its class and arguments still to be given.
    pub fn java(&self, heap: u32) -> Command {
        let mut java = Command::new("java");
        java.arg(format!("-Xmx{heap}m"));
        if self.plan.is_frugal {
            // Two cores serve it and the tests.
            java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        }
        java.arg(format!(
            "-Dlog4j.configuration=file:{}",
            self.logging().display()
        ))
        .arg("-cp")
        .arg(self.libraries.join("*"));
        java
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn logging(&self) -> PathBuf {
        self.folder.join("log4j.properties")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// An address of this machine.
pub fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
