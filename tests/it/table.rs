//! What a change of a subscription means for the deliveries that are under way.

use std::time::Duration;

use serde_json::json;

use crate::support::expositions::Metrics;
use crate::support::kafka::NewRecord;
use crate::support::receiver::Answer;
use crate::support::scene::{SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_changed_url_applies_to_pending_retries,
        a_partly_read_table_decides_nothing,
        a_deletion_cancels_pending_retries,
        disabling_sends_pending_retries_to_the_dlq,
        paused_tasks_wait_and_go_later,
        an_invalid_record_stops_its_subscription_alone,
        a_topic_made_anew_is_not_waited_for_without_end,
}

/// Long enough to change a subscription before its retry is due.
const SCHEDULE: &str = r#"{"retry": {"schedule": ["3s", "3s"]}}"#;
const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s"]"#);

/// A scene in which the first request to `/old` has failed and its retry is on Kafka.
async fn with_a_pending_retry(
    bed: &Bed,
) -> anyhow::Result<(Scene, crate::support::process::Process)> {
    let scene = Scene::set(bed, &[TIERS]).await?;
    scene.receiver.script("/old", [Answer::status(500)]);
    let members = serde_json::from_str(SCHEDULE)?;
    scene.subscribe("acme/one", "/old", members).await?;
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene
        .installation
        .wait_for_topic("retry.3s", SOON, |records| !records.is_empty())
        .await?;
    Ok((scene, process))
}

async fn a_changed_url_applies_to_pending_retries(bed: Bed) -> Outcome {
    let (scene, _process) = with_a_pending_retry(&bed).await?;
    scene.subscribe("acme/one", "/new", json!({})).await?;
    let new = scene.receiver.wait_for_count("/new", 1, SOON).await?;
    let old = scene.receiver.received_at("/old");
    assert_eq!(old.len(), 1);
    assert_eq!(new[0].id(), old[0].id());
    Ok(())
}

/// A start over a long topic: the retry is due long before the newest record of its subscription is
/// read, and a compacted topic's start says nothing about its end.
async fn a_partly_read_table_decides_nothing(bed: Bed) -> Outcome {
    let (scene, process) = with_a_pending_retry(&bed).await?;
    process.kill9().await?;
    let other = json!({"url": scene.receiver.url("/other"), "events": ["none"], "signatures": []});
    let others: Vec<_> = (0..50_000)
        .map(|number| NewRecord::keyed(format!("other/{number}"), other.to_string()))
        .collect();
    let topic = scene.installation.topic("subscriptions");
    let kafka = scene.installation.kafka();
    kafka.produce_all(&topic, &others).await?;
    scene.subscribe("acme/one", "/new", json!({})).await?;
    let _process = scene.run("a").await?;
    scene.receiver.wait_for_count("/new", 1, SOON).await?;
    assert_eq!(scene.receiver.received_at("/old").len(), 1);
    Ok(())
}

async fn a_deletion_cancels_pending_retries(bed: Bed) -> Outcome {
    let (scene, process) = with_a_pending_retry(&bed).await?;
    scene.installation.delete_subscription("acme/one").await?;
    let cancelled = |metrics: &Metrics| {
        metrics.sum("hooktide_deliveries_total", &[("outcome", "cancelled")]) == 1.0
    };
    process.wait_for_metrics(SOON, cancelled).await?;
    assert_eq!(scene.receiver.received().len(), 1);
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn disabling_sends_pending_retries_to_the_dlq(bed: Bed) -> Outcome {
    let (scene, _process) = with_a_pending_retry(&bed).await?;
    scene
        .subscribe("acme/one", "/old", json!({"state": "disabled"}))
        .await?;
    scene
        .produce(&event("evt_2", json!({})).to_string())
        .await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    assert_eq!(dead[0].header("hooktide-reason"), Some("disabled"));
    assert_eq!(dead[0].header("hooktide-event-id"), Some("evt_1"));
    // No task was made of the second event.
    assert_eq!(scene.installation.read_topic("deliveries").await?.len(), 1);
    assert_eq!(scene.receiver.received().len(), 1);
    Ok(())
}

async fn paused_tasks_wait_and_go_later(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    scene
        .subscribe("acme/one", "/hook", json!({"state": "paused"}))
        .await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene
        .installation
        .wait_for_topic("deliveries", SOON, |records| records.len() == 1)
        .await?;
    let early = scene
        .receiver
        .wait_for_count("/hook", 1, Duration::from_secs(2));
    assert!(early.await.is_err(), "a request of a paused subscription");
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let requests = scene.receiver.wait_for_count("/hook", 1, SOON * 2).await?;
    assert_eq!(requests.len(), 1);
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| !records.is_empty())
        .await?;
    // Parking spends no attempt.
    assert_eq!(attempts[0].json()?["attempt"], 1);
    Ok(())
}

async fn an_invalid_record_stops_its_subscription_alone(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/good", "/good", json!({})).await?;
    scene.subscribe("acme/bad", "/bad", json!({})).await?;
    scene
        .subscribe("acme/bad", "/bad", json!({"unknown": 1}))
        .await?;
    let other_id = json!({"id": "other"});
    scene.subscribe("acme/ugly", "/ugly", other_id).await?;
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/good", 1, SOON).await?;
    let metrics = process.metrics().await?;
    let count = |state| metrics.sum("hooktide_subscriptions", &[("state", state)]);
    // Both tables of the process count, or one does: what matters is two to one.
    assert_eq!(count("invalid"), 2.0 * count("active"));
    assert_eq!(scene.installation.read_topic("deliveries").await?.len(), 1);

    scene.subscribe("acme/bad", "/bad", json!({})).await?;
    scene
        .produce(&event("evt_2", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/bad", 1, SOON).await?;
    Ok(())
}

/// The task was made from a revision that the new topic does not reach.
async fn a_topic_made_anew_is_not_waited_for_without_end(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    scene
        .receiver
        .script("/hook", [Answer::status(500), Answer::status(200)]);
    let members = || json!({"retry": {"schedule": ["3s"]}});
    for _ in 0..20 {
        scene.subscribe("acme/one", "/hook", members()).await?;
    }
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene
        .installation
        .wait_for_topic("retry.3s", SOON, |records| !records.is_empty())
        .await?;
    process.kill9().await?;

    let subscriptions = scene.installation.topic("subscriptions");
    let kafka = scene.installation.kafka();
    kafka.delete_topic(&subscriptions).await?;
    let made = scene.installation.command(&["topics", "create"]).await?;
    assert_eq!(made.code, Some(0), "{made:?}");
    scene.subscribe("acme/one", "/hook", members()).await?;
    let _process = scene.run("a").await?;
    scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    Ok(())
}
