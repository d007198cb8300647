//! Bodies, methods and URLs of a subscription's own, and conditions that are programs.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::expositions::Metrics;
use crate::support::kafka::NewRecord;
use crate::support::receiver::{Answer, Receiver};
use crate::support::scene::{SECRET, SOON, Scene, verify};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        every_body_arrives_byte_by_byte_on_every_attempt,
        the_event_decides_the_path_and_the_subscription_the_host,
        a_where_that_cannot_be_told_sends_nothing_and_is_told_once,
        what_fails_for_an_event_is_dead_lettered_with_the_message,
        a_program_that_is_wrong_is_not_written,
}

const EVENT: &str = r#" { "id" : "evt_1", "type":"order.created", "tenant":"acme",
    "timestamp":"2026-11-22T10:00:00Z", "data" : { "id" : "o/1", "total" : 1.10,
    "items" : [ { "sku" : "A", "n" : 1 }, { "sku" : "B" } ] } } "#;

async fn every_body_arrives_byte_by_byte_on_every_attempt(bed: Bed) -> Outcome {
    const DATA: &str = r#"{"id":"o/1","total":1.10,"items":[{"sku":"A","n":1},{"sku":"B"}]}"#;
    const TIME: &str = r#""2026-11-22T10:00:00Z""#;
    let scene = Scene::set(&bed, &[]).await?;
    let source = scene.installation.events_topic();
    let json_type = "application/json";
    let kinds = [
        (
            "fields",
            json!({"fields": ["data.items[*].n"]}),
            format!(
                r#"{{"type":"order.created","timestamp":{TIME},"data":{{"items":[{{"n":1}}]}},"id":"evt_1"}}"#
            ),
            json_type,
        ),
        (
            "mapping",
            json!({"mapping": {"external_id": "data.id", "sum.total": "data.total", "skus": "data.items[*].sku"}}),
            r#"{"external_id":"o/1","skus":["A","B"],"sum":{"total":1.10}}"#.to_owned(),
            json_type,
        ),
        (
            "cloudevents",
            json!({"body": "cloudevents"}),
            format!(
                r#"{{"specversion":"1.0","id":"evt_1","source":"{source}","type":"order.created","time":{TIME},"datacontenttype":"application/json","tenant":"acme","data":{DATA}}}"#
            ),
            "application/cloudevents+json",
        ),
        (
            "raw",
            json!({"body": "raw"}),
            EVENT.to_owned(),
            "application/json; charset=utf-8",
        ),
        ("data", json!({"body": "data"}), DATA.to_owned(), json_type),
        (
            "envelope",
            json!({"body": "envelope"}),
            format!(
                r#"{{"id":"evt_1","type":"order.created","created":{TIME},"data":{DATA},"webhook":{{"subscription_id":"envelope","delivery_attempt":1}}}}"#
            ),
            json_type,
        ),
        (
            "event",
            json!({"body": "event"}),
            format!(r#"{{"id":"evt_1","event":"order.created","timestamp":{TIME},"data":{DATA}}}"#),
            json_type,
        ),
        (
            "hook",
            json!({"body": "hook"}),
            format!(
                r#"{{"hookId":"hook","event":"order.created","data":{DATA},"timestamp":{TIME}}}"#
            ),
            json_type,
        ),
        (
            "template",
            json!({"body": {"template": "{\"text\":\"{{ data.id }} of {{ subscription.id }}\",\"total\":{{ source('data.total') }}}"}}),
            r#"{"text":"o/1 of template","total":1.10}"#.to_owned(),
            json_type,
        ),
        (
            "form",
            json!({
                "body": {"template": "order={{ data.id }}&first={{ data.items[0].sku }}"},
                "content_type": "application/x-www-form-urlencoded",
                "method": "PUT",
            }),
            "order=o%2F1&first=A".to_owned(),
            "application/x-www-form-urlencoded",
        ),
    ];
    for (id, members, ..) in &kinds {
        let path = format!("/{id}");
        scene
            .receiver
            .script(&path, [Answer::status(503), Answer::status(204)]);
        let mut members = members.clone();
        members["retry"] = json!({"schedule": ["1s"]});
        scene
            .subscribe(&format!("acme/{id}"), &path, members)
            .await?;
    }
    let _process = scene.run("a").await?;
    let record = NewRecord {
        headers: vec![(
            "content-type".to_owned(),
            b"application/json; charset=utf-8".to_vec(),
        )],
        ..NewRecord::value(EVENT)
    };
    scene.produce_all(&[record]).await?;
    for (id, _, body, content_type) in &kinds {
        let received = scene
            .receiver
            .wait_for_count(&format!("/{id}"), 2, SOON)
            .await?;
        for request in &received {
            assert_eq!(String::from_utf8_lossy(&request.body), *body, "{id}");
            assert_eq!(request.header("content-type"), Some(*content_type), "{id}");
            let method = if *id == "form" { "PUT" } else { "POST" };
            assert_eq!(request.method, method, "{id}");
            verify(request, SECRET)?;
        }
        assert_eq!(received[0].id(), received[1].id(), "{id}");
    }
    // Only what differs from the default is said in headers.
    let tasks = scene.installation.read_topic("deliveries").await?;
    for task in tasks {
        let is_form = task.key.as_deref() == Some("acme/form");
        let method = is_form.then_some("PUT");
        assert_eq!(task.header("hooktide-method"), method, "{task:?}");
        assert_eq!(task.header("hooktide-target"), None, "{task:?}");
        let is_usual = [
            "fields", "mapping", "data", "envelope", "event", "hook", "template",
        ]
        .iter()
        .any(|id| task.key == Some(format!("acme/{id}")));
        assert_eq!(
            task.header("hooktide-content-type").is_none(),
            is_usual,
            "{task:?}"
        );
    }
    Ok(())
}

async fn the_event_decides_the_path_and_the_subscription_the_host(bed: Bed) -> Outcome {
    const TARGET: &str = "/orders/o%2F1?kind=order.created";
    let scene = Scene::set(&bed, &[]).await?;
    scene
        .receiver
        .script("/orders/o%2F1", [Answer::status(503)]);
    let moved = Receiver::start().await?;
    let subscribe = |url: String| {
        let members = json!({"url": url, "retry": {"schedule": ["2s"]}});
        scene.subscribe("acme/orders", "/", members)
    };
    let path = "/orders/{{ data.id }}?kind={{ type }}";
    subscribe(scene.receiver.url(path)).await?;
    let _process = scene.run("a").await?;
    scene.produce(EVENT).await?;
    let first = scene.receiver.wait_for_count(TARGET, 1, SOON).await?;
    // To another host, and to a path that holds for new events only.
    subscribe(moved.url("/elsewhere")).await?;
    let second = moved.wait_for_count(TARGET, 1, SOON).await?;
    assert_eq!(first[0].id(), second[0].id());
    assert_eq!(first[0].body, second[0].body);
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| records.len() == 2)
        .await?;
    // By their number: records of one key may lie in either order for a reader of several partitions.
    let mut shown = BTreeMap::new();
    for attempt in attempts {
        let attempt = attempt.json()?;
        let url = attempt["url"].as_str().context("a text")?.to_owned();
        shown.insert(attempt["attempt"].as_u64(), url);
    }
    let of = |receiver: &Receiver| receiver.url("/orders/o%2F1?[redacted]");
    let expected = [(Some(1), of(&scene.receiver)), (Some(2), of(&moved))];
    assert_eq!(shown, BTreeMap::from(expected));
    Ok(())
}

