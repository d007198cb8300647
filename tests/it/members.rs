//! Processes that come, go, die and return: nothing is lost, and doubled only what was under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use serde_json::json;

use crate::support::account::{self, counts, doubled};
use crate::support::event_flow::numbered;
use crate::support::expositions::Metrics;
use crate::support::go_between::{Fault, GoBetween};
use crate::support::process::Process;
use crate::support::receiver::{Answer, Keep, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        sigterm_drains_and_a_restart_goes_on,
        kill_9_loses_nothing,
        a_static_restart_is_no_rebalance,
        members_join_and_leave,
        a_zombie_sends_nothing,
        of_two_with_one_id_the_later_stays,
}

/// Sessions that end within a test's patience.
const SESSION: (&str, &str) = ("kafka.session_timeout", "6s");
const DRAIN: (&str, &str) = ("shutdown.timeout", "4s");

/// Two subscriptions of the tenant of [`event`].
async fn subscribe_twice(scene: &Scene) -> Outcome {
    scene.subscribe("acme/one", "/one", json!({})).await?;
    scene.subscribe("acme/two", "/two", json!({})).await
}

async fn produce_numbered(scene: &Scene, numbers: std::ops::Range<usize>) -> Outcome {
    scene.produce_all(&numbered(numbers)).await
}

/// Waits until so many deliveries have come at least once.
async fn wait_for_ids(
    scene: &Scene,
    count: usize,
    within: Duration,
) -> anyhow::Result<Vec<Received>> {
    scene.receiver.wait_for_ids(count, within, |_| true).await
}

async fn sigterm_drains_and_a_restart_goes_on(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    let slow = Answer::status(200).after(Duration::from_secs(1));
    scene.receiver.script("/one", [slow, Answer::status(200)]);
    let process = scene.run("a").await?;
    produce_numbered(&scene, 0..1).await?;
    scene.receiver.wait_for_count("/one", 1, SOON).await?;
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    // The answer that was awaited is in the books.
    assert_eq!(scene.installation.read_topic("attempts").await?.len(), 1);

    let _process = scene.run("a").await?;
    produce_numbered(&scene, 1..2).await?;
    wait_for_ids(&scene, 2, SOON).await?;
    assert_eq!(scene.receiver.received().len(), 2);
    Ok(())
}

/// Five kills over 20,000 events to two endpoints. What may come twice by a kill is at most what had
/// reached the receiver without being in the committed attempts.
#[expect(clippy::print_stderr, reason = "a measurement of this run")]
async fn kill_9_loses_nothing(bed: Bed) -> Outcome {
    const EVENTS: usize = 20_000;
    const KILLS: usize = 5;
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    subscribe_twice(&scene).await?;
    produce_numbered(&scene, 0..EVENTS).await?;
    // How often each delivery may come beyond its first time.
    let mut may_double: BTreeMap<String, usize> = BTreeMap::new();
    for kill in 1..=KILLS {
        let process = scene.installation.start("a", BOTH)?;
        let enough = 2 * EVENTS * kill / (KILLS + 1);
        wait_for_ids(&scene, enough, READY * 3).await?;
        process.kill9().await?;
        for id in account::uncommitted(&scene).await? {
            *may_double.entry(id).or_default() += 1;
        }
    }
    let _process = scene.installation.start("a", BOTH)?;
    let received = account::settled(&scene, 2 * EVENTS, READY * 3).await?;
    for (id, count) in counts(&received) {
        let kills = may_double.get(id).copied().unwrap_or(0);
        assert!(
            count <= 1 + kills,
            "{id} came {count} times, {kills} kills had found it open"
        );
    }
    let most: usize = may_double.values().sum();
    eprintln!("{} doubled, at most {most} could be", doubled(&received));
    Ok(())
}

/// A member that comes back under its name within its session keeps its partitions; nobody else is
/// asked to move.
async fn a_static_restart_is_no_rebalance(bed: Bed) -> Outcome {
    const STEP: usize = 500;
    let scene = Scene::keeping(&bed, Keep::Ids, &[DRAIN]).await?;
    subscribe_twice(&scene).await?;
    let restarted = scene.run("a").await?;
    let other = scene.run("b").await?;
    // The join of the second has moved partitions of both roles; from here on nothing moves.
    let owned = |metrics: &Metrics| {
        let of = |role| metrics.sum("hooktide_assigned_partitions", &[("role", role)]);
        (of("router"), of("dispatcher"))
    };
    let half = |metrics: &Metrics| owned(metrics).0 == 1.0 && owned(metrics).1 > 0.0;
    let before = owned(&other.wait_for_metrics(READY, half).await?);
    restarted.wait_for_metrics(READY, half).await?;
    let epochs = assignments(&other)?;
    produce_numbered(&scene, 0..STEP).await?;
    wait_for_ids(&scene, 2 * STEP, READY).await?;

    restarted.kill9().await?;
    produce_numbered(&scene, STEP..2 * STEP).await?;
    let restarted = scene.run("a").await?;
    wait_for_ids(&scene, 4 * STEP, READY).await?;
    restarted.sigterm()?;
    assert_eq!(restarted.wait_exit(SOON).await?.code(), Some(0));
    produce_numbered(&scene, 2 * STEP..3 * STEP).await?;
    let _restarted = scene.run("a").await?;
    wait_for_ids(&scene, 6 * STEP, READY).await?;
    assert_eq!(assignments(&other)?, epochs, "the other was rebalanced");
    assert_eq!(owned(&other.metrics().await?), before);
    Ok(())
}

