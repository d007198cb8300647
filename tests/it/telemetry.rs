//! What operators see of a process: health, metrics, logs, and no secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::free_port::free_port;
use crate::support::kafka::NewRecord;
use crate::support::receiver::Answer;
use crate::support::scene::{BOTH, READY, SECRET, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        the_contracts_metrics_are_there,
        ready_while_it_works,
        json_logs_are_objects,
        secrets_are_shown_nowhere,
}

/// Metrics of `docs/metrics.md`, as series, with the labels that each has.
const METRICS: [(&str, &[&str]); 13] = [
    ("hooktide_events_total", &["topic", "result"]),
    ("hooktide_deliveries_total", &["outcome"]),
    ("hooktide_attempts_total", &["outcome", "status_class"]),
    ("hooktide_attempt_duration_seconds_count", &[]),
    ("hooktide_delivery_latency_seconds_count", &["first"]),
    ("hooktide_in_flight_requests", &[]),
    ("hooktide_retry_lateness_seconds_count", &["tier"]),
    ("hooktide_oldest_due_age_seconds", &["tier"]),
    ("hooktide_dead_letters_total", &["reason"]),
    ("hooktide_subscriptions", &["state"]),
    ("hooktide_rejects_total", &["reason"]),
    ("hooktide_transactions_total", &["role", "result"]),
    ("hooktide_build_info", &["version"]),
];

const TIERS: (&str, &str) = ("retry.tiers", r#"["1s","3s"]"#);

async fn the_contracts_metrics_are_there(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[TIERS]).await?;
    let retry = || json!({"retry": {"schedule": ["1s"]}});
    scene.subscribe("acme/good", "/good", retry()).await?;
    scene.subscribe("acme/flaky", "/flaky", retry()).await?;
    scene.subscribe("acme/dead", "/dead", retry()).await?;
    scene.subscribe("acme/gone", "/gone", retry()).await?;
    let paused = json!({"state": "paused", "events": ["none"]});
    scene.subscribe("acme/paused", "/paused", paused).await?;
    scene
        .receiver
        .script("/flaky", [Answer::status(500), Answer::status(200)]);
    scene.receiver.script("/dead", [Answer::reset()]);
    scene.receiver.script("/gone", [Answer::status(410)]);
    let process = scene.run("a").await?;
    let records = [event("evt_1", json!({})).to_string(), "not JSON".to_owned()];
    scene.produce_all(&records.map(NewRecord::value)).await?;

    let metrics = process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_deliveries_total", &[]) >= 4.0
                && metrics.sum("hooktide_in_flight_requests", &[]) == 0.0
        })
        .await?;
    for (name, labels) in METRICS {
        assert!(metrics.has(name), "{name}");
        let expected: BTreeSet<_> = labels.iter().map(|&label| label.to_owned()).collect();
        assert_eq!(metrics.labels(name), expected, "{name}");
    }
    let topic = scene.installation.events_topic();
    for (name, labels, expected) in [
        (
            "hooktide_events_total",
            &[("topic", topic.as_str()), ("result", "matched")][..],
            1.0,
        ),
        (
            "hooktide_events_total",
            &[("topic", &topic), ("result", "rejected")],
            1.0,
        ),
        (
            "hooktide_deliveries_total",
            &[("outcome", "delivered")],
            2.0,
        ),
        ("hooktide_deliveries_total", &[("outcome", "dead")], 2.0),
        (
            "hooktide_attempts_total",
            &[("outcome", "delivered"), ("status_class", "2xx")],
            2.0,
        ),
        (
            "hooktide_attempts_total",
            &[("outcome", "retry"), ("status_class", "5xx")],
            1.0,
        ),
        (
            "hooktide_attempts_total",
            &[("outcome", "retry"), ("status_class", "none")],
            1.0,
        ),
        (
            "hooktide_attempts_total",
            &[("outcome", "dead"), ("status_class", "none")],
            1.0,
        ),
        (
            "hooktide_attempts_total",
            &[("outcome", "dead"), ("status_class", "4xx")],
            1.0,
        ),
        ("hooktide_attempt_duration_seconds_count", &[], 6.0),
        (
            "hooktide_delivery_latency_seconds_count",
            &[("first", "true")],
            1.0,
        ),
        (
            "hooktide_delivery_latency_seconds_count",
            &[("first", "false")],
            1.0,
        ),
        (
            "hooktide_retry_lateness_seconds_count",
            &[("tier", "1s")],
            2.0,
        ),
        (
            "hooktide_dead_letters_total",
            &[("reason", "exhausted")],
            1.0,
        ),
        ("hooktide_dead_letters_total", &[("reason", "gone")], 1.0),
        ("hooktide_rejects_total", &[("reason", "not_json")], 1.0),
        ("hooktide_subscriptions", &[("state", "active")], 4.0),
        ("hooktide_subscriptions", &[("state", "paused")], 1.0),
        (
            "hooktide_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        ),
    ] {
        assert_eq!(metrics.sum(name, labels), expected, "{name}{labels:?}");
    }
    for role in ["router", "dispatcher"] {
        let labels = [("role", role), ("result", "committed")];
        let committed = |metrics: &crate::support::expositions::Metrics| {
            metrics.sum("hooktide_transactions_total", &labels) > 0.0
        };
        process.wait_for_metrics(SOON, committed).await?;
    }
    Ok(())
}

