//! Partitions that move: wherever one begins, it begins where the group has committed it, and whatever
//! moves away and comes back is read again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::group::{Intruder, assignments, history};
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::{Keep, Received};
use crate::support::scene::{BOTH, READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_storm_of_joins_and_leaves_moves_no_start,
        a_partition_that_comes_back_is_read_again,
        a_rolling_restart_moves_no_partition,
        one_that_cannot_begin_yet_holds_up_nobody,
}

/// Of events and of tasks.
const PARTITIONS: usize = 4;

/// The partitions of one assignment.
type Owned = BTreeSet<(String, i32)>;

const ROLES: [&str; 2] = ["router", "dispatcher"];

/// Members that hear of a rebalance soon and tell where they begin.
const SETTINGS: [(&str, &str); 6] = [
    ("kafka.session_timeout", "10s"),
    ("kafka.properties", r#"{"heartbeat.interval.ms":"200"}"#),
    ("retry.tiers", r#"["1s","5s"]"#),
    ("shutdown.timeout", "5s"),
    ("telemetry.log", "info,hooktide::kafka::member=debug"),
    ("telemetry.log_format", "json"),
];

/// Where a process says that a partition begins.
#[derive(Clone, Debug)]
struct Start {
    of: (String, i32),
    offset: i64,
    /// Unix milliseconds.
    at: i64,
}

/// What a process has said of a role's partitions, assignment by assignment.
fn starts(process: &Process, role: &str) -> anyhow::Result<Vec<Vec<Start>>> {
    let mut epochs: BTreeMap<u64, Vec<Start>> = BTreeMap::new();
    for line in process.log_text()?.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if line["role"] != role {
            continue;
        }
        let epoch = line["epoch"].as_u64();
        if line["message"] == "partitions assigned" {
            epochs.entry(epoch.context("an epoch")?).or_default();
        }
        if line["message"] == "partition begins" {
            let text = |member: &str| line[member].as_str().context("a text");
            let number = |member: &str| line[member].as_i64().context("a number");
            let at = OffsetDateTime::parse(text("timestamp")?, &Rfc3339)?;
            epochs
                .entry(epoch.context("an epoch")?)
                .or_default()
                .push(Start {
                    of: (
                        text("topic")?.to_owned(),
                        i32::try_from(number("partition")?)?,
                    ),
                    offset: number("offset")?,
                    at: i64::try_from(at.unix_timestamp_nanos() / 1_000_000)?,
                });
        }
    }
    Ok(epochs.into_values().collect())
}

async fn set(bed: &Bed) -> anyhow::Result<Scene> {
    let scene = Scene::keeping(bed, Keep::Ids, &SETTINGS).await?;
    let events = scene.installation.events_topic();
    scene
        .installation
        .kafka()
        .grow_topic(&events, PARTITIONS)
        .await?;
    // Enough that every partition of the tasks has some.
    for number in 0..FAN_OUT {
        let path = format!("/{number}");
        scene
            .subscribe(&format!("acme/s{number}"), &path, json!({}))
            .await?;
    }
    Ok(scene)
}

/// How many requests follow from one event.
const FAN_OUT: usize = 4;

async fn produce(scene: &Scene, numbers: std::ops::Range<usize>) -> Outcome {
    let records: Vec<_> = numbers
        .map(|number| NewRecord {
            partition: i32::try_from(number % PARTITIONS).ok(),
            ..NewRecord::value(event(&format!("evt_{number}"), json!({})).to_string())
        })
        .collect();
    scene.produce_all(&records).await
}

/// What members of a role's group read.
fn topics(scene: &Scene, role: &str) -> Vec<String> {
    let installation = &scene.installation;
    if role == "router" {
        return vec![installation.events_topic()];
    }
    let names = ["deliveries", "retry.1s", "retry.5s"];
    names.map(|name| installation.topic(name)).to_vec()
}

/// Has a member join the groups of both roles and get what is its own.
async fn intrude(scene: &Scene) -> anyhow::Result<Vec<Intruder>> {
    let kafka = scene.installation.kafka().clone();
    let groups = ROLES.map(|role| {
        (
            format!("{}.{role}", scene.installation.id()),
            topics(scene, role),
        )
    });
    let joined = tokio::task::spawn_blocking(move || {
        let members = groups
            .iter()
            .map(|(group, topics)| Intruder::join(&kafka, group, topics));
        let members = members.collect::<anyhow::Result<Vec<_>>>()?;
        for member in &members {
            member.settle(READY)?;
        }
        anyhow::Ok(members)
    });
    joined.await?
}

async fn leave(intruders: Vec<Intruder>) -> Outcome {
    Ok(tokio::task::spawn_blocking(move || drop(intruders)).await?)
}

/// Every delivery has come, was recorded once, and how many came twice.
async fn check_deliveries(scene: &Scene, events: usize) -> anyhow::Result<usize> {
    let all = events * FAN_OUT;
    let received = scene
        .receiver
        .wait_for_ids(all, READY * 2, |_| true)
        .await?;
    let ids: BTreeSet<_> = received.iter().map(Received::id).collect();
    anyhow::ensure!(ids.len() == all, "{} of {all}", ids.len());
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, move |records| records.len() >= all);
    anyhow::ensure!(attempts.await?.len() == all, "an end was recorded twice");
    let tasks = scene.installation.read_topic("deliveries").await?;
    anyhow::ensure!(tasks.len() == all, "{} tasks of {all}", tasks.len());
    Ok(scene.receiver.received().len() - all)
}