/// How often a process was given partitions, of either role.
fn assignments(process: &Process) -> anyhow::Result<usize> {
    Ok(process.log_text()?.matches("partitions assigned").count())
}

async fn members_join_and_leave(bed: Bed) -> Outcome {
    const STEP: usize = 2_000;
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    subscribe_twice(&scene).await?;
    let start = async || {
        let process = scene.installation.start_dynamic(BOTH)?;
        process.wait_ready(READY).await.map(|()| process)
    };
    let first = start().await?;
    let _second = start().await?;
    produce_numbered(&scene, 0..STEP).await?;
    wait_for_ids(&scene, STEP, READY).await?;
    first.sigterm()?;
    produce_numbered(&scene, STEP..2 * STEP).await?;
    assert_eq!(first.wait_exit(SOON).await?.code(), Some(0));
    wait_for_ids(&scene, 2 * STEP + STEP / 2, READY).await?;
    let _third = start().await?;
    produce_numbered(&scene, 2 * STEP..3 * STEP).await?;
    let received = wait_for_ids(&scene, 6 * STEP, READY * 2).await?;
    assert_eq!(doubled(&received), 0);
    Ok(())
}

/// Frozen beyond its session, a process finds its partitions gone when it wakes: it must not send
/// what it still holds of them, nor record what it sent before, and it becomes a member again.
async fn a_zombie_sends_nothing(bed: Bed) -> Outcome {
    const EVENTS: usize = 1_000;
    /// Requests to each endpoint that are open while the process is frozen.
    const OPEN: usize = 16;
    let session = ("kafka.session_timeout", "3s");
    let drain = ("shutdown.timeout", "2s");
    let scene = Scene::keeping(&bed, Keep::Ids, &[session, drain]).await?;
    for (key, path) in [("acme/one", "/one"), ("acme/two", "/two")] {
        let members = json!({"max_concurrency": OPEN});
        scene.subscribe(key, path, members).await?;
        scene.receiver.script_with(path, |_, before| {
            // At rest when it is frozen: nothing is on its way from the last check to the socket.
            let open = if before < OPEN { 2 } else { 0 };
            Answer::status(200).after(Duration::from_secs(open))
        });
    }
    let zombie = scene.installation.start_dynamic(BOTH)?;
    zombie.wait_ready(READY).await?;
    produce_numbered(&scene, 0..EVENTS).await?;
    wait_for_ids(&scene, 2 * OPEN, READY).await?;
    zombie.sigstop()?;
    let open: BTreeSet<String> = {
        let received = scene.receiver.received();
        received.iter().map(|one| one.id().to_owned()).collect()
    };
    assert_eq!(open.len(), 2 * OPEN);

    // Its answers wait for it, its partitions go to another.
    let other = scene.installation.start_dynamic(BOTH)?;
    let all = 2 * (EVENTS + OPEN);
    let by_the_other = scene
        .receiver
        .wait_for(READY * 2, |received| received.len() >= all);
    by_the_other.await?;
    zombie.sigcont()?;
    other.sigterm()?;
    assert_eq!(other.wait_exit(SOON).await?.code(), Some(0));
    // Only a member again can deliver these.
    produce_numbered(&scene, EVENTS..EVENTS + 100).await?;
    let received = wait_for_ids(&scene, 2 * (EVENTS + 100), READY).await?;
    assert_eq!(received.len(), all + 200, "the one that woke has sent more");
    for (id, count) in counts(&received) {
        assert_eq!(count, if open.contains(id) { 2 } else { 1 }, "{id}");
    }
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| {
            records.len() >= 2 * (EVENTS + 100)
        })
        .await?;
    assert_eq!(
        attempts.len(),
        2 * (EVENTS + 100),
        "an end was recorded twice"
    );
    Ok(())
}

/// The group's coordinator has not confirmed the first for a while, so that it might have fenced itself. It
/// ends and says why; the second has all work from then on.
async fn of_two_with_one_id_the_later_stays(bed: Bed) -> Outcome {
    /// Of each role: two fifths of a session are over, as each comes a tenth of a second after the last.
    const UNCONFIRMED: usize = 20;
    let session = ("kafka.session_timeout", "3s");
    let drain = ("shutdown.timeout", "2s");
    let json = ("telemetry.log_format", "json");
    let scene = Scene::keeping(&bed, Keep::Ids, &[session, drain, json]).await?;
    subscribe_twice(&scene).await?;
    let between = GoBetween::start(bed.kafka()?.bootstrap_servers()).await?;
    let servers = between.bootstrap_servers();
    let first = scene.installation.start_with(
        BOTH,
        &[("instance_id", "a"), ("kafka.bootstrap_servers", &servers)],
    )?;
    first.wait_ready(READY).await?;
    let refused = Fault::Refused(ResponseError::RebalanceInProgress);
    between.arm(ApiKey::OffsetCommit, [refused; 10_000]);
    for role in ["router", "dispatcher"] {
        let said = || {
            let log = first.log_text()?;
            let unconfirmed = log.lines().filter(|line| {
                line.contains("membership not confirmed") && line.contains(&format!("\"{role}\""))
            });
            anyhow::Ok(unconfirmed.count())
        };
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while said()? < UNCONFIRMED {
            tick.tick().await;
            assert_eq!(first.exit_status(), None);
        }
    }
    let second = scene.run("a").await?;
    let ended = first.wait_exit(READY).await?;
    let log = first.log_text()?;
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("has taken over this instance id"), "{log}");
    produce_numbered(&scene, 0..100).await?;
    wait_for_ids(&scene, 200, SOON).await?;
    assert_eq!(second.exit_status(), None);
    Ok(())
}
