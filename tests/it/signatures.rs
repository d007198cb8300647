//! Signatures as receivers find them: requests that really came, verified by code that is not ours.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::kafka::NewRecord;
use crate::support::receiver::{Answer, Received};
use crate::support::scene::{OTHER_SECRET, SECRET, SOON, Scene, event, verify};
use crate::support::topic_reader::Record;
use crate::support::verifiers::{self, Verifier};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain:
        made_secrets_are_new_and_shown_once;
    kafka:
        every_signature_is_taken_by_receivers,
        several_signatures_hold_on_every_attempt,
        a_body_that_cannot_be_signed_is_named,
        a_request_that_came_is_explained,
        lacking_secrets_are_made_for_each_signature,
}

/// What an older system gave out: no base64, and no prefix.
const TEXT: &str = "a secret of an older system";
/// RFC 8032, 7.1, test 1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Forms of the receivers' guide, what a subscription says for each, and the secret.
fn forms() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("sha256-body", json!("sha256-body"), SECRET),
        ("hex-body", json!("hex-body"), SECRET),
        ("hex-data", json!("hex-data"), TEXT),
        ("hex-timestamp-body", json!("hex-timestamp-body"), TEXT),
        ("base64-body", json!("base64-body"), TEXT),
        ("combined", json!("combined"), TEXT),
        (
            "careem",
            json!({"preset": "hex-timestamp-body", "header": "X-Careem-Signature",
                   "timestamp": {"header": "X-Careem-Timestamp"}}),
            TEXT,
        ),
        (
            "deliveroo",
            json!({"preset": "base64-body", "header": "X-Deliveroo-HMAC-SHA256"}),
            TEXT,
        ),
    ]
}

/// The same request with another amount.
fn changed(request: &Received) -> Received {
    let body = String::from_utf8_lossy(&request.body).replace("12", "13");
    Received {
        body: Bytes::from(body),
        ..request.clone()
    }
}

async fn every_signature_is_taken_by_receivers(bed: Bed) -> Outcome {
    let verifiers = verifiers::all().await?;
    let scene = Scene::set(&bed, &[]).await?;
    let mut schemes = forms();
    schemes.push(("standard", json!("standard"), SECRET));
    schemes.push(("v1a", json!("v1a"), PRIVATE));
    for (form, signature, secret) in &schemes {
        let members = json!({"signatures": [signature], "secrets": [secret]});
        let path = format!("/{form}");
        scene
            .subscribe(&format!("acme/{form}"), &path, members)
            .await?;
    }
    let _process = scene.run("a").await?;
    let data = json!({"amount": 12, "name": "\u{e9} \u{20ac}", "list": [1, {"a": null}]});
    scene.produce(&event("evt_1", data).to_string()).await?;
    let requests = scene
        .receiver
        .wait_for(SOON, |requests| requests.len() >= schemes.len())
        .await?;
    for (form, _, secret) in &schemes {
        let path = format!("/{form}");
        let request = requests.iter().find(|request| request.path == path);
        let request = request.with_context(|| path.clone())?;
        for (request, is_good) in [(request.clone(), true), (changed(request), false)] {
            for verifier in &verifiers {
                let taken = by(verifier, form, secret, &request).await?;
                assert_eq!(taken, is_good, "{form}: {verifier:?}: {request:?}");
            }
        }
    }
    let standard = requests.iter().find(|request| request.path == "/standard");
    let standard = standard.context("/standard")?;
    verify(standard, SECRET)?;
    assert!(verify(&changed(standard), SECRET).is_err());
    // What belongs to a form beside its signature.
    let hex = requests
        .iter()
        .find(|request| request.path == "/hex-body")
        .context("/hex-body")?;
    assert_eq!(hex.header("x-webhook-id"), Some(hex.id()));
    assert_eq!(hex.header("x-event-type"), Some("order.created"));
    assert_eq!(hex.header("webhook-signature"), None);
    let sha256 = requests
        .iter()
        .find(|request| request.path == "/sha256-body");
    let sha256 = sha256.context("/sha256-body")?;
    assert_eq!(
        sha256.header("x-webhook-timestamp"),
        sha256.header("webhook-timestamp")
    );
    Ok(())
}

async fn by(
    verifier: &Verifier,
    form: &str,
    secret: &str,
    request: &Received,
) -> anyhow::Result<bool> {
    match form {
        "standard" => verifier.standard(secret, request).await,
        "v1a" => verifier.v1a(PUBLIC, request).await,
        form => verifier.older(form, secret, request).await,
    }
}

