//! No endpoint can hurt another: limits, breakers, and tasks that wait elsewhere.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use crate::support::kafka::NewRecord;
use crate::support::receiver::{Answer, Received, Receiver};
use crate::support::scene::{READY, SOON, Scene, event};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_rate_limit_is_kept,
        a_breaker_opens_probes_and_closes,
        a_retry_after_holds_for_the_whole_endpoint,
        a_fast_endpoint_is_not_held_up_by_its_neighbours,
        what_was_put_off_survives_a_kill,
        requests_to_one_host_are_bounded,
        an_egress_that_is_cut_burns_no_attempts,
        adaptive_concurrency_finds_out_what_an_endpoint_bears,
}

/// One partition, so that all endpoints are neighbours, and a ladder that ends soon.
const ONE_PARTITION: (&str, &str) = ("topics.partitions", "1");
const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s","10s"]"#);
/// A breaker that probes soon.
const MIN_REQUESTS: (&str, &str) = ("breaker.min_requests", "5");
const FIRST_PROBE: (&str, &str) = ("breaker.first_probe", "1s");
const LONGEST_PROBE: (&str, &str) = ("breaker.longest_probe", "2s");

/// Events of one type, all on the first partition of the events topic.
pub fn events(event_type: &str, count: usize) -> Vec<NewRecord> {
    let one = |number| {
        let mut event = event(&format!("{event_type}_{number}"), json!({"number": number}));
        event["type"] = json!(event_type);
        NewRecord {
            partition: Some(0),
            ..NewRecord::value(event.to_string())
        }
    };
    (0..count).map(one).collect()
}

/// The most requests to `path` within any `period`.
pub fn most_within(requests: &[Received], path: &str, period: Duration) -> usize {
    let times: Vec<_> = requests
        .iter()
        .filter(|request| request.path == path)
        .map(|request| request.arrived)
        .collect();
    let from = |(first, start): (usize, &Instant)| {
        let within = |at: &&std::time::Instant| at.duration_since(*start) < period;
        times[first..].iter().take_while(within).count()
    };
    times.iter().enumerate().map(from).max().unwrap_or_default()
}

/// The most requests that were open when one arrived for which `is_meant` holds.
pub fn most_at_once(requests: &[Received], is_meant: impl Fn(&Received) -> bool) -> usize {
    let at_once = |request: &Received| {
        let is_open = |other: &&Received| {
            let is_over = other.answered.is_some_and(|end| end <= request.arrived);
            other.arrived <= request.arrived && !is_over
        };
        requests.iter().filter(is_open).count()
    };
    let meant = requests.iter().filter(|request| is_meant(request));
    meant.map(at_once).max().unwrap_or_default()
}

/// Waits until so many deliveries have got through, by the attempts topic.
pub async fn wait_for_delivered(scene: &Scene, count: usize) -> Outcome {
    let enough = move |records: &[Record]| {
        let attempts = records.iter().filter_map(|record| record.json().ok());
        let delivered = attempts.filter(|attempt| attempt["outcome"] == "delivered");
        let ids: HashSet<_> = delivered
            .map(|attempt| attempt["delivery_id"].to_string())
            .collect();
        ids.len() >= count
    };
    let waited = scene
        .installation
        .wait_for_topic("attempts", 3 * SOON, enough);
    waited.await.map(drop)
}

async fn a_rate_limit_is_kept(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let members = json!({"rate_limit": {"requests": 20, "per": "1s"}});
    scene.subscribe("acme/one", "/limited", members).await?;
    let process = scene.run("a").await?;
    // Far more than wait in memory for as long as that: some come back from a tier.
    scene.produce_all(&events("a", 400)).await?;
    let requests = scene
        .receiver
        .wait_for_count("/limited", 400, 3 * SOON)
        .await?;
    // Twenty, two more that may come together, and what the network brings together.
    let most = most_within(&requests, "/limited", Duration::from_secs(1));
    assert!(most <= 20 + 2 + 3, "{most} in a second");
    let first = requests.first().context("none")?.arrived;
    let last = requests.last().context("none")?.arrived;
    let least = Duration::from_secs_f64((400.0 - 2.0 - 1.0) / 20.0);
    assert!(last.duration_since(first) >= least - Duration::from_millis(50));
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_parked_total", &[("reason", "rate_limited")]) >= 1.0
                && metrics.sum("hooktide_waiting_tasks", &[]) == 0.0
        })
        .await?;
    // Waiting has cost no attempt.
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| records.len() == 400)
        .await?;
    for attempt in attempts {
        assert_eq!(attempt.json()?["attempt"], 1);
    }
    Ok(())
}

