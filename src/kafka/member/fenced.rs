//! By whom a static member was fenced that may have been cut off from its group.
//!
//! It comes back with a new member id, and what still waited for the broker with the old one is answered as
//! if another process had taken the instance id over. Or another process has: then joining again would
//! fence that one in its turn, and of two processes with one name both might end. A coordinator tells who
//! its members are, but not of which process: a static member keeps even the client id of whom it replaced.
//! Time tells. A member that fenced itself is heard of no more, and leaves the group when its session has
//! ended; another process stays in it.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// What a group may take beyond two sessions until it has found out who is gone: a coordinator that has just
/// come up gives every member one session more.
const SLACK: Duration = Duration::from_secs(5);
/// How long nothing may be known. A group that cannot be asked about must not keep a process out.
const BLIND: Duration = Duration::from_secs(60);
/// The length of the UUID that a coordinator makes a static member's id with.
const UUID: usize = 36;

/// What is known by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Not enough.
    Unknown,
    /// The name is free.
    Nobody,
    /// Another process has it.
    Another,
}

/// The question of who it was, from when it arose.
pub(super) struct Inquiry {
    /// What was said of it.
    pub reason: String,
    patience: Duration,
    next: Instant,
    /// Until when there must be an answer, if there is none at all.
    blind_until: Instant,
    /// Since when the group has had a member of this name, all the time.
    seen: Option<Instant>,
}

impl Inquiry {
    pub(super) fn begin(reason: String, session_timeout: Duration, now: Instant) -> Self {
        Self {
            reason,
            patience: session_timeout * 2 + SLACK,
            next: now,
            blind_until: now + BLIND,
            seen: None,
        }
    }

    /// Whether the group is to be asked now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Takes in whether the group has a member of this name, as it was told at `now`.
    pub(super) fn hear(&mut self, answer: KafkaResult<bool>, now: Instant) -> Finding {
        self.next = now + PAUSE;
        match answer {
            Ok(false) => Finding::Nobody,
            Ok(true) if now.duration_since(*self.seen.get_or_insert(now)) > self.patience => {
                Finding::Another
            }
            Err(_) if self.seen.is_none() && now > self.blind_until => Finding::Nobody,
            Ok(true) | Err(_) => Finding::Unknown,
        }
    }
}

/// Whether a member's id is that of a static member of this name.
pub(super) fn is_of_instance(member: &str, instance: &str) -> bool {
    let rest = member.strip_prefix(instance);
    let unique = rest.and_then(|rest| rest.strip_prefix('-'));
    unique.is_some_and(|unique| unique.len() == UUID)
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::*;

    const SESSION: Duration = Duration::from_secs(10);

    /// Answers (none: the group could not be asked) by the second, and what is known after the last.
    fn check(answers: &[(u64, Option<bool>)], expected: Finding) {
        let began = Instant::now();
        let mut inquiry = Inquiry::begin("fenced".into(), SESSION, began);
        let mut known = Finding::Unknown;
        for (second, answer) in answers {
            assert_eq!(known, Finding::Unknown, "before {second}: {answers:?}");
            let unknown = KafkaError::GroupListFetch(RDKafkaErrorCode::OperationTimedOut);
            let now = began + Duration::from_secs(*second);
            assert!(inquiry.is_due(now));
            known = inquiry.hear(answer.ok_or(unknown), now);
            assert!(!inquiry.is_due(now));
        }
        assert_eq!(known, expected, "{answers:?}");
    }

    #[test]
    fn a_member_that_goes_was_this_process_and_one_that_stays_is_another() {
        check(&[(0, Some(false))], Finding::Nobody);
        check(&[(0, Some(true)), (11, Some(false))], Finding::Nobody);
        check(&[(0, Some(true)), (25, Some(true))], Finding::Unknown);
        check(&[(0, Some(true)), (26, Some(true))], Finding::Another);
        // From when it was seen first, not from when the question arose.
        check(
            &[(0, None), (30, Some(true)), (50, None), (55, Some(true))],
            Finding::Unknown,
        );
        check(&[(0, Some(true)), (26, None)], Finding::Unknown);
    }

    #[test]
    fn a_group_that_cannot_be_asked_about_keeps_nobody_out_for_ever() {
        check(&[(0, None), (60, None)], Finding::Unknown);
        check(&[(0, None), (61, None)], Finding::Nobody);
        check(&[(0, Some(true)), (61, None)], Finding::Unknown);
    }

    #[test]
    fn members_are_told_apart_by_their_whole_names() {
        let uuid = "b1946ac9-2492-4d23-8c5a-1f2e3d4c5b6a";
        let check = |member: &str, instance, expected| {
            let member = format!("{member}-{uuid}");
            assert_eq!(is_of_instance(&member, instance), expected, "{member}");
        };
        check("member-1", "member-1", true);
        check("member-1", "member", false);
        check("member-1-2", "member-1", false);
        check("member-12", "member-1", false);
        assert!(!is_of_instance("member-1", "member-1"));
        assert!(!is_of_instance("", "member-1"));
    }
}
