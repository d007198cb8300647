//! Holds tasks that were made from a newer subscription record than the table has.
//!
//! The topic's end is asked for after they arrived, and they go once the table has reached it. If
//! they are newer still, the topic was made anew: they go all the same, waiting would never end.

/// See the module. `T` is a task.
#[derive(Debug)]
pub struct TableGate<T> {
    /// Arrived since the last question.
    arrived: Vec<T>,
    /// Arrived before it, and the end that it was answered with.
    asked: Option<(i64, Vec<T>)>,
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
    pub fn wants_end(&self) -> bool {
        self.asked.is_none() && !self.arrived.is_empty()
    }

    /// The end, as asked for just now.
    pub fn answer(&mut self, end: i64) {
        self.asked = Some((end, std::mem::take(&mut self.arrived)));
    }

    /// The tasks that may go with a table at `position`, and the end that they waited for.
    pub fn release(&mut self, position: i64) -> Option<(i64, Vec<T>)> {
        self.asked.take_if(|(end, _)| position >= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_waits_for_an_end_that_was_asked_after_it_came() {
        let mut gate = TableGate::default();
        assert!(!gate.wants_end());
        gate.hold("first");
        assert!(gate.wants_end());
        gate.answer(7);
        gate.hold("second");
        assert!(!gate.wants_end());
        assert_eq!(gate.release(6), None);
        assert_eq!(gate.release(7), Some((7, vec!["first"])));
        assert!(gate.wants_end());
        gate.answer(7);
        assert_eq!(gate.release(7), Some((7, vec!["second"])));
        assert_eq!(gate.release(7), None);
    }
}
