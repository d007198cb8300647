//! Long halts: tiers that are held while brokers come and go, and retention that passes over what was
//! not delivered.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::support::expositions::Metrics;
use crate::support::kafka::NewRecord;
use crate::support::receiver::{Answer, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        held_tiers_cost_nothing_and_are_on_time,
        retention_over_tasks_while_down_is_counted,
        retention_over_a_held_tier_is_counted,
}

/// What a topic of tasks must have, with segments so short that its log is made of many.
const SHORT_SEGMENTS: [(&str, &str); 5] = [
    ("message.timestamp.type", "LogAppendTime"),
    ("cleanup.policy", "delete"),
    ("segment.ms", "500"),
    ("segment.bytes", "1048576"),
    ("retention.ms", "2000000000"),
];

fn events(numbers: std::ops::Range<usize>, bytes: usize) -> Vec<NewRecord> {
    let data = json!({"pad": "x".repeat(bytes)});
    numbers
        .map(|number| NewRecord::value(event(&format!("evt_{number}"), data.clone()).to_string()))
        .collect()
}

/// The requests for each delivery, in their order.
fn by_id(received: &[Received]) -> BTreeMap<&str, Vec<&Received>> {
    let mut by_id: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for request in received {
        by_id.entry(request.id()).or_default().push(request);
    }
    by_id
}

/// A day's wait in small: more than memory would hold of it lies on a tier, its log is of many segments,
/// and its leader goes and comes back meanwhile.
async fn held_tiers_cost_nothing_and_are_on_time(bed: Bed) -> Outcome {
    const TASKS: usize = 300;
    const WAIT: Duration = Duration::from_secs(15);
    const QUIET: Duration = Duration::from_secs(3);
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    let settings = [
        ("topics.partitions", "2"),
        ("retry.tiers", r#"["15s"]"#),
        ("kafka.session_timeout", "6s"),
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let tier = scene.installation.topic("retry.15s");
    let kafka = scene.installation.kafka();
    kafka.set_topic(&tier, &SHORT_SEGMENTS).await?;
    refuse_each_once(&scene);
    let members = json!({"retry": {"schedule": ["15s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let process = scene.run("a").await?;
    scene.produce_all(&events(0..TASKS, 30_000)).await?;
    scene
        .installation
        .wait_for_topic("retry.15s", READY, |tasks| tasks.len() == TASKS)
        .await?;

    let cpu = |metrics: &Metrics| metrics.sum("process_cpu_seconds_total", &[]);
    let memory = |metrics: &Metrics| metrics.sum("process_resident_memory_bytes", &[]);
    let first = process.metrics().await?;
    assert!(process.wait_exit(QUIET).await.is_err(), "does not wait");
    let second = process.metrics().await?;
    // On a machine so slow that the first were due by now there was no quiet.
    if scene.receiver.received().len() == TASKS {
        let (spent, grown) = (cpu(&second) - cpu(&first), memory(&second) - memory(&first));
        assert!(spent < QUIET.as_secs_f64() / 2.0, "{spent} s of CPU");
        assert!(grown < f64::from(8 << 20), "{grown} bytes more");
        assert_eq!(second.sum("hooktide_waiting_tasks", &[]), 0.0);
    }

    let restarted = tokio::task::spawn_blocking(move || {
        broker.kill9()?;
        broker.restart().map(|()| broker)
    });
    let _broker = restarted.await??;
    let received = scene
        .receiver
        .wait_for(READY * 3, |requests| {
            let by_id = by_id(requests);
            by_id.len() == TASKS && by_id.values().all(|requests| requests.len() >= 2)
        })
        .await
        .context("a first request and a retry of each")?;
    let by_id = by_id(&received);
    assert_eq!(by_id.len(), TASKS);
    let mut doubled = 0;
    for (id, requests) in by_id {
        doubled += requests.len() - 2;
        let answered = requests[0].answered.context("the first was answered")?;
        let waited = requests[1].arrived.saturating_duration_since(answered);
        assert!(waited >= WAIT, "{id} is early: {waited:?}");
    }
    // Where the broker went while some were out.
    assert!(doubled <= MAX_AT_ONCE, "{doubled} doubled");
    assert_eq!(process.status_of("/health").await?, 200);
    Ok(())
}

/// What a subscription has at once unless it says otherwise.
const MAX_AT_ONCE: usize = 64;

/// Answers the first request for each delivery with 500, further ones with 200.
fn refuse_each_once(scene: &Scene) {
    let refused = Mutex::new(HashSet::<String>::new());
    scene.receiver.script_with("/hook", move |request, _| {
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = refused.insert(request.id().to_owned());
        Answer::status(if is_first { 500 } else { 200 })
    });
}

/// Has retention remove everything that a topic of one partition holds; where its log starts then.
async fn let_retention_pass(scene: &Scene, topic: &str) -> anyhow::Result<i64> {
    let topic = scene.installation.topic(topic);
    let kafka = scene.installation.kafka();
    let passing = [&SHORT_SEGMENTS[..4], &[("retention.ms", "1")]].concat();
    kafka.set_topic(&topic, &passing).await?;
    let passed = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let (start, end) = kafka.log_range(&topic, 0).await?;
            if start > 0 && start == end {
                return anyhow::Ok(start);
            }
        }
    };
    let start = tokio::time::timeout(READY, passed)
        .await
        .context("retention does not pass")??;
    kafka.set_topic(&topic, &SHORT_SEGMENTS).await?;
    Ok(start)
}

/// How many offsets the process says that retention has passed over, on a topic.
fn lost(metrics: &Metrics, topic: &str) -> f64 {
    metrics.sum("hooktide_retention_lost_offsets_total", &[("topic", topic)])
}

/// Checks that the log has the loss of a range of a topic's partition 0.
fn check_loss_is_said(log: &str, topic: &str, from: i64, to: i64) {
    let parts = [
        "ERROR".to_owned(),
        "retention has passed over records that were not done".to_owned(),
        format!("topic=\"{topic}\""),
        "partition=0".to_owned(),
        format!("from={from} "),
        format!("to={to} "),
    ];
    let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(log.lines().any(is_it), "{parts:?}\n{log}");
}

async fn retention_over_tasks_while_down_is_counted(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("topics.partitions", "1")]).await?;
    let deliveries = scene.installation.topic("deliveries");
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let router = scene.installation.start("r", "router")?;
    router.wait_ready(READY).await?;
    let dispatcher = scene.installation.start("d", "dispatcher")?;
    dispatcher.wait_ready(READY).await?;
    scene.produce_all(&events(0..3, 10)).await?;
    scene.receiver.wait_for_count("/hook", 3, SOON).await?;
    dispatcher.sigterm()?;
    assert_eq!(dispatcher.wait_exit(SOON).await?.code(), Some(0));
    let committed = scene
        .installation
        .committed("dispatcher", &[&deliveries])
        .await?[0]
        .offset
        .context("a committed offset")?;

    let all =
        |count: usize| move |tasks: &[crate::support::topic_reader::Record]| tasks.len() == count;
    scene.produce_all(&events(3..8, 10)).await?;
    scene
        .installation
        .wait_for_topic("deliveries", SOON, all(8))
        .await?;
    let start = let_retention_pass(&scene, "deliveries").await?;
    assert!(start >= committed + 5, "{start} {committed}");
    scene.produce_all(&events(8..10, 10)).await?;
    scene
        .installation
        .wait_for_topic("deliveries", SOON, all(2))
        .await?;

    let dispatcher = scene.installation.start("d", "dispatcher")?;
    scene.receiver.wait_for_count("/hook", 5, READY).await?;
    let metrics = dispatcher
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_deliveries_total", &[("outcome", "delivered")]) == 2.0
        })
        .await?;
    assert_eq!(lost(&metrics, &deliveries), (start - committed) as f64);
    check_loss_is_said(&dispatcher.log_text()?, &deliveries, committed, start);
    // It is said once: what is committed now is on the log.
    dispatcher.sigterm()?;
    assert_eq!(dispatcher.wait_exit(SOON).await?.code(), Some(0));
    let dispatcher = scene.installation.start("d", "dispatcher")?;
    dispatcher.wait_ready(READY).await?;
    assert_eq!(lost(&dispatcher.metrics().await?, &deliveries), 0.0);
    assert_eq!(scene.receiver.received().len(), 5);
    Ok(())
}

