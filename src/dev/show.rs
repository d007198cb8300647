//! Sightings become lines. Pure: what is seen and the time come in, lines that are due go out.
//!
//! Topics are read side by side, so an event's tasks come a little after it, in any order with what
//! follows from them. A line therefore waits for a moment: long enough to say how many tasks an event
//! became, and to stand behind what it follows from.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::line::{Line, Mood};
use super::sighting::Sighting;
use super::totals::Totals;
use crate::clock::Timestamp;
use crate::record::{Coordinates, RecordedAttempt};

/// How long an event's line waits for further tasks after the first: they stand on other partitions,
/// which a busy machine reads some time later.
const FURTHER_TASKS: Duration = Duration::from_millis(400);
/// How long it waits for the first: no subscription wants the event, or the router is away.
const FIRST_TASK: Duration = Duration::from_secs(2);
/// How long every line waits, at least; longer than further tasks do.
const MOMENT: Duration = Duration::from_millis(500);
/// How long that of a dead letter waits: it stands behind the request that was the last.
const AFTERWARDS: Duration = Duration::from_millis(550);
/// Lines that may wait; more are let go early.
const ROOM: usize = 10_000;
/// How much is shown of an error.
const LONGEST_ERROR: usize = 60;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every event, request and dead letter.
    Everything,
    /// Only what is said by [`Show::say`], and totals.
    Totals,
}

/// The show.
pub struct Show {
    started: Timestamp,
    detail: Detail,
    totals: Totals,
    /// By the time at which they are due, then in the order of their coming.
    waiting: BTreeMap<(Timestamp, u64), Waiting>,
    /// The places of events that wait for their tasks.
    events: HashMap<Coordinates, (Timestamp, u64)>,
    /// Tasks that were read before their event, which stands on another topic.
    early: HashMap<Coordinates, u64>,
    sequence: u64,
}

struct Waiting {
    line: Line,
    /// Set for an event: how many tasks it became so far.
    tasks: Option<(Coordinates, u64)>,
}

impl Show {
    /// A show that begins at `started`.
    pub fn new(started: Timestamp, detail: Detail) -> Self {
        Self {
            started,
            detail,
            totals: Totals::default(),
            waiting: BTreeMap::new(),
            events: HashMap::new(),
            early: HashMap::new(),
            sequence: 0,
        }
    }

    /// What was seen so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes what was seen at `now`.
    pub fn take(&mut self, sighting: &Sighting, now: Timestamp) {
        self.totals.count(sighting);
        if self.detail == Detail::Totals {
            return;
        }
        match sighting {
            Sighting::Event {
                at,
                id,
                event_type,
                tenant,
            } => {
                let text = format!("{event_type} {id} of {tenant}");
                let tasks = self.early.remove(at).unwrap_or_default();
                let moment = if tasks > 0 { MOMENT } else { FIRST_TASK };
                let place = self.wait(now, moment, "event", text, Mood::Plain);
                if let Some(waiting) = self.waiting.get_mut(&place) {
                    waiting.tasks = Some((at.clone(), tasks));
                }
                self.events.insert(at.clone(), place);
            }
            Sighting::NoEvent { problem } => {
                let text = format!("cannot be read, kept in rejects: {problem}");
                self.wait(now, MOMENT, "event", text, Mood::Bad);
            }
            Sighting::Task { source, .. } => self.task_of(source, now),
            Sighting::Request(attempt) => {
                let (text, mood) = request(attempt);
                self.wait(now, MOMENT, "request", text, mood);
            }
            Sighting::DeadLetter {
                event_id,
                subscription,
                reason,
                last,
                requests,
                ..
            } => {
                let requests = counted(u64::from(*requests), "request");
                let mut text = format!("{event_id} to {subscription}: {reason} after {requests}");
                if let Some(last) = last {
                    let end = last.floor_char_boundary(LONGEST_ERROR);
                    text.push_str(&format!(", the last: {}", &last[..end]));
                }
                self.wait(now, AFTERWARDS, "dead", text, Mood::Bad);
            }
            Sighting::Nothing => {}
        }
    }

    /// The lines that are due, in their order.
    pub fn lines(&mut self, now: Timestamp) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            let (due, _) = *first.key();
            if due > now && self.waiting.len() <= ROOM {
                break;
            }
            if let Some((_, waiting)) = self.waiting.pop_first() {
                lines.push(self.finished(waiting));
            }
        }
        lines
    }

    /// All lines that wait, in their order.
    pub fn last_lines(&mut self) -> Vec<Line> {
        self.lines(Timestamp::from_millis(i64::MAX))
    }

    /// Whether an event's line waits for its tasks.
    pub fn awaits_tasks(&self) -> bool {
        !self.events.is_empty()
    }

    /// A line that waits for nothing.
    pub fn say(&self, label: &'static str, text: String, mood: Mood, now: Timestamp) -> Line {
        Line {
            at: now.since(self.started),
            label,
            text,
            mood,
        }
    }

    fn finished(&mut self, waiting: Waiting) -> Line {
        let mut line = waiting.line;
        if let Some((at, tasks)) = waiting.tasks {
            self.events.remove(&at);
            line.text
                .push_str(&format!(" → {}", counted(tasks, "task")));
        }
        line
    }

    fn wait(
        &mut self,
        now: Timestamp,
        moment: Duration,
        label: &'static str,
        text: String,
        mood: Mood,
    ) -> (Timestamp, u64) {
        let line = self.say(label, text, mood, now);
        self.sequence += 1;
        let place = (now.after(moment), self.sequence);
        self.waiting.insert(place, Waiting { line, tasks: None });
        place
    }

    fn task_of(&mut self, source: &Coordinates, now: Timestamp) {
        let Some(place) = self.events.get_mut(source) else {
            // Those that come too late for their event's line end here too, and are forgotten.
            if self.early.len() >= ROOM {
                self.early.clear();
            }
            *self.early.entry(source.clone()).or_default() += 1;
            return;
        };
        let Some(mut waiting) = self.waiting.remove(place) else {
            return;
        };
        if let Some((_, tasks)) = &mut waiting.tasks {
            *tasks += 1;
        }
        let earliest = self.started.after(waiting.line.at).after(MOMENT);
        let due = now.after(FURTHER_TASKS).max(earliest).min(place.0);
        *place = (due, place.1);
        self.waiting.insert(*place, waiting);
    }
}

fn request(attempt: &RecordedAttempt) -> (String, Mood) {
    let answer = match (&attempt.status, &attempt.error) {
        (Some(status), None) => status.to_string(),
        (Some(status), Some(error)) => format!("{status} {error}"),
        (None, Some(error)) => error.clone(),
        (None, None) => "no answer".to_owned(),
    };
    let (follows, mood) = match (attempt.outcome.as_str(), attempt.next_attempt_at) {
        ("delivered", _) => ("delivered".to_owned(), Mood::Good),
        (_, Some(next)) => {
            let wait = next.since(attempt.ended_at());
            (format!("again in {:.1} s", wait.as_secs_f64()), Mood::Later)
        }
        (other, None) => (other.to_owned(), Mood::Bad),
    };
    let RecordedAttempt {
        event_id,
        subscription,
        attempt: number,
        ..
    } = attempt;
    let took = attempt.duration.as_millis();
    let text = format!(
        "{event_id} to {subscription}, attempt {number}: {answer} in {took} ms → {follows}"
    );
    (text, mood)
}

fn counted(count: u64, thing: &str) -> String {
    match count {
        0 => format!("no {thing}"),
        1 => format!("1 {thing}"),
        more => format!("{more} {thing}s"),
    }
}

#[cfg(test)]
mod tests;
