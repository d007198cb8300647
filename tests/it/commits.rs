//! What lies beside the committed offsets of the groups: metadata that is not ours, and as many
//! unfinished offsets as a partition may have.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use hooktide::offset_tracker::{CommitMetadata, FinishedSet, MAX_HOLES};
use serde_json::{Value, json};

use crate::support::kafka::{Committed, NewRecord};
use crate::support::receiver::{Answer, Keep, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        foreign_metadata_is_warned_about_and_ignored,
        a_partition_full_of_holes_loses_nothing,
}

/// Of the topics of tasks and of events in the first of these tests; each has its own metadata.
const PARTITIONS: i32 = 6;

/// Texts that a group's commits may hold without being ours to read, with what the log says.
fn foreign() -> anyhow::Result<[(String, &'static str); PARTITIONS as usize]> {
    let of = |base, run: std::ops::Range<i64>| -> anyhow::Result<String> {
        let metadata = CommitMetadata {
            writer: 1,
            sequence: 1,
            started_at: None,
            partitions_at_start: None,
            finished: FinishedSet::from_runs(base, [run])?,
            log: None,
            newer: Vec::new(),
        };
        Ok(metadata.encode())
    };
    let good = of(0, 1..3)?;
    Ok([
        (
            r#"{"app":"other","done":[0,1,2]}"#.into(),
            "not metadata of hooktide",
        ),
        ("hooktide:2:AAAA".into(), "metadata version 2 is unknown"),
        ("hooktide:1:not base64!".into(), "not base64url"),
        // One bit of it has changed.
        (good.replacen('A', "B", 1), "checksum does not match"),
        // Ours, but made for another offset: what it says is finished is something else here.
        (of(3, 4..6)?, "made for offset 3, but 0 is committed"),
        (of(0, 1..1_000_000)?, "is beyond the log's end"),
    ])
}

/// Commits offset 0 with a text of [`foreign`] for each partition of `topic`.
async fn commit_foreign(scene: &Scene, role: &str, topic: &str) -> Outcome {
    let commits = (0..)
        .zip(foreign()?)
        .map(|(partition, (metadata, _))| Committed {
            topic: topic.to_owned(),
            partition,
            offset: Some(0),
            metadata,
        });
    let group = format!("{}.{role}", scene.installation.id());
    let commits = commits.collect();
    scene.installation.kafka().commit(&group, commits).await
}

/// Whether the log has a warning about each partition of `topic`.
fn check_warnings(log: &str, topic: &str) -> Outcome {
    for (partition, (_, said)) in foreign()?.iter().enumerate() {
        let (topic, partition) = (
            format!("topic=\"{topic}\""),
            format!("partition={partition} "),
        );
        let is_it = |line: &&str| {
            line.contains("WARN")
                && [&topic, &partition, *said]
                    .iter()
                    .all(|part| line.contains(*part))
        };
        anyhow::ensure!(
            log.lines().filter(is_it).count() == 1,
            "no warning about {topic} {partition}: {said}\n{log}"
        );
    }
    Ok(())
}

async fn foreign_metadata_is_warned_about_and_ignored(bed: Bed) -> Outcome {
    const PER_PARTITION: usize = 20;
    let count = PARTITIONS.to_string();
    let scene = Scene::keeping(&bed, Keep::Whole, &[("topics.partitions", &count)]).await?;
    let installation = &scene.installation;
    let events = installation.events_topic();
    installation
        .kafka()
        .grow_topic(&events, PARTITIONS as usize)
        .await?;
    // Enough subscriptions that every partition of the tasks has some.
    for number in 0..40 {
        let key = format!("acme/s{number}");
        let members = json!({"events": [format!("kind{number}")]});
        scene.subscribe(&key, "/hook", members).await?;
    }
    let mut records = Vec::new();
    for number in 0..PARTITIONS as usize * PER_PARTITION {
        let kind = format!("kind{}", number % 40);
        let event =
            json!({"id": format!("evt_{number}"), "type": kind, "tenant": "acme", "data": {}});
        records.push(NewRecord {
            partition: Some(i32::try_from(number)? % PARTITIONS),
            ..NewRecord::value(event.to_string())
        });
    }
    let total = records.len();
    scene.produce_all(&records).await?;

    commit_foreign(&scene, "router", &events).await?;
    let router = installation.start_dynamic("router")?;
    let tasks = installation
        .wait_for_topic("deliveries", READY, move |tasks| tasks.len() >= total)
        .await?;
    assert_eq!(tasks.len(), total);
    let with_tasks: BTreeSet<_> = tasks.iter().map(|task| task.partition).collect();
    assert_eq!(
        with_tasks,
        (0..PARTITIONS).collect(),
        "every partition is put to the test"
    );
    router.sigterm()?;
    assert_eq!(router.wait_exit(SOON).await?.code(), Some(0));
    check_warnings(&router.log_text()?, &events)?;

    let deliveries = installation.topic("deliveries");
    commit_foreign(&scene, "dispatcher", &deliveries).await?;
    let dispatcher = installation.start_dynamic("dispatcher")?;
    let received = scene.receiver.wait_for_count("/hook", total, READY).await?;
    let ids: BTreeSet<_> = received.iter().map(Received::id).collect();
    assert_eq!((received.len(), ids.len()), (total, total));
    check_warnings(&dispatcher.log_text()?, &deliveries)?;

    // From now on it is ours to read.
    dispatcher.sigterm()?;
    assert_eq!(dispatcher.wait_exit(SOON).await?.code(), Some(0));
    for commit in installation.committed("dispatcher", &[&deliveries]).await? {
        let offset = commit.offset.context("a committed offset")?;
        CommitMetadata::decode(&commit.metadata, offset, None)?;
    }
    Ok(())
}

/// The holes that the dispatcher's commit leaves on a partition; none when nothing is committed.
async fn holes(scene: &Scene, topic: &str) -> anyhow::Result<Option<(i64, usize)>> {
    let topic = scene.installation.topic(topic);
    let commits = scene
        .installation
        .committed("dispatcher", &[&topic])
        .await?;
    let commit = commits.first().context("one partition")?;
    let Some(offset) = commit.offset else {
        return Ok(None);
    };
    let found = CommitMetadata::decode(&commit.metadata, offset, None)?;
    Ok(Some((offset, found.finished.runs().len())))
}

/// Every second task of one partition is for an endpoint that hangs. Intake stops when the window
/// is full of its tasks, they make room by moving to a tier, and a kill -9 in between skips nothing.
async fn a_partition_full_of_holes_loses_nothing(bed: Bed) -> Outcome {
    const EACH: usize = 10_000;
    let settings = [
        ("topics.partitions", "1"),
        ("retry.tiers", r#"["1s","3s"]"#),
        ("kafka.session_timeout", "6s"),
        ("shutdown.timeout", "4s"),
    ];
    let scene = Scene::keeping(&bed, Keep::Ids, &settings).await?;
    let members = |kind: &str, more: Value| {
        let mut members = json!({"events": [kind], "timeout": "5s"});
        for (name, value) in more.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        members
    };
    // Those that hang until they time out come again without end.
    let retry = json!({"max_retries": 50, "initial": "1s", "multiplier": 1, "max": "1s"});
    let slow = json!({"max_concurrency": 4, "retry": retry});
    scene
        .subscribe("acme/slow", "/slow", members("slow", slow))
        .await?;
    scene
        .subscribe("acme/quick", "/quick", members("quick", json!({})))
        .await?;
    scene.receiver.script("/slow", [Answer::hang()]);
    let records: Vec<_> = (0..2 * EACH)
        .map(|number| {
            let mut event = event(&format!("evt_{number}"), json!({}));
            event["type"] = json!(if number % 2 == 0 { "slow" } else { "quick" });
            NewRecord {
                partition: Some(0),
                ..NewRecord::value(event.to_string())
            }
        })
        .collect();
    scene.produce_all(&records).await?;

    let process = scene.installation.start("a", BOTH)?;
    process.wait_ready(READY).await?;
    // The window is full of the slow one's tasks: what comes behind them waits until they move.
    let full = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            if let Some((_, runs)) = holes(&scene, "deliveries").await?
                && runs >= MAX_HOLES / 2
            {
                return anyhow::Ok(runs);
            }
        }
    };
    let runs = tokio::time::timeout(READY, full)
        .await
        .context("few holes")??;
    assert!(runs <= MAX_HOLES, "{runs} holes");
    process
        .wait_for_metrics(READY, |metrics| {
            metrics.sum("hooktide_parked_total", &[("reason", "crowded")]) >= 1_000.0
        })
        .await?;
    // Intake goes on.
    scene
        .receiver
        .wait_for_count("/quick", EACH / 2, READY * 2)
        .await?;
    process.kill9().await?;
    let before = scene.receiver.received_at("/quick").len();
    assert!(before < EACH, "killed in the middle");

    let _process = scene.run("a").await?;
    wait_for_all(&scene, "/quick", EACH).await?;
    scene.receiver.script("/slow", [Answer::status(200)]);
    wait_for_all(&scene, "/slow", EACH).await
}

async fn wait_for_all(scene: &Scene, path: &str, count: usize) -> Outcome {
    let here = |request: &Received| request.path == path;
    let waited = scene.receiver.wait_for_ids(count, READY * 2, here);
    waited.await.map(drop)
}
