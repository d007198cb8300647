//! One transaction, before it is carried out.

use std::sync::Arc;

use rdkafka::consumer::ConsumerGroupMetadata;

use super::metadata::{Progress, Stamp};
use crate::kafka::record::Outgoing;

/// All that one transaction makes durable.
pub(super) struct Transaction {
    pub epoch: u64,
    pub group: Arc<ConsumerGroupMetadata>,
    pub records: Vec<Outgoing>,
    pub progress: Vec<Progress>,
    pub stamp: Stamp,
}
