//! Wakes a loop that waits on several sources at once.

use std::thread::{self, Thread};

/// Ends the pause of one thread. A wake-up that comes while the thread is at work makes its next
/// pause return at once, so none is lost; several in a row count as one.
#[derive(Clone, Debug)]
pub struct Waker(Thread);

impl Waker {
    /// Wakes the thread that calls this.
    pub fn of_this_thread() -> Self {
        Self(thread::current())
    }

    /// Ends the thread's pause ([`thread::park_timeout`]).
    pub fn wake(&self) {
        self.0.unpark();
    }
}
