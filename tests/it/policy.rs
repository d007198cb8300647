//! What a subscription says about statuses and about time: when a failure is none, when it is final,
//! what an endpoint's own wish is worth, and when it is too late.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::retry::check_waits;
use crate::support::receiver::Answer;
use crate::support::scene::{SOON, Scene, event};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_final_status_is_dead_at_once,
        a_status_taken_as_delivered_ends_the_task,
        a_410_that_means_nothing_is_tried_again,
        throttling_uses_up_no_retry,
        retry_after_as_a_date_is_followed,
        a_retry_after_the_deadline_is_not_waited_for,
        a_paused_subscription_keeps_nothing_beyond_its_deadline,
        the_installation_has_a_deadline_too,
}

const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s"]"#);

/// Processes one event for a subscription with these members.
async fn one_event(
    bed: &Bed,
    settings: &[(&str, &str)],
    members: Value,
    answers: impl IntoIterator<Item = Answer>,
) -> anyhow::Result<(Scene, crate::support::process::Process)> {
    let scene = Scene::set(bed, settings).await?;
    scene.receiver.script("/hook", answers);
    scene.subscribe("acme/one", "/hook", members).await?;
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    Ok((scene, process))
}

/// The only dead letter.
async fn dead_letter(scene: &Scene) -> anyhow::Result<Record> {
    let mut dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    assert_eq!(dead.len(), 1);
    Ok(dead.remove(0))
}

/// The outcome of each attempt, once there are so many.
async fn outcomes(scene: &Scene, count: usize) -> anyhow::Result<Vec<Value>> {
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, move |records| records.len() >= count)
        .await?;
    let mut attempts = attempts
        .iter()
        .map(Record::json)
        .collect::<anyhow::Result<Vec<_>>>()?;
    attempts.sort_by_key(|attempt| attempt["attempt"].as_u64());
    Ok(attempts
        .iter()
        .map(|attempt| attempt["outcome"].clone())
        .collect())
}

async fn a_final_status_is_dead_at_once(bed: Bed) -> Outcome {
    let members = json!({"answers": {"final": ["4xx"], "retry": [404]}, "retry": "standard"});
    let answers = [Answer::status(422)];
    let (scene, _process) = one_event(&bed, &[TIERS], members, answers).await?;
    let dead = dead_letter(&scene).await?;
    assert_eq!(dead.header("hooktide-reason"), Some("rejected"));
    assert_eq!(dead.header("hooktide-last-status"), Some("422"));
    assert_eq!(dead.header("hooktide-attempt"), Some("1"));
    assert_eq!(outcomes(&scene, 1).await?, [json!("dead")]);
    assert_eq!(scene.receiver.received().len(), 1);
    Ok(())
}

async fn a_status_taken_as_delivered_ends_the_task(bed: Bed) -> Outcome {
    let members = json!({"answers": {"delivered": [409]}, "retry": {"schedule": ["1s"]}});
    let answers = [Answer::status(503), Answer::status(409)];
    let (scene, process) = one_event(&bed, &[TIERS], members, answers).await?;
    scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    let said = outcomes(&scene, 2).await?;
    assert_eq!(said, [json!("retry"), json!("delivered")]);
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    let counted = process.metrics().await?;
    let delivered = counted.sum("hooktide_deliveries_total", &[("outcome", "delivered")]);
    assert_eq!(delivered, 1.0);
    Ok(())
}

async fn a_410_that_means_nothing_is_tried_again(bed: Bed) -> Outcome {
    let members = json!({"answers": {"retry": [410]}, "retry": {"schedule": ["1s"]}});
    let answers = [Answer::status(410), Answer::status(204)];
    let (scene, _process) = one_event(&bed, &[TIERS], members, answers).await?;
    let requests = scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    check_waits(&requests, &[Duration::from_secs(1)])
}

/// Four requests by a policy of one retry: three were throttled.
async fn throttling_uses_up_no_retry(bed: Bed) -> Outcome {
    let busy = || Answer::status(429).header("retry-after", "2");
    let answers = [busy(), busy(), Answer::status(429), Answer::status(500)];
    let members = json!({"retry": {"schedule": ["1s"]}});
    let answers = answers.into_iter().chain([Answer::status(204)]);
    let (scene, _process) = one_event(&bed, &[TIERS], members, answers).await?;
    let requests = scene.receiver.wait_for_count("/hook", 5, 2 * SOON).await?;
    let second = Duration::from_secs(1);
    check_waits(&requests, &[2 * second, 2 * second, 3 * second, second])?;
    assert_eq!(outcomes(&scene, 5).await?.last(), Some(&json!("delivered")));
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn retry_after_as_a_date_is_followed(bed: Bed) -> Outcome {
    // A date has whole seconds: what is left of the last one is cut off.
    let until = SystemTime::now() + Duration::from_secs(12);
    let busy = Answer::status(503).header("retry-after", &httpdate::fmt_http_date(until));
    let members = json!({"retry": {"schedule": ["1s"]}});
    let answers = [busy, Answer::status(204)];
    let (scene, _process) = one_event(&bed, &[TIERS], members, answers).await?;
    scene.receiver.wait_for_count("/hook", 2, 2 * SOON).await?;
    assert!(SystemTime::now() >= until - Duration::from_secs(1));
    Ok(())
}

async fn a_retry_after_the_deadline_is_not_waited_for(bed: Bed) -> Outcome {
    let members = json!({"max_age": "1h", "retry": {"schedule": ["1s", "2h", "1s"]}});
    let answers = [Answer::status(500)];
    let (scene, _process) = one_event(&bed, &[TIERS], members, answers).await?;
    let dead = dead_letter(&scene).await?;
    assert_eq!(dead.header("hooktide-reason"), Some("expired"));
    assert_eq!(dead.header("hooktide-last-status"), Some("500"));
    assert_eq!(dead.header("hooktide-attempt"), Some("2"));
    let said = outcomes(&scene, 2).await?;
    assert_eq!(said, [json!("retry"), json!("dead")]);
    Ok(())
}

async fn a_paused_subscription_keeps_nothing_beyond_its_deadline(bed: Bed) -> Outcome {
    let members = json!({"state": "paused", "max_age": "2s"});
    let (scene, process) = one_event(&bed, &[TIERS], members, [Answer::status(204)]).await?;
    let dead = dead_letter(&scene).await?;
    assert_eq!(dead.header("hooktide-reason"), Some("expired"));
    assert_eq!(dead.header("hooktide-attempt"), Some("0"));
    assert_eq!(dead.header("hooktide-last-status"), None);
    assert!(scene.receiver.received().is_empty());
    let counted = process.metrics().await?;
    let expired = counted.sum("hooktide_dead_letters_total", &[("reason", "expired")]);
    assert_eq!(expired, 1.0);
    Ok(())
}

/// Of `retry.max_age`, for a subscription that has none and whose endpoint throttles without end.
async fn the_installation_has_a_deadline_too(bed: Bed) -> Outcome {
    let settings = [
        TIERS,
        ("retry.max_age", "5s"),
        ("retry.schedule", r#"["1s"]"#),
    ];
    let answers = [Answer::status(429)];
    let (scene, _process) = one_event(&bed, &settings, json!({}), answers).await?;
    let dead = dead_letter(&scene).await?;
    assert_eq!(dead.header("hooktide-reason"), Some("expired"));
    Ok(())
}
