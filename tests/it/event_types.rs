//! The catalogue of event types: written, held against, and what tests of subscriptions send.

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::hooktide::{Installation, Ran};
use crate::support::kafka::NewRecord;
use crate::support::receiver::Answer;
use crate::support::scene::{SECRET, SOON, Scene, event, verify};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        types_are_put_shown_listed_and_deleted,
        a_type_put_before_an_event_judges_it,
        what_is_not_as_the_catalogue_says_is_told_or_let_pass,
        an_older_installation_needs_no_catalogue,
        a_test_goes_to_one_subscription_by_the_real_path,
        a_test_that_fails_is_over_and_harms_nothing,
        a_test_says_why_nothing_is_sent,
}

/// What orders look like.
fn order() -> Value {
    json!({
        "description": "An order was placed.",
        "schema": {
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "items": {"items": {"type": "integer"}}},
        },
        "example": {"id": "o1", "items": [1]},
    })
}

#[track_caller]
fn check(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {ran:?}");
    }
}

async fn put(installation: &Installation, event_type: &str, value: &Value) -> anyhow::Result<Ran> {
    let command = ["event-types", "put", "-", "--type", event_type];
    installation.command_fed(&command, &value.to_string()).await
}

async fn types_are_put_shown_listed_and_deleted(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?;
    installation.create_topics(1).await?;
    let put_order = put(&installation, "order.created", &order()).await?;
    check(&put_order, 0, &[]);
    assert_eq!(put_order.stdout, "order.created, revision 0\n");
    let records = installation.read_topic("event_types").await?;
    assert_eq!(records[0].key.as_deref(), Some("order.created"));
    assert_eq!(records[0].json()?, order());

    for (value, words) in [
        (json!({"schema": {"type": "text"}}), "schema: `/type`"),
        (
            json!({"schema": {"$ref": "https://e.com/a"}}),
            "no other document is read",
        ),
        (json!({"type": "other"}), "`type` must be the record's key"),
        (
            json!({"schema": {"type": "object"}, "example": 1}),
            "`example`: data: value is not of type \"object\"",
        ),
    ] {
        let refused = put(&installation, "order.created", &value).await?;
        check(&refused, 1, &["nothing is written", words]);
    }
    let nameless = ["event-types", "put", "-"];
    let refused = installation.command_fed(&nameless, "{}").await?;
    check(&refused, 1, &["give --type"]);
    let named = r#"{"type":"order.gone","deprecated":true}"#;
    check(&installation.command_fed(&nameless, named).await?, 0, &[]);
    let record = NewRecord::keyed("order.broken", r#"{"schema":1}"#);
    let topic = installation.topic("event_types");
    installation.kafka().produce(&topic, &record).await?;

    let list = installation.command(&["event-types", "list"]).await?;
    for line in [
        "order.broken   invalid     2         `schema` must be an object, true or false",
        "order.created  valid       0         An order was placed.",
        "order.gone     deprecated  1",
    ] {
        assert!(list.stdout.contains(line), "{line}: {list:?}");
    }
    let show = ["event-types", "show", "order.created", "--output", "json"];
    let shown = installation.command(&show).await?.json()?;
    assert_eq!(
        (&shown["type"], &shown["state"]),
        (&json!("order.created"), &json!("valid"))
    );
    assert_eq!(
        (&shown["schema"], &shown["example"]),
        (&order()["schema"], &order()["example"])
    );
    let shown = installation.command(&show[..3]).await?;
    assert!(
        shown
            .stdout
            .contains(r#"example      {"id":"o1","items":[1]}"#),
        "{shown:?}"
    );

    let delete = ["event-types", "delete", "order.created"];
    let deleted = installation.command(&delete).await?;
    assert_eq!(deleted.stdout, "deleted order.created, revision 3\n");
    check(
        &installation.command(&delete).await?,
        1,
        &["there is no event type order.created"],
    );
    check(
        &installation.command(&show).await?,
        1,
        &["there is no event type order.created"],
    );
    Ok(())
}

async fn a_type_put_before_an_event_judges_it(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("event_types.check", "reject")]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let unknown = event("unknown", json!({"n": 0}));
    scene.installation.produce_event(&unknown).await?;
    for round in 0..5 {
        // What a type says now, and no longer what it said just before.
        scene
            .installation
            .wait_for_topic("rejects", SOON, move |records| records.len() > round)
            .await?;
        scene.receiver.wait_for_count("/hook", round, SOON).await?;
        let strict = json!({"schema": {"properties": {"n": {"const": round}}, "required": ["n"]}});
        let ran = put(&scene.installation, "order.created", &strict).await?;
        check(&ran, 0, &[]);
        for (id, n) in [("good", round), ("bad", round + 1)] {
            let event = event(&format!("{id}-{round}"), json!({"n": n}));
            scene.installation.produce_event(&event).await?;
        }
    }
    let received = scene.receiver.wait_for_count("/hook", 5, SOON).await?;
    let mut ids = received
        .iter()
        .map(|request| Ok(request.json()?["id"].as_str().context("an id")?.to_owned()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ids.sort_unstable();
    assert_eq!(ids, ["good-0", "good-1", "good-2", "good-3", "good-4"]);
    let rejects = scene
        .installation
        .wait_for_topic("rejects", SOON, |records| records.len() >= 6)
        .await?;
    let with = |reason: &str| {
        let all = rejects.iter();
        let of_reason = all.filter(|reject| reject.header("hooktide-reason") == Some(reason));
        of_reason.collect::<Vec<_>>()
    };
    assert_eq!(with("unknown_event_type").len(), 1);
    let violations = with("schema_violation");
    assert_eq!(violations.len(), 5);
    for violation in violations {
        let error = violation.header("hooktide-error").unwrap_or_default();
        assert!(error.starts_with("data.n: "), "{error}");
        assert!(error.ends_with("(rule /properties/n/const)"), "{error}");
    }
    let metrics = process.metrics().await?;
    let name = "hooktide_event_type_violations_total";
    assert_eq!(metrics.sum(name, &[("reason", "schema_violation")]), 5.0);
    assert_eq!(metrics.sum(name, &[("reason", "unknown_event_type")]), 1.0);
    assert_eq!(metrics.sum("hooktide_rejects_total", &[]), 6.0);
    Ok(())
}

async fn what_is_not_as_the_catalogue_says_is_told_or_let_pass(bed: Bed) -> Outcome {
    for (check_is, told) in [("warn", 3.0), ("off", 0.0)] {
        let scene = Scene::set(&bed, &[("event_types.check", check_is)]).await?;
        put(&scene.installation, "order.created", &order()).await?;
        let broken = NewRecord::keyed("order.broken", r#"{"schema":{"type":"text"}}"#);
        let topic = scene.installation.topic("event_types");
        scene.installation.kafka().produce(&topic, &broken).await?;
        scene.subscribe("acme/one", "/hook", json!({})).await?;
        let process = scene.run("a").await?;
        let of_type = |event_type: &str, id: &str, data: Value| json!({"id": id, "type": event_type, "tenant": "acme", "data": data});
        for event in [
            event("good", json!({"id": "o1"})),
            event("bad", json!({"id": 1})),
            of_type("order.broken", "broken", json!({})),
            of_type("other", "other", json!({})),
        ] {
            scene.installation.produce_event(&event).await?;
        }
        scene.receiver.wait_for_count("/hook", 4, SOON).await?;
        let metrics = process
            .wait_for_metrics(SOON, |metrics| {
                metrics.sum("hooktide_tasks_total", &[]) == 4.0
            })
            .await?;
        let sum = metrics.sum("hooktide_event_type_violations_total", &[]);
        assert_eq!(sum, told, "{check_is}");
        assert_eq!(metrics.sum("hooktide_rejects_total", &[]), 0.0);
        let log = process.log_text()?;
        assert_eq!(
            log.contains("data.id: value is not of type"),
            told > 0.0,
            "{log}"
        );
    }
    Ok(())
}

async fn an_older_installation_needs_no_catalogue(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let topic = scene.installation.topic("event_types");
    scene.installation.kafka().delete_topic(&topic).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    scene
        .installation
        .produce_event(&event("e", json!({})))
        .await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    let listed = scene.installation.command(&["event-types", "list"]).await?;
    check(&listed, 1, &["does not exist", "hooktide topics create"]);
    // Without one a test has something to send all the same.
    let test = ["subscriptions", "test", "one", "--tenant", "acme"];
    check(&scene.installation.command(&test).await?, 0, &[]);
    let checks = scene
        .installation
        .start_with("router", &[("event_types.check", "warn")])?;
    checks
        .wait_for_log("a rule for topics does not hold", SOON)
        .await?;
    assert!(!checks.wait_exit(SOON).await?.success());
    Ok(())
}

async fn a_test_goes_to_one_subscription_by_the_real_path(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("attempts.record", "none")]).await?;
    put(&scene.installation, "order.created", &order()).await?;
    let members = json!({
        "events": ["user.*", "order.*"], "headers": {"X-Api-Key": "hidden-key"},
        "filters": [{"field": "data.id", "operator": "equals", "value": "o1"}],
        "method": "PUT", "rate_limit": {"requests": 100, "per": "1s"},
    });
    scene
        .subscribe("acme/one", "/one?token=hidden-token", members)
        .await?;
    scene.subscribe("acme/two", "/two", json!({})).await?;
    let answer = Answer::status(200).body("thank you");
    scene.receiver.script("/one", [answer, Answer::status(204)]);
    let _process = scene.run("a").await?;
    let test = ["subscriptions", "test", "one", "--tenant", "acme"];
    let json = [&test[..], &["--output", "json"]].concat();
    let ran = scene.installation.command(&json).await?;
    check(&ran, 0, &[]);
    let report = ran.json()?;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let request = &received[0];
    verify(request, SECRET)?;
    assert_eq!(request.header("x-api-key"), Some("hidden-key"));
    assert_eq!(request.header("webhook-id"), report["delivery_id"].as_str());
    let body = request.json()?;
    assert_eq!(
        (&body["type"], &body["data"]),
        (&json!("order.created"), &order()["example"])
    );
    let id = body["id"].as_str().context("an id")?;
    assert!(
        id.starts_with("test_") && report["event_id"] == id,
        "{report}"
    );
    assert_eq!(
        report["request"]["body"],
        String::from_utf8(request.body.to_vec())?
    );
    assert_eq!(report["request"]["method"], "PUT");
    assert_eq!(report["request"]["headers"]["x-api-key"], "[redacted]");
    assert_eq!(report["answer"]["outcome"], "delivered");
    assert_eq!(report["answer"]["status"], 200);
    assert_eq!(report["answer"]["response"], "thank you");
    assert_eq!(
        report["answer"]["started_at"].as_str().map(str::len),
        Some(24)
    );

    let file = bed.folder().join("data.json");
    std::fs::write(&file, r#" {"id" : "o1", "more":1.10, "items":["a"]} "#)?;
    let data = [
        "--type",
        "order.made",
        "--data",
        file.to_str().context("a name")?,
    ];
    let ran = scene
        .installation
        .command(&[&test[..], &data].concat())
        .await?;
    check(&ran, 0, &[]);
    for words in [
        "request   PUT http://",
        "answer    204",
        "times     produced ",
    ] {
        assert!(ran.stdout.contains(words), "{ran:?}");
    }
    assert!(
        ran.stdout
            .contains(r#""data":{"id":"o1","more":1.10,"items":["a"]}"#),
        "{ran:?}"
    );
    let data = [
        "--type",
        "order.created",
        "--data",
        file.to_str().context("a name")?,
    ];
    let ran = scene
        .installation
        .command(&[&test[..], &data].concat())
        .await?;
    check(
        &ran,
        0,
        &["note: the data is not as the catalogue says: data.items[0]: "],
    );
    for secret in ["hidden-key", "hidden-token", SECRET] {
        assert!(
            !format!("{ran:?}{report}").contains(secret),
            "{ran:?} {report}"
        );
    }
    assert!(scene.receiver.received_at("/two").is_empty());
    Ok(())
}

async fn a_test_that_fails_is_over_and_harms_nothing(bed: Bed) -> Outcome {
    let settings = [
        ("retry.tiers", r#"["1s"]"#),
        ("retry.schedule", r#"["1s"]"#),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.subscribe("acme/gone", "/gone", json!({})).await?;
    scene
        .receiver
        .script("/gone", [Answer::status(410), Answer::status(204)]);
    let refused = json!({"url": "https://10.0.0.1/hook"});
    scene.subscribe("acme/refused", "/", refused).await?;
    let _process = scene.run("a").await?;
    let test = |id: &'static str| ["subscriptions", "test", id, "--tenant", "acme"];
    let ran = scene.installation.command(&test("gone")).await?;
    check(&ran, 1, &["it is not delivered"]);
    assert!(ran.stdout.contains("answer    410"), "{ran:?}");
    let ran = scene.installation.command(&test("refused")).await?;
    check(&ran, 1, &["it is not delivered"]);
    assert!(ran.stdout.contains("answer    refused_address"), "{ran:?}");
    let letters = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| records.len() >= 2)
        .await?;
    for letter in &letters {
        assert_eq!(letter.header("hooktide-test"), Some("1"));
    }
    // Neither disabled nor told about: the next event is delivered.
    let next = event("evt", json!({}));
    scene.installation.produce_event(&next).await?;
    scene.receiver.wait_for_count("/gone", 2, SOON).await?;
    let notices = scene.installation.read_topic("notices").await?;
    let disabled = |notice: &Value| notice["type"] == "endpoint.disabled";
    for notice in &notices {
        assert!(!disabled(&notice.json()?), "{notice:?}");
    }
    Ok(())
}

async fn a_test_says_why_nothing_is_sent(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let small = json!([{"field": "data.n", "operator": "less_than", "value": 5}]);
    for (id, members) in [
        ("filtered", json!({"filters": small})),
        ("paused", json!({"state": "paused"})),
        ("prefix", json!({"events": ["order.*"]})),
        ("braked", json!({})),
        ("good", json!({})),
    ] {
        scene
            .subscribe(&format!("acme/{id}"), "/hook", members)
            .await?;
    }
    let invalid = NewRecord::keyed("acme/invalid", "{}");
    let topic = scene.installation.topic("subscriptions");
    scene.installation.kafka().produce(&topic, &invalid).await?;
    let pause = [
        "endpoints",
        "pause",
        "--subscription",
        "braked",
        "--tenant",
        "acme",
    ];
    check(&scene.installation.command(&pause).await?, 0, &[]);
    for (id, words) in [
        ("none", "there is no subscription acme/none"),
        ("invalid", "is invalid"),
        ("paused", "is paused"),
        ("prefix", "give --type"),
        ("braked", "an operator has paused"),
        ("filtered", "`filters[0]` does not hold"),
        ("good", "no dispatcher has sent it within 1s"),
    ] {
        let test = [
            "subscriptions",
            "test",
            id,
            "--tenant",
            "acme",
            "--timeout",
            "1s",
        ];
        check(&scene.installation.command(&test).await?, 1, &[words]);
    }
    assert!(scene.receiver.received().is_empty());
    Ok(())
}