/// What has been fetched already is delivered all the same.
async fn retention_over_a_held_tier_is_counted(bed: Bed) -> Outcome {
    const TASKS: usize = 100;
    // Longer than retention takes to pass on a busy machine.
    let settings = [
        ("topics.partitions", "1"),
        ("retry.tiers", r#"["40s"]"#),
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let tier = scene.installation.topic("retry.40s");
    refuse_each_once(&scene);
    let members = json!({"retry": {"schedule": ["40s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let process = scene.installation.start("a", BOTH)?;
    process.wait_ready(READY).await?;
    scene.produce_all(&events(0..TASKS, 30_000)).await?;
    scene
        .installation
        .wait_for_topic("retry.40s", READY, |tasks| tasks.len() == TASKS)
        .await?;
    let start = let_retention_pass(&scene, "retry.40s").await?;
    let metrics = process
        .wait_for_metrics(READY * 2, |metrics| lost(metrics, &tier) > 0.0)
        .await?;
    let lost = lost(&metrics, &tier);
    let from = start - lost as i64;
    check_loss_is_said(&process.log_text()?, &tier, from, start);

    // Everything that is not said to be lost is delivered, and work goes on.
    scene.receiver.script("/hook", [Answer::status(200)]);
    scene.produce_all(&events(TASKS..TASKS + 1, 10)).await?;
    let delivered = [("outcome", "delivered")];
    let metrics = process
        .wait_for_metrics(READY * 2, |metrics| {
            let delivered = metrics.sum("hooktide_deliveries_total", &delivered);
            delivered + lost >= (TASKS + 1) as f64
        })
        .await?;
    let delivered = metrics.sum("hooktide_deliveries_total", &delivered);
    assert!(delivered > 1.0 && lost < TASKS as f64, "{delivered} {lost}");
    let received = scene.receiver.received();
    assert!(
        by_id(&received)
            .values()
            .all(|requests| requests.len() <= 2)
    );
    assert_eq!(process.status_of("/health").await?, 200);
    Ok(())
}
