//! How an epoch begins: metadata captured, starting points asked for, partitions taken.

use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::group::{Lookups, Rebalance};
use super::lost_offsets::{self, LostOffsets};
use super::start::{self, GroupBeginning};
use super::{Epoch, Event, Member, MemberError, Progress, Start};
use crate::kafka::record::TopicPartition;

/// How long the cluster may take to say which it is; it has said so with its first answer.
const CLUSTER: Duration = Duration::from_secs(1);
/// How long the group's notes may take.
const NOTES: Duration = Duration::from_secs(3);
/// Before what is not known yet is asked for again.
const PAUSE: Duration = Duration::from_millis(50);

impl Member {
    /// Begins an epoch with these partitions once it is known where, or hears that it is void.
    ///
    /// # Errors
    /// Only what ends the member for good.
    pub(super) fn begin_epoch(
        &mut self,
        partitions: Vec<TopicPartition>,
        position: i64,
    ) -> Result<Option<Event>, MemberError> {
        // Captured first: if this membership ends meanwhile, what is captured is already stale and
        // the broker refuses it.
        let none = || MemberError::Fatal("the consumer has no group metadata".into());
        let group_metadata = self.group.group_metadata().ok_or_else(none)?;
        self.confirmation.begin_epoch();
        let lookups = self.group.lookups();
        let mut is_acknowledged = false;
        let starts = loop {
            if !(self.may_go_on)() {
                // Nothing is begun any more; librdkafka still waits for an answer.
                self.release()?;
                return Ok(None);
            }
            // The last epoch's transaction first: it may yet move these offsets.
            let starts = match self.has_given_up() {
                true => self.starting_points(&lookups, &partitions, position)?,
                false => None,
            };
            // Serving keeps the membership; a rebalance that comes now makes this one void.
            let pause = if starts.is_some() {
                Duration::ZERO
            } else {
                PAUSE
            };
            let served = self.group.serve(pause);
            if let Some(error) = served.error
                && self.note(&error, false)?
            {
                return Ok(None);
            }
            match served.rebalance {
                None => {}
                Some(Rebalance::Assign(partitions)) => {
                    return self.begin_epoch(partitions, position);
                }
                Some(Rebalance::Revoke { lost }) => {
                    return Ok(Some(if lost { Event::Lost } else { Event::Revoked }));
                }
            }
            if let Some(starts) = starts {
                break starts;
            }
            if !std::mem::replace(&mut is_acknowledged, true) {
                let acknowledged = self.group.acknowledge();
                acknowledged.map_err(|error| MemberError::Fatal(error.to_string()))?;
            }
        };
        start::report_out_of_range(self.role, &self.metrics.all, &starts);
        let offsets: Vec<_> = starts
            .iter()
            .map(|start| (start.at.clone(), start.finished.base()))
            .collect();
        self.astray.clear();
        let number = self.epochs + 1;
        for start in &starts {
            tracing::debug!(
                role = self.role,
                epoch = number,
                topic = &*start.at.topic,
                partition = start.at.partition,
                offset = start.finished.base(),
                committed = start.committed,
                "partition begins"
            );
        }
        let readers = self
            .group
            .accept(&offsets, &self.waker)
            .map_err(|error| MemberError::Fatal(error.to_string()))?;
        self.epochs = number;
        self.committer.open(self.epochs);
        self.watch.reads(self.metrics.role, partitions.clone());
        self.epoch = Some(Epoch {
            number: self.epochs,
            partitions,
            group_metadata,
            confirmed: false,
        });
        self.confirmation.begin_epoch();
        self.metrics.assigned(readers.len());
        tracing::info!(
            role = self.role,
            epoch = self.epochs,
            partitions = readers.len(),
            "partitions assigned"
        );
        Ok(Some(Event::Assigned(
            readers.into_iter().zip(starts).collect(),
        )))
    }

    /// Where the partitions of a new assignment begin; none: not known yet, or being committed.
    fn starting_points(
        &mut self,
        lookups: &Lookups,
        partitions: &[TopicPartition],
        position: i64,
    ) -> Result<Option<Vec<Start>>, MemberError> {
        self.log = self.log.or_else(|| lookups.cluster(CLUSTER));
        let has_run = match self.has_run_before(lookups) {
            Ok(has_run) => has_run,
            Err(error) => {
                tracing::warn!(role = self.role, %error, "it is not known yet whether the group is new");
                return Ok(None);
            }
        };
        let beginning = GroupBeginning {
            has_run,
            log: self.log,
            rule: self.first_start,
            began_with: self.began_with.as_ref(),
            noted_at: self.confirmation.at(),
        };
        match start::starting_points(lookups, partitions, &beginning) {
            Ok(points) => {
                if points.is_lost && !std::mem::replace(&mut self.has_said_lost, true) {
                    let metrics = &self.metrics.all;
                    let said =
                        lost_offsets::report(self.role, metrics, &points.starts, self.lost_offsets);
                    if self.lost_offsets == LostOffsets::Stop {
                        return Err(MemberError::OffsetsLost(said));
                    }
                }
                self.confirmation.group_start = points.group_start;
                if !points.is_decision {
                    let mut starts = points.starts;
                    let astray = starts
                        .iter_mut()
                        .filter(|start| self.astray.contains(&start.at));
                    for start in astray {
                        if let Err(error) = start::from_log_start(lookups, start) {
                            tracing::warn!(role = self.role, %error, "the log's start is not known");
                            return Ok(None);
                        }
                    }
                    return Ok(Some(starts));
                }
                // Committed at once, and acted upon as it is read back: who is told that this
                // group is ready must be able to count on it, whatever happens next.
                self.decide_first_start(&points.starts, position);
            }
            Err(error) => {
                tracing::warn!(
                    role = self.role, %error,
                    "committed offsets are not known yet (a transaction may be pending on them)"
                );
            }
        }
        Ok(None)
    }

    /// Whether the group has run before. Only asked while it has noted nothing, and then before its
    /// offsets are: whoever runs has noted something before it leaves traces.
    fn has_run_before(&mut self, lookups: &Lookups) -> KafkaResult<bool> {
        if self.has_notes {
            return Ok(false);
        }
        let at = std::slice::from_ref(self.confirmation.at());
        self.has_notes = lookups.committed(at, NOTES)?.iter().any(Option::is_some);
        match self.has_notes {
            true => Ok(false),
            false => lost_offsets::has_run_before(&self.reader, lookups, &self.traces),
        }
    }

    /// Has the group commit where partitions begin that it never had before.
    fn decide_first_start(&mut self, starts: &[Start], position: i64) {
        if let Some(Err(error)) = self.confirmation.answer(&self.lease) {
            tracing::warn!(role = self.role, %error, "where partitions begin is not committed yet");
        }
        let undecided = starts.iter().filter(|start| !start.committed);
        let decided = undecided.clone().map(|start| Progress {
            at: start.at.clone(),
            finished: start.finished.clone(),
            first_start: start.first_start,
        });
        if self.confirmation.ask_with(position, decided.collect()) {
            for start in undecided {
                tracing::info!(
                    role = self.role,
                    topic = &*start.at.topic,
                    partition = start.at.partition,
                    offset = start.finished.base(),
                    "first start of this partition"
                );
            }
        }
    }

    /// Whether the last epoch's transaction has ended.
    fn has_given_up(&mut self) -> bool {
        !self.committer.is_busy() || self.committer.verdict().is_some()
    }
}