async fn a_where_that_cannot_be_told_sends_nothing_and_is_told_once(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    for (id, condition) in [
        ("fails", "data.missing > 1"),
        ("asks", "has(data.missing) && data.missing > 1"),
        ("some", "data.n > 1 && tenant == 'acme'"),
    ] {
        let path = format!("/{id}");
        let members = json!({"where": condition});
        scene
            .subscribe(&format!("acme/{id}"), &path, members)
            .await?;
    }
    let process = scene.run("a").await?;
    for number in 1..=3 {
        let event = json!({"type": "t", "tenant": "acme", "data": {"n": number}});
        scene.produce(&event.to_string()).await?;
    }
    scene.receiver.wait_for_count("/some", 2, SOON).await?;
    let counted = |metrics: &Metrics| {
        metrics.sum("hooktide_filter_errors_total", &[("reason", "missing")]) == 3.0
    };
    process.wait_for_metrics(SOON, counted).await?;
    fn is_meant(value: &Value) -> bool {
        value["type"] == "filter.failed"
    }
    let told = |records: &[crate::support::topic_reader::Record]| {
        let values = records.iter().filter_map(|record| record.json().ok());
        values.filter(is_meant).count()
    };
    let notices = scene
        .installation
        .wait_for_topic("notices", SOON, move |records| told(records) >= 1)
        .await?;
    assert_eq!(told(&notices), 1);
    let notice = notices
        .iter()
        .filter_map(|record| record.json().ok())
        .find(is_meant)
        .context("a notice")?;
    assert_eq!(notice["data"]["subscription"], "fails");
    assert_eq!(notice["data"]["reason"], "missing");
    let message = notice["data"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no `missing`"), "{message}");
    assert_eq!(scene.installation.read_topic("deliveries").await?.len(), 2);
    Ok(())
}

async fn what_fails_for_an_event_is_dead_lettered_with_the_message(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let template = json!({"body": {"template": "{\n\"a\": {{ data.missing }} }"}});
    scene
        .subscribe("acme/template", "/template", template)
        .await?;
    let loud = json!({"body": {"template": "{{ data.items }} {{ data.id }}"}});
    scene.subscribe("acme/loud", "/loud", loud).await?;
    scene
        .subscribe("acme/url", "/orders/{{ data.number }}", json!({}))
        .await?;
    scene.subscribe("acme/all", "/all", json!({})).await?;
    let process = scene.run("a").await?;
    scene.produce(EVENT).await?;
    let usual = scene.receiver.wait_for_count("/all", 1, SOON).await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| records.len() == 3)
        .await?;
    let mut messages = BTreeMap::new();
    for record in &dead {
        assert_eq!(record.header("hooktide-reason"), Some("undeliverable"));
        assert_eq!(record.header("hooktide-attempt"), Some("0"));
        assert_eq!(record.header("hooktide-event-id"), Some("evt_1"));
        assert!(record.header("hooktide-delivery-id").is_some());
        assert!(record.header("hooktide-dead-at").is_some());
        assert_eq!(record.value.as_deref(), Some(&usual[0].body[..]));
        let message = record.header("hooktide-last-error").context("a message")?;
        messages.insert(record.key.clone().context("a key")?, message.to_owned());
    }
    assert!(
        messages["acme/template"].starts_with("body.template: line 2: undefined value"),
        "{messages:?}"
    );
    assert!(
        messages["acme/loud"].starts_with("body.template: what it makes is not JSON"),
        "{messages:?}"
    );
    assert_eq!(
        messages["acme/url"],
        "url: `data.number` of the URL is not a text, a number, true or false"
    );
    let counted = |metrics: &Metrics| {
        metrics.sum(
            "hooktide_dead_letters_total",
            &[("reason", "undeliverable")],
        ) == 3.0
    };
    process.wait_for_metrics(SOON, counted).await?;
    assert_eq!(scene.receiver.received().len(), 1);
    Ok(())
}

