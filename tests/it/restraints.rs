//! What keeps requests to an endpoint back for a time outlives the process that knows of it, and moves
//! with its partition: nothing is early, no limit more than doubled, nothing lost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use hooktide::clock::Timestamp;
use serde_json::{Value, json};

use crate::isolation::{events, most_at_once, most_within, wait_for_delivered};
use crate::support::process::Process;
use crate::support::receiver::{Answer, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        an_open_breaker_outlives_kills_and_moves,
        a_newer_subscription_begins_with_a_closed_breaker,
        a_retry_after_outlives_kills_and_moves,
        what_was_parked_is_never_early_over_kills_and_moves,
        limits_are_at_most_doubled_while_partitions_move,
}

const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s","10s"]"#);
const MIN_REQUESTS: (&str, &str) = ("breaker.min_requests", "5");
/// A dead process's partitions are soon another's.
const SESSION: (&str, &str) = ("kafka.session_timeout", "6s");
/// Enough endpoints that some of their partitions move when a second process comes.
const ENDPOINTS: usize = 6;
/// Timers and the way to the receiver are not exact to the millisecond.
const BLUR: Duration = Duration::from_millis(20);

fn path(number: usize) -> String {
    format!("/e{number}")
}

/// Subscribes [`ENDPOINTS`] endpoints, each with a path of its own.
async fn subscribe_all(scene: &Scene, members: Value) -> Outcome {
    for number in 0..ENDPOINTS {
        let key = format!("acme/e{number}");
        scene
            .subscribe(&key, &path(number), members.clone())
            .await?;
    }
    Ok(())
}

/// The newest states on the endpoints topic, once `is_enough` holds for so many of them.
async fn states(
    scene: &Scene,
    count: usize,
    is_enough: impl Fn(&Value) -> bool + Send + 'static,
) -> anyhow::Result<HashMap<String, Value>> {
    let newest = |records: &[Record]| {
        let of_endpoints = records.iter().filter_map(|record| {
            let key = record.key.clone().filter(|key| !key.contains(':'))?;
            let state = record.value.as_ref().map_or(Value::Null, |value| {
                serde_json::from_slice(value).unwrap_or_default()
            });
            Some((key, state))
        });
        of_endpoints.collect::<HashMap<_, _>>()
    };
    let enough = move |records: &[Record]| {
        newest(records)
            .values()
            .filter(|state| is_enough(state))
            .count()
            >= count
    };
    let topic = scene
        .installation
        .wait_for_topic("endpoints", 2 * SOON, enough)
        .await?;
    Ok(newest(&topic))
}

fn time(value: &Value) -> anyhow::Result<Timestamp> {
    Ok(serde_json::from_value(value.clone())?)
}

/// A second process, which leaves the group at once when it ends.
async fn joins(scene: &Scene) -> anyhow::Result<Process> {
    let process = scene.installation.start_dynamic(BOTH)?;
    process.wait_ready(READY).await?;
    Ok(process)
}

async fn leaves(process: Process) -> Outcome {
    process.sigterm()?;
    process.wait_exit(SOON).await.map(drop)
}