async fn ready_while_it_works(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[("shutdown.timeout", "8s")]).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    let slow = Answer::status(200).after(Duration::from_secs(3));
    scene.receiver.script("/hook", [slow]);
    let process = scene.installation.start("a", BOTH)?;
    // Telemetry is there before anything else: the first answer is that it is not ready.
    let first_answer = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if let Ok(status) = process.status_of("/ready").await {
                return status;
            }
        }
    };
    assert_eq!(tokio::time::timeout(READY, first_answer).await?, 503);
    assert_eq!(process.status_of("/health").await?, 200);
    process.wait_ready(READY).await?;
    assert_eq!(process.status_of("/health").await?, 200);
    // As a health check of a container asks.
    let address = process.telemetry().to_string();
    let ask = ["health", "--ready", "--address", &address];
    let asked = scene.installation.command(&ask).await?;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    for component in ["router", "dispatcher", "subscriptions"] {
        let line = asked
            .stdout
            .lines()
            .find(|line| line.starts_with(component));
        assert!(line.is_some_and(|line| line.contains("ready")), "{asked:?}");
    }

    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    process.sigterm()?;
    process
        .wait_for_log("draining: no request starts any more", SOON)
        .await?;
    assert_eq!(process.status_of("/ready").await?, 503);
    assert_eq!(process.status_of("/health").await?, 200);
    let asked = scene.installation.command(&ask).await?;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    let culprit = "dispatcher is draining";
    assert!(asked.stderr.contains(culprit), "{asked:?}");
    let ask = ["health", "--address", &address, "--output", "json"];
    let asked = scene.installation.command(&ask).await?;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert_eq!(
        asked.json()?["components"]["dispatcher"]["state"],
        "draining"
    );
    assert_eq!(process.get("/metrics").await?.0, 200);
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    Ok(())
}

async fn json_logs_are_objects(bed: Bed) -> Outcome {
    let settings = [
        ("telemetry.log", "debug"),
        ("telemetry.log_format", "json"),
        TIERS,
    ];
    let scene = Scene::set(&bed, &settings).await?;
    scene.subscribe("acme/one", "/hook", json!({})).await?;
    scene
        .subscribe("acme/bad", "/hook", json!({"unknown": "line\nline"}))
        .await?;
    let process = scene.run("a").await?;
    let bad = NewRecord::value("not\nJSON \u{1b}[31m\u{0}");
    let good = NewRecord::value(event("evt_\"1\" {}", json!({})).to_string());
    scene.produce_all(&[bad, good]).await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    let log = process.log_text()?;
    let mut levels = BTreeSet::new();
    for line in log.lines() {
        let entry: Value =
            serde_json::from_str(line).map_err(|error| anyhow::anyhow!("{error}: {line}"))?;
        for member in ["timestamp", "level", "target", "message"] {
            assert!(entry[member].is_string(), "{member}: {line}");
        }
        levels.insert(entry["level"].as_str().unwrap_or_default().to_owned());
    }
    assert!(
        levels.is_superset(&BTreeSet::from(
            ["DEBUG", "INFO", "WARN"].map(str::to_owned)
        )),
        "{levels:?}"
    );
    Ok(())
}

/// What must not be seen: the secret as text, as bytes, as a list of numbers and in hex; the
/// credentials and the token of a URL; a header's value; a broker's password.
const HIDDEN: [&str; 10] = [
    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
    "0123456789abcdef0123456789abcdef",
    "48, 49, 50, 51, 52, 53",
    "303132333435363738396162",
    "some-user",
    "pass-of-a-url",
    // As the request's `authorization` has both.
    "c29tZS11c2VyOnBhc3Mtb2YtYS11cmw",
    "token-of-a-query",
    "key-in-a-header",
    "pass-of-the-broker",
];

