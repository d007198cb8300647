//! Brokers that do not answer: processes wait for them, and end all the same when told to.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::Keep;
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        sigterm_ends_a_process_without_a_broker,
        a_long_outage_is_sat_out,
        static_members_outlive_their_broker,
}

const SESSION: (&str, &str) = ("kafka.session_timeout", "3s");
const DRAIN: (&str, &str) = ("shutdown.timeout", "2s");
/// What a process may take to end beyond `shutdown.timeout`.
const A_LITTLE: Duration = Duration::from_secs(8);

async fn produce(scene: &Scene, count: usize) -> Outcome {
    let numbers = 0..count;
    let records: Vec<_> = numbers
        .map(|number| NewRecord::value(event(&format!("evt_{number}"), json!({})).to_string()))
        .collect();
    scene.produce_all(&records).await
}

/// A process in the middle of its work: transactions are under way all the time.
async fn at_work(bed: &Bed) -> anyhow::Result<(Scene, Process)> {
    let scene = Scene::keeping(bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    let process = scene.installation.start("a", BOTH)?;
    process.wait_ready(READY).await?;
    produce(&scene, 20_000).await?;
    scene.receiver.wait_for_count("/one", 500, SOON).await?;
    Ok((scene, process))
}

async fn sigterm_ends_a_process_without_a_broker(bed: Bed) -> Outcome {
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    let (scene, process) = at_work(&bed).await?;
    broker.signal("STOP")?;
    // At work still, with a transaction that gets no answer.
    process.sigterm()?;
    let asked = Instant::now();
    assert_eq!(process.wait_exit(SOON * 3).await?.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2) + A_LITTLE);

    // While it waits for an assignment.
    broker.signal("CONT")?;
    let process = scene.run("a").await?;
    broker.signal("STOP")?;
    let is_out = |metrics: &crate::support::expositions::Metrics| {
        metrics.sum("hooktide_assigned_partitions", &[]) == 0.0
    };
    process.wait_for_metrics(SOON, is_out).await?;
    process.sigterm()?;
    let asked = Instant::now();
    assert_eq!(process.wait_exit(SOON * 3).await?.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2) + A_LITTLE);
    broker.signal("CONT")
}

/// Longer than sessions, transactions and librdkafka's requests last.
async fn a_long_outage_is_sat_out(bed: Bed) -> Outcome {
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    let (scene, process) = at_work(&bed).await?;
    broker.signal("STOP")?;
    let outage = Duration::from_secs(75);
    assert!(process.wait_exit(outage).await.is_err(), "did not wait");
    assert_eq!(process.status_of("/health").await?, 200);
    broker.signal("CONT")?;
    let ids = |all: &[crate::support::receiver::Received]| {
        let ids: std::collections::BTreeSet<_> = all.iter().map(|one| one.id()).collect();
        ids.len()
    };
    let all = scene
        .receiver
        .wait_for(READY * 3, |all| all.len() >= 20_000 && ids(all) >= 20_000);
    all.await?;
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

/// A static member that was cut off for longer than its session joins again with what it had sent before
/// still on its way: that is no other process with its id.
async fn static_members_outlive_their_broker(bed: Bed) -> Outcome {
    const EVENTS: usize = 1_000;
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    let mut processes = Vec::new();
    for instance in ["a", "b", "c"] {
        processes.push(scene.run(instance).await?);
    }
    produce(&scene, EVENTS).await?;
    broker.kill9()?;
    for process in &processes {
        let lost = "partitions lost: nothing is committed";
        process.wait_for_log(lost, READY).await?;
    }
    let broker = tokio::task::spawn_blocking(move || broker.restart().map(|()| broker));
    let _broker = broker.await??;
    let ids = scene.receiver.wait_for_ids(EVENTS, READY * 3, |_| true);
    ids.await?;
    for process in &processes {
        process.wait_ready(READY).await?;
    }
    Ok(())
}
