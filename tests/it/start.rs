//! How a process begins and ends, and what it refuses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::support::hooktide::Installation;
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::{Answer, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        latest_leaves_the_backlog,
        latest_is_decided_once,
        partitions_found_later_begin_at_earliest,
        topics_found_later_begin_at_earliest,
        a_topic_found_later_begins_at_earliest_on_every_member,
        patterns_match_no_own_topics,
        wrong_topics_are_refused_by_name,
        topics_are_created_once,
        the_younger_of_two_with_one_instance_id_stays,
        a_second_sigterm_ends_at_once,
        wrong_settings_are_refused_by_key,
        shown_settings_hold_no_secrets,
        too_few_files_are_refused_and_few_are_shared_out,
}

pub(super) const LATEST: (&str, &str) = ("events.start", "latest");

/// Produces numbered events to a topic, with the number as the id.
pub(super) async fn produce(
    installation: &Installation,
    topic: &str,
    numbers: std::ops::Range<usize>,
    partition: Option<i32>,
) -> Outcome {
    let records: Vec<_> = numbers
        .map(|number| NewRecord {
            partition,
            ..NewRecord::value(event(&format!("{topic}/{number}"), json!({})).to_string())
        })
        .collect();
    installation
        .kafka()
        .produce_all(topic, &records)
        .await
        .map(drop)
}

/// The numbers of the events of [`produce`] that tasks were made of, each as often as it was.
fn numbers(tasks: &[Record], topic: &str) -> Vec<usize> {
    let ids = tasks
        .iter()
        .filter_map(|task| task.header("hooktide-event-id"));
    let of_topic = ids.filter_map(|id| id.strip_prefix(topic)?.strip_prefix('/'));
    let mut numbers: Vec<usize> = of_topic.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until a task was made of each of these events; nothing else may have been made of `topic`.
pub(super) async fn wait_for_tasks(
    installation: &Installation,
    topic: &str,
    expected: std::ops::Range<usize>,
) -> Outcome {
    let (name, expected) = (topic.to_owned(), expected.collect::<Vec<_>>());
    let count = expected.len();
    let waited = installation
        .wait_for_topic("deliveries", SOON, move |tasks| {
            numbers(tasks, &name).len() >= count
        })
        .await?;
    assert_eq!(numbers(&waited, topic), expected);
    Ok(())
}

pub(super) async fn start_router(
    installation: &Installation,
    instance: &str,
) -> anyhow::Result<Process> {
    let process = installation.start(instance, "router")?;
    process.wait_ready(READY).await?;
    Ok(process)
}

async fn latest_leaves_the_backlog(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[LATEST]).await?;
    let installation = &scene.installation;
    let events = installation.events_topic();
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    produce(installation, &events, 0..50, None).await?;
    let process = scene.run("a").await?;
    produce(installation, &events, 50..70, None).await?;
    wait_for_tasks(installation, &events, 50..70).await?;
    scene.receiver.wait_for_count("/hook", 20, SOON).await?;

    // What comes while nothing runs is not a backlog any more.
    process.kill9().await?;
    produce(installation, &events, 70..90, None).await?;
    let _process = scene.run("a").await?;
    wait_for_tasks(installation, &events, 50..90).await
}

/// Whoever is told that the process is ready can count on it, also when the process does not live to
/// commit anything else.
async fn latest_is_decided_once(bed: Bed) -> Outcome {
    for _ in 0..5 {
        let scene = Scene::set(&bed, &[LATEST]).await?;
        let installation = &scene.installation;
        let events = installation.events_topic();
        scene.subscribe("acme/one", "/hook", json!({})).await?;
        produce(installation, &events, 0..10, None).await?;
        let process = start_router(installation, "a").await?;
        process.sigstop()?;
        produce(installation, &events, 10..20, None).await?;
        process.kill9().await?;
        let _process = start_router(installation, "a").await?;
        wait_for_tasks(installation, &events, 10..20).await?;
    }
    Ok(())
}

