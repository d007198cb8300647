//! What a process waits for rather than end: brokers, credentials, topics and groups that are away for
//! a time. It goes on by itself.

use std::time::Duration;

use serde_json::json;

use crate::support::account;
use crate::support::broker::HEAP;
use crate::support::broker::node::{Plan, local};
use crate::support::event_flow::numbered;
use crate::support::free_port::free_port;
use crate::support::hooktide::Installation;
use crate::support::process::Process;
use crate::support::receiver::Keep;
use crate::support::scene::{BOTH, READY, SOON, Scene};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_broker_that_is_away_is_waited_for,
        credentials_that_are_refused_are_waited_for,
        topics_may_be_missing_for_a_while,
        a_deleted_group_begins_anew,
}

const SESSION: (&str, &str) = ("kafka.session_timeout", "3s");
const DRAIN: (&str, &str) = ("shutdown.timeout", "2s");
/// How long what is missing stays away: longer than sessions, and than the pauses between attempts.
const AWAY: Duration = Duration::from_secs(6);
/// Lines that may be logged meanwhile. Each of a dozen clients may say twenty things in ten seconds.
const LINES: usize = 300;
/// How long work may take to go on.
const GOES_ON: Duration = Duration::from_secs(60);

/// The process neither ends nor spins, nor fills its log, while something is away.
async fn waits(process: &Process) -> Outcome {
    let lines = || anyhow::Ok(process.log_text()?.lines().count());
    let (cpu, said) = (process.cpu_time(), lines()?);
    assert!(process.wait_exit(AWAY).await.is_err(), "did not wait");
    if let (Some(before), Some(after)) = (cpu, process.cpu_time()) {
        let used = after.saturating_sub(before);
        assert!(used < AWAY / 2, "{used:?} of CPU time in {AWAY:?}");
    }
    let said = lines()? - said;
    assert!(said < LINES, "{said} lines in {AWAY:?}");
    assert_eq!(process.status_of("/health").await?, 200);
    Ok(())
}

async fn a_broker_that_is_away_is_waited_for(bed: Bed) -> Outcome {
    const EVENTS: usize = 200;
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    scene.produce_all(&numbered(0..EVENTS)).await?;
    broker.kill9()?;
    let process = scene.installation.start("a", BOTH)?;
    waits(&process).await?;
    assert_eq!(process.status_of("/ready").await?, 503);
    process.wait_for_log("Connection refused", READY).await?;
    broker.restart()?;
    process.wait_ready(GOES_ON).await?;
    account::settled(&scene, EVENTS, GOES_ON).await?;

    broker.kill9()?;
    waits(&process).await?;
    broker.restart()?;
    scene.produce_all(&numbered(EVENTS..2 * EVENTS)).await?;
    account::settled(&scene, 2 * EVENTS, GOES_ON).await?;
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

/// Refused at the start, and again when the connections must be made anew.
async fn credentials_that_are_refused_are_waited_for(bed: Bed) -> Outcome {
    const EVENTS: usize = 200;
    const USER: &str = "hooktide";
    const PASSWORD: &str = "let-me-in";
    let guarded = local(free_port()?);
    let plan = Plan {
        scram: Some(guarded),
        ..Plan::new(1, HEAP)?
    };
    let Some((bed, broker)) = bed.with_broker_as(plan)? else {
        return Ok(());
    };
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    scene.produce_all(&numbered(0..EVENTS)).await?;
    let properties = json!({
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
    });
    let process = scene.installation.start_with(
        BOTH,
        &[
            ("kafka.bootstrap_servers", &guarded.to_string()),
            ("kafka.properties", &properties.to_string()),
        ],
    )?;
    waits(&process).await?;
    assert_eq!(process.status_of("/ready").await?, 503);
    process.wait_for_log("uthentication failed", READY).await?;
    broker.admit(USER, PASSWORD)?;
    process.wait_ready(GOES_ON).await?;
    account::settled(&scene, EVENTS, GOES_ON).await?;

    broker.admit(USER, "another")?;
    broker.kill9()?;
    broker.restart()?;
    waits(&process).await?;
    broker.admit(USER, PASSWORD)?;
    scene.produce_all(&numbered(EVENTS..2 * EVENTS)).await?;
    account::settled(&scene, 2 * EVENTS, GOES_ON).await?;
    assert!(!process.log_text()?.contains(PASSWORD));
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

/// One after the other is removed under a running process, and made again by the command.
async fn topics_may_be_missing_for_a_while(bed: Bed) -> Outcome {
    let scene =
        Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN, ("events.refresh", "1s")]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    let installation = &scene.installation;
    let process = scene.run("a").await?;
    let (kafka, events) = (installation.kafka(), installation.events_topic());
    let mut produced = 0;
    for topic in [
        events.clone(),
        installation.topic("deliveries"),
        installation.topic("retry.5s"),
        installation.topic("attempts"),
        installation.topic("endpoints"),
        installation.topic("subscriptions"),
    ] {
        kafka.delete_topic(&topic).await?;
        waits(&process).await?;
        if topic == events {
            kafka.create_topic(&topic, 2, &[]).await?;
        } else {
            create_topics(installation).await?;
        }
        scene.subscribe("acme/one", "/one", json!({})).await?;
        let numbers = produced..produced + 100;
        produced = numbers.end;
        scene.produce_all(&numbered(numbers)).await?;
        let come = scene.receiver.wait_for_ids(produced, GOES_ON, |_| true);
        come.await.map_err(|error| error.context(topic))?;
    }
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

async fn create_topics(installation: &Installation) -> Outcome {
    let made = installation.command(&["topics", "create"]).await?;
    anyhow::ensure!(made.code == Some(0), "{made:?}");
    Ok(())
}

/// Somebody deletes the groups while their only member is frozen. It joins anew; where the group had
/// been is forgotten, so what is still on the topics comes again, under the same ids.
async fn a_deleted_group_begins_anew(bed: Bed) -> Outcome {
    const EVENTS: usize = 100;
    let scene = Scene::keeping(&bed, Keep::Ids, &[SESSION, DRAIN]).await?;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    let process = scene.installation.start_dynamic(BOTH)?;
    process.wait_ready(READY).await?;
    scene.produce_all(&numbered(0..EVENTS)).await?;
    account::settled(&scene, EVENTS, SOON).await?;
    process.sigstop()?;
    for role in ["router", "dispatcher"] {
        let group = format!("{}.{role}", scene.installation.id());
        scene
            .installation
            .kafka()
            .delete_group(&group, SOON)
            .await?;
    }
    scene.produce_all(&numbered(EVENTS..2 * EVENTS)).await?;
    process.sigcont()?;
    let all = scene.receiver.wait_for_ids(2 * EVENTS, GOES_ON, |_| true);
    all.await?;
    waits(&process).await?;
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}
