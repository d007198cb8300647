//! The endpoint to try things out with.

use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::support::kafka::NewRecord;
use crate::support::scene::{OTHER_SECRET, READY, SECRET, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain:
        what_it_cannot_do_is_said;
    kafka:
        webhooks_are_told_with_their_signatures,
}

/// A `hooktide receiver` on a free port.
struct Receiving {
    child: Child,
    talk: Lines<BufReader<ChildStderr>>,
    data: Lines<BufReader<ChildStdout>>,
}

impl Receiving {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktide"));
        command.arg("receiver").args(arguments);
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let talk = child.stderr.take().context("stderr is piped")?;
        let data = child.stdout.take().context("stdout is piped")?;
        Ok(Self {
            child,
            talk: BufReader::new(talk).lines(),
            data: BufReader::new(data).lines(),
        })
    }

    /// The first line of its talk.
    async fn said(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(READY, self.talk.next_line()).await??;
        line.context("it said nothing")
    }

    /// Its next request, as JSON.
    async fn next(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(SOON, self.data.next_line()).await??;
        Ok(serde_json::from_str(&line.context("it ended")?)?)
    }
}

async fn webhooks_are_told_with_their_signatures(bed: Bed) -> Outcome {
    let listen = ["--listen", "127.0.0.1:0", "--output", "json"];
    let mut receiver = Receiving::start(&[&listen[..], &["--secret", SECRET]].concat())?;
    let said = receiver.said().await?;
    let (_, rest) = said.split_once("listening on ").context("an address")?;
    let (url, _) = rest.split_once(',').context("the address's end")?;

    let scene = Scene::set(&bed, &[("retry.tiers", r#"["1s"]"#)]).await?;
    let subscription = |path: &str, secret: &str| {
        let url = format!("{url}/{path}");
        let retry = json!({"schedule": ["1s", "1s", "1s"]});
        json!({"url": url, "events": ["*"], "secrets": [secret], "retry": retry}).to_string()
    };
    for (key, path, secret) in [
        ("acme/flaky", "flaky", SECRET),
        ("acme/good", "good", OTHER_SECRET),
    ] {
        let record = NewRecord::keyed(key, subscription(path, secret));
        let topic = scene.installation.topic("subscriptions");
        scene.installation.kafka().produce(&topic, &record).await?;
    }
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;

    let mut flaky = Vec::new();
    let mut other = None;
    while flaky.len() < 2 || other.is_none() {
        let told = receiver.next().await?;
        assert_eq!(told["method"], "POST", "{told}");
        match told["path"].as_str() {
            Some("/flaky") => flaky.push(told),
            Some("/good") => other = Some(told),
            _ => anyhow::bail!("{told}"),
        }
    }
    // The first is bad luck, by design.
    assert_eq!(flaky[0]["status"], 503, "{flaky:?}");
    for (told, copy) in flaky.iter().zip(1..) {
        assert_eq!(told["signature_holds"], true, "{told}");
        assert_eq!(told["webhook_id"], flaky[0]["webhook_id"], "{told}");
        assert_eq!(told["copy"], copy, "{told}");
    }
    let other = other.context("seen")?;
    assert_eq!(other["signature_holds"], false, "{other}");
    assert_eq!(other["status"], 204, "it is not the receiver's matter");

    let id = receiver.child.id().context("it runs")?.to_string();
    assert!(Command::new("kill").arg(&id).status()?.success());
    let status = tokio::time::timeout(SOON, receiver.child.wait()).await??;
    assert_eq!(status.code(), Some(0));
    Ok(())
}

async fn what_it_cannot_do_is_said(_bed: Bed) -> Outcome {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();
    for (arguments, code, words) in [
        (["--listen", &*address], 1, "choose another address"),
        (["--listen", "8080"], 2, "must be an IP address and a port"),
        (
            ["--secret", "hunter2"],
            2,
            "`--secret`: a secret must begin with",
        ),
    ] {
        let mut receiver = Receiving::start(&arguments)?;
        let said = receiver.said().await?;
        assert!(
            said.starts_with("error: ") && said.contains(words),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
        let status = tokio::time::timeout(SOON, receiver.child.wait()).await??;
        assert_eq!(status.code(), Some(code), "{said}");
    }
    Ok(())
}