async fn several_signatures_hold_on_every_attempt(bed: Bed) -> Outcome {
    let verifiers = verifiers::all().await?;
    let scene = Scene::set(&bed, &[("retry.tiers", r#"["1s"]"#)]).await?;
    scene
        .receiver
        .script("/hook", [Answer::status(503), Answer::status(204)]);
    let members = json!({
        "signatures": ["hex-timestamp-body", "standard", "v1a", "combined"],
        "secrets": [OTHER_SECRET, PRIVATE, SECRET],
        "retry": {"schedule": ["2s"]},
    });
    scene.subscribe("acme/shop", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"amount": 12})).to_string())
        .await?;
    let requests = scene.receiver.wait_for_count("/hook", 2, SOON).await?;
    assert_eq!(requests[0].id(), requests[1].id());
    for header in [
        "webhook-timestamp",
        "webhook-signature",
        "x-webhook-signature",
        "x-signature",
    ] {
        let values: BTreeSet<_> = requests
            .iter()
            .map(|request| request.header(header))
            .collect();
        assert_eq!(
            values.len(),
            2,
            "{header} is that of the attempt: {values:?}"
        );
    }
    for request in &requests {
        // While a secret is rotated, both are good where a header holds several.
        for secret in [SECRET, OTHER_SECRET] {
            verify(request, secret)?;
            for verifier in &verifiers {
                ensure!(verifier.standard(secret, request).await?, "{verifier:?}");
                ensure!(
                    verifier.older("combined", secret, request).await?,
                    "{verifier:?}"
                );
                let is_newest = secret == OTHER_SECRET;
                let taken = verifier
                    .older("hex-timestamp-body", secret, request)
                    .await?;
                assert_eq!(taken, is_newest, "{verifier:?}");
            }
        }
        for verifier in &verifiers {
            ensure!(verifier.v1a(PUBLIC, request).await?, "{verifier:?}");
        }
    }
    Ok(())
}

async fn a_body_that_cannot_be_signed_is_named(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let members = json!({"signatures": ["hex-data"], "retry": {"max_retries": 0}});
    scene.subscribe("acme/shop", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"amount": 12})).to_string())
        .await?;
    scene.receiver.wait_for_count("/hook", 1, SOON).await?;
    // The same task once more, with a body that has no `data`.
    let task = scene.installation.read_topic("deliveries").await?.remove(0);
    let without = NewRecord {
        key: Some("acme/shop".to_owned()),
        value: Some(br#"{"type":"order.created"}"#.to_vec()),
        headers: task.headers,
        partition: Some(task.partition),
    };
    let deliveries = scene.installation.topic("deliveries");
    let kafka = scene.installation.kafka();
    kafka.produce(&deliveries, &without).await?;
    let attempts = scene
        .installation
        .wait_for_topic("attempts", SOON, |records| records.len() >= 2)
        .await?;
    let attempts: Vec<_> = attempts
        .iter()
        .map(Record::json)
        .collect::<anyhow::Result<_>>()?;
    let failed = attempts.iter().find(|attempt| !attempt["error"].is_null());
    let attempt = failed.with_context(|| format!("{attempts:?}"))?;
    assert_eq!(attempt["error"], "invalid_request", "{attempt}");
    let message = attempt["message"].as_str().context("a text")?;
    ensure!(
        message.contains("`hex-data`") && message.contains("`data`"),
        "{message}"
    );
    assert_eq!(scene.receiver.received().len(), 1);
    let dead = scene
        .installation
        .wait_for_topic("dlq", SOON, |records| !records.is_empty())
        .await?;
    assert_eq!(
        dead[0].header("hooktide-last-error"),
        Some("invalid_request")
    );
    Ok(())
}

async fn a_request_that_came_is_explained(bed: Bed) -> Outcome {
    let scene = Scene::set(&bed, &[]).await?;
    let members = json!({"signatures": ["hex-body", "standard"]});
    scene.subscribe("acme/shop", "/hook", members).await?;
    let _process = scene.run("a").await?;
    scene
        .produce(&event("evt_1", json!({"amount": 12})).to_string())
        .await?;
    let request = scene
        .receiver
        .wait_for_count("/hook", 1, SOON)
        .await?
        .remove(0);
    let mut headers = String::new();
    for (name, value) in &request.headers {
        headers += &format!("{name}: {}\n", str::from_utf8(value)?);
    }
    let file = |name: &str, content: &[u8]| {
        let path = bed.folder().join(name);
        std::fs::write(&path, content)?;
        anyhow::Ok(path.display().to_string())
    };
    let whole = file("body", &request.body)?;
    let ended = file("ended", &[&request.body[..], b"\n"].concat())?;
    let secret = file("secret", format!("{SECRET}\n").as_bytes())?;
    let other = file("other", OTHER_SECRET.as_bytes())?;
    let text = |body: &'static str| body;
    for (body, secret, more, code, words) in [
        (&whole, &secret, &[][..], 0, text("\"valid\": true")),
        (
            &whole,
            &secret,
            &["--scheme", "hex-body"],
            0,
            "\"scheme\": \"hex-body\"",
        ),
        (&whole, &other, &[], 1, "the secret is another one"),
        (&ended, &secret, &[], 1, "without the line end at its end"),
        (
            &whole,
            &secret,
            &["--at", "2026-01-01T00:00:00Z"],
            0,
            "\"scheme\": \"hex-body\"",
        ),
        (
            &whole,
            &secret,
            &["--at", "2026-01-01T00:00:00Z", "--scheme", "standard"],
            1,
            "the clock",
        ),
        (
            &whole,
            &secret,
            &["--scheme", "combined"],
            1,
            "no header `x-signature`",
        ),
    ] {
        let mut arguments = vec![
            "verify",
            "--headers",
            "-",
            "--body",
            body,
            "--secret-file",
            secret,
        ];
        arguments.extend(["--output", "json"]);
        arguments.extend(more);
        let ran = scene.installation.command_fed(&arguments, &headers).await?;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        ensure!(ran.stdout.contains(words), "{arguments:?}: {ran:?}");
        ensure!(!format!("{ran:?}").contains("whsec_"), "{ran:?}");
    }
    Ok(())
}

