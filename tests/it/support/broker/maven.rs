//! The jars of a broker from Maven Central: needs `java` (17 or later) and, once, `mvn`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{StartError, run};

const POM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/support/kafka/pom.xml"
);

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
