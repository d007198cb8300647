//! Requests that are out, and whose they are: a rebalance takes partitions away while requests for
//! their tasks are still under way.

use std::collections::HashMap;
use std::sync::Arc;

use super::adoptions::{Adoption, Adoptions};
use super::held_task::HeldTask;
use crate::clock::Timestamp;
use crate::kafka::record::{Incoming, TopicPartition};
use crate::offset_tracker::{FinishedSet, invariants};
use crate::subscription_table::Compiled;

/// A request that is out.
pub struct InFlight {
    /// What it delivers.
    pub task: HeldTask,
    /// The subscription that it was made by.
    pub compiled: Arc<Compiled>,
    /// The offset of that subscription's record.
    pub revision: i64,
    /// When it was given to the connection, by the brokers' clocks as they were known then: what was due by them is
    /// never said to have begun before that.
    pub started_at: Timestamp,
    /// Whether the task's offset is ours to finish.
    is_ours: bool,
}

impl InFlight {
    /// A request for a task of this assignment.
    pub fn new(
        task: HeldTask,
        compiled: Arc<Compiled>,
        revision: i64,
        started_at: Timestamp,
    ) -> Self {
        Self {
            task,
            compiled,
            revision,
            started_at,
            is_ours: true,
        }
    }
}

/// All requests that are out, by their numbers. `T` is how one ended.
pub struct OnTheWire<T> {
    by_number: HashMap<u64, InFlight>,
    adoptions: Adoptions<(InFlight, T)>,
    launched: u64,
}

/// What a request that came back means.
pub enum Back<T> {
    /// Its outcome is this process's to conclude.
    Ours(InFlight, T),
    /// Its partition is somebody else's by now, or comes back and adopts it.
    Strange(HeldTask),
    /// It is not known.
    Unknown,
}

/// What a record of a partition that was away finds.
pub enum Adopted<T> {
    /// Its request is still out: it need not be sent again.
    OnTheWire,
    /// Its request has ended.
    Ended(Box<(InFlight, T)>),
}

impl<T> Default for OnTheWire<T> {
    fn default() -> Self {
        Self {
            by_number: HashMap::new(),
            adoptions: Adoptions::default(),
            launched: 0,
        }
    }
}

impl<T> OnTheWire<T> {
    /// How many are out.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Whether one is out whose task is ours to finish.
    pub fn any_ours(&self) -> bool {
        self.by_number.values().any(|flight| flight.is_ours)
    }

    /// What their tasks cost, in bytes.
    pub fn bytes(&self) -> usize {
        let all = self.by_number.values();
        all.map(|flight| flight.task.size()).sum()
    }

    /// The number of the next request.
    pub fn next_number(&mut self) -> u64 {
        self.launched += 1;
        self.launched
    }

    /// A request goes out under this number.
    pub fn add(&mut self, number: u64, flight: InFlight) {
        let ours = self.by_number.values().filter(|flight| flight.is_ours);
        debug_assert!(invariants::is_sent_once(
            &flight.task.at,
            ours.map(|flight| &flight.task.at)
        ));
        self.by_number.insert(number, flight);
    }

    /// A request came back.
    pub fn back(&mut self, number: u64, ended: T) -> Back<T> {
        let Some(flight) = self.by_number.remove(&number) else {
            return Back::Unknown;
        };
        if flight.is_ours {
            return Back::Ours(flight, ended);
        }
        let task = flight.task.clone();
        self.adoptions.ended(&task.at, number, (flight, ended));
        Back::Strange(task)
    }

    /// All partitions go: what is out waits to be adopted.
    pub fn leave(&mut self) {
        for (number, flight) in &mut self.by_number {
            if std::mem::take(&mut flight.is_ours) {
                self.adoptions.leave(flight.task.at.clone(), *number);
            }
        }
    }

    /// After a new assignment of these partitions: forgets those whose record is not read here again, as it is
    /// finished, or somebody else's now.
    pub fn retain(&mut self, finished: &HashMap<TopicPartition, FinishedSet>) {
        self.adoptions.retain(|at| {
            let partition = TopicPartition {
                topic: Arc::clone(&at.topic),
                partition: at.partition,
            };
            let set = finished.get(&partition);
            set.is_some_and(|set| invariants::may_be_sent(at.offset, set))
        });
    }

    /// A request that was under way when its partition went is this record's: it is not sent again.
    pub fn adopt(&mut self, lane: usize, record: &Incoming) -> Option<Adopted<T>> {
        match self.adoptions.adopt(&record.at)? {
            Adoption::OnTheWire(number) => {
                let flight = self.by_number.get_mut(&number)?;
                if !flight.task.is_of(record) {
                    return None;
                }
                flight.is_ours = true;
                flight.task.lane = lane;
                Some(Adopted::OnTheWire)
            }
            Adoption::Ended((mut flight, ended)) => {
                if !flight.task.is_of(record) {
                    return None;
                }
                flight.task.lane = lane;
                Some(Adopted::Ended(Box::new((flight, ended))))
            }
        }
    }
}
