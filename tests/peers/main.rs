//! Others under the same test: what is killed with -9 under load, what of it is lost, what comes twice,
//! and when it goes on. Hooktide, a plain loop of Kafka's Java client, and Confluent's Parallel Consumer.
//!
//! `cargo test --test peers` runs it and prints one table (docs/reliability.md has one). Needs Java and
//! Maven; no part of `cargo test`.
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../it"]
mod it {
    pub mod support;
}

mod java;

use std::collections::HashSet;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::json;

use it::support;
use support::account::doubled;
use support::event_flow::EventFlow;
use support::process::Process;
use support::receiver::Keep;
use support::scene::{BOTH, Scene};
use support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        kill_9_under_load,
}

/// Events a second.
const FLOW: usize = 200;
/// Requests at once, of every peer.
const AT_ONCE: usize = 64;
const KILLS: usize = 5;
/// How much work there is between two kills: events.
const BETWEEN: usize = 600;
/// How long anything may take; what has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// As the peers have it.
const SESSION: (&str, &str) = ("kafka.session_timeout", "10s");

/// Who is put to the test.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Hooktide,
    Java(&'static str),
}

/// What came of it.
struct Row {
    who: &'static str,
    produced: usize,
    lost: usize,
    doubled: usize,
    recoveries: Vec<Duration>,
}

fn main() -> ExitCode {
    let unhurried = |test: support::Test| test.within(PATIENCE * 30);
    support::run([tests().into_iter().map(unhurried).collect()])
}

#[expect(clippy::print_stdout, reason = "the table is what this is for")]
async fn kill_9_under_load(bed: Bed) -> Outcome {
    let peers = [
        ("Hooktide", Peer::Hooktide),
        ("Java client, plain loop", Peer::Java("loop")),
        ("Parallel Consumer, core", Peer::Java("core")),
        ("Parallel Consumer, Vert.x", Peer::Java("vertx")),
    ];
    let mut rows = Vec::new();
    for (who, peer) in peers {
        rows.push(put_to_the_test(&bed, who, peer).await?);
    }
    println!(
        "\n| {KILLS} kills, {FLOW} events/s | events | lost | doubled | doubled a kill | goes on after (median, longest) |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for mut row in rows {
        row.recoveries.sort();
        let middle = row.recoveries[row.recoveries.len() / 2].as_secs_f64();
        let longest = row
            .recoveries
            .last()
            .copied()
            .unwrap_or_default()
            .as_secs_f64();
        println!(
            "| {} | {} | {} | {} | {} | {middle:.1} s, {longest:.1} s |",
            row.who,
            row.produced,
            row.lost,
            row.doubled,
            row.doubled / KILLS
        );
    }
    Ok(())
}

async fn put_to_the_test(bed: &Bed, who: &'static str, peer: Peer) -> anyhow::Result<Row> {
    let settings = [
        SESSION,
        ("events.start", "earliest"),
        ("shutdown.timeout", "5s"),
    ];
    let scene = Scene::keeping(bed, Keep::Ids, &settings).await?;
    let members = json!({"max_concurrency": AT_ONCE});
    scene.subscribe("acme/one", "/one", members).await?;
    let events = scene.installation.events_topic();
    let flow = EventFlow::start(scene.installation.kafka(), &events, FLOW);
    let mut process = start(&scene, peer)?;
    let mut recoveries = Vec::new();
    for kill in 1..=KILLS {
        let come = scene
            .receiver
            .wait_for_ids(kill * BETWEEN, PATIENCE, |_| true);
        come.await?;
        process.kill9().await?;
        let killed = Instant::now();
        let before: HashSet<String> = ids(&scene);
        process = start(&scene, peer)?;
        let anew = |count: usize| scene.receiver.wait_for_ids(count, PATIENCE, |_| true);
        anew(before.len() + 1).await?;
        recoveries.push(killed.elapsed());
    }
    let produced = flow.stop().await?;
    // Too late is lost.
    drop(
        scene
            .receiver
            .wait_for_ids(produced, PATIENCE, |_| true)
            .await,
    );
    let lost = produced - ids(&scene).len();
    process.kill9().await?;
    Ok(Row {
        who,
        produced,
        lost,
        doubled: doubled(&scene.receiver.received()),
        recoveries,
    })
}

fn ids(scene: &Scene) -> HashSet<String> {
    let received = scene.receiver.received();
    received.iter().map(|one| one.id().to_owned()).collect()
}

fn start(scene: &Scene, peer: Peer) -> anyhow::Result<Process> {
    match peer {
        Peer::Hooktide => scene.installation.start("a", BOTH),
        Peer::Java(how) => start_java(scene, how),
    }
}

/// On the events topic of the scene and to its receiver.
fn start_java(scene: &Scene, how: &str) -> anyhow::Result<Process> {
    let words = java::command(how, AT_ONCE, "-Xmx512m")?;
    let installation = &scene.installation;
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env(
            "BOOTSTRAP_SERVERS",
            installation.kafka().bootstrap_servers(),
        )
        .env("TOPIC", installation.events_topic())
        .env("GROUP", format!("{}.peer", installation.id()))
        .env("URL", scene.receiver.url("/one"));
    let nobody = ([127, 0, 0, 1], 1).into();
    let log = support::watchdog::folder().join(format!("{}.log", support::unique_name()));
    Process::spawn(command, nobody, log)
}
