//! The loop: produces, kills, looks at the topics and the receiver, and tells.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::DevError;
use super::chaos::{self, Chaos, Happening};
use super::demo::{self, SUBSCRIBERS};
use super::ledger::Ledger;
use super::line::{Mood, Screen};
use super::roles::Roles;
use super::show::Show;
use super::sighting::Watched;
use super::stage::Stage;
use crate::clock::Timestamp;
use crate::kafka::errand::RecordWriter;
use crate::kafka::topic_follower::TopicFollower;
use crate::receiver::Receiver;
use crate::role::Role;

/// How long a look at the topics waits for a record.
const TICK: Duration = Duration::from_millis(20);
/// From one sample event to the next; more of them when it is about kills.
const BETWEEN_EVENTS: Duration = Duration::from_millis(700);
const BETWEEN_EVENTS_IN_CHAOS: Duration = Duration::from_millis(100);
/// From one line of totals to the next.
const BETWEEN_TOTALS: Duration = Duration::from_secs(10);
/// How long the roles may take until they are ready.
const READY: Duration = Duration::from_secs(60);
/// How long the topics may take to be read to their end.
const LAST_LOOK: Duration = Duration::from_secs(15);
/// How long everything may take to come to its end after the last kill: the ladder, a session that
/// has to end, and the broker's scan for transactions of the dead.
const SETTLE: Duration = Duration::from_secs(90);
/// Records at one look; the rest is for the next.
const MOST_AT_ONCE: usize = 1_000;

/// A show under way.
pub(super) struct Performance<'a> {
    pub(super) stage: &'a Stage,
    pub(super) runtime: &'a Handle,
    pub(super) screen: &'a mut Screen,
    pub(super) show: Show,
    pub(super) watched: Watched,
    pub(super) follower: TopicFollower,
    pub(super) writer: RecordWriter,
    pub(super) receiver: Receiver,
    pub(super) roles: Roles,
    /// The dispatchers that are killed.
    pub(super) chaos: Option<Chaos>,
    /// What comes of that.
    pub(super) ledger: Option<Ledger>,
    /// Sample events so far.
    pub(super) produced: usize,
}

impl Performance<'_> {
    /// Plays for `duration` from when the roles are ready, or until a signal.
    pub(super) fn play(
        &mut self,
        duration: Option<Duration>,
        signal: &CancellationToken,
    ) -> Result<(), DevError> {
        let began = Instant::now();
        while !self.is_ready() {
            if signal.is_cancelled() {
                return Ok(());
            }
            if began.elapsed() > READY {
                return Err(DevError::NotReady(READY.as_secs()));
            }
            self.watch(false)?;
        }
        let ready = Instant::now();
        let text = "the roles have their partitions: sample events come in".to_owned();
        self.say("ready", text, Mood::Plain);
        let between_events = match self.chaos {
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
            self.watch(true)?;
        }
    }

    /// Whether all roles have their partitions. Before that dispatchers still take them from each other,
    /// and what is doubled by that is not a kill's doing.
    fn is_ready(&self) -> bool {
        self.roles.is_ready()
            && match &self.chaos {
                None => true,
                Some(_) => {
                    let asked = self.stage.stable_members(Role::Dispatcher);
                    self.runtime.block_on(asked) == Some(chaos::INSTANCES.len())
                }
            }
    }

    /// Lets what runs finish, reads the topics to their end, and tells the totals.
    pub(super) fn end(mut self) -> Result<(), DevError> {
        self.settle()?;
        if let Some(chaos) = self.chaos.take() {
            chaos.stop()?;
        }
        self.roles.stop();
        while !self.roles.has_ended()? {
            self.look()?;
        }
        self.follower.look_for_the_end()?;
        let deadline = Instant::now() + LAST_LOOK;
        while !self.follower.is_at_end() && Instant::now() < deadline {
            self.look()?;
        }
        if !self.follower.is_at_end() {
            let text = "the topics could not be read to their end".to_owned();
            self.say("note", text, Mood::Bad);
        }
        for line in self.show.last_lines() {
            self.screen.show(&line);
        }
        let ledger = self.ledger.take();
        self.tell_totals();
        let Some((verdict, evidence)) = ledger.map(Ledger::conclude) else {
            return Ok(());
        };
        for text in evidence {
            self.say("evidence", text, Mood::Bad);
        }
        match verdict.is_good() {
            true => {
                self.say("chaos", verdict.to_string(), Mood::Good);
                Ok(())
            }
            false => {
                self.say("chaos", verdict.to_string(), Mood::Bad);
                Err(DevError::Broken(verdict))
            }
        }
    }

    /// Waits until the last events have their tasks and, with kills, every delivery has come to its
    /// end, or had the time to.
    fn settle(&mut self) -> Result<(), DevError> {
        while self.show.awaits_tasks() {
            self.watch(false)?;
        }
        let deadline = Instant::now() + SETTLE;
        if let Some(ledger) = &self.ledger {
            let open = ledger.open();
            let text = format!("no more kills; {open} deliveries come to their end");
            self.say("chaos", text, Mood::Plain);
        }
        while self.ledger.as_ref().is_some_and(|one| !one.is_settled()) && Instant::now() < deadline
        {
            self.watch(false)?;
        }
        Ok(())
    }

    /// Looks at everything, notices when the roles have ended by themselves, and serves the
    /// dispatchers that are processes of their own.
    fn watch(&mut self, kills: bool) -> Result<(), DevError> {
        self.look()?;
        if self.roles.has_ended()? {
            return Err(DevError::Silent);
        }
        let (Some(chaos), Some(ledger)) = (&mut self.chaos, &mut self.ledger) else {
            return Ok(());
        };
        for happening in chaos.serve(Instant::now(), kills)? {
            let now = Timestamp::now();
            let (text, mood) = match happening {
                Happening::Killed(name) => {
                    ledger.killed(now);
                    (format!("{name} is killed (-9)"), Mood::Bad)
                }
                Happening::Started(name) => (format!("{name} is started again"), Mood::Plain),
                Happening::Ended(name, status) => {
                    (format!("{name} ended by itself: {status}"), Mood::Bad)
                }
            };
            self.screen.show(&self.show.say("chaos", text, mood, now));
        }
        Ok(())
    }

    /// Looks at the topics and the receiver, and shows what is due.
    fn look(&mut self) -> Result<(), DevError> {
        let mut wait = TICK;
        for _ in 0..MOST_AT_ONCE {
            let Some(record) = self.follower.next(wait)? else {
                break;
            };
            wait = Duration::ZERO;
            let (sighting, now) = (self.watched.read(&record), Timestamp::now());
            self.show.take(&sighting, now);
            if let Some(ledger) = &mut self.ledger {
                ledger.take(&sighting, now);
            }
        }
        let now = Timestamp::now();
        if let Some(ledger) = &mut self.ledger {
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

    fn produce(&mut self) -> Result<(), DevError> {
        let number = self.produced;
        self.produced += 1;
        if let Some(ledger) = &mut self.ledger {
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

    fn tell_totals(&mut self) {
        self.say("totals", self.show.totals().to_string(), Mood::Loud);
        if let Some(ledger) = &self.ledger {
            let text = format!("so far {}", ledger.so_far());
            self.say("chaos", text, Mood::Plain);
        }
    }

    fn say(&mut self, label: &'static str, text: String, mood: Mood) {
        let line = self.show.say(label, text, mood, Timestamp::now());
        self.screen.show(&line);
    }
}