async fn partitions_found_later_begin_at_earliest(bed: Bed) -> Outcome {
    let settings = [LATEST, ("events.refresh", "2s")];
    let scene = Scene::set(&bed, &settings).await?;
    let installation = &scene.installation;
    let events = installation.events_topic();
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    produce(installation, &events, 0..10, None).await?;
    let _process = start_router(installation, "a").await?;
    installation.kafka().grow_topic(&events, 4).await?;
    // Long before they are found.
    produce(installation, &events, 10..20, Some(2)).await?;
    produce(installation, &events, 20..30, Some(3)).await?;
    wait_for_tasks(installation, &events, 10..30).await
}

/// A process that began with no topic at all has begun all the same.
async fn topics_found_later_begin_at_earliest(bed: Bed) -> Outcome {
    for (anchor, name, found) in [
        ("", "-later-first", &["first"][..]),
        ("^", "-later", &["first", "second"]),
    ] {
        let mut installation = Installation::new(&bed)?;
        let topics = json!([format!("{anchor}{}{name}", installation.id())]).to_string();
        for (key, value) in [LATEST, ("events.refresh", "2s"), ("events.topics", &topics)] {
            installation = installation.set(key, value);
        }
        installation.create_topics(1).await?;
        installation
            .put_subscription("acme/one", &any_subscription())
            .await?;
        let process = installation.start("a", "router")?;
        // Not ready: it cannot join the group before there is a topic.
        process
            .wait_for_log("events are read from these topics", READY)
            .await?;
        for topic in found {
            let topic = format!("{}-later-{topic}", installation.id());
            installation.kafka().create_topic(&topic, 2, &[]).await?;
            produce(&installation, &topic, 0..20, None).await?;
            wait_for_tasks(&installation, &topic, 0..20).await?;
        }
    }
    Ok(())
}

/// One that is never sent to: these tests look at the tasks.
pub(super) fn any_subscription() -> serde_json::Value {
    json!({"version": 1, "url": "https://example.invalid/", "events": ["*"], "signatures": []})
}

/// The second member owns nothing but partitions of the new topic, yet the group is not new.
async fn a_topic_found_later_begins_at_earliest_on_every_member(bed: Bed) -> Outcome {
    let mut installation = Installation::new(&bed)?;
    let pattern = json!([format!("^{}-events", installation.id())]).to_string();
    for (key, value) in [
        LATEST,
        ("events.refresh", "2s"),
        ("events.topics", &pattern),
    ] {
        installation = installation.set(key, value);
    }
    installation.create_topics(1).await?;
    installation
        .put_subscription("acme/one", &any_subscription())
        .await?;
    let _first = start_router(&installation, "a").await?;
    let _second = start_router(&installation, "b").await?;
    let topic = format!("{}-events-new", installation.id());
    installation.kafka().create_topic(&topic, 4, &[]).await?;
    for partition in 0..4 {
        let from = usize::try_from(partition)? * 10;
        produce(&installation, &topic, from..from + 10, Some(partition)).await?;
    }
    wait_for_tasks(&installation, &topic, 0..40).await
}

async fn patterns_match_no_own_topics(bed: Bed) -> Outcome {
    let mut installation = Installation::new(&bed)?;
    // Every topic of this installation, own ones included.
    let pattern = json!([format!("^{}.*", installation.id())]).to_string();
    installation = installation.set("events.topics", &pattern);
    installation.create_topics(1).await?;
    installation
        .put_subscription("acme/one", &any_subscription())
        .await?;
    let process = start_router(&installation, "a").await?;
    let events = installation.events_topic();
    produce(&installation, &events, 0..20, None).await?;
    wait_for_tasks(&installation, &events, 0..20).await?;
    // What was made of the first would be here before what is made of the second.
    produce(&installation, &events, 20..40, None).await?;
    wait_for_tasks(&installation, &events, 0..40).await?;
    let metrics = process.metrics().await?;
    assert_eq!(metrics.sum("hooktide_events_total", &[]), 40.0);
    assert_eq!(
        metrics.sum("hooktide_events_total", &[("topic", &events)]),
        40.0
    );
    assert!(installation.read_topic("rejects").await?.is_empty());
    Ok(())
}

