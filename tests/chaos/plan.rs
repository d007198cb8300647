//! What will be done in a run, decided by its seed alone.

pub mod tests;

use std::time::Duration;

use hooktide::kill_point::KillPoint;
use hooktide::role::Role;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::receiver::Mood;
use crate::support::wire::Traffic;

/// After so long the group takes a member that is silent for dead.
pub const SESSION: Duration = Duration::from_secs(6);
/// After so long the broker aborts a transaction.
pub const TRANSACTION: Duration = Duration::from_secs(2);
/// How long a process that is asked to end waits for its requests.
pub const DRAIN: Duration = Duration::from_secs(4);

const SECOND: Duration = Duration::from_secs(1);
/// The shortest that anything is away.
const SOON: Duration = Duration::from_millis(10);

/// What the members stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One broker.
    Alone,
    /// Three brokers with three copies of everything, of which any one may be lost.
    Cluster,
}

/// How many brokers a cluster has.
pub const BROKERS: usize = 3;

/// Which broker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// By its place, from 0.
    Broker(usize),
    /// That coordinates a role's group.
    GroupCoordinator(Role),
    /// That coordinates the transactions of a member's role.
    TransactionCoordinator { role: Role, member: usize },
    /// That leads the controllers.
    Controller,
}

/// One fault. Members are numbered from 0; those of [`Fault::Storm`] come beside them.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// kill -9, and started again after a while: within its session, or after others have taken over.
    Kill { member: usize, down: Duration },
    /// SIGTERM, and started again.
    Terminate { member: usize, down: Duration },
    /// Dies at a point in the code, and is started again.
    KillPoint {
        member: usize,
        role: Role,
        point: KillPoint,
        /// Passes before it.
        survived: u32,
    },
    /// SIGSTOP, and SIGCONT after this.
    Freeze { member: usize, time: Duration },
    /// Members join, one after the other, and leave after this.
    Storm { members: usize, stay: Duration },
    /// All members are restarted, one after the other.
    RollingRestart,
    /// A second process with a member's instance id.
    Twin { member: usize },
    /// The receiver has a mood for a while.
    Receiver { mood: Mood, time: Duration },
    /// kill -9 to a broker, and started again after this; where it is one with a part of its own, counted
    /// from when the others have missed it.
    KillBroker { victim: Victim, down: Duration },
    /// The network between all members and one broker, or all of Kafka, is like this for a while.
    Network {
        broker: Option<usize>,
        traffic: Traffic,
        time: Duration,
    },
    /// All connections between members and Kafka are reset, so many times, so far apart.
    Resets { times: u32, apart: Duration },
}

impl Fault {
    /// For the sums.
    pub fn name(&self) -> String {
        match self {
            Self::Kill { down, .. } if *down > SESSION => "kill -9, others take over".into(),
            Self::Kill { .. } => "kill -9".into(),
            Self::Terminate { .. } => "SIGTERM".into(),
            Self::KillPoint { role, point, .. } => {
                format!("kill point {}:{}", role.as_str(), point.name())
            }
            Self::Freeze { time, .. } if *time > SESSION => "zombie".into(),
            Self::Freeze { .. } => "frozen past its transaction".into(),
            Self::Storm { .. } => "members join and leave".into(),
            Self::RollingRestart => "rolling restart".into(),
            Self::Twin { .. } => "second process with its id".into(),
            Self::Receiver { mood, .. } => format!("receiver: {mood:?}").to_lowercase(),
            Self::KillBroker { victim, .. } => match victim {
                Victim::Broker(_) => "broker killed",
                Victim::GroupCoordinator(_) => "broker killed: coordinates a group",
                Victim::TransactionCoordinator { .. } => "broker killed: coordinates transactions",
                Victim::Controller => "broker killed: the controller",
            }
            .into(),
            Self::Network {
                broker,
                traffic,
                time,
            } => {
                let where_to = broker.map_or("", |_| " to one broker of three");
                let state = match traffic {
                    Traffic::Flows => "flows",
                    Traffic::Stalls => "stalls",
                    Traffic::StallsToBroker => "stalls, one way",
                    Traffic::StallsFromBroker => "stalls, on the way back",
                    Traffic::IsCut => "is cut",
                };
                let past = if *time > SESSION {
                    " past the session"
                } else {
                    ""
                };
                format!("network{where_to} {state}{past}")
            }
            Self::Resets { .. } => "network resets".into(),
        }
    }
}

/// All kill points of both roles.
pub fn kill_points() -> Vec<(Role, KillPoint)> {
    let both = [Role::Router, Role::Dispatcher].into_iter();
    let all = both.flat_map(|role| KillPoint::ALL.map(|point| (role, point)));
    all.filter(|at| *at != (Role::Router, KillPoint::Answered))
        .collect()
}

/// How many kinds [`mixed`] has.
pub fn kinds(layout: Layout) -> usize {
    round(&mut SmallRng::seed_from_u64(0), 1, layout).len()
}

