//! The tasks that wait in memory for one endpoint. Those that come for the first time and those that
//! come back from a tier take turns, so that neither an old backlog holds up what is new, nor the other
//! way round; among themselves, each kind keeps its order.

use std::collections::VecDeque;

/// Where a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the router.
    New,
    /// From a tier: it has been tried before, or was put off.
    Returned,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<T> {
    new: VecDeque<T>,
    returned: VecDeque<T>,
    /// Whose turn it is.
    next: Origin,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            new: VecDeque::new(),
            returned: VecDeque::new(),
            next: Origin::New,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.new.len() + self.returned.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn any(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.new.iter().chain(&self.returned).any(is_it)
    }

    pub(super) fn push(&mut self, origin: Origin, task: T) {
        self.of(origin).push_back(task);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.pop_with_origin().map(|(_, task)| task)
    }

    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.returned.clear();
    }

    /// Takes out all but the `stay` that go first, in the order in which they would have gone.
    pub(super) fn split_off(&mut self, stay: usize) -> Vec<T> {
        let mut kept = Self::default();
        for _ in 0..stay {
            if let Some((origin, task)) = self.pop_with_origin() {
                kept.push(origin, task);
            }
        }
        let gone = std::iter::from_fn(|| self.pop()).collect();
        *self = kept;
        gone
    }

    /// Takes out those for which `goes` holds, in the order in which they would have gone.
    pub(super) fn take_if(&mut self, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut kept = Self::default();
        let mut gone = Vec::new();
        while let Some((origin, task)) = self.pop_with_origin() {
            match goes(&task) {
                true => gone.push(task),
                false => kept.push(origin, task),
            }
        }
        *self = kept;
        gone
    }

    fn pop_with_origin(&mut self) -> Option<(Origin, T)> {
        let next = match self.of(self.next).is_empty() {
            true => self.next.other(),
            false => self.next,
        };
        let task = self.of(next).pop_front()?;
        self.next = next.other();
        Some((next, task))
    }

    fn of(&mut self, origin: Origin) -> &mut VecDeque<T> {
        match origin {
            Origin::New => &mut self.new,
            Origin::Returned => &mut self.returned,
        }
    }
}

impl Origin {
    fn other(self) -> Self {
        match self {
            Self::New => Self::Returned,
            Self::Returned => Self::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(tasks: &str) -> Queue<char> {
        let mut queue = Queue::default();
        for task in tasks.chars() {
            let origin = match task.is_ascii_digit() {
                true => Origin::New,
                false => Origin::Returned,
            };
            queue.push(origin, task);
        }
        queue
    }

    fn all(mut queue: Queue<char>) -> String {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn both_kinds_take_turns_and_keep_their_order() {
        fn check(tasks: &str, expected: &str) {
            assert_eq!(queue(tasks).len(), tasks.len());
            assert_eq!(all(queue(tasks)), expected, "{tasks}");
        }
        check("", "");
        check("12", "12");
        check("ab", "ab");
        check("abcd1", "1abcd");
        check("123a", "1a23");
        check("abc123", "1a2b3c");
    }

    #[test]
    fn whoever_goes_elsewhere_leaves_the_others_in_order() {
        let mut some = queue("abc123");
        assert_eq!(some.split_off(4), ['3', 'c']);
        assert_eq!(all(some), "1a2b");
        let mut some = queue("abc123");
        let gone = some.take_if(|task| "a3".contains(*task));
        assert_eq!(gone, ['a', '3']);
        assert_eq!(all(some), "1b2c");
        assert!(queue("ab1").split_off(5).is_empty());
    }
}