async fn a_breaker_opens_probes_and_closes(bed: Bed) -> Outcome {
    let settings = [TIERS, MIN_REQUESTS, FIRST_PROBE, LONGEST_PROBE];
    let scene = Scene::set(&bed, &settings).await?;
    scene.receiver.script("/down", [Answer::status(500)]);
    let members = json!({"retry": {"schedule": vec!["1s"; 100]}, "max_concurrency": 4});
    scene.subscribe("acme/one", "/down", members).await?;
    let process = scene.run("a").await?;
    scene.produce_all(&events("a", 200)).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_open_breakers", &[]) == 1.0
                && metrics.sum("hooktide_parked_total", &[("reason", "breaker_open")]) >= 150.0
        })
        .await?;
    // While it is open, one request now and then asks: never two at a time, and few in all.
    let before = scene.receiver.received_at("/down").len();
    let probed = scene
        .receiver
        .wait_for_count("/down", before + 3, SOON)
        .await?;
    let probes = &probed[before..];
    let most = most_within(probes, "/down", Duration::from_millis(900));
    assert!(most <= 1, "{most} probes at once");
    scene.receiver.script("/down", [Answer::status(200)]);
    wait_for_delivered(&scene, 200).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_open_breakers", &[]) == 0.0
        })
        .await?;
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    // Why and how often stands on the task.
    let put_off = scene.installation.read_topic("retry.1s").await?;
    let why = |record: &Record| record.header("hooktide-parked").map(str::to_owned);
    assert!(
        put_off
            .iter()
            .any(|record| why(record).as_deref() == Some("breaker_open"))
    );
    Ok(())
}

async fn a_retry_after_holds_for_the_whole_endpoint(bed: Bed) -> Outcome {
    const WAIT: Duration = Duration::from_secs(4);
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let busy = Answer::status(429).header("retry-after", "4");
    scene.receiver.script("/busy", [busy, Answer::status(200)]);
    let members = json!({"max_concurrency": 1, "retry": {"schedule": ["1s"]}});
    scene.subscribe("acme/one", "/busy", members).await?;
    let _process = scene.run("a").await?;
    scene.produce_all(&events("a", 30)).await?;
    // One more than tasks: the first of them is sent again.
    let requests = scene.receiver.wait_for_count("/busy", 31, 2 * SOON).await?;
    let answered = requests[0].answered.context("not answered")?;
    let next = requests[1].arrived.duration_since(answered);
    assert!(next >= WAIT - Duration::from_millis(5), "after {next:?}");
    scene
        .receiver
        .wait_for_ids(30, SOON, |_| true)
        .await
        .map(drop)
}

async fn a_fast_endpoint_is_not_held_up_by_its_neighbours(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[ONE_PARTITION, TIERS, MIN_REQUESTS]).await?;
    let neighbours = ["hangs", "resets", "slow", "busy"];
    scene.receiver.script("/hangs", [Answer::hang()]);
    scene.receiver.script("/resets", [Answer::reset()]);
    let late = Answer::status(200).after(Duration::from_secs(10));
    scene.receiver.script("/slow", [late]);
    let busy = Answer::status(429).header("retry-after", "60");
    scene.receiver.script("/busy", [busy]);
    for name in neighbours {
        let key = format!("acme/{name}");
        let members = json!({"events": [name]});
        scene.subscribe(&key, &format!("/{name}"), members).await?;
    }
    scene
        .subscribe("acme/fast", "/fast", json!({"events": ["fast"]}))
        .await?;
    let _process = scene.run("a").await?;
    // Far more than a window for each of the others stands before the fast one's tasks.
    for name in neighbours {
        scene.produce_all(&events(name, 2_000)).await?;
    }
    scene.produce_all(&events("fast", 500)).await?;
    scene
        .receiver
        .wait_for_count("/fast", 500, READY)
        .await
        .context("the fast endpoint waits for its neighbours")?;
    // The slow one still has nearly all before it: nobody waited for that.
    assert!(scene.receiver.received_at("/slow").len() < 1_000);
    Ok(())
}