async fn lacking_secrets_are_made_for_each_signature(bed: Bed) -> Outcome {
    let verifiers = verifiers::all().await?;
    let scene = Scene::set(&bed, &[]).await?;
    let put = async |signatures: Value| {
        let subscription = json!({
            "url": scene.receiver.url("/hook"), "events": ["*"], "signatures": signatures,
        });
        let arguments = [
            "subscriptions",
            "put",
            "-",
            "--tenant",
            "acme",
            "--id",
            "shop",
            "--output",
            "json",
        ];
        let ran = scene
            .installation
            .command_fed(&arguments, &subscription.to_string())
            .await?;
        ensure!(ran.code == Some(0), "{ran:?}");
        // The private half is for the topic alone.
        ensure!(!format!("{ran:?}").contains("whsk_"), "shown");
        anyhow::Ok((ran.json()?, ran.stderr))
    };
    let (receipt, _) = put(json!(["standard"])).await?;
    let secret = receipt["secret"].as_str().context("a secret")?;
    assert_eq!(receipt.get("public_key"), None);
    // A second signature: what is there is kept, what it needs besides is made.
    let (receipt, talk) = put(json!(["standard", "v1a"])).await?;
    let public_key = receipt["public_key"].as_str().context("a public key")?;
    assert_eq!(receipt.get("secret"), None);
    ensure!(talk.contains("it keeps the secrets"), "{talk}");
    let _process = scene.run("a").await?;
    let event = |id| event(id, json!({"amount": 12})).to_string();
    scene.produce(&event("evt_1")).await?;
    let request = scene
        .receiver
        .wait_for_count("/hook", 1, SOON)
        .await?
        .remove(0);
    verify(&request, secret)?;
    for verifier in &verifiers {
        ensure!(verifier.v1a(public_key, &request).await?, "{verifier:?}");
    }
    // And back: the key pair is of no use any more.
    let (receipt, talk) = put(json!(["standard"])).await?;
    assert_eq!(
        (receipt.get("secret"), receipt.get("public_key")),
        (None, None)
    );
    ensure!(
        talk.contains("but for 1 that none of its signatures can use"),
        "{talk}"
    );
    scene.produce(&event("evt_2")).await?;
    let request = scene
        .receiver
        .wait_for_count("/hook", 2, SOON)
        .await?
        .remove(1);
    verify(&request, secret)?;
    ensure!(
        !request
            .header("webhook-signature")
            .is_some_and(|value| value.contains("v1a"))
    );
    Ok(())
}

async fn made_secrets_are_new_and_shown_once(_bed: Bed) -> Outcome {
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hooktide"));
        anyhow::Ok(
            command
                .args(["secrets", "generate"])
                .args(arguments)
                .output()
                .await?,
        )
    };
    let mut seen = BTreeSet::new();
    for arguments in [&[][..], &[], &["--bytes", "64"], &["--scheme", "hex-body"]] {
        let output = run(arguments).await?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success() && text.starts_with("whsec_"),
            "{arguments:?}"
        );
        ensure!(
            !String::from_utf8(output.stderr)?.contains(text.trim()),
            "{arguments:?}"
        );
        ensure!(seen.insert(text), "twice the same");
    }
    let output = run(&["--scheme", "v1a", "--output", "json"]).await?;
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let begins = |name: &str, with| {
        made[name]
            .as_str()
            .is_some_and(|text| text.starts_with(with))
    };
    ensure!(begins("secret", "whsk_") && begins("public_key", "whpk_"));
    let refused = run(&["--scheme", "v1a", "--bytes", "32"]).await?;
    assert_eq!(refused.status.code(), Some(2));
    Ok(())
}