async fn a_program_that_is_wrong_is_not_written(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    for (members, expected) in [
        (json!({"where": "data.a >"}), "where: line 1, column "),
        (
            json!({"where": "dat.a > 1"}),
            "where: line 1, column 1: there is no `dat`",
        ),
        (
            json!({"where": "(".repeat(4_000)}),
            "where: line 1, column 17: brackets nest deeper than 16 levels",
        ),
        (
            json!({"body": {"template": "a\n{{ b"}}),
            "body.template: line 2: syntax error",
        ),
        (
            json!({"mapping": {"a": "data..b"}}),
            "mapping.a: a path must not have an empty step",
        ),
        (
            json!({"url": "https://{{ data.host }}/x"}),
            "`url`: must not have `{{ }}` before the path",
        ),
    ] {
        let mut value = json!({"url": "https://e.com/", "events": ["*"], "signatures": []});
        for (name, member) in members.as_object().context("an object")? {
            value[name] = member.clone();
        }
        let put = ["subscriptions", "put", "-", "--id", "wrong"];
        let ran = scene
            .installation
            .command_fed(&put, &value.to_string())
            .await?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {ran:?}");
    }
    assert!(
        scene
            .installation
            .read_topic("subscriptions")
            .await?
            .is_empty()
    );
    Ok(())
}
