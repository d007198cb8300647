//! The watch on our own way out. When requests to different hosts all at once bring no answer, it is not
//! the endpoints that are down: then nothing is sent but a probe now and then, and what fails uses up no
//! attempt, rather than burning every task's retries into the dead-letter topic.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::heard::Heard;
use crate::clock::Timestamp;

/// How far back outcomes count.
const WINDOW: Duration = Duration::from_secs(10);
/// The least outcomes, and different hosts among them, that a judgement needs: of fewer hosts it cannot
/// be told whether they are down or the way to them is.
const LEAST: usize = 10;
const LEAST_HOSTS: usize = 3;
/// One answer in so many outcomes, or fewer, is as good as none: a host next door may still be reached.
const ONE_IN: usize = 10;
/// The most outcomes that are remembered.
const MOST: usize = 256;
/// From one probe to the next.
const PROBE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Egress {
    /// When, which host, and whether it answered.
    outcomes: VecDeque<(Timestamp, u64, bool)>,
    /// While the way out is taken to be closed: when the next probe may go.
    held: Option<Timestamp>,
}

impl Egress {
    /// Whether the way out is taken to be closed.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether a request may start.
    pub fn admits(&self, now: Timestamp) -> bool {
        self.held.is_none_or(|next_probe| next_probe <= now)
    }

    /// A request starts.
    pub fn started(&mut self, now: Timestamp) {
        if let Some(next_probe) = &mut self.held {
            *next_probe = now.after(PROBE);
        }
    }

    /// A request to a host has ended. Whether that is to be laid to our own way out.
    pub fn takes_blame(&mut self, host: u64, heard: Heard, now: Timestamp) -> bool {
        let Some(has_answered) = heard.answered() else {
            return false;
        };
        if has_answered && self.held.take().is_some() {
            self.outcomes.clear();
            tracing::info!("an endpoint answers again: sending goes on");
        }
        while self.outcomes.len() >= MOST
            || self
                .outcomes
                .front()
                .is_some_and(|(at, ..)| now.since(*at) >= WINDOW)
        {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((now, host, has_answered));
        if self.held.is_none() && self.is_closed() {
            self.held = Some(now.after(PROBE));
            tracing::error!(
                "no endpoint answers any more, whichever host it is on: this process's way out seems closed; it probes, and spends no attempts"
            );
        }
        self.is_held() && !has_answered
    }

    fn is_closed(&self) -> bool {
        let all = self.outcomes.len();
        let answered = self.outcomes.iter().filter(|(.., answered)| *answered);
        // Hosts are counted last: this is asked at every outcome, and hardly ever comes so far.
        all >= LEAST && answered.count() * ONE_IN <= all && self.hosts() >= LEAST_HOSTS
    }

    fn hosts(&self) -> usize {
        let hosts = self.outcomes.iter().map(|(_, host, _)| *host);
        hosts.collect::<HashSet<u64>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Plays outcomes as `(host, heard)`, one in 100 ms, and returns how many were taken for our own
    /// fault and whether the way out is held in the end.
    fn play(outcomes: impl IntoIterator<Item = (u64, Heard)>) -> (usize, bool) {
        let mut egress = Egress::default();
        let numbered = (0..).zip(outcomes);
        let ours = numbered
            .filter(|(number, (host, heard))| egress.takes_blame(*host, *heard, at(number * 100)));
        (ours.count(), egress.is_held())
    }

    #[test]
    fn it_holds_when_no_host_answers() {
        let silent = |hosts: u64| (0..20).map(move |number| (number % hosts, Heard::NoAnswer));
        assert_eq!(play(silent(3)), (11, true));
        assert_eq!(play(silent(20)), (11, true));
        // Two of them may really be down.
        assert_eq!(play(silent(2)), (0, false));
        let timed_out = silent(5).map(|(host, _)| (host, Heard::TimedOut));
        assert_eq!(play(timed_out), (11, true));
    }

    #[test]
    fn it_does_not_hold_while_some_answer_or_nothing_was_asked() {
        let every_fifth = |number: u64| match number % 5 {
            0 => Heard::Accepted,
            _ => Heard::NoAnswer,
        };
        assert_eq!(
            play((0..50).map(|number| (number, every_fifth(number)))),
            (0, false)
        );
        // An error is an answer.
        assert_eq!(
            play((0..50).map(|number| (number, Heard::Broken))),
            (0, false)
        );
        assert_eq!(
            play((0..50).map(|number| (number, Heard::OwnFault))),
            (0, false)
        );
    }

    #[test]
    fn a_probe_a_second_goes_until_one_is_answered() {
        let mut egress = Egress::default();
        for host in 0..10 {
            egress.takes_blame(host, Heard::NoAnswer, at(0));
        }
        assert!(!egress.admits(at(999)));
        assert!(egress.admits(at(1_000)));
        egress.started(at(1_000));
        assert!(!egress.admits(at(1_999)));
        assert!(egress.takes_blame(1, Heard::NoAnswer, at(1_500)));
        egress.started(at(2_000));
        assert!(!egress.takes_blame(2, Heard::Declined, at(2_100)));
        assert!(egress.admits(at(2_100)) && !egress.is_held());
        // And one failure after that is nobody's but its endpoint's.
        assert!(!egress.takes_blame(3, Heard::NoAnswer, at(2_200)));
    }
}
