//! A cluster of three that loses one broker under traffic, and gets it back: its coordinators and the
//! controller among them.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::support::account;
use crate::support::broker::cluster::Cluster;
use crate::support::event_flow::EventFlow;
use crate::support::process::Process;
use crate::support::receiver::Keep;
use crate::support::scene::{BOTH, READY, Scene};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka: ;
    cluster:
        the_coordinator_of_the_groups_dies,
        the_coordinator_of_the_transactions_dies,
        the_controller_dies,
}

const DRAIN: (&str, &str) = ("shutdown.timeout", "4s");
/// How long a cluster may take to go on without one of its brokers, and with it again.
const MOVES: Duration = Duration::from_secs(90);
/// Events a second.
const FLOW: usize = 100;
/// Lines that a process may log while a broker dies and returns: clients, tables, groups and
/// transactions all have something to say, but none of them without end.
const LINES: usize = 400;

async fn the_coordinator_of_the_groups_dies(bed: Bed) -> Outcome {
    check(bed, async |cluster, scene| {
        let group = format!("{}.dispatcher", scene.installation.id());
        cluster.group_coordinator(&group).await
    })
    .await
}

async fn the_coordinator_of_the_transactions_dies(bed: Bed) -> Outcome {
    check(bed, async |cluster, scene| {
        let attempts = scene.installation.read_topic("attempts").await?;
        let attempt = attempts.first().context("an attempt")?.json()?;
        let instance = attempt["instance"].as_str().context("an instance")?;
        let id = format!("{}.dispatcher.{instance}", scene.installation.id());
        cluster.transaction_coordinator(&id).await
    })
    .await
}

async fn the_controller_dies(bed: Bed) -> Outcome {
    check(bed, async |cluster, _| cluster.controller(READY).await).await
}

/// Kills a broker under traffic and starts it again: deliveries go on without it and with it, by a static
/// member and by one that is not.
async fn check(
    bed: Bed,
    victim: impl AsyncFnOnce(&Cluster, &Scene) -> anyhow::Result<i32>,
) -> Outcome {
    let (bed, cluster) = bed.with_cluster()?;
    let scene = Scene::keeping(&bed, Keep::Ids, &[DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    scene.subscribe("acme/two", "/two", json!({})).await?;
    let processes = [
        scene.installation.start("a", BOTH)?,
        scene.installation.start_dynamic(BOTH)?,
    ];
    for process in &processes {
        process.wait_ready(READY).await?;
    }
    let events = scene.installation.events_topic();
    let flow = EventFlow::start(scene.installation.kafka(), &events, FLOW);
    gets_on(&scene, &flow, &processes).await?;

    let victim = victim(cluster, &scene).await?;
    let lines = |process: &Process| anyhow::Ok(process.log_text()?.lines().count());
    let said = [lines(&processes[0])?, lines(&processes[1])?];
    cluster.kill9(victim)?;
    cluster.wait_without(victim, MOVES).await?;
    assert_ne!(cluster.controller(MOVES).await?, victim);
    gets_on(&scene, &flow, &processes).await?;
    cluster.restart(victim)?;
    cluster.wait_in_sync(MOVES).await?;
    gets_on(&scene, &flow, &processes).await?;
    let produced = flow.stop().await?;

    account::settled(&scene, 2 * produced, MOVES).await?;
    for (process, before) in processes.iter().zip(said) {
        let said = lines(process)? - before;
        assert!(said < LINES, "{said} lines");
        process.sigterm()?;
    }
    for process in &processes {
        assert_eq!(process.wait_exit(READY).await?.code(), Some(0));
    }
    Ok(())
}

/// Waits until events that come from now on are delivered.
async fn gets_on(scene: &Scene, flow: &EventFlow, processes: &[Process]) -> Outcome {
    let more = 2 * (flow.begun() + FLOW);
    let come = scene.receiver.wait_for_ids(more, MOVES, |_| true).await;
    come.with_context(|| flow.state())?;
    for process in processes {
        assert_eq!(process.exit_status(), None);
    }
    Ok(())
}
