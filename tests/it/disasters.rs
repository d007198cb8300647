//! Offsets that are lost, and topics that are restored from a copy: what happens then is defined, and said.

use anyhow::Context;
use hooktide::offset_tracker::{CommitMetadata, FinishedSet};
use serde_json::json;

use crate::support::kafka::{Committed, NewRecord};
use crate::support::process::Process;
use crate::support::receiver::Received;
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        lost_offsets_are_said_and_nothing_is_skipped,
        a_process_can_stop_where_offsets_are_lost,
        a_trial_is_no_sign_of_lost_offsets,
        metadata_of_another_cluster_skips_nothing,
        restored_topics_are_done_from_their_start,
}

const LATEST: (&str, &str) = ("events.start", "latest");
const ONE_PARTITION: (&str, &str) = ("topics.partitions", "1");
const LOST: &str = "the group has lost its offsets";

fn events(numbers: std::ops::Range<usize>) -> Vec<NewRecord> {
    numbers
        .map(|number| NewRecord::value(event(&format!("evt_{number}"), json!({})).to_string()))
        .collect()
}

async fn start(scene: &Scene, roles: &str) -> anyhow::Result<Process> {
    let process = scene.installation.start_dynamic(roles)?;
    process.wait_ready(READY).await?;
    Ok(process)
}

