//! What is known of endpoints: which are disabled, by what, until when, and who survives it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::expositions::Metrics;
use crate::support::receiver::Answer;
use crate::support::scene::{BOTH, SOON, Scene, event};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_410_disables_until_the_subscription_is_corrected,
        what_fails_for_long_is_told_and_then_disabled,
        a_success_in_between_disables_nothing,
        another_process_knows_what_the_dead_one_found_out,
        brakes_hold_in_all_processes_and_over_restarts,
        operators_disable_and_enable,
        each_thing_is_told_once,
        notices_are_delivered_and_do_not_loop,
}

const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s"]"#);

/// No breaker opens, so that each retry is a request.
const NO_BREAKER: (&str, &str) = ("breaker.min_requests", "1000");

/// Disabled after six seconds and five attempts.
const IMPATIENT: [(&str, &str); 4] = [
    TIERS,
    NO_BREAKER,
    ("endpoints.disable_after", "6s"),
    ("endpoints.disable_min_attempts", "5"),
];

/// The notices on the topic, by time.
async fn notices(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let records = scene.installation.read_topic("notices").await?;
    let mut notices = records
        .iter()
        .map(Record::json)
        .collect::<anyhow::Result<Vec<_>>>()?;
    notices.sort_by_key(|notice| notice["timestamp"].to_string());
    notices.retain(|notice| notice["type"] != "subscription.changed");
    Ok(notices)
}

/// Their types, once there are so many.
async fn told(scene: &Scene, count: usize) -> anyhow::Result<Vec<String>> {
    let is_meant = |record: &&Record| {
        record
            .json()
            .is_ok_and(|notice| notice["type"] != "subscription.changed")
    };
    let enough = move |records: &[Record]| records.iter().filter(is_meant).count() >= count;
    scene
        .installation
        .wait_for_topic("notices", SOON, enough)
        .await?;
    let types = notices(scene).await?;
    let types = types.iter().map(|notice| notice["type"].as_str());
    Ok(types
        .map(|kind| kind.unwrap_or_default().to_owned())
        .collect())
}

async fn produce(scene: &Scene, id: &str) -> anyhow::Result<()> {
    scene.produce(&event(id, json!({})).to_string()).await
}

/// Dead letters' event ids and reasons, once there are so many.
async fn dead(scene: &Scene, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let letters = scene
        .installation
        .wait_for_topic("dlq", SOON, move |records| records.len() >= count)
        .await?;
    let text = |record: &Record, name| record.header(name).unwrap_or_default().to_owned();
    let mut dead: Vec<_> = letters
        .iter()
        .map(|letter| {
            (
                text(letter, "hooktide-event-id"),
                text(letter, "hooktide-reason"),
            )
        })
        .collect();
    dead.sort();
    Ok(dead)
}

fn skipped(reason: &'static str, count: f64) -> impl Fn(&Metrics) -> bool {
    move |metrics| metrics.sum("hooktide_skipped_tasks_total", &[("reason", reason)]) == count
}

