//! What does not move is seen: partitions that stand still, and transactions that do not end.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::support::expositions::Metrics;
use crate::support::free_port::free_port;
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::{Answer, Receiver};
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_transaction_that_does_not_end_is_seen,
        a_partition_that_does_not_move_is_seen,
        tasks_that_are_due_and_do_not_move_are_seen,
}

const STUCK_AFTER: (&str, &str) = ("telemetry.stuck_after", "1s");

/// A transaction on a partition that stays open for longer than any test, with one record in it.
async fn hang_a_transaction(
    scene: &Scene,
    topic: &str,
    record: NewRecord,
) -> anyhow::Result<BaseProducer> {
    let mut config = scene.installation.kafka().client_config();
    let id = format!("{topic}-hanging");
    config
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "600000");
    let topic = topic.to_owned();
    let hung = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(SOON)?;
        producer.begin_transaction()?;
        let value = record.value.unwrap_or_default();
        let mut sent = BaseRecord::<str, [u8]>::to(&topic).payload(&value);
        sent.partition = record.partition;
        sent.key = record.key.as_deref();
        producer.send(sent).map_err(|(error, _)| error)?;
        producer.flush(SOON)?;
        anyhow::Ok(producer)
    });
    hung.await?
}

async fn end(producer: BaseProducer) -> Outcome {
    let ended = tokio::task::spawn_blocking(move || producer.abort_transaction(SOON));
    Ok(ended.await??)
}

/// The lines of a process's log with all of these in them.
fn lines(process: &Process, parts: &[&str]) -> anyhow::Result<usize> {
    let log = process.log_text()?;
    let is_it = |line: &&str| parts.iter().all(|part| line.contains(part));
    Ok(log.lines().filter(is_it).count())
}

/// Of events, and of a table that everything waits for.
async fn a_transaction_that_does_not_end_is_seen(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[STUCK_AFTER]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let events = scene.installation.events_topic();
    let subscriptions = scene.installation.topic("subscriptions");
    let held = |metrics: &Metrics, topic: &str| {
        metrics.sum("hooktide_held_back_partitions", &[("topic", topic)])
    };

    let in_partition_0 = |id: &str| NewRecord {
        partition: Some(0),
        ..NewRecord::value(event(id, json!({})).to_string())
    };
    let of_events = hang_a_transaction(&scene, &events, in_partition_0("never")).await?;
    let never = NewRecord::keyed("acme/never", "{}");
    let of_table = hang_a_transaction(&scene, &subscriptions, never).await?;
    // Behind the open transaction, where no reader sees it; and beside it.
    let behind = [in_partition_0("evt_0"), in_partition_0("evt_1")];
    scene.produce_all(&behind).await?;
    let beside = NewRecord {
        partition: Some(1),
        ..in_partition_0("evt_2")
    };
    scene.produce_all(&[beside]).await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;

    let metrics = process
        .wait_for_metrics(SOON, |metrics| {
            held(metrics, &events) == 1.0 && held(metrics, &subscriptions) == 1.0
        })
        .await?;
    let labels = [("topic", events.as_str())];
    assert!(metrics.sum("hooktide_held_back_seconds", &labels) >= 1.0);
    // The partition itself has nothing that it could take.
    assert_eq!(metrics.sum("hooktide_stuck_partitions", &[]), 0.0);
    let said = "a transaction that does not end holds the readers of a partition back";
    for (topic, behind) in [(&events, "behind=3"), (&subscriptions, "behind=1")] {
        let topic = format!("topic=\"{topic}\"");
        let parts = ["ERROR", said, &topic, "partition=0", behind];
        assert!(lines(&process, &parts)? >= 1, "{parts:?}");
    }
    assert_eq!(scene.receiver.received().len(), 1);

    end(of_events).await?;
    end(of_table).await?;
    scene.receiver.wait_for_count("/hook", 3, SOON).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_held_back_partitions", &[]) == 0.0
        })
        .await?;
    process
        .wait_for_log("held a partition's readers back has ended", SOON)
        .await
}

