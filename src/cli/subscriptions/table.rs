//! The subscriptions topic as a command reads it: the newest record of each key, as JSON, whatever form
//! it was written in.

use std::collections::BTreeMap;

use anyhow::Context;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::errand::{Expected, NewestRecord, newest_records};
use crate::record::{Framed, SubscriptionKey};
use crate::router::event_form::{FormError, table_record};
use crate::schema_registry::RegistryErrand;
use crate::topic::Topic;

/// The newest record of a subscription.
pub(super) struct Present {
    pub(super) revision: i64,
    pub(super) written: Option<Timestamp>,
    /// As JSON, or why it cannot be brought into that form.
    pub(super) value: Result<Bytes, FormError>,
}

/// What the topic holds.
pub(super) struct Table {
    pub(super) subscriptions: BTreeMap<SubscriptionKey, Present>,
    /// How many records have no key of a subscription.
    pub(super) strays: usize,
}

impl Present {
    /// The value as JSON, if there is one.
    pub(super) fn json(&self) -> Option<&[u8]> {
        self.value.as_deref().ok()
    }
}

/// Reads all of it.
pub(super) fn read(config: &Config) -> anyhow::Result<Table> {
    read_those(config, |_| true)
}

/// The newest record of a key, if it is no tombstone.
pub(super) fn newest(config: &Config, key: &SubscriptionKey) -> anyhow::Result<Option<Present>> {
    let wanted = Bytes::from(key.to_string());
    let mut table = read_those(config, |key| *key == *wanted)?;
    Ok(table.subscriptions.remove(key))
}

/// The revision of a key's newest record, if it is no tombstone. Works without the schema registry.
pub(in crate::cli) fn revision(
    config: &Config,
    key: &SubscriptionKey,
) -> anyhow::Result<Option<i64>> {
    let topic = config.topics.name(Topic::Subscriptions);
    let wanted = Bytes::from(key.to_string());
    let records = newest_records(config, &topic, Expected::One, |key| *key == *wanted)?;
    Ok(records.get(&wanted).map(|record| record.offset))
}

fn read_those(config: &Config, wanted: impl Fn(&[u8]) -> bool) -> anyhow::Result<Table> {
    let topic = config.topics.name(Topic::Subscriptions);
    let records = newest_records(config, &topic, Expected::One, wanted)?;
    let all = records.len();
    let mut registry = RegistryErrand::new(&config.schema_registry)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Sorted by their bytes, `a-b/c` would come before `a/c`.
    let mut subscriptions = BTreeMap::new();
    for (key, record) in records {
        if let Ok(key) = SubscriptionKey::try_from(&*key) {
            let present = runtime
                .block_on(present(record, &mut registry))
                .with_context(|| format!("the record of {key} was written with a schema"))?;
            subscriptions.insert(key, present);
        }
    }
    Ok(Table {
        strays: all - subscriptions.len(),
        subscriptions,
    })
}

async fn present(record: NewestRecord, registry: &mut RegistryErrand) -> anyhow::Result<Present> {
    let value = match Framed::find(&record.headers, &record.value) {
        Ok(None) => Ok(record.value),
        Ok(Some(framed)) => {
            let schema = registry.schema(framed.schema).await?;
            table_record(framed, &schema).map(Bytes::from)
        }
        Err(error) => Err(error.into()),
    };
    Ok(Present {
        revision: record.offset,
        written: record.timestamp,
        value,
    })
}