/// Holds every start against what the broker says the group had committed then. How many there were.
async fn check_starts(scene: &Scene, processes: &[&Process]) -> anyhow::Result<usize> {
    let mut checked = 0;
    for role in ROLES {
        let group = format!("{}.{role}", scene.installation.id());
        let topics = topics(scene, role);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let commits = history(scene.installation.kafka(), &group, &topics, READY * 2).await?;
        for process in processes {
            for start in starts(process, role)?.iter().flatten() {
                let mut before = commits
                    .iter()
                    .filter(|one| one.of == start.of && one.at <= start.at);
                let expected = before.next_back().map_or(0, |commit| commit.offset);
                anyhow::ensure!(
                    start.offset == expected,
                    "{start:?}, but {expected} was committed"
                );
                checked += 1;
            }
        }
    }
    Ok(checked)
}

/// Transactions are pending all the time; some of those who come and go are processes with work.
#[expect(clippy::print_stderr, reason = "a measurement of this run")]
async fn a_storm_of_joins_and_leaves_moves_no_start(bed: Bed) -> Outcome {
    /// As many leave.
    const JOINS: usize = 25;
    let scene = set(&bed).await?;
    let start = || scene.installation.start_dynamic(BOTH);
    let (first, second) = (start()?, start()?);
    first.wait_ready(READY).await?;
    second.wait_ready(READY).await?;
    let produced = Cell::new(0);
    let load = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let from = produced.get();
            produce(&scene, from..from + PARTITIONS).await?;
            produced.set(from + PARTITIONS);
        }
    };
    let storm = async {
        let mut guests = Vec::new();
        for join in 0..JOINS {
            if join % 5 == 2 {
                let guest = start()?;
                guest.wait_ready(READY).await?;
                guest.sigterm()?;
                anyhow::ensure!(
                    guest.wait_exit(SOON).await?.success(),
                    "it did not end well"
                );
                guests.push(guest);
            } else {
                leave(intrude(&scene).await?).await?;
            }
        }
        anyhow::Ok(guests)
    };
    let guests = tokio::select! {
        failed = load => return failed,
        weathered = storm => weathered?,
    };
    // What was under way when the load ended may or may not be there.
    let events = produced.get();
    produce(&scene, events..events + PARTITIONS).await?;
    let doubled = check_deliveries(&scene, events + PARTITIONS).await?;
    let processes: Vec<_> = [&first, &second].into_iter().chain(&guests).collect();
    let checked = check_starts(&scene, &processes).await?;
    eprintln!("{checked} starts, {events} events, {doubled} doubled");
    anyhow::ensure!(checked > JOINS * PARTITIONS, "only {checked} starts");
    anyhow::ensure!(doubled == 0, "{doubled} doubled");
    Ok(())
}

/// librdkafka leaves a queue that was split off as it is when its partition goes and comes back.
async fn a_partition_that_comes_back_is_read_again(bed: Bed) -> Outcome {
    const STEP: usize = 400;
    let scene = set(&bed).await?;
    let process = scene.installation.start_dynamic(BOTH)?;
    process.wait_ready(READY).await?;
    produce(&scene, 0..STEP).await?;
    for round in 1..=3 {
        let from = round * STEP;
        let intruders = intrude(&scene).await?;
        for (role, intruder) in ROLES.into_iter().zip(&intruders) {
            let away = intruder.partitions()?;
            anyhow::ensure!(!away.is_empty(), "the {role} has all");
        }
        // Of some of these the partitions are away.
        produce(&scene, from..from + STEP).await?;
        leave(intruders).await?;
        let doubled = check_deliveries(&scene, from + STEP).await?;
        anyhow::ensure!(doubled == 0, "{doubled} doubled");
    }
    for role in ROLES {
        // Alone, with an intruder, alone again: three times over.
        let epochs = starts(&process, role)?;
        let all = topics(&scene, role).len() * PARTITIONS;
        let last = epochs.last().context("no assignment")?;
        anyhow::ensure!(epochs.len() >= 7 && last.len() == all, "{role}: {epochs:?}");
    }
    check_starts(&scene, &[&process]).await.map(drop)
}

