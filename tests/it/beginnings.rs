//! Where a group that is new begins with `events.start = latest`, and that a crash, wherever it comes,
//! skips nothing of what was produced after that.

use serde_json::json;

use super::start::{LATEST, any_subscription, produce, start_router, wait_for_tasks};
use crate::support::hooktide::Installation;
use crate::support::scene::{READY, SOON};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_crash_at_the_first_assignment_skips_nothing,
        a_crash_at_a_later_topics_assignment_skips_nothing,
}

const PARTITIONS: i32 = 4;

/// With these settings, its topics, and a subscription to everything.
async fn set_up(
    mut installation: Installation,
    settings: &[(&str, &str)],
) -> anyhow::Result<Installation> {
    for (key, value) in settings {
        installation = installation.set(key, value);
    }
    installation.create_topics(PARTITIONS).await?;
    let subscription = any_subscription();
    installation
        .put_subscription("acme/one", &subscription)
        .await?;
    Ok(installation)
}

/// So many events to each partition, their numbers from `from` on.
async fn produce_to_all(installation: &Installation, topic: &str, from: usize) -> Outcome {
    for partition in 0..PARTITIONS {
        let first = from + usize::try_from(partition)? * EACH;
        produce(installation, topic, first..first + EACH, Some(partition)).await?;
    }
    Ok(())
}

const EACH: usize = 5;
const ALL: usize = EACH * PARTITIONS as usize;

/// Waits until the router's group has committed something for so many partitions of the events.
async fn decided(installation: &Installation, count: usize) -> Outcome {
    let events = installation.events_topic();
    let decided = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        loop {
            tick.tick().await;
            let committed = installation.committed("router", &[&events]).await?;
            if committed.iter().filter(|one| one.offset.is_some()).count() >= count {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(READY, decided).await?
}

/// The process does not hear any more that its decision stands.
async fn a_crash_at_the_first_assignment_skips_nothing(bed: Bed) -> Outcome {
    for _ in 0..3 {
        let installation = set_up(Installation::new(&bed)?, &[LATEST]).await?;
        let events = installation.events_topic();
        produce_to_all(&installation, &events, 0).await?;
        let process = installation.start("a", "router")?;
        decided(&installation, PARTITIONS as usize).await?;
        process.kill9().await?;
        produce_to_all(&installation, &events, ALL).await?;
        let _process = start_router(&installation, "a").await?;
        wait_for_tasks(&installation, &events, ALL..2 * ALL).await?;
    }
    Ok(())
}

/// A topic that the pattern finds while the process runs begins with its first record.
async fn a_crash_at_a_later_topics_assignment_skips_nothing(bed: Bed) -> Outcome {
    let installation = Installation::new(&bed)?;
    let pattern = json!([format!("^{}-events", installation.id())]).to_string();
    let settings = [
        LATEST,
        ("events.refresh", "1s"),
        ("events.topics", &pattern),
    ];
    let installation = set_up(installation, &settings).await?;
    let process = start_router(&installation, "a").await?;
    let topic = format!("{}-events-later", installation.id());
    let kafka = installation.kafka();
    kafka.create_topic(&topic, PARTITIONS, &[]).await?;
    produce_to_all(&installation, &topic, 0).await?;
    let begins = format!("first start of this partition role=\"router\" topic=\"{topic}\"");
    process.wait_for_log(&begins, SOON).await?;
    process.kill9().await?;
    produce_to_all(&installation, &topic, ALL).await?;
    let _process = start_router(&installation, "a").await?;
    wait_for_tasks(&installation, &topic, 0..2 * ALL).await
}
