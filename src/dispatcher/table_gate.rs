//! Holds tasks that were made from a newer subscription record than the table has.
//!
//! The topic's end is asked for after they arrived, and they go once the table has reached it. If
//! they are newer still, the topic was made anew: they go all the same, waiting would never end.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long an end is waited for before it is asked for again: the topic may have been made anew
/// since, and never get there.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// See the module. `T` is a task.
#[derive(Debug)]
pub struct TableGate<T> {
    /// Arrived since the last question.
    arrived: Vec<T>,
    /// Arrived before it.
    asked: Option<Asked<T>>,
}

#[derive(Debug)]
struct Asked<T> {
    at: Timestamp,
    end: i64,
    tasks: Vec<T>,
}

impl<T> Default for TableGate<T> {
    fn default() -> Self {
        Self {
            arrived: Vec::new(),
            asked: None,
        }
    }
}

impl<T> TableGate<T> {
    /// Holds a task.
    pub fn hold(&mut self, task: T) {
        self.arrived.push(task);
    }

    /// Whether the topic's end is to be asked for now.
    pub fn wants_end(&self, now: Timestamp) -> bool {
        match &self.asked {
            Some(asked) => now.since(asked.at) >= ASK_AGAIN,
            None => !self.arrived.is_empty(),
        }
    }

    /// The end, as asked for just `now`.
    pub fn answer(&mut self, end: i64, now: Timestamp) {
        let mut tasks = self.asked.take().map_or_else(Vec::new, |asked| asked.tasks);
        tasks.append(&mut self.arrived);
        self.asked = Some(Asked {
            at: now,
            end,
            tasks,
        });
    }

    /// The tasks that may go with a table at `position`, and the end that they waited for.
    pub fn release(&mut self, position: i64) -> Option<(i64, Vec<T>)> {
        let asked = self.asked.take_if(|asked| position >= asked.end)?;
        Some((asked.end, asked.tasks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(5_000);

    #[test]
    fn a_task_waits_for_an_end_that_was_asked_after_it_came() {
        let mut gate = TableGate::default();
        assert!(!gate.wants_end(NOW));
        gate.hold("first");
        assert!(gate.wants_end(NOW));
        gate.answer(7, NOW);
        gate.hold("second");
        assert!(!gate.wants_end(NOW));
        assert_eq!(gate.release(6), None);
        assert_eq!(gate.release(7), Some((7, vec!["first"])));
        assert!(gate.wants_end(NOW));
        gate.answer(7, NOW);
        assert_eq!(gate.release(7), Some((7, vec!["second"])));
        assert_eq!(gate.release(7), None);
    }

    #[test]
    fn an_end_that_does_not_come_is_asked_for_again() {
        let mut gate = TableGate::default();
        gate.hold("first");
        gate.answer(1_000, NOW);
        gate.hold("second");
        assert!(!gate.wants_end(NOW.after(Duration::from_millis(999))));
        let later = NOW.after(ASK_AGAIN);
        assert!(gate.wants_end(later));
        // The topic was made anew, and is shorter.
        gate.answer(3, later);
        assert_eq!(gate.release(3), Some((3, vec!["first", "second"])));
    }
}
