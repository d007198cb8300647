//! Records that cannot be processed: kept or counted, and never in the way.

use serde_json::json;

use crate::support::kafka::NewRecord;
use crate::support::scene::{SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        bad_events_are_kept_and_do_not_stall,
        events_near_the_limit_are_kept,
        tasks_of_a_newer_version_are_kept,
}

async fn bad_events_are_kept_and_do_not_stall(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let bad: [&[u8]; 12] = [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b"{}",
        br#"{"type":"t"}"#,
        br#"{"data":{}}"#,
        br#"{"type":7,"data":{}}"#,
        br#"{"type":"t","tenant":["acme"],"data":{}}"#,
        br#"{"type":"t","id":{},"data":{}}"#,
        br#"{"type":"t","timestamp":"yesterday","data":{}}"#,
        br#"{"type":"t","data":{}} trailing"#,
    ];
    let on_one_partition = |value: Option<Vec<u8>>| NewRecord {
        value,
        partition: Some(0),
        ..NewRecord::default()
    };
    let good = event("evt_good", json!({})).to_string();
    let mut records: Vec<_> = bad
        .iter()
        .map(|value| on_one_partition(Some(value.to_vec())))
        .collect();
    records.push(on_one_partition(None));
    records.push(on_one_partition(Some(good.into_bytes())));
    scene.produce_all(&records).await?;

    let received = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    assert_eq!(received[0].json()?["id"], "evt_good");
    let rejects = scene
        .installation
        .wait_for_topic("rejects", SOON, move |records| records.len() >= bad.len())
        .await?;
    assert_eq!(rejects.len(), bad.len());
    let topic = scene.installation.events_topic();
    for (offset, value) in bad.iter().enumerate() {
        let source = format!("{topic}/0/{offset}");
        let kept = rejects
            .iter()
            .find(|reject| reject.header("hooktide-source") == Some(&source));
        let kept = kept.ok_or_else(|| anyhow::anyhow!("{source} is not among {rejects:#?}"))?;
        assert_eq!(kept.value.as_deref(), Some(*value));
        assert!(kept.header("hooktide-reason").is_some(), "{kept:?}");
    }
    let metrics = process.metrics().await?;
    assert_eq!(metrics.sum("hooktide_rejects_total", &[]), bad.len() as f64);
    Ok(())
}

async fn events_near_the_limit_are_kept(bed: Bed) -> Outcome {
    /// Apache Kafka's default for `max.message.bytes`, less what a batch adds.
    const LARGEST: usize = 1_048_588 - 128;
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    let frame = event("evt_large", json!("")).to_string().len();
    let large = event("evt_large", json!("x".repeat(LARGEST - frame))).to_string();
    let with_header = NewRecord {
        headers: vec![("big".into(), vec![b'x'; LARGEST - 1_000])],
        ..NewRecord::value(event("evt_header", json!({})).to_string())
    };
    let good = NewRecord::value(event("evt_good", json!({})).to_string());
    scene
        .produce_all(&[NewRecord::value(large.clone()), with_header, good])
        .await?;

    let received = scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    let mut ids = Vec::new();
    for request in &received {
        ids.push(request.json()?["id"].clone());
    }
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, ["evt_good", "evt_header"]);
    let rejects = scene
        .installation
        .wait_for_topic("rejects", SOON, |records| !records.is_empty())
        .await?;
    let kept = rejects[0].value.as_deref().unwrap_or_default();
    assert!(!kept.is_empty() && large.as_bytes().starts_with(kept));
    assert_eq!(
        rejects[0].header("hooktide-original-bytes"),
        Some(large.len().to_string().as_str())
    );
    Ok(())
}

async fn tasks_of_a_newer_version_are_kept(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    let tasks = scene.installation.read_topic("deliveries").await?;
    let task = |version: &str| {
        let mut headers = tasks[0].headers.clone();
        headers.push(("hooktide-version".into(), version.as_bytes().to_vec()));
        NewRecord {
            key: tasks[0].key.clone(),
            value: tasks[0].value.clone(),
            headers,
            partition: Some(tasks[0].partition),
        }
    };
    let deliveries = scene.installation.topic("deliveries");
    let both = [task("2"), task("1")];
    scene
        .installation
        .kafka()
        .produce_all(&deliveries, &both)
        .await?;

    scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    let letters = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    let [kept] = &letters[..] else {
        anyhow::bail!("one of the two is of a newer version: {letters:#?}");
    };
    assert_eq!(kept.header("hooktide-version"), Some("2"));
    assert_eq!(kept.header("hooktide-reason"), Some("undeliverable"));
    assert_eq!(kept.value, tasks[0].value);
    let error = kept.header("hooktide-last-error").unwrap_or_default();
    assert!(error.contains("hooktide-version"), "{error}");
    assert_eq!(scene.receiver.received_at("/hook").len(), 2);
    Ok(())
}
