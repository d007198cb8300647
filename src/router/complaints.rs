//! Who was told already that the `where` of a subscription fails: once for each record of it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::fan_out::Unfiltered;
use crate::clock::Timestamp;
use crate::kafka::record::Outgoing;
use crate::record::{Coordinates, Headers, Notice, NoticeDetails, NoticeKind, SubscriptionKey};

/// How many subscriptions are remembered; beyond them all are forgotten, and told once more.
const MOST: usize = 10_000;

/// Which revisions were told.
#[derive(Debug)]
pub struct Complaints {
    instance: String,
    topic: Arc<str>,
    told: HashMap<SubscriptionKey, i64>,
}

impl Complaints {
    /// Nobody was told. Notices go to `topic`, from this process.
    pub fn new(instance: String, topic: Arc<str>) -> Self {
        Self {
            instance,
            topic,
            told: HashMap::new(),
        }
    }

    /// The notice to be written, unless this revision has had one.
    pub fn about(
        &mut self,
        failed: &Unfiltered,
        cause: &Coordinates,
        now: Timestamp,
    ) -> Option<Outgoing> {
        let key = &failed.subscription;
        if self.told.get(key) == Some(&failed.revision) {
            return None;
        }
        if self.told.len() == MOST {
            self.told.clear();
        }
        self.told.insert(key.clone(), failed.revision);
        let failure = &failed.failure;
        let message = format!(
            "its `where` cannot be told of the event at {cause}: {}. It does not get such events",
            failure.message
        );
        tracing::warn!(subscription = %key, at = %cause, reason = failure.reason.as_str(), "where fails");
        let notice = Notice {
            kind: NoticeKind::FilterFailed,
            subscription: key.clone(),
            revision: failed.revision,
            at: now,
            message,
            instance: self.instance.clone(),
            details: NoticeDetails {
                reason: Some(failure.reason.as_str().to_owned()),
                ..NoticeDetails::default()
            },
        };
        Some(Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Some(Bytes::from(key.to_string())),
            value: notice.encode().ok().map(Bytes::from),
            headers: Headers::new(),
            cause: cause.clone(),
        })
    }

    /// What was told may not have been committed: it is told again.
    pub fn forget(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::filter::{Failure, FailureReason};

    #[test]
    fn each_revision_is_told_once() {
        let mut complaints = Complaints::new("pod-0".to_owned(), "notices".into());
        let cause: Coordinates = "events/0/7".parse().unwrap();
        let mut about = |key: &str, revision| {
            let failed = Unfiltered {
                subscription: key.parse().unwrap(),
                revision,
                failure: Failure {
                    reason: FailureReason::Missing,
                    message: "there is no `x`".to_owned(),
                },
            };
            complaints.about(&failed, &cause, Timestamp::from_millis(5))
        };
        let notice = about("acme/a", 1).unwrap();
        assert_eq!(&*notice.topic, "notices");
        let value: serde_json::Value = serde_json::from_slice(&notice.value.unwrap()).unwrap();
        assert_eq!(value["type"], "filter.failed");
        assert_eq!(value["data"]["reason"], "missing");
        let message = "its `where` cannot be told of the event at events/0/7: there is no `x`. It does not get such events";
        assert_eq!(value["data"]["message"], message);
        assert!(about("acme/a", 1).is_none());
        assert!(about("acme/a", 2).is_some());
        assert!(about("acme/b", 2).is_some());
        for number in 0..MOST {
            assert!(about(&format!("acme/n{number}"), 1).is_some());
        }
        assert!(about("acme/a", 2).is_some(), "forgotten, not unbounded");
        complaints.forget();
        assert!(complaints.told.is_empty());
    }
}