async fn end_of(process: &Process) -> Outcome {
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

/// Both groups have delivered five events and ended; then their offsets go, and two more events come.
async fn lose_offsets(scene: &Scene) -> anyhow::Result<Vec<Committed>> {
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = start(scene, BOTH).await?;
    scene.produce_all(&events(0..5)).await?;
    scene
        .installation
        .wait_for_topic("attempts", SOON, |attempts| attempts.len() == 5)
        .await?;
    end_of(&process).await?;
    let topics = [
        scene.installation.events_topic(),
        scene.installation.topic("deliveries"),
    ];
    let mut committed = Vec::new();
    for (role, topic) in ["router", "dispatcher"].into_iter().zip(&topics) {
        committed.extend(scene.installation.committed(role, &[topic]).await?);
        let group = format!("{}.{role}", scene.installation.id());
        scene
            .installation
            .kafka()
            .delete_group(&group, READY)
            .await?;
    }
    scene.produce_all(&events(5..7)).await?;
    Ok(committed)
}

/// How often each event's delivery was asked for.
fn requests(scene: &Scene) -> Vec<usize> {
    let received = scene.receiver.received();
    let of_event = |number: usize| {
        let id = format!(r#""id":"evt_{number}""#);
        let is_it = |one: &&Received| String::from_utf8_lossy(&one.body).contains(&id);
        received.iter().filter(is_it).count()
    };
    (0..7).map(of_event).collect()
}

async fn lost_offsets_are_said_and_nothing_is_skipped(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[LATEST, ONE_PARTITION]).await?;
    lose_offsets(&scene).await?;
    let process = start(&scene, BOTH).await?;
    // The tasks that are retained, and all events once more.
    scene
        .receiver
        .wait_for_count("/hook", 5 + 5 + 7, READY)
        .await?;
    assert_eq!(requests(&scene), [3, 3, 3, 3, 3, 1, 1]);
    let metrics = process.metrics().await?;
    let log = process.log_text()?;
    for (role, topic) in [
        ("router", scene.installation.events_topic()),
        ("dispatcher", scene.installation.topic("deliveries")),
    ] {
        let lost = metrics.sum("hooktide_offsets_lost_total", &[("role", role)]);
        assert_eq!(lost, 1.0, "{role}");
        let parts = [
            "ERROR",
            LOST,
            &format!("role=\"{role}\""),
            &format!("topic=\"{topic}\""),
            "offsets=",
        ];
        let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(log.lines().any(is_it), "{parts:?}\n{log}");
    }
    assert!(log.contains("offsets=7"), "{log}");

    // Once: from now on the groups have offsets.
    scene
        .installation
        .wait_for_topic("attempts", SOON, |attempts| attempts.len() == 17)
        .await?;
    end_of(&process).await?;
    let process = start(&scene, BOTH).await?;
    scene.produce_all(&events(7..8)).await?;
    scene.receiver.wait_for_count("/hook", 18, SOON).await?;
    assert!(!process.log_text()?.contains(LOST));
    Ok(())
}

async fn a_process_can_stop_where_offsets_are_lost(bed: Bed) -> Outcome {
    let stop = ("kafka.lost_offsets", "stop");
    let scene = Scene::set(&bed, &[LATEST, ONE_PARTITION, stop]).await?;
    let committed = lose_offsets(&scene).await?;
    for (role, count) in [("router", "7 offsets"), ("dispatcher", "deliveries: ")] {
        let process = scene.installation.start_dynamic(role)?;
        assert_eq!(process.wait_exit(READY).await?.code(), Some(1));
        let log = process.log_text()?;
        let said =
            |line: &str| line.contains("has lost its committed offsets") && line.contains(count);
        assert!(log.lines().any(said), "{log}");
    }
    assert_eq!(requests(&scene), [1, 1, 1, 1, 1, 0, 0]);

    // Somebody says where they go on.
    let events_topic = scene.installation.events_topic();
    let (of_router, of_dispatcher): (Vec<_>, Vec<_>) = committed
        .into_iter()
        .filter(|commit| commit.offset.is_some())
        .map(|commit| Committed {
            metadata: String::new(),
            ..commit
        })
        .partition(|commit| commit.topic == events_topic);
    let kafka = scene.installation.kafka();
    for (role, commits) in [("router", of_router), ("dispatcher", of_dispatcher)] {
        assert!(!commits.is_empty(), "{role}");
        let group = format!("{}.{role}", scene.installation.id());
        kafka.commit(&group, commits).await?;
    }
    let process = start(&scene, BOTH).await?;
    scene.receiver.wait_for_count("/hook", 7, SOON).await?;
    assert_eq!(requests(&scene), [1; 7]);
    assert_eq!(process.exit_status(), None);
    Ok(())
}

/// `subscriptions test` may have written a task before any process ran.
async fn a_trial_is_no_sign_of_lost_offsets(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[LATEST, ONE_PARTITION]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let trial = NewRecord {
        headers: vec![("hooktide-test".into(), b"1".to_vec())],
        ..NewRecord::keyed("acme/one", "{}")
    };
    let deliveries = scene.installation.topic("deliveries");
    scene
        .installation
        .kafka()
        .produce(&deliveries, &trial)
        .await?;
    scene.produce_all(&events(0..3)).await?;
    let process = start(&scene, "router").await?;
    scene.produce_all(&events(3..4)).await?;
    let is_task = |task: &&Record| task.header("hooktide-test").is_none();
    let tasks = scene
        .installation
        .wait_for_topic("deliveries", SOON, move |tasks| {
            tasks.iter().any(|task| is_task(&task))
        })
        .await?;
    let ids: Vec<_> = tasks
        .iter()
        .filter(is_task)
        .map(|task| task.header("hooktide-event-id"))
        .collect();
    assert_eq!(ids, [Some("evt_3")]);
    assert!(!process.log_text()?.contains(LOST));
    Ok(())
}

/// What copies a group to another cluster translates its offsets and leaves the text beside them as it is.
/// Where an offset happens to be the same, the text still speaks of other records.
async fn metadata_of_another_cluster_skips_nothing(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[ONE_PARTITION]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let router = start(&scene, "router").await?;
    scene.produce_all(&events(0..5)).await?;
    scene
        .installation
        .wait_for_topic("deliveries", SOON, |tasks| tasks.len() == 5)
        .await?;
    end_of(&router).await?;
    let elsewhere = CommitMetadata {
        writer: 1,
        sequence: 1,
        started_at: None,
        partitions_at_start: None,
        finished: FinishedSet::from_runs(0, std::iter::once(1..4))?,
        log: Some(1),
        newer: Vec::new(),
    };
    let commit = Committed {
        topic: scene.installation.topic("deliveries"),
        partition: 0,
        offset: Some(0),
        metadata: elsewhere.encode(),
    };
    let group = format!("{}.dispatcher", scene.installation.id());
    scene
        .installation
        .kafka()
        .commit(&group, vec![commit])
        .await?;
    let process = start(&scene, "dispatcher").await?;
    scene.receiver.wait_for_count("/hook", 5, SOON).await?;
    assert_eq!(requests(&scene)[..5], [1; 5]);
    process
        .wait_for_log("made for a log of another cluster", SOON)
        .await?;
    // What it commits itself says where it is from.
    end_of(&process).await?;
    let deliveries = scene.installation.topic("deliveries");
    let committed = scene
        .installation
        .committed("dispatcher", &[&deliveries])
        .await?;
    let offset = committed[0].offset.context("committed")?;
    let own = CommitMetadata::decode(&committed[0].metadata, offset, None)?;
    assert!(own.log.is_some_and(|log| log != 1), "{own:?}");
    Ok(())
}

/// Tasks and subscriptions come back with other offsets than they had: committed positions are beyond the
/// end, and tasks are newer than the table.
async fn restored_topics_are_done_from_their_start(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[ONE_PARTITION]).await?;
    for path in ["/old", "/older", "/hook"] {
        scene.subscribe("acme/one", path, json!({})).await?;
    }
    scene.subscribe("acme/gone", "/gone", json!({})).await?;
    let router = start(&scene, "router").await?;
    let dispatcher = start(&scene, "dispatcher").await?;
    scene.produce_all(&events(0..10)).await?;
    scene
        .installation
        .wait_for_topic("attempts", SOON, |attempts| attempts.len() == 20)
        .await?;
    end_of(&dispatcher).await?;
    scene.produce_all(&events(10..13)).await?;
    let tasks = scene
        .installation
        .wait_for_topic("deliveries", SOON, |tasks| tasks.len() == 26)
        .await?;
    end_of(&router).await?;

    // A copy that has only what was not done, and the newest record of one subscription.
    let kafka = scene.installation.kafka();
    let deliveries = scene.installation.topic("deliveries");
    let subscriptions = scene.installation.topic("subscriptions");
    for topic in [&deliveries, &subscriptions] {
        kafka.delete_topic(topic).await?;
    }
    let of_tasks = [
        ("message.timestamp.type", "LogAppendTime"),
        ("cleanup.policy", "delete"),
        ("retention.ms", "2000000000"),
    ];
    kafka.create_topic(&deliveries, 1, &of_tasks).await?;
    let compact = [("cleanup.policy", "compact")];
    kafka.create_topic(&subscriptions, 1, &compact).await?;
    let copied: Vec<_> = tasks[20..]
        .iter()
        .map(|task| NewRecord {
            key: task.key.clone(),
            value: task.value.clone(),
            headers: task.headers.clone(),
            partition: None,
        })
        .collect();
    kafka.produce_all(&deliveries, &copied).await?;
    // Brokers drop the offsets of a topic that is deleted; a copy of all offsets brings them back.
    let group = format!("{}.dispatcher", scene.installation.id());
    let not_translated = Committed {
        topic: deliveries.clone(),
        partition: 0,
        offset: Some(1_000),
        metadata: String::new(),
    };
    kafka.commit(&group, vec![not_translated]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;

    let dispatcher = start(&scene, "dispatcher").await?;
    scene.receiver.wait_for_count("/hook", 13, SOON).await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |dead| dead.len() == 3)
        .await?;
    for one in &dead {
        assert_eq!(one.key.as_deref(), Some("acme/gone"));
        assert_eq!(one.header("hooktide-reason"), Some("undeliverable"));
    }
    let all = scene.receiver.received().len();
    assert_eq!(all, 10 + 13, "nothing else is done again");
    let metrics = dispatcher.metrics().await?;
    let of_deliveries = [("topic", deliveries.as_str())];
    assert_eq!(
        metrics.sum("hooktide_offset_out_of_range_total", &of_deliveries),
        1.0
    );
    assert_eq!(
        metrics.sum("hooktide_retention_lost_offsets_total", &[]),
        0.0
    );
    let said = "the position is not on the log (the topic was made anew, or restored)";
    assert!(dispatcher.log_text()?.contains(said));
    Ok(())
}
