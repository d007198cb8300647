//! A broker from the image `apache/kafka`, for machines with Docker but without Java and Maven.

use std::process::Command;

use super::{StartError, Started, run};
use crate::support::free_port::free_port;
use crate::support::watchdog;

/// The version of tests/it/support/kafka/pom.xml.
const IMAGE: &str = "apache/kafka:4.1.0";
const SETTINGS: &str = include_str!("../kafka/server.properties");

/// Starts a container whose listener is mapped to a free port of this machine. The image takes a
/// setting `a.b` as `KAFKA_A_B`.
pub fn start() -> Result<Started, StartError> {
    if let Err(why) = run(Command::new("docker").arg("info")) {
        return Err(StartError::Missing(format!("no Docker: {why}")));
    }
    let port = free_port().map_err(|error| StartError::Failed(error.to_string()))?;
    let name = format!("hooktide-it-{}", std::process::id());
    watchdog::guard_container(&name);
    let mut docker = Command::new("docker");
    docker
        .args(["run", "--detach", "--rm", "--name", &name])
        .args(["--publish", &format!("127.0.0.1:{port}:{port}")]);
    let own = [
        "node.id=1".to_owned(),
        format!("listeners=PLAINTEXT://:{port},CONTROLLER://:9093"),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"),
        "controller.quorum.voters=1@localhost:9093".to_owned(),
    ];
    let settings = SETTINGS.lines().filter(|line| !line.starts_with('#'));
    for setting in settings.chain(own.iter().map(String::as_str)) {
        if let Some((key, value)) = setting.split_once('=') {
            let key = key.replace('.', "_").to_uppercase();
            docker.args(["--env", &format!("KAFKA_{key}={value}")]);
        }
    }
    run(docker.arg(IMAGE)).map_err(StartError::Failed)?;
    Ok(Started {
        bootstrap_servers: format!("127.0.0.1:{port}"),
        node: None,
    })
}
