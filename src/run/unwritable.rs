//! What becomes of a record that Kafka refuses for good.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::kafka::record::Outgoing;
use crate::record::Reject;

/// A record that Kafka will never take, as a reject: what it stood for is kept, as far as it fits.
pub(super) fn reject_of(record: &Outgoing, error: &str, rejects: &Arc<str>) -> Outgoing {
    let longest = if record.topic == *rejects {
        0
    } else {
        16 * 1024
    };
    let reject = Reject {
        reason: "unwritable",
        error: &format!("to {}: {error}", record.topic),
        source: &record.cause,
        value: record.value.as_deref(),
        headers: &record.headers,
        rejected_at: Timestamp::now(),
    };
    Outgoing {
        topic: Arc::clone(rejects),
        partition: None,
        key: record.key.clone().filter(|key| key.len() <= 1_024),
        value: reject.value(longest),
        headers: reject.headers(),
        cause: record.cause.clone(),
    }
}
