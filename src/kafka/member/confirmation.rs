//! Asks the group's coordinator whether it counts this member in.
//!
//! librdkafka keeps the answers to its heartbeats to itself. A plain offset commit carries member
//! and generation as a heartbeat does, and its answer is ours to see. It is made for a partition
//! that the group does not consume, so it cannot move a position. Only the blocking form of the
//! commit reports back, so it has a thread of its own.
//!
//! Beside its position the group keeps when it began ([`FirstStart`]); and what is decided at the
//! start of an epoch is committed this way before any record is read.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::error::{KafkaError, KafkaResult};

use super::group::Lookups;
use super::lease::Lease;
use super::metadata::{FirstStart, Progress, Stamp};
use crate::clock::Timestamp;
use crate::kafka::record::TopicPartition;
use crate::offset_tracker::FinishedSet;
use crate::wake::Waker;

/// How soon a question that was answered with a no is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Keeps a [`Lease`] fresh.
pub(super) struct Confirmation {
    at: TopicPartition,
    /// Noted beside every position; none in a group that did not begin at the latest records.
    pub(super) group_start: Option<Timestamp>,
    questions: Option<Sender<Vec<Progress>>>,
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
    /// Asks every `interval` by committing a position for `at`, as `writer`.
    pub(super) fn start(
        lookups: Lookups,
        at: TopicPartition,
        writer: u64,
        interval: Duration,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (questions, inbox) = bounded::<Vec<Progress>>(1);
        // These commits are not told apart: no transaction has the number 0.
        let stamp = Stamp {
            writer,
            sequence: 0,
            log: None,
        };
        let (outbox, answers) = bounded(1);
        let thread = thread::Builder::new()
            .name("confirmation".into())
            .spawn(move || {
                while let Ok(progress) = inbox.recv() {
                    if outbox.send(lookups.commit(&progress, stamp)).is_err() {
                        return;
                    }
                    waker.wake();
                }
            })?;
        Ok(Self {
            at,
            group_start: None,
            questions: Some(questions),
            answers,
            thread: Some(thread),
            interval,
            asked: None,
            is_stale: false,
            next: Instant::now(),
        })
    }

    /// The partition that is committed to.
    pub(super) fn at(&self) -> &TopicPartition {
        &self.at
    }

    /// The next epoch begins: what is still open says nothing about it.
    pub(super) fn begin_epoch(&mut self) {
        self.is_stale = self.asked.is_some();
        self.next = Instant::now();
    }

    /// Asks if it is time to.
    pub(super) fn ask(&mut self, position: i64) {
        let _: bool = self.ask_with(position, Vec::new());
    }

    /// The same, and commits `decided` along with it, all or nothing. False: not now.
    pub(super) fn ask_with(&mut self, position: i64, mut decided: Vec<Progress>) -> bool {
        let now = Instant::now();
        if self.asked.is_some() || now < self.next {
            return false;
        }
        decided.push(Progress {
            at: self.at.clone(),
            finished: FinishedSet::empty(position),
            first_start: FirstStart {
                at: self.group_start,
                partitions: None,
            },
        });
        let is_asked = self
            .questions
            .as_ref()
            .is_some_and(|inbox| inbox.try_send(decided).is_ok());
        if is_asked {
            self.asked = Some(now);
            self.is_stale = false;
            self.next = now + self.interval;
        }
        is_asked
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
