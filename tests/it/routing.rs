//! Which events reach which endpoints, and what arrives there.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::foreign_producers::ForeignProducer;
use crate::support::receiver::Received;
use crate::support::scene::{OTHER_SECRET, SECRET, SOON, Scene, event, verify};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        events_of_foreign_clients_reach_the_right_endpoints,
        values_keep_their_text,
        a_request_is_what_the_contract_says,
        filters_and_fields_apply,
        a_subscription_applies_to_the_event_after_it,
}

async fn events_of_foreign_clients_reach_the_right_endpoints(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene
        .subscribe(
            "acme/orders",
            "/acme/orders",
            json!({"events": ["order.*"]}),
        )
        .await?;
    scene.subscribe("acme/all", "/acme/all", json!({})).await?;
    scene
        .subscribe(
            "globex/paid",
            "/globex/paid",
            json!({"events": ["invoice.paid"]}),
        )
        .await?;
    let _process = scene.run("a").await?;

    let mut produced = Vec::new();
    for producer in [ForeignProducer::Java, ForeignProducer::Kcat] {
        let events = [
            ("acme", "order.created"),
            ("acme", "order.line.added"),
            ("acme", "order"),
            ("acme", "invoice.paid"),
            ("globex", "order.created"),
            ("globex", "invoice.paid"),
            ("default", "invoice.paid"),
        ]
        .map(|(tenant, kind)| {
            let id = format!("{producer:?}-{tenant}-{kind}");
            json!({"id": id, "type": kind, "tenant": tenant, "data": {}}).to_string()
        });
        let records = events.each_ref().map(|event| ("key", event.as_str()));
        let topic = scene.installation.events_topic();
        let kafka = scene.installation.kafka();
        if producer.produce(kafka, &topic, &records).await? {
            produced.push(producer);
        }
    }
    anyhow::ensure!(!produced.is_empty(), "no client that is not ours is here");

    let mut expected = BTreeSet::new();
    for producer in produced {
        for (path, arrivals) in [
            (
                "/acme/orders",
                &["acme-order.created", "acme-order.line.added"][..],
            ),
            (
                "/acme/all",
                &[
                    "acme-order.created",
                    "acme-order.line.added",
                    "acme-order",
                    "acme-invoice.paid",
                ],
            ),
            ("/globex/paid", &["globex-invoice.paid"]),
        ] {
            let ids = arrivals.iter().map(|id| format!("{producer:?}-{id}"));
            expected.extend(ids.map(|id| (path.to_owned(), id)));
        }
    }
    let count = expected.len();
    let received = scene
        .receiver
        .wait_for(SOON, |all| all.len() >= count)
        .await?;
    let arrived: BTreeSet<_> = received.iter().filter_map(path_and_event).collect();
    assert_eq!(arrived, expected);
    for request in &received {
        verify(request, SECRET)?;
    }
    // Nothing more is on its way: every task is one of those that have arrived.
    let tasks = scene.installation.read_topic("deliveries").await?;
    assert_eq!(
        (tasks.len(), scene.receiver.received().len()),
        (count, count)
    );
    Ok(())
}

fn path_and_event(request: &Received) -> Option<(String, String)> {
    let id = request.json().ok()?["id"].as_str()?.to_owned();
    Some((request.path.clone(), id))
}

async fn values_keep_their_text(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("default/all", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(
            r#" { "data" : { "z": 1.10, "a":1e3, "s":"\u00e9 \/",
                  "big": 123456789012345678901234567890, "neg": -0.0, "list": [ 1, 2.0 ] },
                "type":"order.created", "id":"evt_1", "timestamp":"2026-11-22T10:00:00Z",
                "ignored": true } "#,
        )
        .await?;
    let received = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    assert_eq!(
        String::from_utf8(received[0].body.to_vec())?,
        r#"{"type":"order.created","timestamp":"2026-11-22T10:00:00Z","data":{"z":1.10,"a":1e3,"s":"\u00e9 \/","big":123456789012345678901234567890,"neg":-0.0,"list":[1,2.0]},"id":"evt_1"}"#
    );
    verify(&received[0], SECRET)
}

