//! Subscriptions in Avro, written by Confluent's serializer.

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::hooktide::Installation;
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::scene::{BOTH, READY, SECRET, SOON, Scene, event, verify};
use crate::support::schema_registry::{Guard, SchemaRegistry};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka: without_a_registry_they_are_invalid;
    registry:
        they_are_delivered_to_shown_and_applied,
        a_registry_that_is_away_holds_the_table,
        topics_create_registers_the_schema_once,
}

/// The schema that is registered.
fn schema() -> anyhow::Result<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/subscription.avsc");
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

async fn put(
    registry: &SchemaRegistry,
    installation: &Installation,
    key: &str,
    value: &Value,
) -> Outcome {
    let record = json!({"form": "avro", "key": key, "schema": schema()?, "value": value});
    let topic = installation.topic("subscriptions");
    registry
        .produce(installation.kafka(), &topic, &[record])
        .await
}

async fn state(installation: &Installation, id: &str) -> anyhow::Result<Value> {
    let get = [
        "subscriptions",
        "get",
        id,
        "--tenant",
        "acme",
        "--output",
        "json",
    ];
    let ran = installation.command(&get).await?;
    anyhow::ensure!(ran.code == Some(0), "{ran:?}");
    ran.json()
}

async fn they_are_delivered_to_shown_and_applied(bed: Bed) -> Outcome {
    let registry = bed.registry()?;
    let urls = json!([registry.url()]).to_string();
    let scene = Scene::set(&bed, &[("schema_registry.urls", &urls)]).await?;
    let installation = &scene.installation;
    let url = scene.receiver.url("/hook");
    let value = json!({
        "url": url, "events": ["order.*"], "secrets": [SECRET],
        "retry": {"schedule": ["1s", "2s"], "jitter": 0.5},
        "answers": {"delivered": [409, "3xx"]},
        "filters": [
            {"field": "data.n", "operator": "in", "value": "[1.10, null]"},
            {"not": {"field": "data.gone", "operator": "equals", "value": "null"}},
        ],
        "labels": {"owner": "ops"},
    });
    put(registry, installation, "acme/shop", &value).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"n": 2})).to_string())
        .await?;
    scene
        .produce(&event("evt_2", json!({"n": 1.1})).to_string())
        .await?;
    let received = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    assert_eq!(received[0].json()?["id"], "evt_2");
    verify(&received[0], SECRET)?;

    // It is the same as this one in JSON.
    let mut same = value.clone();
    same["filters"] = json!([
        {"field": "data.n", "operator": "in", "value": [1.10, null]},
        {"not": {"field": "data.gone", "operator": "equals", "value": null}},
    ]);
    let shown = state(installation, "shop").await?;
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["subscription"]["filters"], same["filters"]);
    assert_eq!(
        shown["subscription"].as_object().map(serde_json::Map::len),
        Some(7),
        "{shown}"
    );
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    same["tenant"] = json!("acme");
    same["id"] = json!("shop");
    same.as_object_mut().context("an object")?.remove("secrets");
    let apply = ["subscriptions", "apply", "-"];
    let ran = installation.command_fed(&apply, &same.to_string()).await?;
    assert_eq!(
        ran.stdout, "0 created, 0 changed, 0 deleted, 1 unchanged\n",
        "{ran:?}"
    );
    same["timeout"] = json!("3s");
    let ran = installation.command_fed(&apply, &same.to_string()).await?;
    assert!(
        ran.stdout
            .contains("    timeout  + \"3s\"\n0 created, 1 changed"),
        "{ran:?}"
    );
    let newest = installation.read_topic("subscriptions").await?.pop();
    let newest = newest.context("a record")?.json()?;
    assert_eq!(newest["secrets"], json!([SECRET]), "kept");
    Ok(())
}

