//! The peers that are Java programs: fetched by Maven, compiled once, started like any process. The
//! suite of benches/ has them too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::broker::run;

/// The folder with their sources.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// The command that starts `Peer.java` as `how` says; where it reads and posts is said by its environment.
pub fn command(how: &str, at_once: usize, heap: &str) -> anyhow::Result<Vec<OsString>> {
    let home = built()?;
    let path = std::env::join_paths([home.join("classes"), home.join("libs/*")])?;
    let plain = [
        "java",
        heap,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
    ];
    let mut words: Vec<OsString> = plain.into_iter().map(OsString::from).collect();
    words.push(path);
    words.extend(["Peer", how, &at_once.to_string()].map(OsString::from));
    Ok(words)
}

/// The folder in which peers are made.
pub fn home() -> std::io::Result<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-peers");
    fs::create_dir_all(&home)?;
    Ok(home)
}

/// The folder with the classes and jars, made when it is not there yet.
fn built() -> anyhow::Result<PathBuf> {
    let home = home()?;
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
