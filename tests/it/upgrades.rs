//! Changes under traffic: of the version, of the ladder; and clocks that do not agree.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hooktide::offset_tracker::CommitMetadata;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::kafka::{Kafka, NewRecord};
use crate::support::process::Process;
use crate::support::receiver::{Answer, Keep, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_version_and_back_under_traffic,
        tiers_change_under_traffic,
        clocks_five_seconds_apart_make_nothing_early,
}

/// How many kinds of events there are, each for a subscription of its own.
const KINDS: usize = 4;

/// Events of all kinds in turn, as long as it is wanted.
struct Traffic {
    produced: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Outcome>,
}

impl Traffic {
    fn start(kafka: &Kafka, topic: &str) -> Self {
        let (produced, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (kafka, topic) = (kafka.clone(), topic.to_owned());
        let (count, stopped) = (Arc::clone(&produced), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while !stopped.load(Ordering::Acquire) {
                tick.tick().await;
                let from = count.load(Ordering::Acquire);
                let numbers = from..from + 4 * KINDS;
                let records: Vec<_> = numbers.map(numbered).collect();
                kafka.produce_all(&topic, &records).await?;
                count.fetch_add(records.len(), Ordering::AcqRel);
            }
            Ok(())
        });
        Self {
            produced,
            stop,
            task,
        }
    }

    /// Ends it; how many events there were.
    async fn end(self) -> anyhow::Result<usize> {
        self.stop.store(true, Ordering::Release);
        self.task.await??;
        Ok(self.produced.load(Ordering::Acquire))
    }
}

fn numbered(number: usize) -> NewRecord {
    let kind = format!("kind{}", number % KINDS);
    let event = json!({"id": format!("evt_{number}"), "type": kind, "tenant": "acme", "data": {}});
    NewRecord::value(event.to_string())
}

/// Subscribes each kind of events, to be answered by `500` at the first request for those that `fails`
/// is true of.
async fn subscribe(scene: &Scene, retry: &str, fails: fn(&Received) -> bool) -> Outcome {
    let failed = Mutex::new(HashSet::<String>::new());
    scene.receiver.script_with("/hook", move |request, _| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = fails(request) && failed.insert(request.id().to_owned());
        Answer::status(if is_first { 500 } else { 200 })
    });
    for kind in 0..KINDS {
        let members = json!({
            "events": [format!("kind{kind}")],
            "retry": {"schedule": [retry, retry]},
        });
        scene
            .subscribe(&format!("acme/s{kind}"), "/hook", members)
            .await?;
    }
    Ok(())
}