/// Tasks are not decided, and events are not matched, on a table that lacks a record.
async fn a_registry_that_is_away_holds_the_table(bed: Bed) -> Outcome {
    let registry = SchemaRegistry::start_apart(&bed.folder().join("registry"), &Guard::default())?;
    let urls = json!([registry.url()]).to_string();
    let settings = [
        ("schema_registry.urls", &*urls),
        ("schema_registry.timeout", "500ms"),
        ("schema_registry.longest_wait", "1s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let value =
        |path: &str| json!({"url": scene.receiver.url(path), "events": ["*"], "signatures": []});
    put(&registry, &scene.installation, "acme/avro", &value("/avro")).await?;
    scene
        .installation
        .put_subscription("acme/json", &value("/json"))
        .await?;
    registry.signal("STOP")?;
    let process = scene.installation.start("a", BOTH)?;
    process.wait_for_log("telemetry is served", SOON).await?;
    held(&process, 1.0).await?;
    assert_eq!(process.status_of("/ready").await?, 503);
    assert_eq!(process.status_of("/health").await?, 200);
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    registry.signal("CONT")?;
    process.wait_ready(READY).await?;
    for path in ["/avro", "/json"] {
        scene.receiver.wait_for_count(path, 1, SOON).await?;
    }
    held(&process, 0.0).await?;
    // While it works, too: with a schema that it has not seen.
    registry.signal("STOP")?;
    let mut framed = vec![0, 0, 0, 0xff, 0xff];
    framed.extend(b"what was written with it");
    let record = NewRecord::keyed("acme/json", framed);
    let topic = scene.installation.topic("subscriptions");
    scene.installation.kafka().produce(&topic, &record).await?;
    held(&process, 1.0).await?;
    registry.signal("CONT")?;
    held(&process, 0.0).await?;
    process.wait_ready(READY).await?;
    // The registry knows no such schema: only what depends on it suffers.
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_subscriptions", &[("state", "invalid")]) > 0.0
        })
        .await?;
    let shown = state(&scene.installation, "json").await?;
    assert_eq!(shown["state"], "invalid");
    assert_eq!(shown["problem"], "the schema registry has no schema 65535");
    scene
        .produce(&event("evt_2", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/avro", 2, SOON).await?;
    Ok(())
}

async fn held(process: &Process, expected: f64) -> Outcome {
    let is_as_expected = move |metrics: &crate::support::expositions::Metrics| {
        let held = metrics.sum("hooktide_subscriptions_held", &[]);
        (held - expected).abs() < f64::EPSILON
    };
    process.wait_for_metrics(READY, is_as_expected).await?;
    Ok(())
}

async fn without_a_registry_they_are_invalid(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let installation = &scene.installation;
    let topic = installation.topic("subscriptions");
    let record = NewRecord::keyed("acme/framed", vec![0, 0, 0, 0, 1, 2]);
    installation.kafka().produce(&topic, &record).await?;
    let short = NewRecord::keyed("acme/short", vec![0, 1]);
    installation.kafka().produce(&topic, &short).await?;
    let process = scene.run("a").await?;
    let invalid = process
        .metrics()
        .await?
        .sum("hooktide_subscriptions", &[("state", "invalid")]);
    assert!((invalid - 2.0).abs() < f64::EPSILON, "{invalid}");
    for (id, why) in [
        ("framed", "set `schema_registry.urls`"),
        ("short", "too short for the schema's id"),
    ] {
        let shown = state(installation, id).await?;
        let problem = shown["problem"].as_str().context("a problem")?;
        assert!(problem.contains(why), "{problem}");
        assert_eq!(shown["subscription"], Value::Null);
    }
    // Its secrets are not replaced behind anybody's back.
    let file = "id: framed\ntenant: acme\nurl: https://example.com/\nevents: [a]\n";
    let apply = ["subscriptions", "apply", "-"];
    let ran = installation.command_fed(&apply, file).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("stdin:1: acme/framed: the record on the topic cannot be read"),
        "{ran:?}"
    );
    let ran = installation
        .command_fed(&apply, &format!("{file}secrets: [{SECRET}]\n"))
        .await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let delete = ["subscriptions", "delete", "short", "--tenant", "acme"];
    assert_eq!(installation.command(&delete).await?.code, Some(0));
    Ok(())
}

async fn topics_create_registers_the_schema_once(bed: Bed) -> Outcome {
    let registry = SchemaRegistry::start_apart(&bed.folder().join("registry"), &Guard::default())?;
    let urls = json!([registry.url()]).to_string();
    let installation = Installation::new(&bed)?.set("schema_registry.urls", &urls);
    let create = ["topics", "create", "--output", "json"];
    let first = installation.command(&create).await?.json()?["schema"].clone();
    let subject = format!("{}-value", installation.topic("subscriptions"));
    assert_eq!(first["subject"], json!(subject));
    for _ in 0..2 {
        let again = installation.command(&create).await?;
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(again.json()?["schema"], first);
    }
    // What the serializer finds there is this one: no further version comes of it.
    let value = json!({"url": "https://example.com/", "events": ["*"], "signatures": []});
    put(&registry, &installation, "acme/one", &value).await?;
    let newest = installation.read_topic("subscriptions").await?.pop();
    let value = newest.context("a record")?.value.context("a value")?;
    let id = u32::from_be_bytes(value[1..5].try_into()?);
    assert_eq!(json!(id), first["id"]);

    registry.stop();
    let ran = installation
        .set("schema_registry.timeout", "2s")
        .command(&create)
        .await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("the schema registry does not answer"),
        "{ran:?}"
    );
    Ok(())
}
