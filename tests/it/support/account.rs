//! What reached the receiver, held against the attempts that are committed: nothing may be lost, and
//! only what was not committed may have been sent again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::receiver::Received;
use super::scene::Scene;

/// How often each delivery id came.
pub fn counts(received: &[Received]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for request in received {
        *counts.entry(request.id()).or_default() += 1;
    }
    counts
}

/// How many requests were copies of earlier ones.
pub fn doubled(received: &[Received]) -> usize {
    received.len() - counts(received).len()
}

/// The deliveries that have come and that no committed attempt tells of: what a loss of the process,
/// or of its membership, at this moment may double.
pub async fn uncommitted(scene: &Scene) -> anyhow::Result<BTreeSet<String>> {
    let attempts = scene.installation.read_topic("attempts").await?;
    // After the topic: what was on its way to the receiver has come by now.
    let received = scene.receiver.received();
    let mut ids: BTreeSet<String> = received.iter().map(|one| one.id().to_owned()).collect();
    for attempt in attempts {
        let attempt = attempt.json()?;
        ids.remove(attempt["delivery_id"].as_str().unwrap_or_default());
    }
    Ok(ids)
}

/// Waits until so many deliveries have come and are in committed attempts. Then: each has reached its
/// end once, and no request was made after an attempt of its delivery had been committed. Gives all
/// requests. Where every request is answered by a success.
pub async fn settled(
    scene: &Scene,
    deliveries: usize,
    within: Duration,
) -> anyhow::Result<Vec<Received>> {
    let come = scene.receiver.wait_for_ids(deliveries, within, |_| true);
    assert_eq!(counts(&come.await?).len(), deliveries);
    let all = scene
        .installation
        .wait_for_topic("attempts", within, move |records| {
            let ids = records.iter().filter_map(|record| record.json().ok());
            let ids: BTreeSet<_> = ids.map(|one| one["delivery_id"].to_string()).collect();
            ids.len() == deliveries
        })
        .await?;
    assert_eq!(all.len(), deliveries, "an end was recorded twice");
    let mut recorded: HashMap<String, String> = HashMap::new();
    for attempt in &all {
        let attempt = attempt.json()?;
        let text = |member: &str| attempt[member].as_str().unwrap_or_default().to_owned();
        recorded.insert(text("delivery_id"), text("started_at"));
    }
    // In their order of arrival; the request that is recorded is the last of its delivery.
    let received = scene.receiver.received();
    let last: HashMap<&str, usize> = (0..)
        .zip(&received)
        .map(|(at, one)| (one.id(), at))
        .collect();
    for (at, request) in received.iter().enumerate() {
        let id = request.id();
        assert!(
            at == last[id] || request.arrived_at.to_string() < recorded[id],
            "{id} was sent again after an attempt of it was committed"
        );
    }
    Ok(received)
}