/// How many requests for each delivery there were on a path.
fn counts(scene: &Scene, path: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in scene.receiver.received_at(path) {
        *counts.entry(request.id().to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until as many more deliveries than now have been asked for.
async fn wait_for_more(scene: &Scene, more: usize) -> Outcome {
    let before = counts(scene, "/hook").len();
    let hooks = |request: &Received| request.path == "/hook";
    let waited = scene.receiver.wait_for_ids(before + more, READY, hooks);
    waited.await.map(drop)
}

async fn end_of(process: &Process) -> Outcome {
    process.sigterm()?;
    assert_eq!(process.wait_exit(READY).await?.code(), Some(0));
    Ok(())
}

/// The next version stands in for itself: it adds to the metadata of commits and to the headers of records
/// what this one does not know. Unfinished tasks at the bottom of each partition make what is finished
/// above them a matter of that metadata alone.
async fn a_version_and_back_under_traffic(bed: Bed) -> Outcome {
    const NEXT: &[(&str, &str)] = &[("HOOKTIDE_TEST_NEXT_VERSION", "1")];
    const IN_FLIGHT: usize = 16;
    let settings = [
        ("topics.partitions", "2"),
        ("retry.tiers", r#"["1s"]"#),
        ("kafka.session_timeout", "6s"),
        ("shutdown.timeout", "1s"),
        ("dispatcher.max_in_flight", "16"),
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::keeping(&bed, Keep::Ids, &settings).await?;
    subscribe(&scene, "1s", |request| {
        request.id().ends_with(['0', 'a', 'k'])
    })
    .await?;
    scene.receiver.script("/slow", [Answer::hang()]);
    const SLOW: usize = 4;
    for number in 0..SLOW {
        let members = json!({"events": ["slow"], "timeout": "2m"});
        scene
            .subscribe(&format!("acme/slow{number}"), "/slow", members)
            .await?;
    }
    let start = |variables| scene.installation.start_as(BOTH, &[], variables);
    let mut processes = VecDeque::new();
    for _ in 0..2 {
        let process = start(&[])?;
        process.wait_ready(READY).await?;
        processes.push_back(process);
    }
    let slow = json!({"id": "evt_slow", "type": "slow", "tenant": "acme", "data": {}});
    scene.produce(&slow.to_string()).await?;
    scene.receiver.wait_for_count("/slow", SLOW, SOON).await?;
    let events = scene.installation.events_topic();
    let traffic = Traffic::start(scene.installation.kafka(), &events);

    let mut gone = Vec::new();
    for (step, variables) in [NEXT, NEXT, &[], &[]].into_iter().enumerate() {
        wait_for_more(&scene, 100).await?;
        let younger = start(variables)?;
        younger.wait_ready(READY).await?;
        processes.push_back(younger);
        let older = processes.pop_front().context("two run")?;
        end_of(&older).await?;
        gone.push(older);
        if step == 1 {
            wait_for_more(&scene, 100).await?;
            check_both_differ(&scene).await?;
        }
    }
    wait_for_more(&scene, 100).await?;
    let produced = traffic.end().await?;
    let hooks = |request: &Received| request.path == "/hook";
    scene.receiver.wait_for_ids(produced, READY, hooks).await?;
    scene.receiver.script("/slow", [Answer::status(200)]);
    let restarted = start(&[])?;
    restarted.wait_ready(READY).await?;
    for process in processes {
        end_of(&process).await?;
        gone.push(process);
    }
    let delivered = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while counts(&scene, "/slow").len() < SLOW
            || !scene
                .receiver
                .received_at("/slow")
                .iter()
                .any(|one| one.answered.is_some())
        {
            tick.tick().await;
        }
    };
    tokio::time::timeout(READY, delivered)
        .await
        .context("what was slow is lost")?;

    // Each once, or twice if the first was refused; what was on the wire at a handover may be more.
    let all = counts(&scene, "/hook");
    let expected = |id: &str| 1 + usize::from(id.ends_with(['0', 'a', 'k']));
    let doubled: usize = all
        .iter()
        .map(|(id, count)| count.saturating_sub(expected(id)))
        .sum();
    // Each end of a process and each change of the group hands over once.
    assert!(doubled <= 2 * gone.len() * IN_FLIGHT, "{doubled} doubled");
    gone.push(restarted);
    for process in &gone {
        let log = process.log_text()?;
        for strange in ["not ours to read", "cannot be read", "rejected"] {
            assert!(!log.contains(strange), "{strange}: {log}");
        }
    }
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    assert!(scene.installation.read_topic("rejects").await?.is_empty());
    Ok(())
}

/// Whether what the group has committed last, and tasks, are those of the next version.
async fn check_both_differ(scene: &Scene) -> Outcome {
    let deliveries = scene.installation.topic("deliveries");
    let committed = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let commits = scene
                .installation
                .committed("dispatcher", &[&deliveries])
                .await?;
            let mut newer = Vec::new();
            for commit in commits {
                let offset = commit.offset.context("committed")?;
                let found = CommitMetadata::decode(&commit.metadata, offset, None)?;
                newer.push(!found.newer.is_empty() && !found.finished.is_empty());
            }
            if newer.iter().all(|newer| *newer) {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(SOON, committed)
        .await
        .context("no commit of the next version")??;
    let tasks = scene.installation.read_topic("deliveries").await?;
    let of_next = tasks
        .iter()
        .filter(|task| task.header("hooktide-next") == Some("1"));
    let count = of_next.count();
    assert!(count > 0 && count < tasks.len(), "{count} tasks");
    Ok(())
}

/// Two processes change from one ladder to another that has nothing of it, one after the other, and back.
async fn tiers_change_under_traffic(bed: Bed) -> Outcome {
    const WAIT: Duration = Duration::from_secs(3);
    const LADDERS: [&str; 2] = [r#"["1s","3s"]"#, r#"["2s","4s"]"#];
    let settings = [
        ("topics.partitions", "2"),
        ("retry.tiers", r#"["1s","2s","3s","4s"]"#),
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::keeping(&bed, Keep::Ids, &settings).await?;
    subscribe(&scene, "3s", |_| true).await?;
    let start = |name: &'static str, ladder: usize| {
        let settings = [("instance_id", name), ("retry.tiers", LADDERS[ladder])];
        scene.installation.start_with(BOTH, &settings)
    };
    let mut running = BTreeMap::new();
    for name in ["a", "b"] {
        let process = start(name, 0)?;
        process.wait_ready(READY).await?;
        running.insert(name, process);
    }
    let events = scene.installation.events_topic();
    let traffic = Traffic::start(scene.installation.kafka(), &events);
    for ladder in [1, 0] {
        for name in ["a", "b"] {
            wait_for_more(&scene, 50).await?;
            end_of(&running[name]).await?;
            let process = start(name, ladder)?;
            process.wait_ready(READY).await?;
            running.insert(name, process);
        }
    }
    wait_for_more(&scene, 50).await?;
    let produced = traffic.end().await?;
    let hooks = |request: &Received| request.path == "/hook";
    scene.receiver.wait_for_ids(produced, READY, hooks).await?;
    let received = scene
        .receiver
        .wait_for_count("/hook", 2 * produced, READY)
        .await?;
    check_waits(&received, WAIT)?;
    for tier in ["retry.3s", "retry.2s"] {
        let used = scene.installation.read_topic(tier).await?;
        assert!(!used.is_empty(), "{tier}");
    }
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}

/// Each delivery was tried twice, and not the second time before its wait was over.
fn check_waits(received: &[Received], wait: Duration) -> Outcome {
    let mut by_id: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for request in received {
        by_id.entry(request.id()).or_default().push(request);
    }
    for (id, requests) in by_id {
        let [first, second] = requests[..] else {
            anyhow::bail!("{id}: {} requests", requests.len());
        };
        let answered = first.answered.context("an answer to the first")?;
        let waited = second.arrived.saturating_duration_since(answered);
        assert!(waited >= wait, "{id} is early: {waited:?}");
    }
    Ok(())
}

/// One process's clock is five seconds ahead of the broker's and of the other process. Each takes over what
/// the other has put on tiers, and what itself has.
async fn clocks_five_seconds_apart_make_nothing_early(bed: Bed) -> Outcome {
    const WAIT: Duration = Duration::from_secs(6);
    const AHEAD: &[(&str, &str)] = &[("HOOKTIDE_TEST_CLOCK_ERROR", "5000")];
    const EACH: usize = 4 * KINDS;
    let settings = [
        ("topics.partitions", "4"),
        ("retry.tiers", r#"["1s","5s"]"#),
        ("breaker.min_requests", "100000"),
    ];
    let scene = Scene::keeping(&bed, Keep::Ids, &settings).await?;
    subscribe(&scene, "6s", |_| true).await?;
    let start = |variables| scene.installation.start_as(BOTH, &[], variables);
    let events = scene.installation.events_topic();
    let kafka = scene.installation.kafka();

    let mut received = Vec::new();
    for (round, goes_ahead) in [(0, true), (1, false)] {
        let (ahead, right) = (start(AHEAD)?, start(&[])?);
        ahead.wait_ready(READY).await?;
        right.wait_ready(READY).await?;
        let records: Vec<_> = (round * EACH..(round + 1) * EACH).map(numbered).collect();
        kafka.produce_all(&events, &records).await?;
        let before = 2 * EACH * round;
        scene
            .receiver
            .wait_for_count("/hook", before + EACH, SOON)
            .await?;
        // What waits on tiers is the other's from now on.
        let (goes, stays) = match goes_ahead {
            true => (&ahead, &right),
            false => (&right, &ahead),
        };
        end_of(goes).await?;
        received = scene
            .receiver
            .wait_for_count("/hook", before + 2 * EACH, READY)
            .await?;
        end_of(stays).await?;
    }
    check_waits(&received, WAIT)?;
    // Nobody has moved them to and fro because a clock said that they were due.
    let mut moved = 0;
    for tier in ["retry.1s", "retry.5s"] {
        moved += scene.installation.read_topic(tier).await?.len();
    }
    assert!(moved <= 3 * 2 * EACH, "{moved} times on a tier");
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}
