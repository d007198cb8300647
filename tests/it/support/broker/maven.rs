//! A broker from the jars of Maven Central: needs `java` (17 or later) and, once, `mvn`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{StartError, Started, run};
use crate::support::free_port::free_port;
use crate::support::watchdog;

const POM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/support/kafka/pom.xml"
);
const SETTINGS: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j.properties");

/// The folder with Kafka's jars, fetched when it is not there yet or its pom has changed.
pub fn libraries() -> Result<PathBuf, StartError> {
    let failed = |error: std::io::Error| StartError::Failed(format!("fetching Kafka: {error}"));
    if let Err(why) = run(Command::new("java").arg("-version")) {
        return Err(StartError::Missing(format!("no Java: {why}")));
    }
    // CARGO_TARGET_TMPDIR is the target folder's `tmp`.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-kafka");
    fs::create_dir_all(&home).map_err(failed)?;
    let lock = File::create(home.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;

    let libraries = home.join("libs");
    let pom = fs::read(POM).map_err(failed)?;
    if fs::read(libraries.join("pom.xml")).is_ok_and(|fetched| fetched == pom) {
        return Ok(libraries);
    }
    // Complete or not there at all: fetched aside, then renamed.
    let aside = tempfile::tempdir_in(&home).map_err(failed)?;
    run(Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file", POM])
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", aside.path().display())))
    .map_err(|why| StartError::Missing(format!("Maven could not fetch Kafka: {why}")))?;
    fs::write(aside.path().join("pom.xml"), pom).map_err(failed)?;
    if libraries.exists() {
        fs::remove_dir_all(&libraries).map_err(failed)?;
    }
    fs::rename(aside.keep(), &libraries).map_err(failed)?;
    Ok(libraries)
}

/// Starts a broker on free ports, with its data in `folder`.
pub fn start(libraries: &Path, folder: &Path) -> Result<Started, StartError> {
    let failed = |error: anyhow::Error| StartError::Failed(format!("{error:#}"));
    try_start(libraries, folder).map_err(failed)
}

fn try_start(libraries: &Path, folder: &Path) -> anyhow::Result<Started> {
    fs::create_dir_all(folder)?;
    let (port, controller_port) = (free_port()?, free_port()?);
    let data = folder.join("data");
    let settings = folder.join("server.properties");
    fs::write(
        &settings,
        format!(
            "{SETTINGS}\n\
             node.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             log.dirs={}\n",
            data.display()
        ),
    )?;
    fs::write(folder.join("log4j.properties"), LOGGING)?;
    let cluster = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    run(java(libraries, folder, "-Xmx256m")
        // With a sign of equality: one id in 64 begins with a hyphen.
        .args(["kafka.tools.StorageTool", "format"])
        .arg(format!("--cluster-id={cluster}"))
        .arg("-c")
        .arg(&settings))
    .map_err(anyhow::Error::msg)?;
    let process = launch(libraries, folder)?;
    Ok(Started {
        bootstrap_servers: format!("127.0.0.1:{port}"),
        process: Some(process),
        log: Some(folder.join("broker.log")),
    })
}

/// Starts the broker whose data and settings are in `folder`.
pub fn launch(libraries: &Path, folder: &Path) -> anyhow::Result<Child> {
    let mut log = File::options();
    let output = log
        .create(true)
        .append(true)
        .open(folder.join("broker.log"))?;
    let process = java(libraries, folder, "-Xmx512m")
        .arg("kafka.Kafka")
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    watchdog::guard(process.id());
    Ok(process)
}

fn java(libraries: &Path, folder: &Path, memory: &str) -> Command {
    let logging = folder.join("log4j.properties");
    let mut java = Command::new("java");
    java.arg(memory)
        // Two cores serve it and the tests: quick to start and frugal beats fast.
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j.configuration=file:{}", logging.display()))
        .arg("-cp")
        .arg(libraries.join("*"));
    java
}