async fn a_410_disables_until_the_subscription_is_corrected(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let answers = [Answer::status(500), Answer::status(410)];
    scene.receiver.script("/old", answers);
    let members = json!({"retry": {"schedule": ["3s"]}});
    scene.subscribe("acme/one", "/old", members).await?;
    let process = scene.run("a").await?;
    produce(&scene, "evt_1").await?;
    scene
        .installation
        .wait_for_topic("retry.3s", SOON, |records| !records.is_empty())
        .await?;
    // One pends when the other is answered 410.
    produce(&scene, "evt_2").await?;
    let both = [("evt_1", "gone"), ("evt_2", "gone")];
    let both = both.map(|(id, reason)| (id.to_owned(), reason.to_owned()));
    assert_eq!(dead(&scene, 2).await?, both);
    assert_eq!(scene.receiver.received_at("/old").len(), 2);

    produce(&scene, "evt_3").await?;
    process.wait_for_metrics(SOON, skipped("gone", 1.0)).await?;
    assert_eq!(scene.installation.read_topic("deliveries").await?.len(), 2);

    scene.subscribe("acme/one", "/new", json!({})).await?;
    produce(&scene, "evt_4").await?;
    let new = scene.receiver.wait_for_count("/new", 1, SOON).await?;
    assert_eq!(new[0].json()?["id"], "evt_4");
    let kinds = told(&scene, 2).await?;
    assert_eq!(kinds, ["endpoint.disabled", "endpoint.enabled"]);
    let told = notices(&scene).await?;
    assert_eq!(told[0]["data"]["reason"], "gone");
    assert_eq!(told[0]["data"]["last_status"], 410);
    let left = |records: &[Record]| {
        let mut ours = records
            .iter()
            .filter(|one| one.key.as_deref() == Some("acme/one"));
        ours.any(|one| one.value.is_none())
    };
    scene
        .installation
        .wait_for_topic("endpoints", SOON, left)
        .await?;
    Ok(())
}

async fn what_fails_for_long_is_told_and_then_disabled(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &IMPATIENT).await?;
    scene.receiver.script("/hook", [Answer::status(500)]);
    let retry = json!({"retry": {"schedule": vec!["1s"; 20]}});
    scene.subscribe("acme/one", "/hook", retry).await?;
    let process = scene.run("a").await?;
    for id in ["evt_1", "evt_2"] {
        produce(&scene, id).await?;
    }
    let reasons = dead(&scene, 2).await?.into_iter().map(|(_, reason)| reason);
    assert_eq!(reasons.collect::<Vec<_>>(), ["disabled", "disabled"]);
    let kinds = told(&scene, 2).await?;
    assert_eq!(kinds, ["endpoint.failing", "endpoint.disabled"]);
    let told = notices(&scene).await?;
    assert_eq!(told[1]["data"]["reason"], "failing");
    assert_eq!(told[1]["data"]["last_status"], 500);
    assert!(told[1]["data"]["failures"].as_u64() >= Some(5), "{told:?}");
    produce(&scene, "evt_3").await?;
    process
        .wait_for_metrics(SOON, skipped("failing", 1.0))
        .await?;
    let disabled =
        |metrics: &Metrics| metrics.sum("hooktide_endpoints", &[("state", "disabled")]) == 1.0;
    process.wait_for_metrics(SOON, disabled).await?;
    Ok(())
}

/// Fails for longer than it may, but for one answer.
async fn a_success_in_between_disables_nothing(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &IMPATIENT).await?;
    scene.receiver.script_with("/hook", |_, before| {
        Answer::status(if before == 8 { 204 } else { 500 })
    });
    let retry = json!({"retry": {"schedule": vec!["1s"; 8]}});
    scene.subscribe("acme/one", "/hook", retry).await?;
    let process = scene.run("a").await?;
    for id in ["evt_1", "evt_2"] {
        produce(&scene, id).await?;
    }
    let reasons: Vec<_> = dead(&scene, 1).await?;
    assert_eq!(reasons[0].1, "exhausted");
    let kinds = told(&scene, 2).await?;
    assert!(
        !kinds.contains(&"endpoint.disabled".to_owned()),
        "{kinds:?}"
    );
    let counted = process.metrics().await?;
    assert_eq!(counted.sum("hooktide_skipped_tasks_total", &[]), 0.0);
    Ok(())
}

