//! The events of a run: as many as are delivered, within a rate.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::hooktide::Installation;
use crate::topics::Progress;

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Events a second, at most.
    pub rate: u32,
    /// Deliveries that may be under way before events wait.
    pub most_open: u64,
}

/// Events of a batch.
const BATCH: u32 = 25;

/// Produces until it is stopped. `subscribers`: how many deliveries each event makes.
pub async fn produce(
    installation: &Installation,
    progress: Arc<Progress>,
    subscribers: u64,
    load: Load,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut config = installation.kafka().client_config();
    // A broker that dies is waited for, and no event is on its topic twice.
    config
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "300000")
        .set("reconnect.backoff.max.ms", "500")
        .set("linger.ms", "2");
    let producer: FutureProducer = config.create()?;
    let topic = installation.events_topic();
    let mut tick = tokio::time::interval(Duration::from_secs(1) * BATCH / load.rate);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut produced: u64 = 0;
    while !stop.is_cancelled() {
        tick.tick().await;
        if produced * subscribers > progress.ended() + load.most_open {
            continue;
        }
        let mut pending = Vec::new();
        for _ in 0..BATCH {
            let event = json!({
                "id": format!("evt_{produced}"),
                "type": "order.created",
                "tenant": "acme",
                "data": {"number": produced, "text": "a text of about the length of a line"},
            });
            let value = event.to_string();
            let record = FutureRecord::<str, str>::to(&topic).payload(&value);
            pending.push(producer.send_result(record).map_err(|(error, _)| error)?);
            produced += 1;
        }
        for delivery in pending {
            delivery.await?.map_err(|(error, _)| error)?;
        }
    }
    Ok(())
}
