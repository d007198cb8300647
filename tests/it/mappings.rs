//! Topics whose records are no events by themselves, and topics that are found while all is running.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::hooktide::Installation;
use crate::support::kafka::NewRecord;
use crate::support::receiver::{Received, Receiver};
use crate::support::scene::{READY, SOON, Scene};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        records_that_are_no_events_are_mapped,
        what_a_mapping_does_not_find_is_kept,
        changes_of_rows_are_events,
        found_topics_and_partitions_are_mapped_once,
        a_mapping_that_nothing_can_meet_is_refused;
    registry:
        changes_written_in_avro_are_events,
}

/// A scene with these topics of the test beside the usual one, all of them read, and mapped as the
/// mapping by each name says.
async fn scene(
    bed: &Bed,
    topics: &[(&str, Value)],
    settings: &[(&str, &str)],
) -> anyhow::Result<Scene> {
    let mut installation = Installation::new(bed)?;
    let id = installation.id().to_owned();
    let mappings: Vec<Value> = topics
        .iter()
        .map(|(topic, mapping)| {
            let mut mapping = mapping.clone();
            mapping["topic"] = json!(format!("{id}-{topic}"));
            mapping
        })
        .collect();
    installation = installation
        .set("events.topics", &json!([format!("^{id}-")]).to_string())
        .set("events.mappings", &Value::from(mappings).to_string());
    for (key, value) in settings {
        installation = installation.set(key, value);
    }
    installation.create_topics(1).await?;
    for (topic, _) in topics {
        let topic = format!("{id}-{topic}");
        installation.kafka().create_topic(&topic, 1, &[]).await?;
    }
    Ok(Scene {
        installation,
        receiver: Receiver::start().await?,
    })
}

async fn produce(scene: &Scene, topic: &str, records: &[NewRecord]) -> Outcome {
    let installation = &scene.installation;
    let topic = format!("{}-{topic}", installation.id());
    let kafka = installation.kafka();
    kafka.produce_all(&topic, records).await.map(drop)
}

fn with_headers(value: &str, headers: &[(&str, &str)]) -> NewRecord {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    NewRecord {
        headers: headers.iter().map(header).collect(),
        ..NewRecord::value(value)
    }
}

/// Bodies by their type, once for each.
fn by_type(received: &[Received]) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut bodies = BTreeMap::new();
    for request in received {
        let body = request.json()?;
        let kind = body["type"].as_str().context("a type")?.to_owned();
        anyhow::ensure!(bodies.insert(kind, body).is_none(), "{request:?}");
    }
    Ok(bodies)
}

