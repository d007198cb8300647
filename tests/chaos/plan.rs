//! What will be done in a run, decided by its seed alone.

use std::time::Duration;

use hooktide::kill_point::KillPoint;
use hooktide::role::Role;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::receiver::Mood;

/// After so long the group takes a member that is silent for dead.
pub const SESSION: Duration = Duration::from_secs(6);
/// After so long the broker aborts a transaction.
pub const TRANSACTION: Duration = Duration::from_secs(2);
/// How long a process that is asked to end waits for its requests.
pub const DRAIN: Duration = Duration::from_secs(4);

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
    /// kill -9 to the broker, and started again.
    KillBroker { down: Duration },
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
            Self::KillBroker { .. } => "broker killed".into(),
        }
    }
}

/// How many kinds there are in [`mixed`].
pub const KINDS: usize = 14;

/// All kill points of both roles.
pub fn kill_points() -> Vec<(Role, KillPoint)> {
    let both = [Role::Router, Role::Dispatcher].into_iter();
    let all = both.flat_map(|role| KillPoint::ALL.map(|point| (role, point)));
    all.filter(|at| *at != (Role::Router, KillPoint::Answered))
        .collect()
}

/// Faults of all kinds in a random order: each kind once before any comes again.
pub fn mixed(seed: u64, count: usize, members: usize) -> Vec<Fault> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut faults = Vec::new();
    while faults.len() < count {
        let mut round = round(&mut chance, members);
        round.shuffle(&mut chance);
        faults.extend(round);
    }
    faults.truncate(count);
    faults
}

/// One of each kind.
fn round(chance: &mut SmallRng, members: usize) -> Vec<Fault> {
    let mut member = || chance.random_range(0..members);
    let [killed, taken_over, ended, armed, frozen, zombie, twin] =
        std::array::from_fn(|_| member());
    let mut millis = |from: Duration, to: Duration| chance.random_range(from..to);
    let soon = Duration::from_millis(10);
    let second = Duration::from_secs(1);
    let mut faults = vec![
        Fault::Kill {
            member: killed,
            down: millis(soon, second * 2),
        },
        Fault::Kill {
            member: taken_over,
            down: millis(SESSION + second * 2, SESSION + second * 4),
        },
        Fault::Terminate {
            member: ended,
            down: millis(soon, second),
        },
        Fault::Freeze {
            member: frozen,
            time: millis(TRANSACTION + second / 2, TRANSACTION + second * 2),
        },
        Fault::Freeze {
            member: zombie,
            time: millis(SESSION + second, SESSION + second * 3),
        },
        Fault::Storm {
            members: 2,
            stay: millis(soon, second * 3),
        },
        Fault::RollingRestart,
        Fault::Twin { member: twin },
        Fault::KillBroker {
            down: millis(soon, second * 6),
        },
    ];
    for mood in [Mood::Slow, Mood::Hang, Mood::Reset, Mood::Away] {
        faults.push(Fault::Receiver {
            mood,
            time: millis(second, second * 5),
        });
    }
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
