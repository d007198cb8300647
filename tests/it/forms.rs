//! Events that are not plain JSON, written by Confluent's serializers and the CloudEvents SDK.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::Received;
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::schema_registry::{self, Guard, SchemaRegistry};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka: framed_records_without_a_registry_are_kept;
    registry:
        every_form_gives_the_same_body,
        a_schema_evolves_in_flow,
        what_cannot_be_decoded_is_kept,
        a_registry_that_is_away_holds_what_needs_it,
        a_partition_that_is_held_changes_hands,
        a_registry_with_tls_and_a_password,
}

/// `data` of the events below.
fn data() -> Value {
    json!({"type": "record", "name": "Data", "fields": [
        {"name": "note", "type": ["null", "string"]},
        {"name": "order", "type": "string"},
        {"name": "total", "type": "double"},
    ]})
}

/// An event as an Avro record whose `data` is of this type.
fn event_schema(data: Value) -> Value {
    let time = json!({"type": "long", "logicalType": "timestamp-micros"});
    json!({"type": "record", "name": "Event", "namespace": "shop", "fields": [
        {"name": "id", "type": "string"},
        {"name": "type", "type": "string"},
        {"name": "tenant", "type": ["null", "string"], "default": null},
        {"name": "timestamp", "type": ["null", time], "default": null},
        {"name": "data", "type": data},
    ]})
}

/// A numbered Avro event on a partition.
fn numbered(number: usize, partition: i32) -> Value {
    let schema = event_schema(json!({"type": "record", "name": "Data", "fields": [
        {"name": "number", "type": "long"},
    ]}));
    json!({"form": "avro", "partition": partition, "schema": schema, "value": {
        "id": format!("evt_{partition}_{number}"), "type": "order.created", "tenant": "acme",
        "data": {"number": number},
    }})
}

fn ids(received: &[Received]) -> anyhow::Result<Vec<String>> {
    let id = |request: &Received| {
        let body = request.json()?;
        let id = body["id"].as_str().context("every body has an id")?;
        Ok(id.to_owned())
    };
    received.iter().map(id).collect()
}

/// The ids that begin so, each once, in the order in which they came first.
fn firsts(received: &[Received], prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut firsts: Vec<String> = Vec::new();
    for id in ids(received)? {
        if id.starts_with(prefix) && !firsts.contains(&id) {
            firsts.push(id);
        }
    }
    Ok(firsts)
}

