//! Deliveries that pass through a proxy, and what becomes of them while it is away.

use serde_json::json;

use crate::support::connect_proxy::ConnectProxy;
use crate::support::free_port::free_port;
use crate::support::scene::{SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        deliveries_pass_through_a_proxy_under_the_same_policy,
        a_proxy_that_is_away_costs_no_attempt,
}

async fn deliveries_pass_through_a_proxy_under_the_same_policy(bed: Bed) -> Outcome {
    const PASSWORD: &str = "hunter2hunter2";
    let port = free_port()?;
    let settings = [
        (
            "http.proxy",
            &*format!("http://user:{PASSWORD}@127.0.0.1:{port}"),
        ),
        // Where the receiver is not: only the proxy knows the way, and its own address needs no leave.
        ("http.allow_networks", r#"["127.0.0.2/32"]"#),
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let proxy = ConnectProxy::start(port, scene.receiver.address()).await?;
    for (id, host) in [
        ("good", "127.0.0.2"),
        ("bad", "127.0.0.1"),
        ("worse", "localhost"),
    ] {
        let url = json!({"url": format!("http://{host}:8080/{id}"), "retry": {"max_retries": 0}});
        scene.subscribe(&format!("acme/{id}"), "/", url).await?;
    }
    let process = scene.run("a").await?;
    for number in 0..5 {
        let event = event(&format!("evt_{number}"), json!({}));
        scene.produce(&event.to_string()).await?;
    }
    scene.receiver.wait_for_count("/good", 5, SOON).await?;
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| records.len() >= 10)
        .await?;
    for letter in &dead {
        assert_eq!(
            letter.header("hooktide-reason"),
            Some("refused"),
            "{letter:?}"
        );
    }
    assert_eq!(scene.receiver.received().len(), 5);
    let asked = proxy.asked();
    for head in &asked {
        let expected = "CONNECT 127.0.0.2:8080 HTTP/1.1\r\nhost: 127.0.0.2:8080\r\n\
                        proxy-authorization: Basic dXNlcjpodW50ZXIyaHVudGVyMg==\r\n\r\n";
        assert_eq!(head, expected);
    }
    assert!((1..=5).contains(&asked.len()), "{asked:?}");
    // The password is shown to the proxy and to nobody else.
    let shown = scene.installation.command(&["config", "show"]).await?;
    let redacted = format!("http://redacted@127.0.0.1:{port}/");
    assert!(shown.stdout.contains(&redacted), "{shown:?}");
    let attempts = scene.installation.read_topic("attempts").await?;
    let places = [
        shown.stdout,
        process.log_text()?,
        format!("{attempts:?}{dead:?}"),
    ];
    for place in places {
        assert!(!place.contains(PASSWORD), "{place}");
    }
    Ok(())
}

async fn a_proxy_that_is_away_costs_no_attempt(bed: Bed) -> Outcome {
    const EVENTS: usize = 3;
    let port = free_port()?;
    let settings = [("http.proxy", &*format!("http://127.0.0.1:{port}"))];
    let scene = Scene::set(&bed, &settings).await?;
    let policy = json!({"retry": {"schedule": ["200ms"]}});
    scene.subscribe("acme/shop", "/shop", policy).await?;
    let _process = scene.run("a").await?;
    for number in 0..EVENTS {
        let event = event(&format!("evt_{number}"), json!({}));
        scene.produce(&event.to_string()).await?;
    }
    // Twice as many requests as the policy would allow, and still none is given up.
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| records.len() >= 4 * EVENTS)
        .await?;
    for attempt in &attempts {
        let attempt = attempt.json()?;
        assert_eq!(attempt["error"], "proxy", "{attempt}");
        assert_eq!(attempt["outcome"], "retry", "{attempt}");
    }
    let _proxy = ConnectProxy::start(port, scene.receiver.address()).await?;
    scene.receiver.wait_for_count("/shop", EVENTS, SOON).await?;
    assert!(scene.installation.read_topic("dlq").await?.is_empty());
    Ok(())
}
