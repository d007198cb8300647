//! What a test stands on. A test is an `async fn(Bed) -> Outcome` named in its module's [`tests!`]
//! list; its [`Bed`] gives it a folder of its own and, if it asked for one, the run's Kafka broker.
#![allow(
    dead_code,
    reason = "the bed offers more than the tests of one moment use"
)]

pub mod account;
pub mod broker;
pub mod connect_proxy;
pub mod event_flow;
pub mod expositions;
pub mod foreign_producers;
pub mod free_port;
pub mod go_between;
pub mod group;
pub mod hooktide;
pub mod http_get;

pub mod kafka;
pub mod process;
pub mod receiver;
pub mod scene;
pub mod schema_registry;
pub mod topic_reader;
pub mod verifiers;
pub mod watchdog;
pub mod wire;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use broker::cluster::Cluster;
use broker::node::Plan;
use broker::{Broker, StartError};
use kafka::Kafka;
use schema_registry::SchemaRegistry;

/// What a test function returns.
pub type Outcome = anyhow::Result<()>;

/// A test that takes longer has failed. Its own waits are shorter; this bounds them together, on a machine
/// many times slower than usual.
const LIMIT: Duration = Duration::from_mins(6);

/// How much of each log file a failed test shows, in bytes.
const LOG_TAIL: usize = 6 * 1024;

/// Tests at once unless `--test-threads` says otherwise: they mostly wait.
const THREADS: usize = 4;

/// A named test.
pub struct Test {
    name: &'static str,
    needs_kafka: bool,
    needs_registry: bool,
    needs_cluster: bool,
    limit: Duration,
    body: fn(Bed) -> Pin<Box<dyn Future<Output = Outcome>>>,
}

impl Test {
    /// What [`tests!`] expands to; `name` is the function's path.
    pub fn new(
        name: &'static str,
        needs_kafka: bool,
        body: fn(Bed) -> Pin<Box<dyn Future<Output = Outcome>>>,
    ) -> Self {
        let name = name.strip_prefix("it::").unwrap_or(name);
        Self {
            name,
            needs_kafka,
            needs_registry: false,
            needs_cluster: false,
            limit: LIMIT,
            body,
        }
    }

    /// The same with a schema registry.
    pub fn with_registry(mut self) -> Self {
        self.needs_registry = true;
        self
    }

    /// The same with more time than a test usually has.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same on the run's cluster of three brokers, with the machine for itself.
    pub fn with_cluster(mut self) -> Self {
        self.needs_cluster = true;
        self
    }

    fn into_trial(self) -> Trial {
        let name = self.name;
        Trial::ignorable_test(name, move || self.run())
    }

    fn run(self) -> Result<Completion, Failed> {
        // Three brokers take minutes where they have to share a machine; a test's time begins with its turn.
        let (_alone, _beside);
        match self.needs_cluster {
            true => _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner),
            false => _beside = MACHINE.read().unwrap_or_else(PoisonError::into_inner),
        }
        let kafka = match self.needs_kafka.then(the_broker) {
            None => None,
            Some(Ok(broker)) => Some(broker.kafka().clone()),
            Some(Err(StartError::Missing(_))) if !is_ci() => {
                return Ok(Completion::ignored_with("no Kafka"));
            }
            Some(Err(error)) => return Err(Failed::from(error)),
        };
        let registry = match self.needs_registry.then(the_registry) {
            None => None,
            Some(Ok(registry)) => Some(registry),
            Some(Err(StartError::Missing(_))) if !is_ci() => {
                return Ok(Completion::ignored_with("no schema registry"));
            }
            Some(Err(error)) => return Err(Failed::from(error)),
        };
        let folder = watchdog::folder().join(self.name.replace("::", "."));
        fs::create_dir_all(&folder)?;
        let cluster = match self.needs_cluster.then(the_cluster) {
            None => None,
            Some(Ok(cluster)) => Some(cluster),
            Some(Err(StartError::Missing(_))) if !is_ci() => {
                return Ok(Completion::ignored_with("no cluster"));
            }
            Some(Err(error)) => return Err(Failed::from(error)),
        };
        let bed = Bed {
            kafka,
            registry,
            cluster,
            folder: folder.clone(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        // A panic must reach the message with the logs too, hence not only libtest-mimic's own catch.
        let test = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                if let Some(cluster) = cluster {
                    cluster.restore().await?;
                }
                Ok(tokio::time::timeout(self.limit, (self.body)(bed)).await)
            })
        });
        let outcome = match std::panic::catch_unwind(test) {
            Ok(Ok(Ok(Ok(())))) => Ok(Completion::Completed),
            // Without the backtrace, which is all harness.
            Ok(Ok(Ok(Err(error))) | Err(error)) => Err(format!("{error:#}")),
            Ok(Ok(Err(_))) => Err(format!("took longer than {:?}", self.limit)),
            Err(panic) => Err(panic_message(panic.as_ref())),
        };
        runtime.shutdown_timeout(Duration::from_secs(5));
        outcome.map_err(|message| Failed::from(format!("{message}\n{}", log_tails(&folder))))
    }
}