/// Events of one partition name a schema, and no registry answers. A task that waits for its time on a
/// tier meanwhile is not stuck.
async fn a_partition_that_does_not_move_is_seen(bed: Bed) -> Outcome {
    let nowhere = json!([format!("http://127.0.0.1:{}", free_port()?)]).to_string();
    let settings = [
        STUCK_AFTER,
        ("retry.tiers", r#"["1h"]"#),
        ("http.max_timeout", "1s"),
        ("http.timeout", "1s"),
        ("http.connect_timeout", "1s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.receiver.script("/hook", [Answer::status(500)]);
    // Onto the tier; and one that rests in memory, as no tier is short enough.
    for (key, wait) in [("acme/one", "1h"), ("acme/two", "30m")] {
        let members = json!({"retry": {"schedule": [wait]}});
        scene.subscribe(key, "/hook", members).await?;
    }
    // Of the process alone: a command would want to be answered.
    let registry = [("schema_registry.urls", nowhere.as_str())];
    let process = scene.installation.start_with(BOTH, &registry)?;
    process.wait_ready(READY).await?;
    let plain = NewRecord {
        partition: Some(1),
        ..NewRecord::value(event("evt_1", json!({})).to_string())
    };
    scene.produce_all(&[plain]).await?;
    scene
        .installation
        .wait_for_topic("retry.1h", SOON, |tasks| tasks.len() == 1)
        .await?;
    let framed = NewRecord {
        partition: Some(0),
        ..NewRecord::value(b"\x00\x00\x00\x00\x01\x02")
    };
    scene.produce_all(&[framed]).await?;

    let events = scene.installation.events_topic();
    let of_events = [("role", "router"), ("topic", events.as_str())];
    let metrics = process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_standstill_seconds", &of_events) >= 4.0
        })
        .await?;
    assert_eq!(metrics.sum("hooktide_stuck_partitions", &of_events), 1.0);
    assert_eq!(
        metrics.sum("hooktide_stuck_partitions", &[]),
        1.0,
        "{metrics:#?}"
    );
    let topic = format!("topic=\"{events}\"");
    let said = "a partition does not move though it has work that is due";
    let parts = [
        "ERROR",
        said,
        "role=router",
        &topic,
        "partition=0",
        "offset=0",
    ];
    assert!(lines(&process, &parts)? >= 1);
    assert_eq!(lines(&process, &[said, "role=dispatcher"])?, 0);
    assert_eq!(lines(&process, &[said, "partition=1"])?, 0);
    Ok(())
}

/// No endpoint of any host answers, so that only probes go out: the rest waits, and it is due.
async fn tasks_that_are_due_and_do_not_move_are_seen(bed: Bed) -> Outcome {
    const EACH: usize = 20;
    let settings = [
        STUCK_AFTER,
        ("events.start", "earliest"),
        ("topics.partitions", "1"),
        ("http.max_timeout", "1s"),
        ("http.timeout", "1s"),
        ("http.connect_timeout", "1s"),
        // The breakers stay out of it.
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let others = [Receiver::start().await?, Receiver::start().await?];
    let hosts: Vec<&Receiver> = [&scene.receiver].into_iter().chain(&others).collect();
    for (number, host) in hosts.iter().enumerate() {
        host.script("/hook", [Answer::reset()]);
        let members = json!({"url": host.url("/hook"), "retry": {"schedule": vec!["1s"; 20]}});
        let key = format!("acme/{number}");
        scene.subscribe(&key, "/hook", members).await?;
    }
    let records: Vec<_> = (0..EACH)
        .map(|number| NewRecord::value(event(&format!("evt_{number}"), json!({})).to_string()))
        .collect();
    // Before it starts: routed at once, all are sent before it is known that nobody answers.
    scene.produce_all(&records).await?;
    let process = scene.run("a").await?;
    let stuck =
        |metrics: &Metrics| metrics.sum("hooktide_stuck_partitions", &[("role", "dispatcher")]);
    process
        .wait_for_metrics(SOON, |metrics| stuck(metrics) >= 1.0)
        .await?;
    process
        .wait_for_log(
            "a partition does not move though it has work that is due",
            SOON,
        )
        .await?;
    for host in &hosts {
        host.script("/hook", [Answer::status(200)]);
    }
    let delivered = (hosts.len() * EACH) as f64;
    process
        .wait_for_metrics(SOON + Duration::from_secs(10), |metrics| {
            let labels = [("outcome", "delivered")];
            metrics.sum("hooktide_deliveries_total", &labels) == delivered && stuck(metrics) == 0.0
        })
        .await?;
    process.wait_for_log("a partition moves again", SOON).await
}