/// Faults of all kinds in a random order: each kind once before any comes again.
pub fn mixed(seed: u64, count: usize, members: usize, layout: Layout) -> Vec<Fault> {
    in_rounds(seed, count, |chance| round(chance, members, layout))
}

/// The same of those of Kafka and the network before it alone.
pub fn of_kafka(seed: u64, count: usize, members: usize, layout: Layout) -> Vec<Fault> {
    in_rounds(seed, count, |chance| kafka_round(chance, members, layout))
}

fn in_rounds(seed: u64, count: usize, round: impl Fn(&mut SmallRng) -> Vec<Fault>) -> Vec<Fault> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut faults = Vec::new();
    while faults.len() < count {
        let mut round = round(&mut chance);
        round.shuffle(&mut chance);
        faults.extend(round);
    }
    faults.truncate(count);
    faults
}

/// One of each kind.
fn round(chance: &mut SmallRng, members: usize, layout: Layout) -> Vec<Fault> {
    let mut faults = member_round(chance, members);
    faults.extend(receiver_round(chance));
    faults.extend(kafka_round(chance, members, layout));
    faults
}

fn member_round(chance: &mut SmallRng, members: usize) -> Vec<Fault> {
    let mut member = || chance.random_range(0..members);
    let [killed, taken_over, ended, armed, frozen, zombie, twin] =
        std::array::from_fn(|_| member());
    let mut time = |from: Duration, to: Duration| chance.random_range(from..to);
    let mut faults = vec![
        Fault::Kill {
            member: killed,
            down: time(SOON, SECOND * 2),
        },
        Fault::Kill {
            member: taken_over,
            down: time(SESSION + SECOND * 2, SESSION + SECOND * 4),
        },
        Fault::Terminate {
            member: ended,
            down: time(SOON, SECOND),
        },
        Fault::Freeze {
            member: frozen,
            time: time(TRANSACTION + SECOND / 2, TRANSACTION + SECOND * 2),
        },
        Fault::Freeze {
            member: zombie,
            time: time(SESSION + SECOND, SESSION + SECOND * 3),
        },
        Fault::Storm {
            members: 2,
            stay: time(SOON, SECOND * 3),
        },
        Fault::RollingRestart,
        Fault::Twin { member: twin },
    ];
    let points = kill_points();
    let (role, point) = points[chance.random_range(0..points.len())];
    faults.push(Fault::KillPoint {
        member: armed,
        role,
        point,
        survived: chance.random_range(0..12),
    });
    faults
}

fn receiver_round(chance: &mut SmallRng) -> Vec<Fault> {
    let moods = [Mood::Slow, Mood::Hang, Mood::Reset, Mood::Away].into_iter();
    let faults = moods.map(|mood| Fault::Receiver {
        mood,
        time: chance.random_range(SECOND..SECOND * 5),
    });
    faults.collect()
}

fn kafka_round(chance: &mut SmallRng, members: usize, layout: Layout) -> Vec<Fault> {
    let within = TRANSACTION + SECOND / 2..SESSION - SECOND * 3 / 2;
    let past = SESSION + SECOND..SESSION + SECOND * 3;
    let away = SOON..SECOND * 6;
    let mut faults: Vec<Fault> = [
        (Traffic::Stalls, within.clone()),
        (Traffic::StallsFromBroker, within),
        (Traffic::Stalls, past.clone()),
        (Traffic::IsCut, SECOND..SESSION),
    ]
    .into_iter()
    .map(|(traffic, time)| Fault::Network {
        broker: None,
        traffic,
        time: chance.random_range(time),
    })
    .collect();
    faults.push(Fault::Resets {
        times: chance.random_range(2..6),
        apart: chance.random_range(SECOND / 10..SECOND),
    });
    let mut victims = vec![Victim::Broker(0)];
    if layout == Layout::Cluster {
        faults.push(Fault::Network {
            broker: Some(chance.random_range(0..BROKERS)),
            traffic: Traffic::Stalls,
            time: chance.random_range(past),
        });
        let mut role = || [Role::Router, Role::Dispatcher][chance.random_range(0..2)];
        let [of_group, of_transactions] = std::array::from_fn(|_| role());
        victims = vec![
            Victim::Broker(chance.random_range(0..BROKERS)),
            Victim::GroupCoordinator(of_group),
            Victim::TransactionCoordinator {
                role: of_transactions,
                member: chance.random_range(0..members),
            },
            Victim::Controller,
        ];
    }
    faults.extend(victims.into_iter().map(|victim| Fault::KillBroker {
        victim,
        down: chance.random_range(away.clone()),
    }));
    faults
}

/// Each kill point so many times, in a random order, dealt to the members.
pub fn at_each_point(seed: u64, times: usize, members: usize) -> Vec<Vec<Fault>> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut points = kill_points().repeat(times);
    points.shuffle(&mut chance);
    let mut dealt = vec![Vec::new(); members];
    for (place, (role, point)) in points.into_iter().enumerate() {
        let member = place % members;
        dealt[member].push(Fault::KillPoint {
            member,
            role,
            point,
            survived: chance.random_range(0..12),
        });
    }
    dealt
}