/// A topic made by hand before `topics create` makes the rest, and the rule that it breaks.
async fn check_refused(
    bed: &Bed,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
    rule: &str,
) -> Outcome {
    let installation = Installation::new(bed)?;
    let topic = installation.topic(name);
    let kafka = installation.kafka();
    kafka.create_topic(&topic, partitions, settings).await?;
    // It makes what is missing, leaves what is there and says what is wrong with it.
    let made = installation.command(&["topics", "create"]).await?;
    assert_eq!(made.code, Some(1), "{made:?}");
    check_findings(&installation, &topic, rule).await
}

/// `topics check` and `run` name the topic and the rule.
async fn check_findings(installation: &Installation, topic: &str, rule: &str) -> Outcome {
    let checked = installation.command(&["topics", "check"]).await?;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let line = format!("error {topic}: {rule} is ");
    assert!(checked.stdout.contains(&line), "{line}: {checked:?}");

    let as_json = installation
        .command(&["topics", "check", "--output", "json"])
        .await?;
    assert_eq!(as_json.code, Some(1), "{as_json:?}");
    let findings = as_json.json()?["findings"].clone();
    let errors: Vec<_> = findings
        .as_array()
        .into_iter()
        .flatten()
        .filter(|finding| finding["severity"] == "error")
        .collect();
    assert_eq!(errors.len(), 1, "{findings}");
    assert_eq!(
        (&errors[0]["topic"], &errors[0]["rule"]),
        (&json!(topic), &json!(rule))
    );

    let process = installation.start("a", BOTH)?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(2));
    let log = process.log_text()?;
    let named = log
        .lines()
        .any(|line| line.contains("ERROR") && line.contains(topic) && line.contains(rule));
    assert!(named, "{topic} {rule}: {log}");
    Ok(())
}

async fn wrong_topics_are_refused_by_name(bed: Bed) -> Outcome {
    let tasks = [
        ("message.timestamp.type", "LogAppendTime"),
        ("cleanup.policy", "delete"),
        ("retention.ms", "2000000000"),
    ];
    let compact = [("cleanup.policy", "compact")];
    check_refused(&bed, "subscriptions", 2, &compact, "partitions").await?;
    check_refused(&bed, "subscriptions", 1, &[], "cleanup.policy").await?;
    // The others have 4.
    check_refused(&bed, "retry.5s", 3, &tasks, "partitions").await?;
    check_refused(&bed, "deliveries", 4, &tasks[1..], "message.timestamp.type").await?;
    check_refused(&bed, "retry.6h", 4, &tasks[..2], "retention.ms").await?;

    let installation = Installation::new(&bed)?;
    installation.create_topics(1).await?;
    let missing = installation.topic("notices");
    installation.kafka().delete_topic(&missing).await?;
    check_findings(&installation, &missing, "exists").await
}

