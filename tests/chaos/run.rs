//! One run: members, load, faults, until everything has come to rest; then the judgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hooktide::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::brokers::Brokers;
use crate::fleet::{Fleet, TIERS, pause, since};
use crate::judge::{Verdict, judge};
use crate::load::{self, Load};
use crate::plan::{Fault, Layout};
use crate::receiver::{Manner, Receiver};
use crate::record::{Record, Subscriber};
use crate::support::Bed;
use crate::topics::{Follower, Last, Progress};

/// Between two faults, so that work is under way again.
const BETWEEN: Duration = Duration::from_millis(700);
/// Events go to this many subscriptions of each manner.
const EACH: [(Manner, usize); 5] = [
    (Manner::Good, 4),
    (Manner::Slow, 1),
    (Manner::Flaky, 1),
    (Manner::Doomed, 1),
    (Manner::Deleted, 1),
];

/// What is to be done in a run.
#[derive(Clone, Debug)]
pub struct Script {
    /// What the run is called in reports.
    pub kind: String,
    /// Decides everything that is left to chance here.
    pub seed: u64,
    /// What they run on.
    pub layout: Layout,
    /// Static members.
    pub members: usize,
    /// Faults; those of one list one after the other, the lists side by side.
    pub faults: Vec<Vec<Fault>>,
    /// Events.
    pub load: Load,
}

impl Script {
    /// How long nothing may happen before a run counts as having come to a standstill. A cluster of which a
    /// broker has died may need half a minute until its last partition moves.
    fn standstill(&self) -> Duration {
        match self.layout {
            Layout::Alone => Duration::from_secs(60),
            Layout::Cluster => Duration::from_secs(90),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// As in [`Script::kind`].
    pub kind: String,
    /// As in [`Script::seed`].
    pub seed: u64,
    /// When it began.
    pub began: String,
    /// How long it took.
    pub seconds: u64,
    /// What was found.
    pub verdict: Verdict,
    /// Kill points that were not passed in time.
    pub missed: Vec<String>,
    /// The largest resident size of a process, by minute, in KiB.
    pub resident: Vec<u64>,
}

/// Does one with a Kafka of its own. None: this machine cannot start it.
pub async fn run(bed: &Bed, script: Script) -> anyhow::Result<Option<Report>> {
    let Some((bed, brokers)) = Brokers::start(bed, script.layout).await? else {
        return Ok(None);
    };
    let began = Timestamp::now();
    let receiver = Receiver::start(script.seed).await?;
    let fleet = Fleet::start(&bed, brokers, receiver, script.members).await?;
    let subscribers = subscribe(&fleet).await?;
    let deleted = subscribers.iter().find(|one| one.is_deleted);
    let deleted = deleted.context("one subscription is deleted")?.key.clone();
    let follower = Follower::start(&fleet.installation, &TIERS, &deleted)?;
    let progress = follower.progress();
    let staying = u64::try_from(subscribers.len() - 1)?;
    let stop = CancellationToken::new();
    let mut resident = Vec::new();
    {
        let producing = load::produce(
            &fleet.installation,
            Arc::clone(&progress),
            staying,
            script.load,
            stop.clone(),
        );
        let inflicting = async {
            let result = inflict_all(&fleet, &script, &deleted, &progress).await;
            stop.cancel();
            result
        };
        let measured = async {
            let both = async { tokio::try_join!(producing, inflicting) };
            tokio::select! {
                result = both => result.map(drop),
                never = measure(&fleet, began, &mut resident) => never,
            }
        };
        measured.await?;
    }
    come_to_rest(&fleet, &progress, staying, script.standstill()).await?;
    fleet.end().await?;
    if !fleet.brokers.were_reached_by_wire() {
        fleet.incident("a broker's wire has carried nothing".to_owned());
    }
    let found = follower.finish().await?;
    for behind in behind(&fleet, &found.last).await? {
        fleet.incident(format!("never finished: {behind}"));
    }
    let requests = fleet.receiver.requests();
    let journal = fleet.into_journal();
    let record = Record {
        events: found.events,
        subscribers,
        tasks: found.tasks,
        attempts: found.attempts,
        letters: found.letters,
        requests,
        strikes: journal.all_strikes()?,
        incidents: journal
            .incidents
            .into_iter()
            .chain(found.problems)
            .collect(),
    };
    Ok(Some(Report {
        kind: script.kind,
        seed: script.seed,
        began: began.to_string(),
        seconds: since(began).as_secs(),
        verdict: tokio::task::spawn_blocking(move || judge(&record)).await?,
        missed: journal.missed,
        resident,
    }))
}

async fn subscribe(fleet: &Fleet) -> anyhow::Result<Vec<Subscriber>> {
    let mut subscribers = Vec::new();
    for (manner, count) in EACH {
        for number in 0..count {
            let key = format!("acme/{}-{number}", manner.name());
            let subscription = json!({
                "version": 1,
                "url": fleet.receiver.url(manner),
                "events": ["*"],
                "secrets": [crate::support::scene::SECRET],
                "retry": manner.retry(),
            });
            fleet
                .installation
                .put_subscription(&key, &subscription)
                .await?;
            subscribers.push(Subscriber {
                key,
                is_deleted: manner == Manner::Deleted,
            });
        }
    }
    Ok(subscribers)
}

/// Inflicts everything; a subscription is deleted in the middle of it.
async fn inflict_all(
    fleet: &Fleet,
    script: &Script,
    deleted: &str,
    progress: &Progress,
) -> anyhow::Result<()> {
    // There is something to lose.
    while progress.ended() < 200 {
        pause(Duration::from_millis(20)).await;
    }
    let is_one_list = script.faults.len() == 1;
    let mut lists = Vec::new();
    for faults in &script.faults {
        lists.push(async {
            if faults
                .iter()
                .all(|fault| matches!(fault, Fault::KillPoint { .. }))
            {
                return fleet.die_at(faults).await;
            }
            for (done, fault) in faults.iter().enumerate() {
                if is_one_list && done == faults.len() / 2 {
                    fleet.installation.delete_subscription(deleted).await?;
                }
                pause(BETWEEN).await;
                match is_one_list {
                    true => fleet.inflict(fault).await?,
                    false => fleet.inflict_beside(fault).await?,
                }
            }
            Ok(())
        });
    }
    for list in futures(lists).await {
        list?;
    }
    if !is_one_list {
        fleet.installation.delete_subscription(deleted).await?;
    }
    fleet.all_ready().await
}

/// All of them, side by side.
async fn futures<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = all.into_iter().map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut is_pending = false;
        for (place, future) in pending.iter_mut().enumerate() {
            let Some(running) = future else { continue };
            match running.as_mut().poll(context) {
                std::task::Poll::Ready(output) => {
                    done[place] = Some(output);
                    *future = None;
                }
                std::task::Poll::Pending => is_pending = true,
            }
        }
        match is_pending {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect()),
        }
    })
    .await
}