async fn a_request_is_what_the_contract_says(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let members = json!({"secrets": [SECRET, OTHER_SECRET], "headers": {"X-Team": "billing"}});
    scene.subscribe("acme/one", "/hook?a=1", members).await?;
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"n": 1})).to_string())
        .await?;

    let received = scene.receiver.wait_for_count("/hook?a=1", 1, SOON).await?;
    let request = &received[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let agent = request.header("user-agent").unwrap_or_default();
    assert!(agent.starts_with("hooktide/"), "{agent}");
    assert_eq!(request.header("x-team"), Some("billing"));
    assert!(request.id().starts_with("msg_"), "{}", request.id());
    for secret in [SECRET, OTHER_SECRET] {
        verify(request, secret)?;
    }

    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| !records.is_empty())
        .await?;
    let attempt = attempts[0].json()?;
    assert_eq!(attempts[0].key.as_deref(), Some("acme/one"));
    for (name, expected) in [
        ("delivery_id", json!(request.id())),
        ("event_id", json!("evt_1")),
        ("event_type", json!("order.created")),
        ("tenant", json!("acme")),
        ("subscription", json!("one")),
        ("attempt", json!(1)),
        ("outcome", json!("delivered")),
        ("status", json!(204)),
        ("error", json!(null)),
        ("instance", json!("a")),
    ] {
        assert_eq!(attempt[name], expected, "{name} of {attempt}");
    }
    let tasks = scene.installation.read_topic("deliveries").await?;
    assert_eq!(tasks[0].key.as_deref(), Some("acme/one"));
    assert_eq!(tasks[0].header("hooktide-delivery-id"), Some(request.id()));
    assert_eq!(tasks[0].header("hooktide-attempt"), Some("0"));
    assert_eq!(tasks[0].value.as_deref(), Some(&request.body[..]));

    let delivered = |labels| {
        move |metrics: &crate::support::expositions::Metrics| {
            metrics.sum("hooktide_deliveries_total", labels) == 1.0
        }
    };
    process
        .wait_for_metrics(SOON, delivered(&[("outcome", "delivered")]))
        .await?;
    for secret in [SECRET, OTHER_SECRET] {
        let log = std::fs::read_to_string(process.log())?;
        assert!(!log.contains(secret), "a secret is in the log");
    }
    Ok(())
}

async fn filters_and_fields_apply(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let members = json!({
        "filters": [{"field": "data.amount", "operator": "greater_than", "value": 100}],
        "fields": ["data.id"],
    });
    scene.subscribe("acme/large", "/large", members).await?;
    scene.subscribe("acme/all", "/all", json!({})).await?;
    let _process = scene.run("a").await?;
    let events = [("evt_1", "100"), ("evt_2", "100.01"), ("evt_3", r#""200""#)];
    for (id, amount) in events {
        let text = format!(
            r#"{{"id":"{id}","type":"t","tenant":"acme","timestamp":"2026-11-22T10:00:00Z","data":{{"id":7,"amount":{amount}}}}}"#
        );
        scene.produce(&text).await?;
    }
    scene.receiver.wait_for_count("/all", 3, SOON).await?;
    let large = scene.receiver.wait_for_count("/large", 1, SOON).await?;
    assert_eq!(
        String::from_utf8(large[0].body.to_vec())?,
        r#"{"type":"t","timestamp":"2026-11-22T10:00:00Z","data":{"id":7},"id":"evt_2"}"#
    );
    assert_eq!(scene.installation.read_topic("deliveries").await?.len(), 4);
    Ok(())
}

/// 200 times of 200: the router's table has passed a subscription that was acknowledged before.
async fn a_subscription_applies_to_the_event_after_it(bed: Bed) -> Outcome {
    const TIMES: usize = 200;
    let scene = Scene::set(&bed, &[]).await?;
    let _process = scene.run("a").await?;
    for number in 0..TIMES {
        let kind = format!("kind.n{number}");
        let key = format!("acme/s{number}");
        scene
            .subscribe(&key, "/hook", json!({"events": [kind]}))
            .await?;
        let event = json!({"id": kind, "type": kind, "tenant": "acme", "data": {}});
        scene.produce(&event.to_string()).await?;
    }
    let received = scene.receiver.wait_for_count("/hook", TIMES, SOON).await?;
    let ids: BTreeSet<_> = received.iter().filter_map(path_and_event).collect();
    assert_eq!(ids.len(), TIMES);
    Ok(())
}