async fn another_process_knows_what_the_dead_one_found_out(bed: Bed) -> Outcome {
    let settings = [TIERS, ("kafka.session_timeout", "6s")];
    let scene = Scene::set(&bed, &settings).await?;
    scene.receiver.script("/hook", [Answer::status(410)]);
    let members = json!({"retry": {"schedule": ["3s"]}});
    scene.subscribe("acme/one", "/hook", members).await?;
    scene.subscribe("acme/two", "/two", json!({})).await?;
    let first = scene.run("a").await?;
    produce(&scene, "evt_1").await?;
    assert_eq!(dead(&scene, 1).await?.len(), 1);
    scene.receiver.wait_for_count("/two", 1, SOON).await?;
    first.kill9().await?;

    // Made by a router that did not know it: the dispatcher does.
    let tasks = scene.installation.read_topic("deliveries").await?;
    let task = tasks
        .iter()
        .find(|task| task.key.as_deref() == Some("acme/one"));
    let task = crate::support::kafka::NewRecord {
        key: Some("acme/one".to_owned()),
        value: task.and_then(|task| task.value.clone()),
        headers: task.map(|task| task.headers.clone()).unwrap_or_default(),
        partition: task.map(|task| task.partition),
    };
    let topic = scene.installation.topic("deliveries");
    scene.installation.kafka().produce(&topic, &task).await?;
    let second = scene.installation.start("b", BOTH)?;
    second.wait_ready(Duration::from_secs(60)).await?;
    produce(&scene, "evt_2").await?;
    second
        .wait_for_metrics(2 * SOON, skipped("gone", 1.0))
        .await?;
    let gone = ("evt_1".to_owned(), "gone".to_owned());
    assert_eq!(dead(&scene, 2).await?, [gone.clone(), gone]);
    assert_eq!(scene.receiver.received_at("/hook").len(), 1);
    assert_eq!(told(&scene, 1).await?, ["endpoint.disabled"]);
    Ok(())
}

fn parked(metrics: &Metrics) -> bool {
    metrics.sum("hooktide_parked_total", &[("reason", "braked")]) >= 1.0
}

/// Two processes share the partitions; tenants are many enough that both have some.
async fn brakes_hold_in_all_processes_and_over_restarts(bed: Bed) -> Outcome {
    const SUBSCRIPTIONS: usize = 12;
    let scene = Scene::set(&bed, &[TIERS]).await?;
    for number in 0..SUBSCRIPTIONS {
        let key = format!("acme/s{number}");
        scene.subscribe(&key, "/acme", json!({})).await?;
    }
    let other = scene
        .receiver
        .url("/host")
        .replace("127.0.0.1", "localhost");
    let other = json!({"url": other, "events": ["*"]});
    scene.subscribe("other/one", "/host", other).await?;
    let first = scene.run("a").await?;
    let second = scene.run("b").await?;
    let command = async |arguments: &[&str]| {
        let all = [&["endpoints"], arguments].concat();
        let ran = scene.installation.command(&all).await?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        anyhow::Ok(ran)
    };
    command(&["pause", "--tenant", "acme"]).await?;
    command(&["pause", "--host", "LOCALHOST"]).await?;
    // Two brakes.
    let braked =
        |metrics: &Metrics| metrics.sum("hooktide_endpoints", &[("state", "braked")]) == 2.0;
    let at_once = Duration::from_secs(2);
    first.wait_for_metrics(at_once, braked).await?;
    second.wait_for_metrics(at_once, braked).await?;
    produce(&scene, "evt_1").await?;
    let of_other = json!({"id": "evt_2", "type": "a", "tenant": "other", "data": 1});
    scene.produce(&of_other.to_string()).await?;
    for process in [&first, &second] {
        process.wait_for_metrics(SOON, parked).await?;
    }
    let list = ["list", "--output", "json"];
    let listed = command(&list).await?.json()?;
    assert_eq!(listed[0]["host"], "localhost");
    assert_eq!(listed[1]["tenant"], "acme");
    assert_eq!(listed[1]["state"], "paused");

    first.kill9().await?;
    second.kill9().await?;
    let third = scene.run("a").await?;
    let fourth = scene.run("b").await?;
    for process in [&third, &fourth] {
        process.wait_for_metrics(2 * SOON, parked).await?;
    }
    assert!(scene.receiver.received().is_empty());

    command(&["resume", "--tenant", "acme"]).await?;
    let acme = scene
        .receiver
        .wait_for_count("/acme", SUBSCRIPTIONS, 2 * SOON)
        .await?;
    assert_eq!(acme.len(), SUBSCRIPTIONS);
    assert!(scene.receiver.received_at("/host").is_empty());
    command(&["resume", "--host", "localhost"]).await?;
    scene.receiver.wait_for_count("/host", 1, 2 * SOON).await?;
    assert_eq!(command(&list).await?.json()?, json!([]));
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn operators_disable_and_enable(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    let command = async |arguments: &[&str]| {
        let all = [&["endpoints"], arguments, &["--tenant", "acme"]].concat();
        scene.installation.command(&all).await
    };
    let ran = command(&["disable", "two"]).await?;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("there is no subscription acme/two"),
        "{ran:?}"
    );
    assert_eq!(
        command(&["disable", "one"]).await?.stdout,
        "disabled acme/one\n"
    );
    let again = command(&["disable", "one"]).await?.stdout;
    assert!(again.contains("is disabled already"), "{again}");
    assert_eq!(told(&scene, 1).await?, ["endpoint.disabled"]);
    produce(&scene, "evt_1").await?;
    process
        .wait_for_metrics(SOON, skipped("operator", 1.0))
        .await?;
    let listed = command(&["list"]).await?.stdout;
    assert!(listed.starts_with("acme/one  disabled  "), "{listed}");
    assert!(listed.contains("an operator has disabled it"), "{listed}");

    assert_eq!(
        command(&["enable", "one"]).await?.stdout,
        "enabled acme/one\n"
    );
    assert_eq!(told(&scene, 2).await?[1], "endpoint.enabled");
    assert_eq!(
        command(&["enable", "one"]).await?.stdout,
        "acme/one is not disabled\n"
    );
    produce(&scene, "evt_2").await?;
    let requests = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    assert_eq!(requests[0].json()?["id"], "evt_2");
    // No switch of an earlier time comes back with another process.
    process.kill9().await?;
    let _process = scene.run("a").await?;
    produce(&scene, "evt_3").await?;
    scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    assert_eq!(told(&scene, 2).await?.len(), 2);
    Ok(())
}

