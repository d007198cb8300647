//! A task that is given up: the same key, value and headers, and why.

use std::fmt;

use crate::clock::Timestamp;
use crate::record::{Headers, TaskHeaders};

const REASON: &str = "hooktide-reason";
const LAST_STATUS: &str = "hooktide-last-status";
const LAST_ERROR: &str = "hooktide-last-error";
const DEAD_AT: &str = "hooktide-dead-at";
const LONGEST_ERROR: usize = 1_024;

/// Why a task is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The retries are used up.
    Exhausted,
    /// The endpoint answered 410.
    Gone,
    /// The address policy forbids the target.
    Refused,
    /// The endpoint answered with a status that its subscription calls final.
    Rejected,
    /// Its time to be delivered is over.
    Expired,
    /// The subscription is disabled.
    Disabled,
    /// No request can be made of it.
    Undeliverable,
}

impl Reason {
    /// All reasons, for metrics.
    pub const ALL: [Self; 7] = [
        Self::Exhausted,
        Self::Gone,
        Self::Refused,
        Self::Rejected,
        Self::Expired,
        Self::Disabled,
        Self::Undeliverable,
    ];

    /// As headers and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Undeliverable => "undeliverable",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a dead letter says beside its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Why it was given up.
    pub reason: Reason,
    /// The status of the last answer, if the last request got one.
    pub last_status: Option<u16>,
    /// What the last request failed of; cut to 1 KiB. Must not hold secrets.
    pub last_error: Option<&'a str>,
    /// When it was given up.
    pub dead_at: Timestamp,
}

impl DeadLetter<'_> {
    /// The headers of the record on the `dlq` topic. What an earlier death left among the task's
    /// other headers is replaced.
    pub fn headers(&self, task: &TaskHeaders) -> Headers {
        let mut headers = task.encode();
        self.mark(&mut headers);
        headers
    }

    /// Says the same in the headers of a record that is not even a task.
    pub fn mark(&self, headers: &mut Headers) {
        for name in [REASON, LAST_STATUS, LAST_ERROR, DEAD_AT] {
            headers.remove(name);
        }
        headers.set(REASON, self.reason.as_str());
        if let Some(status) = self.last_status {
            headers.set(LAST_STATUS, status.to_string());
        }
        if let Some(error) = self.last_error {
            headers.set(LAST_ERROR, first_bytes(error, LONGEST_ERROR));
        }
        headers.set(DEAD_AT, self.dead_at.as_millis().to_string());
    }
}

/// What the headers of a record on the `dlq` topic say beside its task, read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inscription<'a> {
    /// A [`Reason`], or one of a newer version.
    pub reason: Option<&'a str>,
    /// The last answer's status.
    pub last_status: Option<&'a str>,
    /// What the last request failed of.
    pub last_error: Option<&'a str>,
}

impl<'a> Inscription<'a> {
    /// Reads what is there; what is not UTF-8 is not there.
    pub fn read(headers: &'a Headers) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|bytes| str::from_utf8(bytes).ok())
        };
        Self {
            reason: text(REASON),
            last_status: text(LAST_STATUS),
            last_error: text(LAST_ERROR),
        }
    }
}

/// As much of a text as fits into `most` bytes, in whole characters.
pub(super) fn first_bytes(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::task::tests::task;

    fn shown(headers: &Headers) -> Vec<(&str, &str)> {
        let ours = [REASON, LAST_STATUS, LAST_ERROR, DEAD_AT];
        headers
            .iter()
            .filter(|(name, _)| ours.contains(name))
            .map(|(name, value)| (name, str::from_utf8(value.unwrap()).unwrap()))
            .collect()
    }

    #[test]
    fn says_why_and_keeps_the_task() {
        let letter = DeadLetter {
            reason: Reason::Exhausted,
            last_status: Some(503),
            last_error: Some("503 Service Unavailable"),
            dead_at: Timestamp::from_millis(1_795_341_600_007),
        };
        let headers = letter.headers(&task());
        let expected = [
            (REASON, "exhausted"),
            (LAST_STATUS, "503"),
            (LAST_ERROR, "503 Service Unavailable"),
            (DEAD_AT, "1795341600007"),
        ];
        assert_eq!(shown(&headers), expected);
        let read = Inscription {
            reason: Some("exhausted"),
            last_status: Some("503"),
            last_error: Some("503 Service Unavailable"),
        };
        assert_eq!(Inscription::read(&headers), read);
        assert_eq!(Inscription::read(&Headers::new()), Inscription::default());
        let replayed = TaskHeaders::decode(&headers).unwrap();
        assert_eq!(replayed.delivery_id, task().delivery_id);

        let long = format!("{}\u{e9}", "x".repeat(1_023));
        let second = DeadLetter {
            reason: Reason::Disabled,
            last_status: None,
            last_error: Some(&long),
            dead_at: Timestamp::from_millis(5),
        };
        let kept = "x".repeat(1_023);
        let expected = [(REASON, "disabled"), (LAST_ERROR, &*kept), (DEAD_AT, "5")];
        assert_eq!(shown(&second.headers(&replayed)), expected);
    }

    #[test]
    fn names_its_reasons_as_the_contract_does() {
        let names = "exhausted gone refused rejected expired disabled undeliverable";
        assert_eq!(Reason::ALL.map(Reason::as_str).join(" "), names);
    }
}
