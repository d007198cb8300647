//! What becomes of requests to endpoints that behave badly, or may not be reached at all.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::receiver::Answer;
use crate::support::scene::{SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        bad_answers_are_bounded_and_named,
        private_targets_are_not_dialled,
        a_hanging_endpoint_does_not_hold_up_another,
        a_connection_that_closes_as_a_request_goes_out_costs_no_attempt,
}

/// The attempts topic's records by subscription, once there are `count`.
async fn attempts(scene: &Scene, count: usize) -> anyhow::Result<BTreeMap<String, Value>> {
    let records = scene
        .installation
        .wait_for_topic("attempts", SOON * 2, move |records| records.len() >= count)
        .await?;
    let mut by_subscription = BTreeMap::new();
    for record in records {
        let attempt = record.json()?;
        let id = attempt["subscription"].as_str().context("a text")?;
        by_subscription.insert(id.to_owned(), attempt);
    }
    Ok(by_subscription)
}

/// One attempt and no more.
fn once() -> Value {
    json!({"retry": {"max_retries": 0}, "timeout": "2s"})
}

async fn bad_answers_are_bounded_and_named(bed: Bed) -> Outcome {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..256 {
        zeros.write_all(&vec![0; 1 << 20])?;
    }
    let bomb = zeros.finish()?;
    let mut gzip = format!(
        "{HEAD}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    gzip.extend(bomb);

    let too_long = "a: b\r\n".repeat(1_000);
    let half = format!("{HEAD}content-length: 10\r\n\r\nfive.");
    let huge = format!("{HEAD}content-length: 10000000000\r\n\r\n");
    // A body beyond the limit is cut and named; the status counts, or a delivery would be repeated.
    let cases = [
        (
            "huge",
            Answer::flood(huge, "x".repeat(65_536)),
            "delivered",
            "response_too_large",
        ),
        ("bomb", Answer::raw(gzip), "delivered", "response_too_large"),
        (
            "header",
            Answer::flood(HEAD, too_long),
            "dead",
            "response_too_large",
        ),
        (
            "garbage",
            Answer::raw("no HTTP at all\r\n\r\n"),
            "dead",
            "protocol",
        ),
        ("reset", Answer::reset(), "dead", "reset"),
        ("hang", Answer::hang(), "dead", "timeout"),
        ("half", Answer::raw(half), "dead", "reset"),
    ];
    let scene = Scene::set(&bed, &[]).await?;
    for (name, answer, ..) in &cases {
        let path = format!("/{name}");
        scene.receiver.script(&path, [answer.clone()]);
        scene
            .subscribe(&format!("acme/{name}"), &path, once())
            .await?;
    }
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let attempts = attempts(&scene, cases.len()).await?;
    for (name, _, outcome, error) in &cases {
        let attempt = attempts.get(*name).with_context(|| (*name).to_owned())?;
        assert_eq!(attempt["error"], *error, "{name}: {attempt}");
        assert_eq!(attempt["outcome"], *outcome, "{name}: {attempt}");
        let kept = attempt["response"].as_str().unwrap_or_default();
        assert!(kept.len() <= 1_024, "{name}: {} bytes", kept.len());
    }
    let memory = process
        .metrics()
        .await?
        .sum("process_resident_memory_bytes", &[]);
    assert!(memory < 300e6, "{memory} bytes");
    Ok(())
}

async fn private_targets_are_not_dialled(bed: Bed) -> Outcome {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.9.9.9",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "%31%32%37.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ];
    // Plain http is allowed, so that nothing but the address policy stands before the receiver.
    let settings = [
        ("http.allow_networks", "[]"),
        ("http.allow_plaintext", "true"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let port = scene.receiver.address().port();
    for (number, host) in hosts.iter().enumerate() {
        let mut members = once();
        members["url"] = json!(format!("http://{host}:{port}/hook"));
        scene
            .subscribe(&format!("acme/s{number}"), "/hook", members)
            .await?;
    }
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, move |records| records.len() >= hosts.len())
        .await?;
    assert!(scene.receiver.received().is_empty());
    for letter in &dead {
        assert_eq!(
            letter.header("hooktide-reason"),
            Some("refused"),
            "{letter:?}"
        );
    }
    for (name, attempt) in attempts(&scene, hosts.len()).await? {
        assert_eq!(attempt["error"], "refused_address", "{name}: {attempt}");
    }
    Ok(())
}

async fn a_hanging_endpoint_does_not_hold_up_another(bed: Bed) -> Outcome {
    const EVENTS: usize = 200;
    let scene = Scene::set(&bed, &[]).await?;
    scene.receiver.script("/hanging", [Answer::hang()]);
    let slow = json!({"timeout": "30s", "max_concurrency": 4});
    scene.subscribe("acme/hanging", "/hanging", slow).await?;
    scene.subscribe("acme/quick", "/quick", json!({})).await?;
    let _process = scene.run("a").await?;
    for number in 0..EVENTS {
        scene
            .produce(&event(&format!("evt_{number}"), json!({})).to_string())
            .await?;
    }
    scene
        .receiver
        .wait_for_count("/quick", EVENTS, Duration::from_secs(15))
        .await?;
    let hanging = scene.receiver.received_at("/hanging").len();
    assert!((1..=4).contains(&hanging), "{hanging} at once");
    Ok(())
}

async fn a_connection_that_closes_as_a_request_goes_out_costs_no_attempt(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let answers = [Answer::status(204), Answer::reset(), Answer::status(204)];
    scene.receiver.script("/hook", answers);
    scene.subscribe("acme/shop", "/hook", once()).await?;
    let process = scene.run("a").await?;
    for (event_id, requests) in [("evt_1", 1), ("evt_2", 3)] {
        let event = event(event_id, json!({}));
        scene.produce(&event.to_string()).await?;
        // One after the other, so that the second finds the connection of the first.
        scene
            .receiver
            .wait_for_count("/hook", requests, SOON)
            .await?;
        let delivered = requests.div_ceil(2);
        scene
            .installation
            .wait_for_topic("attempts", SOON, move |records| records.len() >= delivered)
            .await?;
    }
    for attempt in scene.installation.read_topic("attempts").await? {
        let attempt = attempt.json()?;
        assert_eq!(attempt["attempt"], 1, "{attempt}");
        assert_eq!(attempt["outcome"], "delivered", "{attempt}");
    }
    let received = scene.receiver.received_at("/hook");
    assert_eq!(received[0].connection, received[1].connection);
    assert_ne!(received[1].connection, received[2].connection);
    assert_eq!(received[1].id(), received[2].id());
    let sent_again = process.metrics().await?.sum(
        "hooktide_requests_sent_again_total",
        &[("reason", "dead_connection")],
    );
    assert_eq!(sent_again, 1.0);
    Ok(())
}
