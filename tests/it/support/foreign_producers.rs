//! Producers that are not ours: Apache Kafka's Java client and kcat.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::broker;
use super::kafka::Kafka;

const JAVA_PRODUCER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/support/kafka/Producer.java"
);

/// A client of another make; both take a key and a value per record and use their own partitioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignProducer {
    /// `org.apache.kafka.clients.producer.KafkaProducer`: needs a JDK and the fetched jars.
    Java,
    /// <https://github.com/edenhill/kcat>
    Kcat,
}

impl ForeignProducer {
    /// Produces `(key, value)` records (one line each, without tabs) and waits until they are
    /// acknowledged. `false`, and a loud line, when this machine lacks the client.
    #[expect(clippy::print_stderr, reason = "what is skipped is said")]
    pub async fn produce(
        self,
        kafka: &Kafka,
        topic: &str,
        records: &[(&str, &str)],
    ) -> anyhow::Result<bool> {
        let Some(mut command) = self.command(kafka.bootstrap_servers(), topic) else {
            eprintln!("\n*** SKIPPED: records of {self:?}, which this machine lacks ***\n");
            return Ok(false);
        };
        let mut lines = String::new();
        for (key, value) in records {
            anyhow::ensure!(!format!("{key}{value}").contains(['\t', '\n']));
            lines.push_str(&format!("{key}\t{value}\n"));
        }
        tokio::task::spawn_blocking(move || {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut pipe = child.stdin.take().context("stdin is piped")?;
            pipe.write_all(lines.as_bytes())?;
            drop(pipe);
            let output = child.wait_with_output()?;
            let talk = String::from_utf8_lossy(&output.stderr);
            anyhow::ensure!(output.status.success(), "{command:?}: {talk}");
            Ok(true)
        })
        .await?
    }

    fn command(self, servers: &str, topic: &str) -> Option<Command> {
        match self {
            Self::Java => {
                let libraries = broker::libraries()?;
                is_there("javac", "-version").then(|| {
                    let mut java = Command::new("java");
                    java.arg("-cp").arg(libraries.join("*"));
                    java.args([JAVA_PRODUCER, servers, topic]);
                    java
                })
            }
            Self::Kcat => is_there("kcat", "-V").then(|| {
                let mut kcat = Command::new("kcat");
                // -E: a broker that is slow to answer is not gone.
                kcat.args(["-P", "-E", "-b", servers, "-t", topic, "-K", "\t"]);
                kcat
            }),
        }
    }
}

fn is_there(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
