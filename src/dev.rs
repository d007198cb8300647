//! `hooktide dev`: everything in one process, so that one sees what Hooktide does without setting
//! anything up.
//!
//! ```text
//! sample events ──▶ Kafka (mock or given) ◀──▶ roles: the code of `hooktide run`
//!                     │                          │ HTTP
//!                     │ topics are watched       ▼
//!                     ▼                        endpoints: good, flaky, slow, dead, limited
//!                   lines and totals
//! ```
//!
//! Everything that is told comes from the topics. With `--chaos` the dispatchers are processes of
//! their own that are killed, and the receiver's own view is held against the topics'.

pub mod chaos;
pub mod demo;
mod error;
pub mod head;
pub mod ledger;
pub mod line;
pub mod receiver;
pub mod roles;
pub mod show;
pub mod sighting;
pub mod stage;
pub mod totals;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use error::DevError;
pub use ledger::Verdict;
pub use line::Screen;
pub use stage::{Layers, Stage};

use crate::clock::Timestamp;
use crate::kafka::client_config;
use crate::kafka::errand::RecordWriter;
use crate::kafka::topic_follower::TopicFollower;
use crate::role::Role;
use crate::shutdown;
use crate::topic::Topic;
use chaos::{Chaos, Happening};
use demo::SUBSCRIBERS;
use ledger::Ledger;
use line::Mood;
use receiver::Receiver;
use roles::Roles;
use show::{Detail, Show};
use sighting::Watched;

/// How long a look at the topics waits for a record.
const TICK: Duration = Duration::from_millis(20);
/// From one sample event to the next; more of them when it is about kills.
const BETWEEN_EVENTS: Duration = Duration::from_millis(700);
const BETWEEN_EVENTS_IN_CHAOS: Duration = Duration::from_millis(100);
/// Requests that the limited endpoint takes in a second: somewhat less than come.
const LIMIT: u32 = 1;
const LIMIT_IN_CHAOS: u32 = 6;
/// From one line of totals to the next.
const BETWEEN_TOTALS: Duration = Duration::from_secs(10);
/// How long the roles may take until they are ready.
const READY: Duration = Duration::from_secs(60);
/// How long the topics may take to be read to their end.
const LAST_LOOK: Duration = Duration::from_secs(15);
/// How long everything may take to come to its end after the last kill: the ladder, a session that
/// has to end, and the broker's scan for transactions of the dead.
const SETTLE: Duration = Duration::from_secs(90);
/// How long background work may take to end.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// How long; none: until a signal.
    pub duration: Option<Duration>,
    /// Whether dispatchers are killed.
    pub chaos: bool,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// Plays until its time is over or a signal comes, then tells the totals.
///
/// # Errors
/// [`DevError`]. Topics of a given Kafka are removed in any case.
pub fn run(stage: Stage, play: &Play, screen: &mut Screen) -> Result<(), DevError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let signal = runtime.block_on(async { shutdown::on_signals() })?;
    runtime.block_on(stage.create_topics())?;
    let played = perform(&stage, play, screen, runtime.handle(), &signal);
    let cleaned = runtime.block_on(stage.clean_up());
    runtime.shutdown_timeout(LAST_GRACE);
    played.and(cleaned)
}

fn perform(
    stage: &Stage,
    play: &Play,
    screen: &mut Screen,
    runtime: &Handle,
    signal: &CancellationToken,
) -> Result<(), DevError> {
    let started = Timestamp::now();
    let limit = if play.chaos { LIMIT_IN_CHAOS } else { LIMIT };
    let receiver = runtime.block_on(Receiver::start(play.seed, limit, play.chaos))?;
    let program = program();
    screen.write(&head::head(stage, &program, receiver.address(), play.chaos));
    let (own_roles, detail): (&'static [Role], _) = if play.chaos {
        (&[Role::Router], Detail::Totals)
    } else {
        (&Role::ALL, Detail::Everything)
    };
    // First, because a group takes its time until it has an assignment.
    let roles = Roles::start(stage, own_roles, runtime)?;
    let killing = match play.chaos {
        true => Some((Chaos::start(stage)?, Ledger::default())),
        false => None,
    };
    put_subscriptions(stage, &receiver)?;
    let watched = Watched::of(&stage.config, &stage.events);
    let reader = client_config::table_reader(&stage.config);
    let mut performance = Performance {
        follower: TopicFollower::start(&reader, &watched.names())?,
        writer: RecordWriter::connect(&stage.config, &stage.events)?,
        show: Show::new(started, detail),
        produced: 0,
        screen,
        watched,
        receiver,
        roles,
        killing,
    };
    performance.play(play.duration, signal)?;
    performance.end()
}