/// Waits until each event has its tasks, each task its end, and every offset is committed.
async fn come_to_rest(
    fleet: &Fleet,
    progress: &Progress,
    staying: u64,
    standstill: Duration,
) -> anyhow::Result<()> {
    let mut seen = (0, 0, 0, 0);
    let mut moved = Instant::now();
    loop {
        pause(Duration::from_millis(500)).await;
        let now = (
            progress.events(),
            progress.tasks(),
            progress.ended(),
            progress.last().values().sum::<i64>(),
        );
        let (events, tasks, ended, _) = now;
        if now != seen {
            (seen, moved) = (now, Instant::now());
            continue;
        }
        let is_through = tasks >= events * staying && ended >= tasks;
        if is_through && behind(fleet, &progress.last()).await?.is_empty() {
            return Ok(());
        }
        if moved.elapsed() > standstill {
            let now = format!("{events} events, {tasks} tasks, {ended} ended");
            fleet.incident(format!("nothing moves any more: {now}"));
            return Ok(());
        }
    }
}

/// Records that the groups have not finished with.
async fn behind(fleet: &Fleet, last: &Last) -> anyhow::Result<Vec<String>> {
    let mut behind = Vec::new();
    let events = fleet.installation.events_topic();
    for (role, is_meant) in [("router", true), ("dispatcher", false)] {
        let of_role = last
            .iter()
            .filter(|((topic, _), _)| (*topic == events) == is_meant);
        let topics: BTreeMap<&str, ()> = of_role
            .clone()
            .map(|((topic, _), _)| (topic.as_str(), ()))
            .collect();
        let topics: Vec<&str> = topics.into_keys().collect();
        if topics.is_empty() {
            continue;
        }
        let committed = fleet.installation.committed(role, &topics).await?;
        for ((topic, partition), offset) in of_role {
            let done = committed
                .iter()
                .find(|one| one.topic == *topic && one.partition == *partition)
                .and_then(|one| one.offset);
            if done.is_none_or(|done| done <= *offset) {
                behind.push(format!("{topic}/{partition}: {offset}, committed {done:?}"));
            }
        }
    }
    Ok(behind)
}

/// Looks at the processes' resident sizes for ever.
async fn measure(fleet: &Fleet, began: Timestamp, resident: &mut Vec<u64>) -> anyhow::Result<()> {
    loop {
        pause(Duration::from_secs(5)).await;
        let minute = usize::try_from(since(began).as_secs() / 60)?;
        resident.resize(resident.len().max(minute + 1), 0);
        for member in &fleet.members {
            // One that is being struck is looked at later.
            let Ok(member) = member.try_lock() else {
                continue;
            };
            if let Some(size) = resident_size(member.process.pid()) {
                resident[minute] = resident[minute].max(size);
            }
        }
    }
}

/// In KiB; none where `/proc` does not say.
fn resident_size(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