/// Three static members, each of which is stopped and started in its turn, under load.
async fn a_rolling_restart_moves_no_partition(bed: Bed) -> Outcome {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    const STEP: usize = 200;
    let scene = set(&bed).await?;
    let mut processes = Vec::new();
    for name in NAMES {
        processes.push(scene.run(name).await?);
    }
    let groups = ROLES.map(|role| format!("{}.{role}", scene.installation.id()));
    let kafka = scene.installation.kafka();
    // The last to join has moved the others' partitions: from here on nothing moves.
    let parts = |given: &BTreeSet<BTreeSet<_>>| given.iter().filter(|one| !one.is_empty()).count();
    let settled = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let mut before = Vec::new();
            for group in &groups {
                before.push(assignments(kafka, group).await?);
            }
            if before.iter().all(|given| parts(given) == NAMES.len()) {
                return anyhow::Ok(before);
            }
        }
    };
    let before = tokio::time::timeout(READY, settled).await??;
    produce(&scene, 0..STEP).await?;
    check_deliveries(&scene, STEP).await?;
    let owned = |process: &Process| -> anyhow::Result<Vec<Option<Owned>>> {
        let of = |role| {
            let epochs = starts(process, role)?;
            Ok(epochs
                .last()
                .map(|last| last.iter().map(|start| start.of.clone()).collect()))
        };
        ROLES.into_iter().map(of).collect()
    };
    let counts = |processes: &[Process]| -> anyhow::Result<Vec<usize>> {
        let count = |process: &Process| {
            Ok(starts(process, "router")?.len() + starts(process, "dispatcher")?.len())
        };
        processes.iter().map(count).collect()
    };
    for (turn, name) in NAMES.into_iter().enumerate() {
        let was = owned(&processes[turn])?;
        let mut assigned = counts(&processes)?;
        processes[turn].sigterm()?;
        let from = (turn + 1) * STEP;
        produce(&scene, from..from + STEP).await?;
        anyhow::ensure!(
            processes[turn].wait_exit(SOON).await?.success(),
            "it did not end well"
        );
        processes[turn] = scene.run(name).await?;
        let doubled = check_deliveries(&scene, from + STEP).await?;
        anyhow::ensure!(doubled == 0, "{doubled} doubled");
        anyhow::ensure!(
            owned(&processes[turn])? == was,
            "{name} has other partitions"
        );
        // One for each role.
        assigned[turn] = ROLES.len();
        anyhow::ensure!(
            counts(&processes)? == assigned,
            "the others were rebalanced"
        );
        for (group, before) in groups.iter().zip(&before) {
            let now = assignments(kafka, group).await?;
            anyhow::ensure!(now == *before, "{group}: {before:?} became {now:?}");
        }
    }
    let processes: Vec<&Process> = processes.iter().collect();
    check_starts(&scene, &processes).await.map(drop)
}

/// A transaction that somebody left open keeps a process from knowing where to begin. Others of its group
/// get their partitions all the same, as soon as they join.
async fn one_that_cannot_begin_yet_holds_up_nobody(bed: Bed) -> Outcome {
    let scene = set(&bed).await?;
    let group = format!("{}.router", scene.installation.id());
    let events = scene.installation.events_topic();
    let kafka = scene.installation.kafka();
    let (mut config, at) = (kafka.client_config(), events.clone());
    let in_group = group.clone();
    let open = tokio::task::spawn_blocking(move || {
        let member: BaseConsumer = config.clone().set("group.id", &in_group).create()?;
        let metadata = member.group_metadata().context("metadata of the group")?;
        config.set("transactional.id", format!("{in_group}.other"));
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(SOON)?;
        producer.begin_transaction()?;
        let record = BaseRecord::<[u8], [u8]>::to(&at).payload(b"{}");
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(SOON)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&at, 0, Offset::Offset(0))?;
        producer.send_offsets_to_transaction(&offsets, &metadata, SOON)?;
        anyhow::Ok(producer)
    });
    let open = open.await??;
    let process = scene.installation.start_dynamic("router")?;
    process
        .wait_for_log("committed offsets are not known yet", READY)
        .await?;
    let (other, topics) = (kafka.clone(), vec![events]);
    let joined = tokio::task::spawn_blocking(move || {
        let intruder = Intruder::join(&other, &group, &topics)?;
        intruder.settle(SOON)?;
        anyhow::Ok(intruder)
    });
    let intruder = joined.await??;
    anyhow::ensure!(!intruder.partitions()?.is_empty(), "nothing was given");
    leave(vec![intruder]).await?;
    tokio::task::spawn_blocking(move || open.abort_transaction(SOON)).await??;
    process.wait_ready(READY).await
}