/// Killed and started again, joined by another, left alone by the first: at each time, an endpoint
/// whose breaker is open gets the probe that is due, and nothing else.
async fn an_open_breaker_outlives_kills_and_moves(bed: Bed) -> Outcome {
    const PROBE: Duration = Duration::from_secs(4);
    let settings = [
        TIERS,
        MIN_REQUESTS,
        SESSION,
        ("breaker.first_probe", "4s"),
        ("breaker.longest_probe", "4s"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    for number in 0..ENDPOINTS {
        scene.receiver.script(&path(number), [Answer::status(500)]);
    }
    let members = json!({"retry": {"schedule": vec!["1s"; 100]}, "max_concurrency": 4});
    subscribe_all(&scene, members).await?;
    let first = scene.run("a").await?;
    scene.produce_all(&events("a", 20)).await?;
    let is_open = |state: &Value| state["breaker_open_until"].is_string();
    states(&scene, ENDPOINTS, is_open).await?;
    first
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_open_breakers", &[]) == ENDPOINTS as f64
                && metrics.sum("hooktide_in_flight_requests", &[]) == 0.0
        })
        .await?;
    let before = scene.receiver.received();
    let listed = scene
        .installation
        .command(&["endpoints", "list", "--output", "json"])
        .await?
        .json()?;
    let listed = listed.as_array().context("a list")?;
    assert_eq!(listed.len(), ENDPOINTS, "{listed:?}");
    for row in listed {
        assert_eq!(row["state"], "open");
        assert!(time(&row["breaker_open_until"])? > time(&row["since"])?);
    }

    first.kill9().await?;
    let first = scene.run("a").await?;
    scene.produce_all(&events("b", 20)).await?;
    let probed = |count: usize| {
        let all = before.len() + count * ENDPOINTS;
        scene
            .receiver
            .wait_for(SOON, move |all_so_far| all_so_far.len() >= all)
    };
    probed(1).await?;
    let second = joins(&scene).await?;
    probed(2).await?;
    first.kill9().await?;
    second
        .wait_for_metrics(3 * SOON, |metrics| {
            metrics.sum("hooktide_open_breakers", &[]) == ENDPOINTS as f64
        })
        .await?;
    let requests = scene.receiver.received();
    for number in 0..ENDPOINTS {
        let path = path(number);
        let here: Vec<_> = requests.iter().filter(|one| one.path == path).collect();
        let opened = before.iter().filter(|one| one.path == path).count();
        assert!(here.len() > opened + 1, "{path}: {}", here.len());
        for pair in here[opened - 1..].windows(2) {
            let answered = pair[0].answered.context("not answered")?;
            let apart = pair[1].arrived.duration_since(answered);
            assert!(apart + BLUR >= PROBE, "{path}: a probe after {apart:?}");
        }
    }
    for number in 0..ENDPOINTS {
        scene.receiver.script(&path(number), [Answer::status(200)]);
    }
    wait_for_delivered(&scene, ENDPOINTS * 40).await?;
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    states(&scene, ENDPOINTS, Value::is_null).await.map(drop)
}

async fn a_newer_subscription_begins_with_a_closed_breaker(bed: Bed) -> Outcome {
    let settings = [
        TIERS,
        MIN_REQUESTS,
        ("breaker.first_probe", "5m"),
        ("breaker.longest_probe", "5m"),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.receiver.script("/old", [Answer::status(500)]);
    let retry = json!({"retry": {"schedule": ["1s"]}, "max_concurrency": 5});
    scene.subscribe("acme/one", "/old", retry).await?;
    let process = scene.run("a").await?;
    scene.produce_all(&events("a", 5)).await?;
    let is_open = |state: &Value| state["breaker_open_until"].is_string();
    states(&scene, 1, is_open).await?;
    process.kill9().await?;
    let process = scene.run("a").await?;
    // Nothing goes to the old one; the new one gets what comes at once, and with it the open breaker ends.
    scene.subscribe("acme/one", "/new", json!({})).await?;
    scene.produce_all(&events("b", 3)).await?;
    scene.receiver.wait_for_count("/new", 3, SOON).await?;
    assert_eq!(scene.receiver.received_at("/old").len(), 5);
    states(&scene, 1, Value::is_null).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_open_breakers", &[]) == 0.0
        })
        .await
        .map(drop)
}