/// The surroundings of one test.
#[derive(Clone)]
pub struct Bed {
    kafka: Option<Kafka>,
    registry: Option<&'static SchemaRegistry>,
    cluster: Option<&'static Cluster>,
    folder: PathBuf,
}

impl Bed {
    /// Surroundings of something that is no test; see [`Bed::with_broker_apart`] for a broker.
    pub fn alone(name: &str) -> anyhow::Result<Self> {
        let folder = watchdog::folder().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self {
            kafka: None,
            registry: None,
            cluster: None,
            folder,
        })
    }

    /// The broker of this run; an error when the test is not listed as `kafka`.
    pub fn kafka(&self) -> anyhow::Result<&Kafka> {
        self.kafka
            .as_ref()
            .context("this test is not in its module's `kafka:` list")
    }

    /// The schema registry of this run; an error when the test is not listed as `registry`.
    pub fn registry(&self) -> anyhow::Result<&'static SchemaRegistry> {
        self.registry
            .context("this test is not in its module's `registry:` list")
    }

    /// The same test with a broker that nobody else uses. None: this machine cannot start one.
    pub fn with_broker_apart(&self) -> anyhow::Result<Option<(Self, Broker)>> {
        let started = Broker::start_apart(&self.folder.join("broker"));
        let broker = unless_missing(started)?;
        Ok(broker.map(|broker| (self.on(broker.kafka()), broker)))
    }

    /// The same with a broker of this plan.
    pub fn with_broker_as(&self, plan: Plan) -> anyhow::Result<Option<(Self, Broker)>> {
        let started = Broker::start_apart_as(plan, &self.folder.join("broker"));
        let broker = unless_missing(started)?;
        Ok(broker.map(|broker| (self.on(broker.kafka()), broker)))
    }

    /// The same with a cluster of three that nobody else uses, of these plans. None: this machine cannot
    /// start one.
    pub fn with_cluster_as(&self, plans: &[Plan]) -> anyhow::Result<Option<(Self, Cluster)>> {
        let started = Cluster::start_as(plans, &self.folder.join("cluster"));
        let cluster = unless_missing(started)?;
        Ok(cluster.map(|cluster| (self.on(cluster.kafka()), cluster)))
    }

    /// The run's cluster of three brokers, which was whole as the test began and is nobody else's until
    /// it ends, and the same test on it; an error when the test is not listed as `cluster`.
    pub fn with_cluster(&self) -> anyhow::Result<(Self, &'static Cluster)> {
        let cluster = self
            .cluster
            .context("this test is not in its module's `cluster:` list")?;
        Ok((self.on(cluster.kafka()), cluster))
    }

    fn on(&self, kafka: &Kafka) -> Self {
        Self {
            kafka: Some(kafka.clone()),
            folder: self.folder.clone(),
            ..*self
        }
    }

    /// The test's own folder. Files named `*.log` are shown when the test fails.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What cannot be had here is no failure, except where it must be there.