async fn records_that_are_no_events_are_mapped(bed: Bed) -> Outcome {
    let outbox = json!({
        "type": {"header": "eventType"}, "id": {"header": "id"},
        "tenant": {"header": "tenant"}, "data": {"value": true, "json": true},
    });
    let domain = json!({
        "type": {"constant": "customer.changed"}, "tenant": {"constant": "acme"},
        "id": {"key": true}, "time": {"path": "at", "unit": "ms"},
    });
    let sensors = json!({"format": "text", "type": {"topic": true, "capture": "-(sensors)$",
        "suffix": ".said"}, "tenant": {"constant": "acme"}});
    let topics = [
        ("outbox", outbox),
        ("customers", domain),
        ("sensors", sensors),
    ];
    let scene = scene(&bed, &topics, &[]).await?;
    let filters = json!([{"field": "data.vip", "operator": "equals", "value": true}]);
    scene.subscribe("acme/all", "/all", json!({})).await?;
    scene
        .subscribe("acme/vip", "/vip", json!({"filters": filters}))
        .await?;
    let raw = json!({"events": ["order.*"], "body": "raw", "where": "data.n > 1"});
    scene.subscribe("acme/raw", "/raw", raw).await?;
    scene.subscribe("other/all", "/other", json!({})).await?;
    let _process = scene.run("a").await?;

    // The command knows what the mapping makes of a line, and what it does not find.
    let topic = format!("{}-customers", scene.installation.id());
    let produce_line = ["events", "produce", "--topic", &topic, "-"];
    let refused = scene
        .installation
        .command_fed(&produce_line, "{\"at\":1}\n")
        .await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("the mapping finds no `id`"),
        "{refused:?}"
    );

    // As Debezium's outbox router writes it with its defaults: JSON as a JSON string.
    let escaped = json!(r#"{"n":2,"total":1.10}"#).to_string();
    let headers = [
        ("eventType", "order.placed"),
        ("id", "o-1"),
        ("tenant", "acme"),
    ];
    produce(&scene, "outbox", &[with_headers(&escaped, &headers)]).await?;
    let customer = r#"{"tenant":"other","vip":true,"at":1795341600007}"#;
    let produce_line = ["events", "produce", "--topic", &topic, "--key", "c-1", "-"];
    let produced = scene
        .installation
        .command_fed(&produce_line, customer)
        .await?;
    assert_eq!(produced.code, Some(0), "{produced:?}");
    produce(&scene, "sensors", &[NewRecord::value("21.5 C")]).await?;
    // A topic without a mapping is read as ever.
    let plain = json!({"type": "plain", "tenant": "acme", "id": "p-1", "data": null});
    scene.produce(&plain.to_string()).await?;

    let received = scene.receiver.wait_for_count("/all", 4, SOON).await?;
    let bodies = by_type(&received)?;
    let order = &bodies["order.placed"];
    assert_eq!(
        (&order["id"], &order["data"]),
        (&json!("o-1"), &json!({"n": 2, "total": 1.1}))
    );
    let customer = json!({"type": "customer.changed", "timestamp": "2026-11-22T10:00:00.007Z",
        "data": {"tenant": "other", "vip": true, "at": 1_795_341_600_007_i64}, "id": "c-1"});
    assert_eq!(bodies["customer.changed"], customer);
    assert_eq!(bodies["sensors.said"]["data"], "21.5 C");
    let position = format!("{}-sensors/0/0", scene.installation.id());
    assert_eq!(bodies["sensors.said"]["id"], position);
    let vip = scene.receiver.wait_for_count("/vip", 1, SOON).await?;
    assert_eq!(
        by_type(&vip)?.into_keys().collect::<Vec<_>>(),
        ["customer.changed"]
    );
    let raw = scene.receiver.wait_for_count("/raw", 1, SOON).await?;
    assert_eq!(raw[0].body, escaped.as_bytes());
    // What a value says of its tenant is not asked.
    assert!(scene.receiver.received_at("/other").is_empty());
    // Numbers keep their text.
    let as_written = |request: &&Received| {
        String::from_utf8_lossy(&request.body).contains(r#""data":{"n":2,"total":1.10}"#)
    };
    assert_eq!(received.iter().filter(as_written).count(), 1);
    Ok(())
}

async fn what_a_mapping_does_not_find_is_kept(bed: Bed) -> Outcome {
    let mapping = json!({"type": {"header": "kind"}, "tenant": {"path": "tenant"}});
    let scene = scene(&bed, &[("orders", mapping)], &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let kind = [("kind", "order.made")];
    let records = [
        (with_headers(r#"{"tenant":"acme"}"#, &[]), "mapping_no_type"),
        (with_headers("{}", &kind), "mapping_no_tenant"),
        (with_headers(r#"{"tenant":{}}"#, &kind), "mapping_not_text"),
        (with_headers(r#"{"tenant":"a/b"}"#, &kind), "bad_tenant"),
        (with_headers("tenant=acme", &kind), "not_json"),
    ];
    let good = with_headers(r#"{"tenant":"acme"}"#, &kind);
    let all = records
        .iter()
        .map(|(record, _)| record.clone())
        .chain([good]);
    produce(&scene, "orders", &all.collect::<Vec<_>>()).await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    let count = records.len();
    let rejects = scene
        .installation
        .wait_for_topic("rejects", SOON, move |rejects| rejects.len() >= count)
        .await?;
    let mut found: Vec<_> = rejects
        .iter()
        .map(|reject| reject.header("hooktide-reason"))
        .collect();
    let mut expected: Vec<_> = records.iter().map(|(_, reason)| Some(*reason)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let metrics = process.metrics().await?;
    let reason = [("reason", "mapping_no_tenant")];
    assert_eq!(metrics.sum("hooktide_rejects_total", &reason), 1.0);
    Ok(())
}

/// As PostgreSQL's connector writes a change of a row.
fn change(operation: &str, before: Value, after: Value) -> Value {
    json!({
        "before": before, "after": after,
        "source": {"version": "3.2.0.Final", "connector": "postgresql", "name": "shop",
            "ts_ms": 1_795_341_600_007_i64, "snapshot": "false", "db": "shop", "sequence": "[null,\"24023128\"]",
            "schema": "public", "table": "orders", "txId": 571, "lsn": 24_023_128, "xmin": null},
        "transaction": null, "op": operation, "ts_ms": 1_795_341_600_123_i64,
    })
}

fn row(id: u64, state: &str) -> Value {
    json!({"id": id, "tenant": "acme", "state": state})
}

async fn changes_of_rows_are_events(bed: Bed) -> Outcome {
    let mapping = json!({"unwrap": "debezium", "type": {"path": "source.table"},
        "tenant": {"path": ["after.tenant", "before.tenant"]}});
    let scene = scene(&bed, &[("orders", mapping)], &[]).await?;
    scene.subscribe("acme/all", "/all", json!({})).await?;
    let paid = json!({"where": "data.after.state == 'paid' && data.before.state != 'paid'",
        "mapping": {"order": "data.after.id", "lsn": "metadata.source.lsn"}, "events": ["orders.updated"]});
    scene.subscribe("acme/paid", "/paid", paid).await?;
    let process = scene.run("a").await?;
    let with_schema = |payload: Value| {
        let schema = json!({"type": "struct", "optional": false, "name": "shop.public.orders.Envelope",
            "fields": [{"type": "string", "optional": false, "field": "op"}]});
        NewRecord::value(json!({"schema": schema, "payload": payload}).to_string())
    };
    let without = |payload: Value| NewRecord::value(payload.to_string());
    let records = [
        without(change("r", Value::Null, row(1, "old"))),
        without(change("c", Value::Null, row(2, "open"))),
        with_schema(change("u", row(2, "open"), row(2, "paid"))),
        without(change("d", row(2, "paid"), Value::Null)),
        // Behind each deletion, for compaction.
        NewRecord::default(),
        without(change("t", Value::Null, Value::Null)),
    ];
    produce(&scene, "orders", &records).await?;
    let bodies = by_type(&scene.receiver.wait_for_count("/all", 3, SOON).await?)?;
    let id = |offset: u64| format!("{}-orders/0/{offset}", scene.installation.id());
    for (kind, before, after, offset) in [
        ("orders.created", Value::Null, row(2, "open"), 1),
        ("orders.updated", row(2, "open"), row(2, "paid"), 2),
        ("orders.deleted", row(2, "paid"), Value::Null, 3),
    ] {
        let expected = json!({"type": kind, "timestamp": "2026-11-22T10:00:00.007Z", "id": id(offset),
            "data": {"before": before, "after": after}});
        assert_eq!(bodies[kind], expected);
    }
    let paid = scene.receiver.wait_for_count("/paid", 1, SOON).await?;
    assert_eq!(paid[0].json()?, json!({"order": 2, "lsn": 24_023_128}));
    let skipped = |metrics: &crate::support::expositions::Metrics| {
        metrics.sum("hooktide_events_total", &[("result", "skipped")]) >= 3.0
    };
    process.wait_for_metrics(SOON, skipped).await?;
    assert!(scene.installation.read_topic("rejects").await?.is_empty());
    Ok(())
}

/// As Debezium's connectors write with Confluent's Avro converter.
async fn changes_written_in_avro_are_events(bed: Bed) -> Outcome {
    let registry = bed.registry()?;
    let mapping = json!({"unwrap": "debezium", "snapshots": "created", "type": {"constant": "order"},
        "id": {"path": "source.lsn"}, "tenant": {"path": ["after.tenant", "before.tenant"]}});
    let urls = json!([registry.url()]).to_string();
    let settings = [("schema_registry.urls", &*urls)];
    let scene = scene(&bed, &[("orders", mapping)], &settings).await?;
    scene.subscribe("acme/all", "/all", json!({})).await?;
    let _process = scene.run("a").await?;
    let value = json!({"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"}, {"name": "tenant", "type": "string"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ]});
    let source = json!({"type": "record", "name": "Source", "namespace": "io.debezium.connector.postgresql",
        "fields": [{"name": "table", "type": "string"}, {"name": "ts_ms", "type": "long"},
            {"name": "lsn", "type": ["null", "long"], "default": null}]});
    let schema = json!({"type": "record", "name": "Envelope", "namespace": "shop.public.orders", "fields": [
        {"name": "before", "type": ["null", value], "default": null},
        {"name": "after", "type": ["null", "Value"], "default": null},
        {"name": "source", "type": source},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": null},
    ]});
    let row = json!({"id": 1, "tenant": "acme", "total": {"$decimal": "12.50"}});
    let record = |operation: &str, before: &Value, after: &Value, lsn: u64| {
        json!({"form": "avro", "partition": 0, "schema": schema, "value": {
            "before": before, "after": after, "op": operation, "ts_ms": 1_795_341_600_123_i64,
            "source": {"table": "orders", "ts_ms": 1_795_341_600_007_i64, "lsn": lsn}}})
    };
    let records = [
        record("r", &Value::Null, &row, 7),
        record("u", &row, &row, 8),
        record("d", &row, &Value::Null, 9),
    ];
    let topic = format!("{}-orders", scene.installation.id());
    registry
        .produce(scene.installation.kafka(), &topic, &records)
        .await?;
    let received = scene.receiver.wait_for_count("/all", 3, SOON).await?;
    let row = r#"{"id":1,"tenant":"acme","total":12.50}"#;
    let mut bodies = Vec::new();
    for request in &received {
        bodies.push(std::str::from_utf8(&request.body)?.to_owned());
    }
    bodies.sort();
    let body = |verb: &str, before: &str, after: &str, id: u64| {
        format!(
            r#"{{"type":"order.{verb}","timestamp":"2026-11-22T10:00:00.007Z","data":{{"before":{before},"after":{after}}},"id":"{id}"}}"#
        )
    };
    let expected = [
        body("created", "null", row, 7),
        body("deleted", row, "null", 9),
        body("updated", row, row, 8),
    ];
    assert_eq!(bodies, expected);
    Ok(())
}

/// Events come all the while: before a topic is found, and while its partitions grow.
async fn found_topics_and_partitions_are_mapped_once(bed: Bed) -> Outcome {
    const EACH: usize = 20;
    let mut installation = Installation::new(&bed)?;
    let id = installation.id().to_owned();
    let mapping = json!([{"topic": format!("^{id}-shop-"), "tenant": {"constant": "acme"},
        "type": {"topic": true, "capture": "-shop-(.*)$", "suffix": ".changed"}, "id": {"path": "n"}}]);
    for (key, value) in [
        ("events.start", "latest"),
        ("events.refresh", "500ms"),
        // Own topics, which are called like this too, are none of these.
        ("events.topics", &*json!([format!("^{id}")]).to_string()),
        ("events.mappings", &*mapping.to_string()),
    ] {
        installation = installation.set(key, value);
    }
    installation.create_topics(1).await?;
    let scene = Scene {
        installation,
        receiver: Receiver::start().await?,
    };
    scene.subscribe("acme/all", "/all", json!({})).await?;
    let first = scene.run("a").await?;
    let mut expected = Vec::new();
    let kafka = scene.installation.kafka();
    for topic in ["orders", "carts"] {
        let name = format!("{id}-shop-{topic}");
        kafka.create_topic(&name, 1, &[]).await?;
        for partition in 0..4 {
            if partition == 1 {
                kafka.grow_topic(&name, 4).await?;
            }
            let numbers = (0..EACH).map(|number| format!("{topic}-{partition}-{number}"));
            let records = numbers.map(|number| {
                expected.push(number.clone());
                NewRecord {
                    partition: Some(partition),
                    ..NewRecord::value(json!({"n": number}).to_string())
                }
            });
            kafka
                .produce_all(&name, &records.collect::<Vec<_>>())
                .await?;
        }
    }
    let count = expected.len();
    scene
        .receiver
        .wait_for_count("/all", count, SOON * 2)
        .await?;
    let tasks = scene.installation.read_topic("deliveries").await?;
    let ids = tasks
        .iter()
        .filter_map(|task| task.header("hooktide-event-id"));
    let mut ids: Vec<_> = ids.map(str::to_owned).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected, "each once");
    assert!(scene.installation.read_topic("rejects").await?.is_empty());
    first.sigterm()?;
    first.wait_exit(Duration::from_secs(30)).await?;
    Ok(())
}

async fn a_mapping_that_nothing_can_meet_is_refused(bed: Bed) -> Outcome {
    for (mappings, said) in [
        (
            r#"[{"topic":"other","type":{"topic":true}}]"#,
            "`events.mappings[0].topic`",
        ),
        (
            r#"[{"topic":"^x","type":{"topic":true,"key":true}}]"#,
            "`events.mappings[0].type`",
        ),
        (r#"[{"topic":"^x","typ":1}]"#, "unknown field `typ`"),
    ] {
        let installation = Installation::new(&bed)?.set("events.mappings", mappings);
        let checked = installation.command(&["config", "check"]).await?;
        assert_eq!(checked.code, Some(2), "{checked:?}");
        assert!(checked.stderr.contains(said), "{said}: {checked:?}");
        let process = installation.start("a", "router")?;
        assert_eq!(process.wait_exit(READY).await?.code(), Some(2));
    }
    Ok(())
}