/// New events come all the time, so it is not only what was put off that waits.
async fn a_retry_after_outlives_kills_and_moves(bed: Bed) -> Outcome {
    const WAIT: Duration = Duration::from_secs(12);
    let scene = Scene::set(&bed, &[TIERS, SESSION]).await?;
    let busy = Answer::status(429).header("retry-after", "12");
    for number in 0..ENDPOINTS {
        let answers = [busy.clone(), Answer::status(200)];
        scene.receiver.script(&path(number), answers);
    }
    let members = json!({"max_concurrency": 1, "retry": {"schedule": ["1s"]}});
    subscribe_all(&scene, members).await?;
    let first = scene.run("a").await?;
    scene.produce_all(&events("a", 2)).await?;
    states(&scene, ENDPOINTS, |state| {
        state["throttled"]["until"].is_string()
    })
    .await?;
    first.kill9().await?;
    let first = scene.run("a").await?;
    scene.produce_all(&events("b", 1)).await?;
    let second = joins(&scene).await?;
    scene.produce_all(&events("c", 1)).await?;
    wait_for_delivered(&scene, ENDPOINTS * 4).await?;
    for number in 0..ENDPOINTS {
        let here = scene.receiver.received_at(&path(number));
        let answered = here[0].answered.context("not answered")?;
        let next = here[1].arrived.duration_since(answered);
        assert!(next + BLUR >= WAIT, "{}: after {next:?}", here[0].path);
    }
    // Nobody is left with a record of what is over.
    states(&scene, ENDPOINTS, Value::is_null).await?;
    drop((first, second));
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn what_was_parked_is_never_early_over_kills_and_moves(bed: Bed) -> Outcome {
    const EVENTS: usize = 150;
    let scene = Scene::set(&bed, &[TIERS, SESSION]).await?;
    let limited = json!({"rate_limit": {"requests": 10, "per": "1s"}});
    subscribe_all(&scene, limited).await?;
    let first = scene.run("a").await?;
    scene.produce_all(&events("a", EVENTS)).await?;
    let is_parked = |metrics: &crate::support::expositions::Metrics| {
        metrics.sum("hooktide_parked_total", &[("reason", "rate_limited")]) >= 20.0
    };
    first.wait_for_metrics(SOON, is_parked).await?;
    first.kill9().await?;
    let first = scene.run("a").await?;
    let second = joins(&scene).await?;
    wait_for_delivered(&scene, ENDPOINTS * EVENTS).await?;
    drop((first, second));
    let requests = scene.receiver.received();
    let mut parked: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    for tier in ["retry.1s", "retry.3s", "retry.10s"] {
        for record in scene.installation.read_topic(tier).await? {
            let id = record.header("hooktide-delivery-id").context("an id")?;
            let due = record.header("hooktide-not-before").context("a time")?;
            let times = (record.timestamp, due.parse()?);
            parked.entry(id.to_owned()).or_default().push(times);
        }
    }
    assert!(parked.len() >= 20, "{}", parked.len());
    let mut followed = 0;
    for request in &requests {
        let arrived = request.arrived_at.as_millis();
        for (appended, due) in parked.get(request.id()).into_iter().flatten() {
            assert!(
                *appended > arrived || *due <= arrived,
                "{request:?} due {due}"
            );
            followed += usize::from(*appended <= arrived);
        }
    }
    assert!(followed >= 20, "{followed}");
    for number in 0..ENDPOINTS {
        let most = most_within(&requests, &path(number), Duration::from_secs(1));
        // Twice, once for each owner: ten, one that may come together, and what the network brings together.
        assert!(most <= 2 * (10 + 1) + 3, "{most} in a second");
    }
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

/// A second process joins and leaves, twice, while requests are slow.
async fn limits_are_at_most_doubled_while_partitions_move(bed: Bed) -> Outcome {
    const PLACES: usize = 8;
    const TAKES: Duration = Duration::from_millis(2_500);
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let slow = Answer::status(200).after(TAKES);
    for number in 0..ENDPOINTS {
        scene.receiver.script(&path(number), [slow.clone()]);
    }
    let members = json!({"events": ["slow"], "max_concurrency": PLACES});
    subscribe_all(&scene, members).await?;
    for number in 0..ENDPOINTS {
        let key = format!("acme/l{number}");
        let members = json!({
            "events": ["limited"],
            "rate_limit": {"requests": 20, "per": "1s"},
        });
        scene
            .subscribe(&key, &format!("/l{number}"), members)
            .await?;
    }
    let _first = scene.run("a").await?;
    scene.produce_all(&events("slow", 100)).await?;
    scene.produce_all(&events("limited", 400)).await?;
    for number in 0..ENDPOINTS {
        scene
            .receiver
            .wait_for_count(&path(number), PLACES, SOON)
            .await?;
    }
    for _ in 0..2 {
        let second = joins(&scene).await?;
        let joined = Instant::now();
        // It has work of its own before it leaves.
        second
            .wait_for_metrics(SOON, |metrics| {
                metrics.sum("hooktide_in_flight_requests", &[]) >= PLACES as f64
            })
            .await?;
        scene
            .receiver
            .wait_for(SOON, move |_| joined.elapsed() >= TAKES)
            .await?;
        leaves(second).await?;
    }
    let left = Instant::now();
    let is_later = move |one: &Received| one.arrived.duration_since(left) > 2 * TAKES;
    scene
        .receiver
        .wait_for(2 * SOON, move |all| {
            all.iter().filter(|one| is_later(one)).count() >= PLACES
        })
        .await?;
    let requests = scene.receiver.received();
    for number in 0..ENDPOINTS {
        let here: Vec<_> = requests
            .iter()
            .filter(|one| one.path == path(number))
            .cloned()
            .collect();
        // An answer is on its way for a moment after the receiver has given it.
        let most = most_at_once(&here, |_| true);
        assert!(most <= 2 * PLACES + 1, "{most} at once");
        // What an old owner had open has ended by then.
        let most = most_at_once(&here, is_later);
        assert!(most <= PLACES + 1, "{most} at once in the end");
        let limited = format!("/l{number}");
        let most = most_within(&requests, &limited, Duration::from_secs(1));
        assert!(most <= 2 * (20 + 2) + 3, "{most} in a second");
    }
    Ok(())
}
