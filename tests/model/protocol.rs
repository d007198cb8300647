//! The commit protocol as a model: every order in which two processes, the broker and what goes wrong can act.

use hooktide::offset_tracker::FinishedSet;
use hooktide::offset_tracker::invariants::{
    begins_where_committed, forgets_none, is_sent_once, may_be_sent, passes_over_none,
};
use stateright::{Model, Property};

use crate::broker::{Broker, MEMBERS, RECORDS};
use crate::flaw::Flaw;
use crate::process::{Assignment, Process, Sent};

/// How much may happen before the model stops: what makes it finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Records on the partition.
    pub records: u8,
    /// Partitions assigned.
    pub assignments: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Transactions that fail, one way or the other.
    pub failures: u8,
}

pub(crate) struct Protocol {
    pub budget: Budget,
    pub flaw: Option<Flaw>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub broker: Broker,
    pub processes: [Option<Process>; MEMBERS],
    /// Which records a request was ever made for, and which for a second time.
    pub sent: [bool; RECORDS],
    pub doubled: [bool; RECORDS],
    /// How many processes there were.
    pub started: u8,
    pub left: Budget,
    /// The first rule that a step broke.
    pub broken: Option<&'static str>,
}

/// One step. The number is the member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The group gives the partition to it.
    Assign(usize),
    /// It reads the committed offset and begins there.
    Begin(usize),
    /// A record is delivered to it.
    Take(usize),
    /// A request goes out.
    Launch(usize, i64),
    /// A request is answered.
    Answer(usize, u64),
    /// A transaction is made of what is finished, its records are written and its offsets sent.
    Make(usize),
    /// Once more, after it was aborted.
    Stage(usize),
    /// It is committed, and that is known.
    Commit(usize),
    /// It is committed, and the answer is lost.
    CommitUnheard(usize),
    /// The commit is lost on its way.
    LoseCommit(usize),
    /// An error after which it is aborted.
    Abort(usize),
    /// A producer is made anew and finds out what became of the commit.
    Rebuild(usize),
    /// The broker aborts a transaction that takes too long.
    TimeOut(usize),
    /// The group asks for the partition: nothing is taken in any more.
    Revoke(usize),
    /// It gives the partition back.
    Release(usize),
    /// It is not heard of for the session timeout: the coordinator takes the partition from it. By its own clock, which
    /// began earlier, its lease has ended by then.
    Evict(usize),
    /// It hears that the partition is somebody else's.
    Lost(usize),
    /// It is killed.
    Crash(usize),
    /// It is started again.
    Start(usize),
}

impl State {
    fn process(&self, member: usize) -> Option<&Process> {
        self.processes[member].as_ref()
    }

    fn finished(&self) -> FinishedSet {
        self.broker.finished()
    }

    fn note(&mut self, holds: bool, rule: &'static str) {
        if !holds {
            self.broken.get_or_insert(rule);
        }
    }