async fn secrets_are_shown_nowhere(bed: Bed) -> Outcome {
    let settings = [
        ("telemetry.log", "trace"),
        ("kafka.properties.sasl_password", "pass-of-the-broker"),
        TIERS,
    ];
    let scene = Scene::set(&bed, &settings).await?;
    let receiver = scene.receiver.address();
    let secret_url = |authority: &str, path: &str| {
        format!("http://some-user:pass-of-a-url@{authority}{path}?token=token-of-a-query")
    };
    let closed = format!("127.0.0.1:{}", free_port()?);
    let targets = [
        ("good", secret_url(&receiver.to_string(), "/good")),
        ("flaky", secret_url(&receiver.to_string(), "/flaky")),
        ("dead", secret_url(&receiver.to_string(), "/dead")),
        ("hang", secret_url(&receiver.to_string(), "/hang")),
        ("garbage", secret_url(&receiver.to_string(), "/garbage")),
        ("redirect", secret_url(&receiver.to_string(), "/redirect")),
        ("closed", secret_url(&closed, "/")),
        (
            "nowhere",
            secret_url("name.invalid", "/").replace("http:", "https:"),
        ),
        (
            "private",
            secret_url("10.0.0.1", "/").replace("http:", "https:"),
        ),
        (
            "plain_tls",
            secret_url(&receiver.to_string(), "/").replace("http:", "https:"),
        ),
    ];
    let members = |url: &str| {
        json!({
            "url": url, "timeout": "1s", "retry": {"schedule": ["1s"]},
            "headers": {"X-Api-Key": "key-in-a-header"},
        })
    };
    scene
        .receiver
        .script("/flaky", [Answer::status(500), Answer::status(200)]);
    scene.receiver.script("/dead", [Answer::status(500)]);
    scene.receiver.script("/hang", [Answer::hang()]);
    scene
        .receiver
        .script("/garbage", [Answer::raw("no HTTP\r\n\r\n")]);
    let elsewhere = Answer::status(302).header("location", "/good");
    scene.receiver.script("/redirect", [elsewhere]);
    for (id, url) in &targets {
        scene
            .subscribe(&format!("acme/{id}"), "/", members(url))
            .await?;
    }
    // Invalid in every place where something secret can stand.
    let hidden = secret_url("a.example", "/");
    for (number, broken) in [
        json!({"url": hidden.replace("http:", "ftp:")}),
        json!({"url": format!("{hidden} \u{1}")}),
        json!({"url": hidden.replace("a.example", "a.example:99999")}),
        json!({"url": [hidden]}),
        json!({"url": format!("{hidden}#token-of-a-query")}),
        json!({"secrets": [SECRET.replacen("whsec_", "whsek_", 1)]}),
        json!({"secrets": [format!("{SECRET}=")]}),
        json!({"secrets": [{"key": SECRET, "not_after": "never"}]}),
        json!({"secrets": [{"key": SECRET, SECRET: 1}]}),
        json!({"secrets": SECRET}),
        json!({"headers": {"webhook-id": "key-in-a-header"}}),
        json!({"headers": {"X-Bad": "key-in-a-header\n"}}),
        json!({"headers": {"X-Bad": ["key-in-a-header"]}}),
    ]
    .into_iter()
    .enumerate()
    {
        scene
            .subscribe(&format!("acme/broken{number}"), "/", broken)
            .await?;
    }
    let process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({})).to_string())
        .await?;
    let expected = targets.len() as f64;
    let done = process.wait_for_metrics(SOON * 2, |metrics| {
        metrics.sum("hooktide_deliveries_total", &[]) >= expected
    });
    let metrics = done.await?;
    // All of them were looked at, none slipped through as valid.
    assert_eq!(
        metrics.sum("hooktide_subscriptions", &[("state", "invalid")]),
        13.0
    );

    let mut shown = Vec::new();
    for path in ["/metrics", "/ready", "/health"] {
        shown.push((path.to_owned(), process.get(path).await?.1));
    }
    process.sigterm()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(0));
    shown.push(("log".to_owned(), process.log_text()?));
    let mut attempts = 0;
    // On the subscriptions topic the secrets are at home.
    for topic in [
        "deliveries",
        "retry.1s",
        "retry.3s",
        "dlq",
        "attempts",
        "rejects",
        "notices",
        "endpoints",
    ] {
        for record in scene.installation.read_topic(topic).await? {
            attempts += usize::from(topic == "attempts");
            let headers = record
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
            let mut text: String = headers.collect();
            text.push_str(&String::from_utf8_lossy(
                record.value.as_deref().unwrap_or_default(),
            ));
            text.push_str(record.key.as_deref().unwrap_or_default());
            shown.push((topic.to_owned(), text));
        }
    }
    for (place, text) in &shown {
        for hidden in HIDDEN {
            if let Some(at) = text.find(hidden) {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let line: String = text[line..].lines().take(1).collect();
                anyhow::bail!("{hidden} is in {place}: {line}");
            }
        }
    }
    // The search looks where something could be found.
    let redacted = shown
        .iter()
        .filter(|(place, text)| place == "attempts" && text.contains("redacted"));
    assert_eq!(redacted.count(), attempts);
    assert!(attempts > targets.len(), "{attempts} attempts");
    Ok(())
}