async fn topics_are_created_once(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?;
    let create = async || {
        let made = installation
            .command(&["topics", "create", "--output", "json"])
            .await?;
        assert_eq!(made.code, Some(0), "{made:?}");
        let made = made.json()?;
        let names = |list: &str| -> BTreeSet<String> {
            let names = made[list].as_array().into_iter().flatten();
            names
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        anyhow::Ok((names("created"), names("existing")))
    };
    let own = [
        "subscriptions",
        "deliveries",
        "dlq",
        "attempts",
        "rejects",
        "notices",
        "endpoints",
        "event_types",
        "retry.5s",
        "retry.30s",
        "retry.2m",
        "retry.10m",
        "retry.1h",
        "retry.6h",
    ];
    let own: BTreeSet<_> = own.iter().map(|name| installation.topic(name)).collect();
    assert_eq!(create().await?, (own.clone(), BTreeSet::new()));
    assert_eq!(create().await?, (BTreeSet::new(), own));
    let checked = installation.command(&["topics", "check"]).await?;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    Ok(())
}

async fn the_younger_of_two_with_one_instance_id_stays(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let older = scene.run("same").await?;
    let younger = scene.run("same").await?;
    assert_eq!(older.wait_exit(READY).await?.code(), Some(1));
    let log = older.log_text()?;
    assert!(log.contains("instance_id must be unique"), "{log}");
    produce(
        &scene.installation,
        &scene.installation.events_topic(),
        0..20,
        None,
    )
    .await?;
    let received = scene.receiver.wait_for_count("/hook", 20, SOON).await?;
    assert_eq!(
        received
            .iter()
            .map(Received::id)
            .collect::<BTreeSet<_>>()
            .len(),
        20
    );
    assert_eq!(younger.exit_status(), None);
    Ok(())
}

async fn a_second_sigterm_ends_at_once(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    scene.receiver.script("/hook", [Answer::hang()]);
    let process = scene.run("a").await?;
    produce(
        &scene.installation,
        &scene.installation.events_topic(),
        0..1,
        None,
    )
    .await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    process.sigterm()?;
    process.wait_for_log("draining", SOON).await?;
    // The request that hangs holds it, for `shutdown.timeout` at most.
    assert!(process.wait_exit(Duration::from_secs(1)).await.is_err());
    process.sigterm()?;
    assert_eq!(
        process.wait_exit(Duration::from_secs(2)).await?.code(),
        Some(1)
    );
    Ok(())
}

async fn wrong_settings_are_refused_by_key(bed: Bed) -> Outcome {
    async fn check(bed: &Bed, key: &str, value: &str) -> Outcome {
        let installation = Installation::new(bed)?.set(key, value);
        for command in [
            &["config", "check"][..],
            &["config", "show"],
            &["topics", "create"],
            &["run"],
        ] {
            let ran = installation.command(command).await?;
            assert_eq!(ran.code, Some(2), "{ran:?}");
            assert!(ran.stderr.contains(key), "{key}: {ran:?}");
            assert_eq!(ran.stdout, "", "{ran:?}");
        }
        Ok(())
    }
    check(&bed, "kafka.session_timeout", "soon").await?;
    check(&bed, "kafka.session_timeout", "2h").await?;
    check(&bed, "retry.tiers", r#"["5s","5000ms"]"#).await?;
    check(&bed, "http.allow_networks", r#"["10.0.0.0/33"]"#).await?;
    check(&bed, "events.start", "newest").await?;
    check(&bed, "telemetry.listen", "9464").await?;
    check(&bed, "no.such_key", "1").await?;
    check(&bed, "kafka.properties", r#"{"group.id":"x"}"#).await?;
    let ran = Installation::new(&bed)?
        .command(&["config", "check"])
        .await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}

async fn shown_settings_hold_no_secrets(bed: Bed) -> Outcome {
    const HIDDEN: &str = "hunter2-and-more";
    let file = bed.folder().join("password");
    std::fs::write(&file, HIDDEN)?;
    let installation = Installation::new(&bed)?
        .set(
            "kafka.properties.sasl_password__file",
            &file.display().to_string(),
        )
        .set("kafka.properties.ssl_key_password", HIDDEN)
        .set("kafka.properties.linger_ms", "7");
    for format in ["text", "json"] {
        let shown = installation
            .command(&["config", "show", "--output", format])
            .await?;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.stdout.contains("sasl.password") && shown.stdout.contains("linger.ms"));
        assert!(
            !shown.stdout.contains(HIDDEN) && !shown.stderr.contains(HIDDEN),
            "{shown:?}"
        );
    }
    Ok(())
}

async fn too_few_files_are_refused_and_few_are_shared_out(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?.set("telemetry.listen", "127.0.0.1:0");
    let ran = installation.command_with_files(300, &["run"]).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("`dispatcher.max_in_flight` is 1024"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("no more than 300"), "{ran:?}");

    // Enough for the requests, not for all connections that would be kept. It ends at once, as its stdin.
    let run = ["run", "--until-stdin-ends"];
    let ran = installation.command_with_files(1_380, &run).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("kept=100"), "{ran:?}");
    Ok(())
}