    /// Of these records nothing that follows is committed.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = i64> {
        let outputs = self.broker.outputs.iter().zip(0..);
        outputs
            .filter(|(times, _)| **times == 0)
            .map(|(_, offset)| offset)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            broker: Broker::default(),
            processes: std::array::from_fn(|member| Some(Process::new(member as u64))),
            sent: [false; RECORDS],
            doubled: [false; RECORDS],
            started: MEMBERS as u8,
            left: self.budget,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for member in 0..MEMBERS {
            let owns = state.broker.owner == Some(member);
            let is_pending = state.broker.is_pending(member);
            let Some(process) = state.process(member) else {
                steps.push(Step::Start(member));
                if owns {
                    steps.push(Step::Evict(member));
                }
                if is_pending {
                    steps.push(Step::TimeOut(member));
                }
                continue;
            };
            let mut may = |when: bool, step: Step| {
                if when {
                    steps.push(step);
                }
            };
            may(state.left.crashes > 0, Step::Crash(member));
            may(is_pending && state.left.failures > 0, Step::TimeOut(member));
            for number in process.wire.keys() {
                may(true, Step::Answer(member, *number));
            }
            if let Some(transaction) = &process.transaction {
                match transaction.state {
                    Sent::Not => may(
                        process.is_fenced
                            || owns && transaction.generation == state.broker.generation
                            || owns && self.flaw == Some(Flaw::SpansEpochs),
                        Step::Stage(member),
                    ),
                    Sent::Staged => {
                        may(!process.is_fenced, Step::Commit(member));
                        let fails = state.left.failures > 0 || transaction.is_abandoned;
                        may(fails && !process.is_fenced, Step::Abort(member));
                        may(
                            state.left.failures > 0 && !process.is_fenced,
                            Step::CommitUnheard(member),
                        );
                        may(
                            state.left.failures > 0 || process.is_fenced,
                            Step::LoseCommit(member),
                        );
                    }
                    // The others' transactions are waited for.
                    Sent::Unknown => {
                        let others = (0..MEMBERS).filter(|other| *other != member);
                        let is_stable = others.clone().all(|other| !state.broker.is_pending(other));
                        may(is_stable || transaction.is_abandoned, Step::Rebuild(member));
                    }
                }
            }
            let Some(assignment) = &process.assignment else {
                let is_over = process.transaction.is_none() || self.flaw == Some(Flaw::SpansEpochs);
                let is_free = state.broker.owner.is_none() && state.left.assignments > 0;
                may(is_free && is_over, Step::Assign(member));
                may(owns, Step::Evict(member));
                continue;
            };
            let is_member = owns && assignment.generation == state.broker.generation;
            may(is_member, Step::Evict(member));
            may(!is_member, Step::Lost(member));
            may(
                is_member && !assignment.is_handing_back,
                Step::Revoke(member),
            );
            may(
                is_member && assignment.is_handing_back,
                Step::Release(member),
            );
            let Some(work) = &assignment.work else {
                let is_stable = state.broker.is_stable() || self.flaw == Some(Flaw::UnstableStart);
                may(is_stable && is_member, Step::Begin(member));
                continue;
            };
            may(
                process.can_take(self.budget.records.into()),
                Step::Take(member),
            );
            let may_launch = process.has_lease || self.flaw == Some(Flaw::NoLease);
            for offset in &work.waiting {
                may(
                    may_launch && !assignment.is_handing_back,
                    Step::Launch(member, *offset),
                );
            }
            may(process.has_news(), Step::Make(member));
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        self.act(&mut state, step)?;
        let (before, after) = (before.finished(), state.finished());
        state.note(forgets_none(&before, &after), "what was finished stays so");
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no step breaks a rule", |_, state: &State| {
                state.broken.is_none()
            }),
            Property::always("nothing is lost", |_, state: &State| {
                passes_over_none(&state.finished(), state.unfinished())
            }),
            Property::always("what follows is committed once", |_, state: &State| {
                state.broker.outputs.iter().all(|times| *times <= 1)
            }),
            Property::sometimes(
                "everything is delivered",
                |protocol: &Self, state: &State| {
                    state.finished().base() == i64::from(protocol.budget.records)
                },
            ),
            Property::sometimes(
                "something is finished out of order",
                |protocol: &Self, state: &State| {
                    protocol.budget.records < 2 || !state.finished().is_empty()
                },
            ),
            Property::sometimes("a request is doubled", |_, state: &State| {
                state.doubled.contains(&true)
            }),
            Property::sometimes("a zombie works while another owns", |_, state: &State| {
                let zombie = |member: usize| {
                    let process = state.process(member).and_then(Process::work);
                    process.is_some() && state.broker.owner.is_some_and(|owner| owner != member)
                };
                (0..MEMBERS).any(zombie)
            }),
        ]
    }
}