/// How this program can be called from a second terminal in the same folder.
fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|_| Path::new("hooktide").to_owned());
    match std::env::current_dir() {
        Ok(here) => program
            .strip_prefix(here)
            .map_or(program.clone(), Path::to_owned),
        Err(_) => program,
    }
}

fn put_subscriptions(stage: &Stage, receiver: &Receiver) -> Result<(), DevError> {
    let topic = stage.config.topics.name(Topic::Subscriptions);
    let writer = RecordWriter::connect_to_table(&stage.config, &topic)?;
    for subscriber in SUBSCRIBERS {
        let record = subscriber.record(receiver.address(), receiver.dead(), rand::random());
        let value = record.to_string();
        writer.write_one(subscriber.key().as_bytes(), Some(value.as_bytes()))?;
    }
    Ok(())
}

/// A show under way.
struct Performance<'a> {
    screen: &'a mut Screen,
    show: Show,
    watched: Watched,
    follower: TopicFollower,
    writer: RecordWriter,
    receiver: Receiver,
    roles: Roles,
    /// The dispatchers that are killed, and what comes of it.
    killing: Option<(Chaos, Ledger)>,
    /// Sample events so far.
    produced: usize,
}

impl Performance<'_> {
    fn play(
        &mut self,
        duration: Option<Duration>,
        signal: &CancellationToken,
    ) -> Result<(), DevError> {
        let began = Instant::now();
        while !self.roles.is_ready() {
            if signal.is_cancelled() {
                return Ok(());
            }
            if began.elapsed() > READY {
                return Err(DevError::NotReady(READY.as_secs()));
            }
            self.watch()?;
            self.attend()?;
        }
        let ready = Instant::now();
        let text = "the roles have their partitions: sample events come in".to_owned();
        self.say("ready", text, Mood::Plain);
        let between_events = match self.killing {
            Some(_) => BETWEEN_EVENTS_IN_CHAOS,
            None => BETWEEN_EVENTS,
        };
        let (mut next_event, mut next_totals) = (ready, ready + BETWEEN_TOTALS);
        loop {
            let now = Instant::now();
            let is_over = duration.is_some_and(|duration| now.duration_since(ready) >= duration);
            if is_over || signal.is_cancelled() || self.screen.is_closed() {
                return Ok(());
            }
            if now >= next_event {
                self.produce()?;
                // What was missed while something hung is not made up for.
                next_event = (next_event + between_events).max(now);
            }
            if now >= next_totals {
                self.tell_totals();
                next_totals = now + BETWEEN_TOTALS;
            }
            self.watch()?;
            self.attend()?;
            self.kill(true)?;
        }
    }

    /// Lets what runs finish, reads the topics to their end, and tells the totals.
    fn end(mut self) -> Result<(), DevError> {
        self.settle()?;
        if let Some((chaos, ledger)) = self.killing.take() {
            chaos.stop()?;
            self.finish(Some(ledger))
        } else {
            self.finish(None)
        }
    }

    fn finish(mut self, mut ledger: Option<Ledger>) -> Result<(), DevError> {
        self.roles.stop();
        while !self.roles.has_ended()? {
            self.look(ledger.as_mut())?;
        }
        self.follower.look_for_the_end()?;
        let deadline = Instant::now() + LAST_LOOK;
        while !self.follower.is_at_end() && Instant::now() < deadline {
            self.look(ledger.as_mut())?;
        }
        if !self.follower.is_at_end() {
            self.say(
                "note",
                "the topics could not be read to their end".to_owned(),
                Mood::Bad,
            );
        }
        for line in self.show.last_lines() {
            self.screen.show(&line);
        }
        self.tell_totals();
        let Some(verdict) = ledger.map(Ledger::conclude) else {
            return Ok(());
        };
        let mood = if verdict.is_good() {
            Mood::Good
        } else {
            Mood::Bad
        };
        self.say("chaos", verdict.to_string(), mood);
        match verdict.is_good() {
            true => Ok(()),
            false => Err(DevError::Broken(verdict)),
        }
    }

    /// Waits until the last events have their tasks and, with kills, every delivery has come to its
    /// end, or had the time to.
    fn settle(&mut self) -> Result<(), DevError> {
        while self.show.awaits_tasks() {
            self.watch()?;
            self.attend()?;
        }
        let deadline = Instant::now() + SETTLE;
        let mut told = false;
        while let Some((_, ledger)) = &self.killing
            && !ledger.is_settled()
            && Instant::now() < deadline
        {
            if !told {
                let text = format!(
                    "no more kills; {} deliveries come to their end",
                    ledger.open()
                );
                self.say("chaos", text, Mood::Plain);
                told = true;
            }
            self.watch()?;
            self.attend()?;
            self.kill(false)?;
        }
        Ok(())
    }

    /// Looks at the topics and the receiver, and shows what is due.
    fn watch(&mut self) -> Result<(), DevError> {
        let mut killing = self.killing.take();
        let looked = self.look(killing.as_mut().map(|(_, ledger)| ledger));
        self.killing = killing;
        looked
    }

    fn look(&mut self, mut ledger: Option<&mut Ledger>) -> Result<(), DevError> {
        /// Records at one look; the rest is for the next.
        const MOST: usize = 1_000;
        let mut wait = TICK;
        for _ in 0..MOST {
            let Some(record) = self.follower.next(wait)? else {
                break;
            };
            wait = Duration::ZERO;
            let (sighting, now) = (self.watched.read(&record), Timestamp::now());
            self.show.take(&sighting, now);
            if let Some(ledger) = &mut ledger {
                ledger.take(&sighting, now);
            }
        }
        let now = Timestamp::now();
        if let Some(ledger) = ledger {
            while let Some(seen) = self.receiver.seen() {
                ledger.seen(&seen);
            }
            ledger.close_old(now);
        }
        for line in self.show.lines(now) {
            self.screen.show(&line);
        }
        Ok(())
    }

    /// Notices when the roles have ended by themselves.
    fn attend(&mut self) -> Result<(), DevError> {
        match self.roles.has_ended()? {
            true => Err(DevError::Silent),
            false => Ok(()),
        }
    }

    fn produce(&mut self) -> Result<(), DevError> {
        let number = self.produced;
        self.produced += 1;
        if let Some((_, ledger)) = &mut self.killing {
            let takers = SUBSCRIBERS.iter().filter(|one| one.takes(number));
            ledger.owe(
                demo::event_id(number),
                takers.map(|one| one.key()).collect(),
            );
        }
        let value = demo::event(number).to_string();
        self.writer.write(number, None, Some(value.as_bytes()))?;
        self.writer.settle();
        match self.writer.failure() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Serves the dispatchers that are processes of their own.
    fn kill(&mut self, kills: bool) -> Result<(), DevError> {
        let Some((chaos, ledger)) = &mut self.killing else {
            return Ok(());
        };
        for happening in chaos.serve(Instant::now(), kills)? {
            let (text, mood) = match happening {
                Happening::Killed(name) => {
                    ledger.killed(Timestamp::now());
                    (format!("{name} is killed (-9)"), Mood::Bad)
                }
                Happening::Started(name) => (format!("{name} is started again"), Mood::Plain),
                Happening::Ended(name, status) => {
                    (format!("{name} ended by itself: {status}"), Mood::Bad)
                }
            };
            let line = self.show.say("chaos", text, mood, Timestamp::now());
            self.screen.show(&line);
        }
        Ok(())
    }

    fn tell_totals(&mut self) {
        self.say("totals", self.show.totals().to_string(), Mood::Loud);
        if let Some((_, ledger)) = &self.killing {
            let text = format!("so far {}", ledger.so_far());
            self.say("chaos", text, Mood::Plain);
        }
    }

    fn say(&mut self, label: &'static str, text: String, mood: Mood) {
        let line = self.show.say(label, text, mood, Timestamp::now());
        self.screen.show(&line);
    }
}