/// How often each type was told, and for how many deliveries where that is said.
async fn counts(scene: &Scene) -> anyhow::Result<Vec<(String, u64)>> {
    let mut counts = std::collections::BTreeMap::new();
    for record in scene.installation.read_topic("notices").await? {
        let notice = record.json()?;
        let kind = notice["type"].as_str().unwrap_or_default().to_owned();
        *counts.entry(kind).or_default() += notice["data"]["count"].as_u64().unwrap_or(1);
    }
    Ok(counts.into_iter().collect())
}

/// Waits until the counts are these.
async fn wait_for_counts(scene: &Scene, expected: &[(&str, u64)]) -> anyhow::Result<()> {
    let least = expected.len();
    let mut records = least;
    loop {
        let enough = move |found: &[Record]| found.len() >= records;
        let found = scene.installation.wait_for_topic("notices", SOON, enough);
        // Only more records can change what was found.
        records = found.await?.len() + 1;
        let counts = counts(scene).await?;
        let counts: Vec<_> = counts
            .iter()
            .map(|(kind, count)| (&**kind, *count))
            .collect();
        if counts == expected {
            return Ok(());
        }
    }
}

async fn each_thing_is_told_once(bed: Bed) -> Outcome {
    let settings = [
        TIERS,
        NO_BREAKER,
        ("endpoints.disable_after", "5s"),
        ("endpoints.disable_min_attempts", "2"),
        ("endpoints.auto_disable", "false"),
        ("notices.window", "1s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let once = || json!({"retry": {"schedule": []}});
    scene.receiver.script("/dead", [Answer::status(500)]);
    scene.subscribe("acme/dead", "/dead", once()).await?;
    let process = scene.run("a").await?;
    for number in 0..5 {
        produce(&scene, &format!("evt_{number}")).await?;
    }
    assert_eq!(dead(&scene, 5).await?.len(), 5);
    wait_for_counts(&scene, &[("delivery.exhausted", 5)]).await?;

    // Told to be failing, then well again.
    let busy = Answer::status(429).header("retry-after", "1");
    let failed = || Answer::status(500);
    let answers = [failed(), failed(), failed(), busy, Answer::status(204)];
    scene.receiver.script("/late", answers);
    let retry = json!({"retry": {"schedule": ["1s", "1s", "1s", "1s"]}});
    scene.subscribe("acme/dead", "/late", retry).await?;
    produce(&scene, "evt_6").await?;
    scene.receiver.wait_for_count("/late", 5, 2 * SOON).await?;
    let mut expected = vec![
        ("delivery.exhausted", 5),
        ("endpoint.failing", 1),
        ("endpoint.recovered", 1),
        ("endpoint.throttled", 1),
        ("subscription.changed", 1),
    ];
    wait_for_counts(&scene, &expected).await?;

    // Changed by whoever, while nobody is there to see it.
    process.kill9().await?;
    scene
        .subscribe("acme/bad", "/bad", json!({"unknown": 1}))
        .await?;
    let process = scene.run("a").await?;
    expected.push(("subscription.invalid", 1));
    wait_for_counts(&scene, &expected).await?;

    // What pends is cancelled by a deletion.
    scene.receiver.script("/gone", [Answer::status(500)]);
    let retry = json!({"retry": {"schedule": ["3s"]}});
    scene.subscribe("acme/dead", "/gone", retry).await?;
    for number in 10..13 {
        produce(&scene, &format!("evt_{number}")).await?;
    }
    scene
        .installation
        .wait_for_topic("retry.3s", SOON, |records| records.len() >= 3)
        .await?;
    scene.installation.delete_subscription("acme/dead").await?;
    expected[4].1 = 3;
    expected.insert(0, ("deliveries.cancelled", 3));
    wait_for_counts(&scene, &expected).await?;
    // With another process nothing is told again.
    process.kill9().await?;
    let _process = scene.run("a").await?;
    scene.subscribe("acme/new", "/new", json!({})).await?;
    expected[5].1 = 4;
    wait_for_counts(&scene, &expected).await
}

/// The endpoint that notices go to fails as well.
async fn notices_are_delivered_and_do_not_loop(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS, ("notices.window", "0s")]).await?;
    let once = |events: &str| json!({"events": [events], "retry": {"schedule": []}});
    for path in ["/hook", "/ops"] {
        scene.receiver.script(path, [Answer::status(500)]);
    }
    scene
        .subscribe("acme/one", "/hook", once("order.*"))
        .await?;
    scene
        .subscribe("acme/ops", "/ops", once("delivery.*"))
        .await?;
    let installation = &scene.installation;
    let topics = [installation.events_topic(), installation.topic("notices")];
    let topics = json!(topics).to_string();
    let settings = [("instance_id", "a"), ("events.topics", topics.as_str())];
    let process = installation.start_with(BOTH, &settings)?;
    process.wait_ready(SOON).await?;
    for (number, id) in ["evt_1", "evt_2"].into_iter().enumerate() {
        produce(&scene, id).await?;
        let told = scene
            .receiver
            .wait_for_count("/ops", number + 1, SOON)
            .await?;
        assert_eq!(told[number].json()?["type"], "delivery.exhausted");
        assert_eq!(told[number].json()?["data"]["subscription"], "one");
        // That of the notice as well.
        assert_eq!(
            dead(&scene, 2 * (number + 1)).await?.len(),
            2 * (number + 1)
        );
    }
    assert_eq!(
        counts(&scene).await?,
        [("delivery.exhausted".to_owned(), 2)]
    );
    Ok(())
}