fn unless_missing<T>(started: Result<T, StartError>) -> anyhow::Result<Option<T>> {
    match started {
        Ok(started) => Ok(Some(started)),
        Err(StartError::Missing(_)) if !is_ci() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `tests! { plain: a, b; kafka: c, d }` makes `pub fn tests()`, which lists those functions of the
/// module: the plain ones run anywhere, the others need a broker, those of a third list, `registry:`, a
/// schema registry besides; those of `cluster:` need three brokers of which one may be lost, and run last, each by itself.
macro_rules! tests {
    (
        plain: $($plain:ident),*;
        kafka: $($kafka:ident),* $(,)?
        $(; registry: $($registry:ident),* $(,)?)?
        $(; cluster: $($cluster:ident),* $(,)?)?
    ) => {
        /// The tests of this module.
        pub fn tests() -> Vec<crate::support::Test> {
            vec![
                $(crate::support::Test::new(
                    concat!(module_path!(), "::", stringify!($plain)),
                    false,
                    |bed| Box::pin($plain(bed)),
                ),)*
                $(crate::support::Test::new(
                    concat!(module_path!(), "::", stringify!($kafka)),
                    true,
                    |bed| Box::pin($kafka(bed)),
                ),)*
                $($(crate::support::Test::new(
                    concat!(module_path!(), "::", stringify!($registry)),
                    true,
                    |bed| Box::pin($registry(bed)),
                ).with_registry(),)*)?
                $($(crate::support::Test::new(
                    concat!(module_path!(), "::", stringify!($cluster)),
                    false,
                    |bed| Box::pin($cluster(bed)),
                ).with_cluster(),)*)?
            ]
        }
    };
}
pub(crate) use tests;

/// Runs the tests that the command line selects and ends everything that they started.
pub fn run(modules: impl IntoIterator<Item = Vec<Test>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let mut tests: Vec<Test> = modules.into_iter().flatten().collect();
    tests.sort_by_key(|test| test.needs_cluster);
    let trials = tests.into_iter().map(Test::into_trial);
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some(Ok(broker)) = BROKER.get() {
        broker.stop();
    }
    if let Some(Ok(cluster)) = CLUSTER.get() {
        cluster.stop();
    }
    if let Some(Ok(registry)) = REGISTRY.get() {
        registry.stop();
    }
    watchdog::end();
    conclusion.exit_code()
}

static BROKER: OnceLock<Result<Broker, StartError>> = OnceLock::new();

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn the_broker() -> Result<&'static Broker, StartError> {
    let start = || {
        Broker::start().inspect_err(|error| {
            eprintln!("\n*** WITHOUT KAFKA no test that needs it runs: {error} ***\n");
        })
    };
    BROKER.get_or_init(start).as_ref().map_err(Clone::clone)
}

static CLUSTER: OnceLock<Result<Cluster, StartError>> = OnceLock::new();
/// Shared by all tests but those of the cluster.
static MACHINE: RwLock<()> = RwLock::new(());

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn the_cluster() -> Result<&'static Cluster, StartError> {
    let start = || {
        Cluster::start(&watchdog::folder().join("cluster")).inspect_err(|error| {
            eprintln!("\n*** WITHOUT A CLUSTER no test that needs it runs: {error} ***\n");
        })
    };
    CLUSTER.get_or_init(start).as_ref().map_err(Clone::clone)
}

static REGISTRY: OnceLock<Result<SchemaRegistry, StartError>> = OnceLock::new();

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn the_registry() -> Result<&'static SchemaRegistry, StartError> {
    let start = || {
        SchemaRegistry::start().inspect_err(|error| {
            eprintln!("\n*** WITHOUT A SCHEMA REGISTRY no test that needs it runs: {error} ***\n");
        })
    };
    REGISTRY.get_or_init(start).as_ref().map_err(Clone::clone)
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// A short name that no other test of this or another run uses.
pub fn unique_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("it-{:06x}-{number}", rand::random::<u32>() >> 8)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "panicked: {}",
        text.unwrap_or("with something else than a text")
    )
}

fn log_tails(folder: &Path) -> String {
    let mut tails = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|name| name == "log") {
            tails.push_str(&tail(&entry.path(), LOG_TAIL));
        }
    }
    tails
}

/// The last `limit` bytes of a file under a line with its name.
pub fn tail(file: &Path, limit: usize) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(limit)..]).into_owned();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("--- end of {name}:\n{text}\n")
}
