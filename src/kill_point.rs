//! Places at which a process dies when it is told to, so that a crash test can hit the moments in which
//! a crash is hardest to survive: between an answer, the records, the offsets, the commit, and what is
//! heard of them.
//!
//! Only in builds with debug assertions or the feature `kill-points`; elsewhere a pass costs nothing.
//! There [`VARIABLE`] names a role, a point and how often it is passed before: `dispatcher:committed:7`.

/// The environment variable that arms a point.
pub const VARIABLE: &str = "HOOKTIDE_KILL_AT";

/// A place, in the order in which the work of a transaction passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KillPoint {
    /// A request has ended, and nothing follows from it yet. Only in the dispatcher.
    Answered,
    /// What a transaction holds is decided; none has begun.
    HandedOver,
    /// It has begun, and holds nothing.
    Begun,
    /// Its records are on their way to the broker.
    Produced,
    /// All of its records are acknowledged.
    Acknowledged,
    /// Its offsets are on their way to the broker.
    OffsetsUnderWay,
    /// Its offsets are acknowledged.
    OffsetsSent,
    /// Its commit is on its way to the broker.
    CommitUnderWay,
    /// Its commit is acknowledged; the role does not know.
    Committed,
    /// The role knows.
    Told,
}

impl KillPoint {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::HandedOver,
        Self::Begun,
        Self::Produced,
        Self::Acknowledged,
        Self::OffsetsUnderWay,
        Self::OffsetsSent,
        Self::CommitUnderWay,
        Self::Committed,
        Self::Told,
    ];

    /// As [`VARIABLE`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::HandedOver => "handed-over",
            Self::Begun => "begun",
            Self::Produced => "produced",
            Self::Acknowledged => "acknowledged",
            Self::OffsetsUnderWay => "offsets-under-way",
            Self::OffsetsSent => "offsets-sent",
            Self::CommitUnderWay => "commit-under-way",
            Self::Committed => "committed",
            Self::Told => "told",
        }
    }
}

/// Passes a point. If it is armed and its turn has come, the process ends by SIGABRT: at once, or
/// within the time that an answer takes where a request is under way.
#[cfg(any(debug_assertions, feature = "kill-points"))]
pub(crate) fn pass(role: &str, point: KillPoint) {
    use std::sync::LazyLock;
    static ARMED: LazyLock<Option<armed::Armed>> = LazyLock::new(armed::Armed::of_this_process);
    if let Some(armed) = &*ARMED {
        armed.pass(role, point);
    }
}

/// Passes a point: nothing in this build.
#[cfg(not(any(debug_assertions, feature = "kill-points")))]
pub(crate) fn pass(_role: &str, _point: KillPoint) {}

#[cfg(any(debug_assertions, feature = "kill-points"))]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::{KillPoint, VARIABLE};

    /// What answers of the broker take at least, in microseconds.
    const SHORTER_THAN_AN_ANSWER: u64 = 3_000;

    /// A point that is armed.
    #[derive(Debug)]
    pub(super) struct Armed {
        role: String,
        point: KillPoint,
        /// Passes that are still survived.
        survived: AtomicU64,
    }

    impl Armed {
        pub(super) fn of_this_process() -> Option<Self> {
            let text = std::env::var(VARIABLE).ok()?;
            let armed = Self::parse(&text);
            match &armed {
                Some(armed) => tracing::warn!(?armed, "this process will be killed"),
                None => tracing::error!(text, "`{VARIABLE}` names no kill point, none is armed"),
            }
            armed
        }

        pub(super) fn parse(text: &str) -> Option<Self> {
            let (role, rest) = text.split_once(':')?;
            let (name, survived) = rest.split_once(':')?;
            let point = KillPoint::ALL.into_iter().find(|one| one.name() == name)?;
            Some(Self {
                role: role.to_owned(),
                point,
                survived: AtomicU64::new(survived.parse().ok()?),
            })
        }

        pub(super) fn pass(&self, role: &str, point: KillPoint) {
            if self.point != point || self.role != role {
                return;
            }
            let survived =
                self.survived
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    });
            if survived.is_ok() {
                return;
            }
            match point {
                KillPoint::OffsetsUnderWay | KillPoint::CommitUnderWay => {
                    let micros = rand::random_range(0..SHORTER_THAN_AN_ANSWER);
                    thread::spawn(move || {
                        thread::sleep(Duration::from_micros(micros));
                        std::process::abort();
                    });
                }
                KillPoint::Answered
                | KillPoint::HandedOver
                | KillPoint::Begun
                | KillPoint::Produced
                | KillPoint::Acknowledged
                | KillPoint::OffsetsSent
                | KillPoint::Committed
                | KillPoint::Told => std::process::abort(),
            }
        }
    }
}

#[cfg(all(test, any(debug_assertions, feature = "kill-points")))]
mod tests {
    use super::armed::Armed;
    use super::*;

    #[test]
    fn every_point_can_be_named() {
        for point in KillPoint::ALL {
            assert!(Armed::parse(&format!("router:{}:0", point.name())).is_some());
        }
        for text in [
            "",
            "told",
            "router:told",
            "router:nowhere:1",
            "router:told:x",
        ] {
            assert!(Armed::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn others_are_survived() {
        let armed = Armed::parse("router:told:2").expect("a point");
        armed.pass("dispatcher", KillPoint::Told);
        armed.pass("router", KillPoint::Begun);
        // Its own, until its turn comes.
        armed.pass("router", KillPoint::Told);
        armed.pass("router", KillPoint::Told);
    }
}