async fn what_was_put_off_survives_a_kill(bed: Bed) -> Outcome {
    let settings = [TIERS, MIN_REQUESTS, FIRST_PROBE, LONGEST_PROBE];
    let scene = Scene::set(&bed, &settings).await?;
    scene.receiver.script("/down", [Answer::reset()]);
    let members = json!({"retry": {"schedule": vec!["1s"; 100]}});
    scene.subscribe("acme/down", "/down", members).await?;
    let slowly = json!({"rate_limit": {"requests": 20, "per": "1s"}});
    scene.subscribe("acme/limited", "/limited", slowly).await?;
    let process = scene.run("a").await?;
    scene.produce_all(&events("a", 300)).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            let parked = |reason| metrics.sum("hooktide_parked_total", &[("reason", reason)]);
            parked("breaker_open") >= 100.0 && parked("rate_limited") >= 1.0
        })
        .await?;
    process.kill9().await?;
    let _process = scene.run("a").await?;
    scene.receiver.script("/down", [Answer::status(200)]);
    wait_for_delivered(&scene, 600).await?;
    let most = most_within(
        &scene.receiver.received(),
        "/limited",
        Duration::from_secs(1),
    );
    // The new process knows nothing of the last second of the old one.
    assert!(most <= 2 * (20 + 2) + 3, "{most} in a second");
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

async fn requests_to_one_host_are_bounded(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("dispatcher.max_in_flight_per_host", "6")]).await?;
    let late = Answer::status(200).after(Duration::from_millis(100));
    for name in ["a", "b", "c"] {
        let path = format!("/{name}");
        scene.receiver.script(&path, [late.clone()]);
        let members = json!({"events": ["x"]});
        scene
            .subscribe(&format!("acme/{name}"), &path, members)
            .await?;
    }
    let _process = scene.run("a").await?;
    scene.produce_all(&events("x", 40)).await?;
    let requests = scene.receiver.wait_for_ids(120, READY, |_| true).await?;
    let most = most_at_once(&requests, |_| true);
    // An answer is on its way for a moment after the receiver has given it.
    assert!((2..=6 + 1).contains(&most), "{most} at once");
    Ok(())
}

/// Three hosts that all at once bring no answer: that is not their fault.
async fn an_egress_that_is_cut_burns_no_attempts(bed: Bed) -> Outcome {
    const EACH: usize = 20;
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let others = [Receiver::start().await?, Receiver::start().await?];
    let hosts: Vec<&Receiver> = [&scene.receiver].into_iter().chain(&others).collect();
    for (number, host) in hosts.iter().enumerate() {
        host.script("/hook", [Answer::reset()]);
        let members = json!({"url": host.url("/hook"), "retry": {"schedule": ["1s", "1s", "1s"]}});
        let key = format!("acme/{number}");
        scene.subscribe(&key, "/hook", members).await?;
    }
    let process = scene.run("a").await?;
    scene.produce_all(&events("a", EACH)).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_egress_held", &[]) == 1.0
        })
        .await?;
    assert_eq!(process.status_of("/ready").await?, 503);
    // It goes on asking, for longer than the policies would have lasted.
    let seen = || {
        hosts
            .iter()
            .map(|host| host.received().len())
            .sum::<usize>()
    };
    let before = seen();
    let probed = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while seen() < before + 6 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(SOON, probed)
        .await
        .context("no probes")?;
    for host in &hosts {
        host.script("/hook", [Answer::status(200)]);
    }
    wait_for_delivered(&scene, hosts.len() * EACH).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_egress_held", &[]) == 0.0
        })
        .await?;
    process.wait_ready(READY).await?;
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

/// Two receivers with eight places each answer 503 when these are taken.
async fn adaptive_concurrency_finds_out_what_an_endpoint_bears(bed: Bed) -> Outcome {
    const PLACES: usize = 8;
    const EVENTS: usize = 200;
    const TAKES: Duration = Duration::from_millis(100);
    let settings = [TIERS, ("breaker.min_requests", "100000")];
    let scene = Scene::set(&bed, &settings).await?;
    for (path, is_adaptive) in [("/adaptive", true), ("/blind", false)] {
        let busy = Mutex::new(Vec::<Instant>::new());
        scene.receiver.script_with(path, move |request, _| {
            let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|until| *until > request.arrived);
            if busy.len() >= PLACES {
                return Answer::status(503);
            }
            busy.push(request.arrived + TAKES);
            Answer::status(200).after(TAKES)
        });
        let retry = json!({"schedule": vec!["1s"; 100]});
        let members = json!({"adaptive_concurrency": is_adaptive, "retry": retry});
        let key = format!("acme{path}");
        scene.subscribe(&key, path, members).await?;
    }
    let process = scene.run("a").await?;
    scene.produce_all(&events("a", EVENTS)).await?;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_narrowed_endpoints", &[]) == 1.0
        })
        .await?;
    wait_for_delivered(&scene, 2 * EVENTS).await?;
    let refused = |path| {
        let all = scene.receiver.received_at(path).len();
        (all - EVENTS) as f64 / all as f64
    };
    let (adaptive, blind) = (refused("/adaptive"), refused("/blind"));
    assert!(adaptive <= 0.1, "{adaptive} of all refused");
    assert!(blind >= 5.0 * adaptive, "{blind} refused without");
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}