impl Protocol {
    /// None: nothing happens.
    fn act(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Assign(member) => {
                state.left.assignments -= 1;
                state.broker.assign(member);
                state.processes[member].as_mut()?.assignment = Some(Assignment {
                    generation: state.broker.generation,
                    work: None,
                    is_handing_back: false,
                });
            }
            Step::Begin(member) => {
                let finished = state.finished();
                let process = state.processes[member].as_mut()?;
                process.begin(finished.clone());
                process.has_lease = true;
                let position = process.work()?.next;
                state.note(
                    begins_where_committed(position, &finished),
                    "no start but at the committed offset",
                );
            }
            Step::Take(member) => state.processes[member].as_mut()?.take(),
            Step::Launch(member, offset) => self.launch(state, member, offset)?,
            Step::Answer(member, number) => {
                state.processes[member]
                    .as_mut()?
                    .answered(number, self.flaw);
            }
            Step::Make(member) => {
                state.processes[member]
                    .as_mut()?
                    .make_transaction(self.flaw);
                if self.flaw != Some(Flaw::SpansEpochs) {
                    // Refused, it waits for its epoch's end.
                    let _is_staged = self.transact(state, member, Step::Stage(member));
                }
            }
            Step::Evict(member) => {
                state.broker.take_back();
                if let Some(process) = &mut state.processes[member] {
                    process.has_lease = false;
                }
            }
            Step::Revoke(member) => {
                let process = state.processes[member].as_mut()?;
                process.assignment.as_mut()?.is_handing_back = true;
            }
            Step::Release(member) => {
                state.processes[member].as_mut()?.leave(self.flaw);
                state.broker.take_back();
            }
            Step::Lost(member) => state.processes[member].as_mut()?.leave(self.flaw),
            Step::Crash(member) => {
                state.left.crashes -= 1;
                state.processes[member] = None;
            }
            Step::Start(member) => {
                // The producer is initialised before the group is joined.
                state.broker.abort(member);
                state.processes[member] = Some(Process::new(u64::from(state.started)));
                state.started += 1;
            }
            Step::TimeOut(member) => {
                if let Some(process) = &mut state.processes[member] {
                    state.left.failures -= 1;
                    process.is_fenced = true;
                }
                state.broker.abort(member);
            }
            Step::Stage(member)
            | Step::Commit(member)
            | Step::CommitUnheard(member)
            | Step::LoseCommit(member)
            | Step::Abort(member)
            | Step::Rebuild(member) => self.transact(state, member, step)?,
        }
        Some(())
    }

    fn launch(&self, state: &mut State, member: usize, offset: i64) -> Option<()> {
        let finished = state.finished();
        state.note(
            may_be_sent(offset, &finished),
            "nothing is sent that is committed as finished",
        );
        let out: Vec<i64> = state
            .process(member)?
            .wire
            .values()
            .map(|(out, _)| *out)
            .collect();
        state.note(
            is_sent_once(offset, out),
            "what a process has out it does not send again",
        );
        state.processes[member].as_mut()?.launch(offset);
        let record = usize::try_from(offset).ok()?;
        state.doubled[record] |= std::mem::replace(&mut state.sent[record], true);
        Some(())
    }

    fn transact(&self, state: &mut State, member: usize, step: Step) -> Option<()> {
        let State {
            broker,
            processes,
            left,
            ..
        } = state;
        let process = processes[member].as_mut()?;
        let transaction = process.transaction.as_mut()?;
        match step {
            Step::Stage(_) if process.is_fenced => {
                broker.abort(member);
                process.is_fenced = false;
            }
            Step::Stage(_) => {
                let generation = match self.flaw {
                    Some(Flaw::SpansEpochs) => broker.generation,
                    _ => transaction.generation,
                };
                broker
                    .stage(member, generation, &transaction.changes)
                    .then_some(())?;
                transaction.state = Sent::Staged;
            }
            Step::Commit(_) => {
                broker.commit(member);
                process.committed();
            }
            Step::Abort(_) => {
                left.failures -= u8::from(!transaction.is_abandoned);
                broker.abort(member);
                process.aborted();
            }
            Step::CommitUnheard(_) => {
                left.failures -= 1;
                broker.commit(member);
                transaction.state = Sent::Unknown;
            }
            Step::LoseCommit(_) => {
                left.failures -= u8::from(!process.is_fenced);
                transaction.state = Sent::Unknown;
            }
            _ => {
                broker.abort(member);
                process.is_fenced = false;
                let got_through = match self.flaw {
                    Some(Flaw::UnknownIsFailed) => false,
                    Some(Flaw::UnknownIsDone) => true,
                    _ => process.got_through(broker.committed()),
                };
                if got_through {
                    process.committed();
                } else {
                    process.aborted();
                }
            }
        }
        Some(())
    }
}
