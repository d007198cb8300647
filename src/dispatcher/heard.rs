//! What an exchange says about its endpoint, apart from what becomes of the task. Whatever watches
//! endpoints (circuit breaker, concurrency, auto-disable, the watch on our own egress) is fed with
//! this and with nothing else, so that "is it down?" has one answer.
//!
//! | heard | breaker | room | standing |
//! |---|---|---|---|
//! | accepted | for | for | for |
//! | declined, gone | for | – | against |
//! | throttled | for | against | – |
//! | unavailable, timed out, no answer | against | against | against |
//! | broken | against | – | against |
//! | not asked, own fault | – | – | – |

use std::time::Duration;

/// What an exchange says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It took the delivery: 2xx, or what its subscription takes for that.
    Accepted,
    /// It answered that it does not want this one: 1xx, 3xx, 4xx. It is alive. Such answers are about
    /// the payload or the set-up (a moved path, an expired login), and holding back what comes next
    /// would not make them better: so they never open a breaker. An endpoint that says nothing else
    /// for days is of no use all the same: they count when it is to be disabled.
    Declined,
    /// It answered 410: it wants nothing any more.
    Gone,
    /// It answered 429: it is alive and wants less. No reason to think that it is down; every reason
    /// to slow down, at least for `retry_after`.
    Throttled {
        /// The wait that it asked for, cut at the most that is followed.
        retry_after: Option<Duration>,
    },
    /// 502, 503, 504: it cannot serve now, or what stands in front of it says so.
    Unavailable {
        /// As for [`Heard::Throttled`].
        retry_after: Option<Duration>,
    },
    /// Something answered, and is broken: any other status, or what is not HTTP.
    Broken,
    /// The connection stood, and no whole answer came in time.
    TimedOut,
    /// Nothing whole came back: no name, no connection, no handshake, a reset.
    NoAnswer,
    /// No request was made, because of what its subscription says: a forbidden address, a URL that
    /// no request can be made from.
    NotAsked,
    /// No request was made, or none that counts, and this process or its surroundings are to blame.
    OwnFault,
}

/// How an exchange counts with one of those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In the endpoint's favour.
    For,
    /// To its disfavour.
    Against,
    /// Not at all.
    Nothing,
}

impl Heard {
    /// Whether the endpoint is up: for the circuit breaker, and for the probe of a half-open one.
    pub const fn breaker(self) -> Weight {
        match self {
            Self::Accepted | Self::Declined | Self::Gone | Self::Throttled { .. } => Weight::For,
            Self::Unavailable { .. } | Self::Broken | Self::TimedOut | Self::NoAnswer => {
                Weight::Against
            }
            Self::NotAsked | Self::OwnFault => Weight::Nothing,
        }
    }

    /// Whether the endpoint bears as many requests at once: for adaptive concurrency. What it
    /// declines costs it little and proves nothing; rising latency is to be judged beside this.
    pub const fn room(self) -> Weight {
        match self {
            Self::Accepted => Weight::For,
            Self::Throttled { .. } | Self::Unavailable { .. } | Self::TimedOut | Self::NoAnswer => {
                Weight::Against
            }
            Self::Declined | Self::Gone | Self::Broken | Self::NotAsked | Self::OwnFault => {
                Weight::Nothing
            }
        }
    }

    /// Whether the endpoint is of any use: for auto-disable. One that is only throttled will take
    /// its events later, so that is no step towards its end.
    pub const fn standing(self) -> Weight {
        match self {
            Self::Accepted => Weight::For,
            Self::Declined
            | Self::Gone
            | Self::Unavailable { .. }
            | Self::Broken
            | Self::TimedOut
            | Self::NoAnswer => Weight::Against,
            Self::Throttled { .. } | Self::NotAsked | Self::OwnFault => Weight::Nothing,
        }
    }

    /// Whether anything came back from the other side, so that our own way out works. `None`:
    /// nothing was sent that could tell.
    pub const fn answered(self) -> Option<bool> {
        match self {
            Self::Accepted
            | Self::Declined
            | Self::Gone
            | Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::Broken => Some(true),
            Self::TimedOut | Self::NoAnswer => Some(false),
            Self::NotAsked | Self::OwnFault => None,
        }
    }

    /// How long the endpoint wants no request at all, as of the end of the exchange.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Unavailable { retry_after } => retry_after,
            Self::Accepted
            | Self::Declined
            | Self::Gone
            | Self::Broken
            | Self::TimedOut
            | Self::NoAnswer
            | Self::NotAsked
            | Self::OwnFault => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_as_the_table_says() {
        use Weight::{Against, For, Nothing};
        fn check(heard: Heard, expected: [Weight; 3], answered: Option<bool>) {
            let found = [heard.breaker(), heard.room(), heard.standing()];
            assert_eq!(found, expected, "{heard:?}");
            assert_eq!(heard.answered(), answered, "{heard:?}");
        }
        let retry_after = Some(Duration::from_secs(7));
        let throttled = Heard::Throttled { retry_after };
        let unavailable = Heard::Unavailable { retry_after };
        check(Heard::Accepted, [For, For, For], Some(true));
        check(Heard::Declined, [For, Nothing, Against], Some(true));
        check(Heard::Gone, [For, Nothing, Against], Some(true));
        check(throttled, [For, Against, Nothing], Some(true));
        check(unavailable, [Against, Against, Against], Some(true));
        check(Heard::Broken, [Against, Nothing, Against], Some(true));
        check(Heard::TimedOut, [Against, Against, Against], Some(false));
        check(Heard::NoAnswer, [Against, Against, Against], Some(false));
        check(Heard::NotAsked, [Nothing, Nothing, Nothing], None);
        check(Heard::OwnFault, [Nothing, Nothing, Nothing], None);
        assert_eq!(throttled.retry_after(), retry_after);
        assert_eq!(unavailable.retry_after(), retry_after);
        assert_eq!(Heard::TimedOut.retry_after(), None);
    }
}
