//! What the commands do for a person at a terminal, and for a script.

/// `hooktide events`.
pub mod events;
/// `hooktide subscriptions export`.
pub mod exports;
/// `hooktide subscriptions apply`.
pub mod manifests;
/// `hooktide receiver`.
pub mod receiver;
/// `hooktide subscriptions`.
pub mod subscriptions;

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::support::hooktide::{Installation, Ran};
use crate::support::scene::{SOON, Scene, verify};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        what_is_put_and_produced_by_command_is_delivered,
        wrong_topics_are_named,
        topics_of_events_are_created_on_demand,
        without_a_cluster_commands_end_and_say_so,
        completions_need_no_settings,
}

/// An event as short as it can be.
const GOOD: &str = r#"{"type":"a","data":1}"#;

/// Requires an exit code, and these words of the talk.
#[track_caller]
fn check(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {ran:?}");
    }
}

async fn installation(bed: &Bed) -> anyhow::Result<Installation> {
    let installation = Installation::new(bed)?;
    installation.create_topics(2).await?;
    Ok(installation)
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}

async fn what_is_put_and_produced_by_command_is_delivered(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let subscription = json!({"url": scene.receiver.url("/hook"), "events": ["order.*"]});
    let put = [
        "subscriptions",
        "put",
        "-",
        "--tenant",
        "acme",
        "--output",
        "json",
    ];
    let ran = scene
        .installation
        .command_fed(&put, &subscription.to_string())
        .await?;
    check(&ran, 0, &["shown this once"]);
    let receipt = ran.json()?;
    let id = text(&receipt["id"])?;
    assert!(id.starts_with("sub_") && id.len() == 26, "{receipt}");

    let _process = scene.run("a").await?;
    let topic = scene.installation.events_topic();
    let event = r#"{"id":"evt_1","type":"order.created","tenant":"acme","data":{"n":1.10}}"#;
    let produce = ["events", "produce", "--topic", &topic];
    let ran = scene.installation.command_fed(&produce, event).await?;
    check(&ran, 0, &[]);
    assert_eq!(ran.stdout, "events acknowledged: 1\n");
    let requests = scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    verify(&requests[0], text(&receipt["secret"])?)
}

async fn wrong_topics_are_named(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?;
    for command in [&["list"][..], &["get", "a"], &["delete", "a"]] {
        let arguments = [&["subscriptions"], command].concat();
        let ran = installation.command(&arguments).await?;
        check(
            &ran,
            1,
            &["subscriptions` does not exist", "hooktide topics create"],
        );
    }
    let put = ["subscriptions", "put", "-"];
    let value = r#"{"url":"https://example.com","events":["*"],"signatures":[]}"#;
    let ran = installation.command_fed(&put, value).await?;
    check(&ran, 1, &["hooktide topics create"]);
    let topic = installation.topic("subscriptions");
    installation.kafka().create_topic(&topic, 2, &[]).await?;
    let ran = installation.command_fed(&put, value).await?;
    check(&ran, 1, &["has 2 partitions where it must have one"]);

    let events = installation.events_topic();
    let produce = ["events", "produce", "--topic", &events];
    let ran = installation.command_fed(&produce, GOOD).await?;
    check(&ran, 1, &[&events, "does not exist"]);
    let own = ["events", "produce", "--topic", &installation.topic("dlq")];
    let ran = installation.command_fed(&own, GOOD).await?;
    check(&ran, 2, &["one of Hooktide's own topics"]);
    Ok(())
}

async fn topics_of_events_are_created_on_demand(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?;
    let (first, second) = (
        format!("{}-orders", installation.id()),
        format!("{}-invoices", installation.id()),
    );
    let topics = json!([first, second, "^pattern-.*"]).to_string();
    let installation = installation.set("events.topics", &topics);
    let made = installation.command(&["topics", "create"]).await?;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        !made.stdout.contains(&format!("created {first}")),
        "{made:?}"
    );
    assert!(made.stdout.contains("topics create --events"), "{made:?}");
    installation.kafka().create_topic(&first, 2, &[]).await?;
    let made = installation
        .command(&["topics", "create", "--events"])
        .await?;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        made.stdout.contains(&format!("existing {first}\n")),
        "{made:?}"
    );
    assert!(
        made.stdout.contains(&format!("created {second}\n")),
        "{made:?}"
    );
    assert!(made.stderr.contains("`^pattern-.*`"), "{made:?}");
    assert!(installation.kafka().read_topic(&second).await?.is_empty());
    Ok(())
}

async fn without_a_cluster_commands_end_and_say_so(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?.set("kafka.bootstrap_servers", "127.0.0.1:1");
    let value = r#"{"url":"https://example.com","events":["*"]}"#;
    let topic = installation.events_topic();
    let produce = ["events", "produce", "--topic", &topic];
    let all = async {
        tokio::try_join!(
            installation.command(&["subscriptions", "list"]),
            installation.command(&["subscriptions", "delete", "a"]),
            installation.command(&["topics", "check"]),
            installation.command(&["topics", "create"]),
            installation.command_fed(&["subscriptions", "put", "-"], value),
            installation.command_fed(&produce, GOOD),
        )
    };
    let ran = tokio::time::timeout(Duration::from_secs(60), all).await??;
    let of_records = [&ran.0, &ran.1, &ran.4, &ran.5];
    // What asks about topics waits for longer, and says why after a moment.
    let of_topics = [&ran.2, &ran.3];
    for (all, lines) in [(of_records.as_slice(), 1), (&of_topics, 2)] {
        for ran in all {
            let words = ["does not answer", "kafka.bootstrap_servers", "127.0.0.1:1"];
            check(ran, 1, &words);
            check(ran, 1, &["refused"]);
            let said = (ran.stdout.as_str(), ran.stderr.lines().count());
            assert_eq!(said, ("", lines), "{ran:?}");
        }
    }
    Ok(())
}

async fn completions_need_no_settings(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?.set("no.such", "setting");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = installation.command(&["completions", shell]).await?;
        check(&ran, 0, &[]);
        assert!(ran.stdout.contains("subscriptions"), "{ran:?}");
    }
    check(
        &installation.command(&["completions", "tcsh"]).await?,
        2,
        &["tcsh"],
    );
    check(
        &installation.command(&["subscriptions", "list"]).await?,
        2,
        &["no.such"],
    );
    Ok(())
}
