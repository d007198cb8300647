//! Topics that are made anew while work is under way: the same offsets, other records.

use std::time::Duration;

use serde_json::json;

use crate::support::receiver::{Answer, Received};
use crate::support::scene::{SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        an_old_outcome_does_not_finish_a_new_task,
        attempts_find_their_way_on_fewer_partitions,
}

/// A request is on the wire while its topic is made anew. Another task stands in its place when it
/// ends, which must not count as that one's end.
async fn an_old_outcome_does_not_finish_a_new_task(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("topics.partitions", "1")]).await?;
    let late = Answer::status(200).after(Duration::from_secs(12));
    scene.receiver.script("/hook", [late, Answer::status(200)]);
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let process = scene.run("a").await?;
    for number in 1..=6 {
        let event = event(&format!("evt_{number}"), json!({})).to_string();
        scene.produce(&event).await?;
        scene.receiver.wait_for_count("/hook", number, SOON).await?;
    }

    delete(&scene, "deliveries").await?;
    let made = scene.installation.command(&["topics", "create"]).await?;
    assert_eq!(made.code, Some(0), "{made:?}");
    scene
        .receiver
        .script("/hook", [Answer::hang(), Answer::status(200)]);
    scene
        .produce(&event("evt_7", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/hook", 7, SOON).await?;
    let late = |all: &[Received]| all[0].answered.is_some();
    scene.receiver.wait_for(SOON, late).await?;
    // What it could have moved is committed with this one at the latest.
    scene
        .produce(&event("evt_8", json!({})).to_string())
        .await?;
    scene
        .installation
        .wait_for_topic("attempts", SOON, |records| {
            let mut attempts = records.iter().filter_map(|record| record.json().ok());
            attempts.any(|attempt| attempt["event_id"] == "evt_8")
        })
        .await?;
    process.kill9().await?;
    let _process = scene.run("a").await?;
    let received = scene.receiver.wait_for_count("/hook", 9, SOON).await?;
    assert_eq!(received[8].id(), received[6].id());
    Ok(())
}

/// Each transaction's attempt records share a partition, which the topic may no longer have.
async fn attempts_find_their_way_on_fewer_partitions(bed: Bed) -> Outcome {
    const EVENTS: usize = 6;
    let scene = Scene::set(&bed, &[]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let _process = scene.run("a").await?;
    delete(&scene, "attempts").await?;
    let attempts = scene.installation.topic("attempts");
    let kafka = scene.installation.kafka();
    kafka.create_topic(&attempts, 1, &[]).await?;
    for number in 1..=EVENTS {
        let event = event(&format!("evt_{number}"), json!({})).to_string();
        scene.produce(&event).await?;
        scene.receiver.wait_for_count("/hook", number, SOON).await?;
        scene
            .installation
            .wait_for_topic("attempts", SOON, move |records| records.len() == number)
            .await?;
    }
    Ok(())
}

async fn delete(scene: &Scene, topic: &str) -> Outcome {
    let topic = scene.installation.topic(topic);
    let kafka = scene.installation.kafka();
    kafka.delete_topic(&topic).await?;
    let gone = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while kafka.read_topic(&topic).await.is_ok() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(SOON, gone).await?;
    Ok(())
}