async fn every_form_gives_the_same_body(bed: Bed) -> Outcome {
    let registry = bed.registry()?;
    let scene = Scene::set(&bed, &[("schema_registry.urls", &urls(&[registry.url()]))]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    let value = json!({"order": "o1", "total": 12.5, "note": null});
    let time = "2026-11-22T10:00:00.007000";
    let plain = json!({"id": "evt_1", "type": "order.created", "tenant": "acme",
        "timestamp": format!("{time}Z"), "data": value});
    let attributes = json!({"specversion": "1.0", "id": "evt_1", "source": "/shop",
        "type": "order.created", "tenant": "acme", "time": format!("{time}+00:00"),
        "datacontenttype": "application/json"});
    let mut avro = plain.clone();
    avro["timestamp"] = json!({"$millis": 1_795_341_600_007_i64});
    let json_schema = json!({"$schema": "http://json-schema.org/draft-07/schema#",
        "title": "event", "type": "object"});
    let records = [
        json!({"form": "avro", "schema": event_schema(data()), "value": avro}),
        json!({"form": "json", "schema": json_schema, "value": plain}),
        json!({"form": "structured", "attributes": attributes, "value": value}),
        json!({"form": "binary", "attributes": attributes, "value": value}),
        json!({"form": "binary_avro", "attributes": attributes, "schema": data(), "value": value}),
    ];
    let topic = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    scene.produce(&plain.to_string()).await?;
    registry.produce(kafka, &topic, &records).await?;

    let received = scene.receiver.wait_for_count("/hook", 6, SOON).await?;
    let expected = format!(
        r#"{{"type":"order.created","timestamp":"{time}Z","data":{{"note":null,"order":"o1","total":12.5}},"id":"evt_1"}}"#
    );
    let mut delivery_ids = Vec::new();
    for request in &received {
        assert_eq!(std::str::from_utf8(&request.body)?, expected);
        delivery_ids.push(request.id());
    }
    // One event of one source is one delivery, whatever its form; the topic is a source of its own.
    delivery_ids.sort_unstable();
    delivery_ids.dedup();
    assert_eq!(delivery_ids.len(), 2, "{delivery_ids:?}");
    Ok(())
}

async fn a_schema_evolves_in_flow(bed: Bed) -> Outcome {
    let registry = bed.registry()?;
    let scene = Scene::set(&bed, &[("schema_registry.urls", &urls(&[registry.url()]))]).await?;
    let filter = json!([{"field": "data.total", "operator": "greater_than", "value": 12}]);
    scene
        .subscribe("acme/one", "/hook", json!({"filters": filter}))
        .await?;
    let _process = scene.run("a").await?;
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2});
    let status = json!({"type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"]});
    let first = json!({"type": "record", "name": "Data", "fields": [
        {"name": "total", "type": decimal},
        {"name": "status", "type": status},
    ]});
    let mut second = first.clone();
    let fields = second["fields"].as_array_mut().context("fields")?;
    fields.push(json!({"name": "lines", "default": {}, "type":
        {"type": "map", "values": ["null", "long", "string"]}}));
    fields.push(json!({"name": "raw", "type": "bytes", "default": ""}));
    fields.push(json!({"name": "to", "default": null, "type": ["null", "shop.Address"]}));
    let address = json!({"type": "record", "name": "Address", "namespace": "shop", "fields": [
        {"name": "country", "type": "string"},
    ]});
    let subject = format!("{}-address", scene.installation.id());
    let references = json!([{"name": "shop.Address", "subject": subject, "schema": address}]);
    let of = |number: usize| {
        let total = json!({"$decimal": format!("1234567890123456.{number:02}")});
        let mut value = json!({"id": format!("evt_{number}"), "type": "order.paid",
            "tenant": "acme", "timestamp": null,
            "data": {"total": total, "status": "PAID"}});
        // Producers are changed one after the other: both schemas are in flow at once.
        if number < 3 || number == 4 {
            return json!({"form": "avro", "partition": 0, "schema": event_schema(first.clone()), "value": value});
        }
        value["data"]["lines"] = json!({"a": 1, "b": "two", "c": null});
        value["data"]["raw"] = json!({"$bytes": "AP8="});
        value["data"]["to"] = json!({"country": "AE"});
        json!({"form": "avro", "partition": 0, "schema": event_schema(second.clone()),
            "references": references, "value": value})
    };
    let topic = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    let records: Vec<_> = (0..10).map(of).collect();
    registry.produce(kafka, &topic, &records).await?;
    let received = scene.receiver.wait_for_count("/hook", 10, SOON).await?;
    for request in &received {
        let body = std::str::from_utf8(&request.body)?;
        let number: usize = request.json()?["id"]
            .as_str()
            .and_then(|id| id.strip_prefix("evt_"))
            .context("an id")?
            .parse()?;
        let mut data = format!(r#""total":1234567890123456.{number:02},"status":"PAID""#);
        if number >= 3 && number != 4 {
            data += r#","lines":{"a":1,"b":"two","c":null},"raw":"AP8=","to":{"country":"AE"}"#;
        }
        assert!(body.contains(&format!(r#""data":{{{data}}}"#)), "{body}");
    }
    Ok(())
}

/// On one partition, in front of an event that is good.
async fn rejected(scene: &Scene, bad: &[(NewRecord, &'static str)]) -> Outcome {
    let on_one_partition = |record: NewRecord| NewRecord {
        partition: Some(0),
        ..record
    };
    let good = NewRecord::value(event("evt_good", json!({})).to_string());
    let records = bad.iter().map(|(record, _)| record.clone()).chain([good]);
    let records: Vec<_> = records.map(on_one_partition).collect();
    scene.produce_all(&records).await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    let count = bad.len();
    let rejects = scene
        .installation
        .wait_for_topic("rejects", SOON, move |records| records.len() >= count)
        .await?;
    let topic = scene.installation.events_topic();
    for (offset, (record, reason)) in bad.iter().enumerate() {
        let source = format!("{topic}/0/{offset}");
        let kept = rejects
            .iter()
            .find(|reject| reject.header("hooktide-source") == Some(&source));
        let kept = kept.with_context(|| format!("{source} is not among {rejects:#?}"))?;
        assert_eq!(kept.header("hooktide-reason"), Some(*reason), "{kept:?}");
        assert_eq!(kept.value, record.value, "{kept:?}");
    }
    Ok(())
}

fn with_headers(value: &[u8], headers: &[(&str, &str)]) -> NewRecord {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    NewRecord {
        headers: headers.iter().map(header).collect(),
        ..NewRecord::value(value)
    }
}

async fn what_cannot_be_decoded_is_kept(bed: Bed) -> Outcome {
    let registry = bed.registry()?;
    // The first URL answers nobody.
    let urls = urls(&["http://127.0.0.1:1", registry.url()]);
    let scene = Scene::set(&bed, &[("schema_registry.urls", &urls)]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let unknown = b"\x00\x7f\xff\xff\xff\x02";
    let batch = "application/cloudevents-batch+json";
    let others = (1..=20).map(|id| {
        let value = [&[0, 0x7f, 0xff, 0xff, id], &b"x"[..]].concat();
        (NewRecord::value(value), "unknown_schema")
    });
    let bad = [
        (NewRecord::value(unknown), "unknown_schema"),
        (NewRecord::value(b"\x00\x00\x00"), "truncated_framing"),
        (
            with_headers(b"x", &[("__value_schema_id", "?")]),
            "bad_schema_header",
        ),
        (
            with_headers(b"[]", &[("content-type", batch)]),
            "cloudevents_batch_not_supported",
        ),
        (
            with_headers(b"1", &[("ce_specversion", "2.0")]),
            "bad_specversion",
        ),
        (NewRecord::value(unknown), "unknown_schema"),
    ];
    let bad: Vec<_> = bad.into_iter().chain(others).collect();
    rejected(&scene, &bad).await?;
    let metrics = process.metrics().await?;
    let unknown = [("reason", "unknown_schema")];
    assert_eq!(metrics.sum("hooktide_rejects_total", &unknown), 22.0);
    let asked = "hooktide_schema_registry_requests_total";
    // Each id once.
    assert_eq!(metrics.sum(asked, &[("result", "unknown")]), 21.0);
    Ok(())
}

async fn framed_records_without_a_registry_are_kept(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    let framed = NewRecord::value(b"\x00\x00\x00\x00\x01\x02");
    rejected(&scene, &[(framed, "no_schema_registry")]).await
}

/// How long the registry is away in a test.
const OUTAGE: Duration = Duration::from_secs(60);

async fn is_held(process: &Process) -> Outcome {
    let said = "the schema registry does not answer";
    process.wait_for_log(said, READY).await?;
    let held = |metrics: &crate::support::expositions::Metrics| {
        metrics.sum("hooktide_schema_registry_held_partitions", &[]) >= 1.0
    };
    process.wait_for_metrics(SOON, held).await.map(drop)
}

async fn a_registry_that_is_away_holds_what_needs_it(bed: Bed) -> Outcome {
    const COUNT: usize = 300;
    let registry = SchemaRegistry::start_apart(&bed.folder().join("registry"), &Guard::default())?;
    let settings = [
        ("schema_registry.urls", &*urls(&[registry.url()])),
        ("schema_registry.timeout", "500ms"),
        ("kafka.session_timeout", "6s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let topic = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    let records: Vec<_> = (0..COUNT).map(|number| numbered(number, 0)).collect();
    registry.produce(kafka, &topic, &records).await?;
    registry.signal("STOP")?;

    let process = scene.installation.start("a", BOTH)?;
    is_held(&process).await?;
    let before = process.metrics().await?;
    // The other partition goes on, for longer than a session lasts.
    let until = Instant::now() + OUTAGE;
    let mut plain = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while Instant::now() < until {
        tick.tick().await;
        let id = format!("evt_plain_{plain}");
        let record = NewRecord {
            partition: Some(1),
            ..NewRecord::value(event(&id, json!({})).to_string())
        };
        scene.produce_all(&[record]).await?;
        plain += 1;
        let received = scene.receiver.wait_for_count("/hook", plain, SOON).await?;
        assert_eq!(ids(&received)?.last(), Some(&id));
    }
    assert_eq!(process.status_of("/ready").await?, 503);
    assert!(process.get("/ready").await?.1.contains("holding"));
    assert_eq!(process.status_of("/health").await?, 200);
    let after = process.metrics().await?;
    let failed = [("result", "failed")];
    let asked = "hooktide_schema_registry_requests_total";
    let asked = after.sum(asked, &failed) - before.sum(asked, &failed);
    assert!(
        (1.0..40.0).contains(&asked),
        "{asked} requests in {OUTAGE:?}"
    );

    registry.signal("CONT")?;
    process.wait_ready(READY).await?;
    let all = COUNT + plain;
    let received = scene
        .receiver
        .wait_for_count("/hook", all, SOON * 2)
        .await?;
    assert_eq!(firsts(&received, "evt_")?.len(), all);
    let tasks = scene.installation.read_topic("deliveries").await?;
    let events = tasks
        .iter()
        .filter_map(|task| task.header("hooktide-event-id"))
        .filter(|id| id.starts_with("evt_0_"));
    let events: Vec<_> = events.map(str::to_owned).collect();
    let expected: Vec<_> = (0..COUNT).map(|number| format!("evt_0_{number}")).collect();
    assert_eq!(events, expected, "once, and in their order");
    let log = process.log_text()?;
    for said in [
        "the schema registry does not answer",
        "the schema registry answers again",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{said}");
    }
    assert_eq!(scene.installation.read_topic("rejects").await?.len(), 0);
    Ok(())
}

async fn a_partition_that_is_held_changes_hands(bed: Bed) -> Outcome {
    const COUNT: usize = 20;
    let registry = SchemaRegistry::start_apart(&bed.folder().join("registry"), &Guard::default())?;
    let settings = [
        ("schema_registry.urls", &*urls(&[registry.url()])),
        ("schema_registry.timeout", "500ms"),
        ("kafka.session_timeout", "6s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let topic = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    let both = (0..COUNT).flat_map(|number| [numbered(number, 0), numbered(number, 1)]);
    let records: Vec<_> = both.collect();
    registry.produce(kafka, &topic, &records).await?;
    registry.signal("STOP")?;
    let first = scene.installation.start_dynamic(BOTH)?;
    is_held(&first).await?;
    let second = scene.installation.start_dynamic(BOTH)?;
    is_held(&second).await?;
    first.sigterm()?;
    let asked = Instant::now();
    assert_eq!(first.wait_exit(SOON).await?.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10));
    registry.signal("CONT")?;
    let received = scene
        .receiver
        .wait_for_count("/hook", 2 * COUNT, SOON * 2)
        .await?;
    for partition in ["evt_0_", "evt_1_"] {
        let mut found = firsts(&received, partition)?;
        found.sort();
        assert_eq!(found.len(), COUNT, "{found:?}");
    }
    Ok(())
}

async fn a_registry_with_tls_and_a_password(bed: Bed) -> Outcome {
    let files = Certificates::write(bed.folder())?;
    let guard = Guard {
        basic: Some(("reader".to_owned(), "pass:word".to_owned())),
        tls: Some((files.server.0, files.server.1, files.authority.clone())),
    };
    let registry = SchemaRegistry::start_apart(&bed.folder().join("registry"), &guard)?;
    let secret = bed.folder().join("secret");
    std::fs::write(&secret, "pass:word\n")?;
    let shown = |path: &Path| path.display().to_string();
    let settings = [
        ("schema_registry.urls", urls(&[registry.url()])),
        ("schema_registry.ca_file", shown(&files.authority)),
        ("schema_registry.certificate_file", shown(&files.client.0)),
        ("schema_registry.key_file", shown(&files.client.1)),
    ];
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    // Not for `topics create`, which would write to the registry.
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let confluent = json!({"url": registry.url(), "basic.auth.user.info": "reader:pass:word",
        "ssl.ca.location": files.authority, "ssl.certificate.location": files.client.0,
        "ssl.key.location": files.client.1});
    let topic = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    schema_registry::produce(kafka, &topic, confluent, &[numbered(0, 0)]).await?;
    let run = |password: (&str, &str)| {
        let user = ("schema_registry.username", "reader");
        let all = [&settings[..], &[("instance_id", "a"), user, password]].concat();
        scene.installation.start_with(BOTH, &all)
    };
    let process = run(("schema_registry.password", "wrong one"))?;
    is_held(&process).await?;
    let log = process.log_text()?;
    assert!(log.contains("401") && !log.contains("wrong one"), "{log}");
    process.sigterm()?;
    process.wait_exit(SOON).await?;

    let process = run(("schema_registry.password__file", &shown(&secret)))?;
    process.wait_ready(READY).await?;
    let received = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    assert_eq!(ids(&received)?, ["evt_0_0"]);
    assert!(!process.log_text()?.contains("pass:word"));
    Ok(())
}

/// An authority, and what it vouches for: PEM files of certificates and their keys.
struct Certificates {
    authority: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
}

impl Certificates {
    fn write(folder: &Path) -> anyhow::Result<Self> {
        let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate()?;
        let authority = folder.join("authority.pem");
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, key)?;
        std::fs::write(&authority, issuer.pem())?;
        let signed = |name: &str| {
            let key = rcgen::KeyPair::generate()?;
            let names = vec!["127.0.0.1".to_owned()];
            let mut parameters = rcgen::CertificateParams::new(names)?;
            // One that has its issuer's name passes for its own issuer.
            let common = rcgen::DnType::CommonName;
            parameters.distinguished_name.push(common, name);
            let certificate = parameters.signed_by(&key, &issuer)?;
            let files = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
            std::fs::write(&files[0], certificate.pem())?;
            std::fs::write(&files[1], key.serialize_pem())?;
            let [certificate, key] = files;
            anyhow::Ok((certificate, key))
        };
        Ok(Self {
            server: signed("server")?,
            client: signed("client")?,
            authority,
        })
    }
}

/// A list as the environment gives it.
fn urls(urls: &[&str]) -> String {
    json!(urls).to_string()
}
