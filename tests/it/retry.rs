//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

use serde_json::json;

use crate::support::receiver::{Answer, Received};
use crate::support::scene::{SECRET, SOON, Scene, event, verify};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        fails_twice_then_succeeds,
        always_fails_and_is_dead_lettered,
        hops_over_tiers_and_is_never_early,
        gone_is_dead_at_once,
        retry_after_is_followed,
}

const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s"]"#);

/// From each answer to the next request.
fn waits(requests: &[Received]) -> anyhow::Result<Vec<Duration>> {
    requests
        .windows(2)
        .map(|pair| {
            let answered = pair[0].answered;
            answered
                .map(|at| pair[1].arrived.saturating_duration_since(at))
                .ok_or_else(|| anyhow::anyhow!("not answered: {:?}", pair[0]))
        })
        .collect()
}

/// Asserts that no request came early; reports how late they were.
#[expect(clippy::print_stderr, reason = "a measurement of this run")]
pub fn check_waits(requests: &[Received], due: &[Duration]) -> Outcome {
    let waits = waits(requests)?;
    assert_eq!(waits.len(), due.len());
    for (wait, due) in waits.iter().zip(due) {
        assert!(wait >= due, "early: {waits:?} in place of {due:?}");
        eprintln!("due after {due:?}, {:?} late", *wait - *due);
        // What a busy machine may add; an idle one stays below 250 ms.
        assert!(*wait < *due + Duration::from_secs(3), "late: {waits:?}");
    }
    Ok(())
}

async fn fails_twice_then_succeeds(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let answers = [
        Answer::status(500),
        Answer::status(301),
        Answer::status(200),
    ];
    scene.receiver.script("/hook", answers);
    let members = json!({"retry": {"schedule": ["1s", "2s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"n": 1.5})).to_string())
        .await?;

    let requests = scene.receiver.wait_for_count("/hook", 3, SOON).await?;
    check_waits(&requests, &[Duration::from_secs(1), Duration::from_secs(2)])?;
    for request in &requests {
        assert_eq!(request.id(), requests[0].id());
        assert_eq!(request.body, requests[0].body);
        verify(request, SECRET)?;
    }
    let times: Vec<_> = requests
        .iter()
        .map(|request| request.header("webhook-timestamp"))
        .collect();
    assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| records.len() == 3)
        .await?;
    let mut outcomes = Vec::new();
    for attempt in &attempts {
        let attempt = attempt.json()?;
        outcomes.push((attempt["attempt"].as_u64(), attempt["outcome"].clone()));
    }
    outcomes.sort_by_key(|(number, _)| *number);
    assert_eq!(
        outcomes,
        [
            (Some(1), json!("retry")),
            (Some(2), json!("retry")),
            (Some(3), json!("delivered")),
        ]
    );
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn always_fails_and_is_dead_lettered(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    scene
        .receiver
        .script("/hook", [Answer::status(500).body("no")]);
    let members = json!({"retry": {"schedule": ["1s", "1s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;

    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    let requests = scene.receiver.received();
    assert_eq!((dead.len(), requests.len()), (1, 3));
    assert_eq!(dead[0].key.as_deref(), Some("acme/one"));
    assert_eq!(dead[0].value.as_deref(), Some(&requests[0].body[..]));
    for (name, expected) in [
        ("hooktide-reason", "exhausted"),
        ("hooktide-last-status", "500"),
        ("hooktide-attempt", "3"),
        ("hooktide-event-id", "evt_1"),
        ("hooktide-delivery-id", requests[0].id()),
    ] {
        assert_eq!(dead[0].header(name), Some(expected), "{name}");
    }
    assert!(dead[0].header("hooktide-dead-at").is_some());
    Ok(())
}

/// Waits that no tier holds alone: one second, then seven as hops over 3 s and 1 s.
async fn hops_over_tiers_and_is_never_early(bed: Bed) -> Outcome {
    let tiers = ("retry.tiers", r#"["1s","3s","10s"]"#);
    let scene = Scene::set(&bed, &[tiers]).await?;
    scene.receiver.script(
        "/hook",
        [
            Answer::status(500),
            Answer::status(500),
            Answer::status(200),
        ],
    );
    let members = json!({"retry": {"schedule": ["1s", "7s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let requests = scene.receiver.wait_for_count("/hook", 3, SOON).await?;
    check_waits(&requests, &[Duration::from_secs(1), Duration::from_secs(7)])
}

async fn gone_is_dead_at_once(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    scene.receiver.script("/hook", [Answer::status(410)]);
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    assert_eq!(dead[0].header("hooktide-reason"), Some("gone"));
    assert_eq!(scene.receiver.received().len(), 1);
    Ok(())
}

async fn retry_after_is_followed(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let busy = Answer::status(503).header("retry-after", "3");
    scene.receiver.script("/hook", [busy, Answer::status(200)]);
    let members = json!({"retry": {"schedule": ["1s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let requests = scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    check_waits(&requests, &[Duration::from_secs(3)])
}
