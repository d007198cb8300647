//! The peers that are Java programs: fetched by Maven, compiled once, started like any process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::broker::run;
use crate::support::process::Process;
use crate::support::scene::Scene;
use crate::support::unique_name;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// Starts `Peer.java` as `how` says, on the events topic of the scene and to its receiver.
pub fn start(scene: &Scene, how: &str) -> anyhow::Result<Process> {
    let home = built()?;
    let installation = &scene.installation;
    let path = std::env::join_paths([home.join("classes"), home.join("libs/*")])?;
    let mut command = Command::new("java");
    command
        .arg("-Xmx512m")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(path)
        .arg("Peer")
        .arg(how)
        .arg(installation.kafka().bootstrap_servers())
        .arg(installation.events_topic())
        .arg(format!("{}.peer", installation.id()))
        .arg(scene.receiver.url("/one"));
    let nobody = ([127, 0, 0, 1], 1).into();
    let log = crate::support::watchdog::folder().join(format!("{}.log", unique_name()));
    Process::spawn(command, nobody, log)
}

/// The folder with the classes and jars, made when it is not there yet.
fn built() -> anyhow::Result<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-peers");
    fs::create_dir_all(&home)?;
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    let sources = ["pom.xml", "Peer.java"].map(|name| Path::new(SOURCES).join(name));
    let mut wanted = Vec::new();
    for source in &sources {
        wanted.extend(fs::read(source)?);
    }
    let made = home.join("made");
    if fs::read(&made).is_ok_and(|made| made == wanted) {
        return Ok(home);
    }
    let output = format!("-DoutputDirectory={}", home.join("libs").display());
    run(Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&sources[0])
        .args(["dependency:copy-dependencies", &output]))
    .map_err(anyhow::Error::msg)?;
    run(Command::new("javac")
        .arg("-cp")
        .arg(home.join("libs/*"))
        .arg("-d")
        .arg(home.join("classes"))
        .arg(&sources[1]))
    .map_err(anyhow::Error::msg)?;
    fs::write(made, wanted)?;
    Ok(home)
}
