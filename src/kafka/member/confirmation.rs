//! Asks the group's coordinator whether it counts this member in.
//!
//! librdkafka keeps the answers to its heartbeats to itself. A plain offset commit carries member
//! and generation as a heartbeat does, and its answer is ours to see. It is made for a partition
//! that the group does not consume, so it cannot move a position. Only the blocking form of the
//! commit reports back, so it has a thread of its own.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::error::{KafkaError, KafkaResult};

use super::group::Lookups;
use super::lease::Lease;
use crate::kafka::record::TopicPartition;
use crate::wake::Waker;

/// How soon a question that was answered with a no is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Keeps a [`Lease`] fresh.
pub(super) struct Confirmation {
    questions: Option<Sender<i64>>,
    answers: Receiver<KafkaResult<()>>,
    thread: Option<JoinHandle<()>>,
    interval: Duration,
    /// When the question that is open was asked.
    asked: Option<Instant>,
    /// Whether the open question is about an epoch that is over.
    is_stale: bool,
    next: Instant,
}

impl Confirmation {
    /// Asks every `interval` by committing a position for `at`.
    pub(super) fn start(
        lookups: Lookups,
        at: TopicPartition,
        interval: Duration,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (questions, inbox) = bounded::<i64>(1);
        let (outbox, answers) = bounded(1);
        let thread = thread::Builder::new()
            .name("confirmation".into())
            .spawn(move || {
                while let Ok(position) = inbox.recv() {
                    if outbox.send(lookups.commit(&at, position)).is_err() {
                        return;
                    }
                    waker.wake();
                }
            })?;
        Ok(Self {
            questions: Some(questions),
            answers,
            thread: Some(thread),
            interval,
            asked: None,
            is_stale: false,
            next: Instant::now(),
        })
    }

    /// The next epoch has begun: what is still open says nothing about it.
    pub(super) fn begin_epoch(&mut self) {
        self.is_stale = self.asked.is_some();
        self.next = Instant::now();
    }

    /// Asks if it is time to.
    pub(super) fn ask(&mut self, position: i64) {
        let now = Instant::now();
        if self.asked.is_some() || now < self.next {
            return;
        }
        if self
            .questions
            .as_ref()
            .is_some_and(|inbox| inbox.try_send(position).is_ok())
        {
            self.asked = Some(now);
            self.is_stale = false;
            self.next = now + self.interval;
        }
    }

    /// The answer to the open question, if it has come. A yes renews the lease from when it was
    /// asked.
    pub(super) fn answer(&mut self, lease: &Lease) -> Option<Result<(), KafkaError>> {
        let answer = self.answers.try_recv().ok()?;
        let asked = self.asked.take()?;
        if std::mem::take(&mut self.is_stale) {
            return None;
        }
        match &answer {
            Ok(()) => lease.renew(asked),
            Err(_) => self.next = Instant::now() + ASK_AGAIN,
        }
        Some(answer)
    }

    /// Ends the thread. False: the answer to an open question has not come by `deadline` (it may
    /// never come), and the thread is left behind.
    pub(super) fn close(mut self, deadline: Instant) -> bool {
        self.questions = None;
        if self.asked.is_some()
            && self.answers.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout)
        {
            return false;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the confirmation's thread had panicked");
        }
        true
    }
}
