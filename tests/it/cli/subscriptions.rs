//! Subscriptions written, shown and deleted.

use anyhow::Context;
use serde_json::{Value, json};

use super::{check, installation, text};
use crate::support::hooktide::Installation;
use crate::support::kafka::NewRecord;
use crate::support::scene::{OTHER_SECRET, SECRET, SOON};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_subscription_is_put_shown_listed_and_deleted,
        an_invalid_subscription_is_not_written,
        what_would_not_be_delivered_is_not_written,
        secrets_are_generated_once_and_kept,
        what_is_invalid_is_shown_with_its_reason_and_without_secrets,
        reading_ends_behind_aborted_records,
}

/// The value of the newest record of the subscriptions topic.
async fn newest_value(installation: &Installation) -> anyhow::Result<Value> {
    let records = installation.read_topic("subscriptions").await?;
    records.last().context("a record")?.json()
}

async fn a_subscription_is_put_shown_listed_and_deleted(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let value = r#" {"url" : "https://me:pass@example.com/hooks?token=t", "events":["a.b","*"],
        "state":"paused", "id":"shop", "signatures":[], "headers":{"X-Api-Key":"hidden-too"},
        "filters":[{"field":"data.n","operator":"equals","value":1.10}]} "#;
    let file = bed.folder().join("shop.json");
    std::fs::write(&file, value)?;
    let file = file.to_str().context("a name")?;
    let ran = installation
        .command(&["subscriptions", "put", file])
        .await?;
    check(&ran, 0, &[]);
    assert_eq!(
        ran.stdout,
        "tenant    default\nid        shop\nrevision  0\n"
    );
    // As it was, byte for byte.
    let records = installation.read_topic("subscriptions").await?;
    assert_eq!(records[0].value.as_deref(), Some(value.as_bytes()));
    assert_eq!(records[0].key.as_deref(), Some("default/shop"));

    let get = ["subscriptions", "get", "shop"];
    let shown = installation.command(&get).await?;
    check(&shown, 0, &[]);
    let get = [&get[..], &["--output", "json"]].concat();
    let detailed = installation.command(&get).await?;
    let parsed = detailed.json()?;
    assert_eq!(parsed["state"], "paused");
    assert_eq!(parsed["problem"], Value::Null);
    assert_eq!(parsed["revision"], 0);
    assert_eq!(parsed["subscription"]["events"], json!(["a.b", "*"]));
    assert!(detailed.stdout.contains(r#""value":1.10}"#), "{detailed:?}");
    let list = ["subscriptions", "list"];
    let listed = installation.command(&list).await?;
    check(&listed, 0, &[]);
    assert!(
        listed.stdout.contains("default/shop  paused  0"),
        "{listed:?}"
    );
    for ran in [&shown, &detailed, &listed] {
        for secret in ["me:", "pass", "token", "hidden-too"] {
            assert!(!ran.stdout.contains(secret), "{secret} in {ran:?}");
        }
        assert!(
            ran.stdout
                .contains("https://[redacted]@example.com/hooks?[redacted]")
        );
    }

    let other = [
        "subscriptions",
        "list",
        "--tenant",
        "acme",
        "--output",
        "json",
    ];
    assert_eq!(installation.command(&other).await?.json()?, json!([]));
    let of_other = ["subscriptions", "delete", "shop", "--tenant", "acme"];
    let ran = installation.command(&of_other).await?;
    check(&ran, 1, &["there is no subscription acme/shop"]);
    let delete = ["subscriptions", "delete", "shop"];
    let ran = installation.command(&delete).await?;
    check(&ran, 0, &[]);
    assert_eq!(ran.stdout, "deleted default/shop, revision 1\n");
    let tombstone = installation.read_topic("subscriptions").await?.pop();
    assert_eq!(tombstone.context("a record")?.value, None);
    check(
        &installation.command(&delete).await?,
        1,
        &["no subscription default/shop"],
    );
    let ran = installation
        .command(&["subscriptions", "get", "shop"])
        .await?;
    check(
        &ran,
        1,
        &["no subscription default/shop", "subscriptions list"],
    );
    check(
        &installation.command(&list).await?,
        0,
        &["there are no subscriptions"],
    );
    Ok(())
}

async fn an_invalid_subscription_is_not_written(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let valid = json!({"url": "https://example.com", "events": ["*"]});
    let changes = [
        (json!({"url": "example.com"}), "`url`: must begin with"),
        (json!({"events": []}), "`events`: must not be empty"),
        (
            json!({"timeout": "5m"}),
            "`timeout`: must be more than 0s and at most 2m",
        ),
        (
            json!({"secrets": ["hunter2"]}),
            "`secrets[0]`: a secret must begin with",
        ),
        (json!({"secrets": []}), "`secrets`: must not be empty"),
        (json!({"colour": "red"}), "`colour`: is not known here"),
        (
            json!({"id": "other"}),
            "`id`: differs from the record's key",
        ),
        (json!({"tenant": "a/b"}), "tenant is not 1 to 128"),
        // What only the table's compilation finds.
        (
            json!({"filters": [{"field": "data.n", "operator": "like", "value": 1}]}),
            "filters[0].operator",
        ),
        (json!({"fields": ["data..n"]}), "fields[0]"),
    ];
    for (change, words) in changes {
        let mut value = valid.clone();
        for (name, member) in change.as_object().context("an object")? {
            value[name] = member.clone();
        }
        let put = ["subscriptions", "put", "-", "--id", "one"];
        let ran = installation.command_fed(&put, &value.to_string()).await?;
        check(&ran, 1, &[words]);
        assert!(
            ran.stdout.is_empty() && !ran.stderr.contains("hunter2"),
            "{ran:?}"
        );
    }
    for (text, words) in [
        ("", "stdin is empty"),
        ("[]", "nothing is written"),
        ("{\"url\":", "nothing is written"),
        ("{\"url\":1,\"url\":2}", "nothing is written"),
    ] {
        let put = ["subscriptions", "put", "-"];
        check(&installation.command_fed(&put, text).await?, 1, &[words]);
    }
    let long = format!("{{\"description\":\"{}\"}}", "x".repeat(5 << 20));
    let ran = installation
        .command_fed(&["subscriptions", "put", "-"], &long)
        .await?;
    check(&ran, 1, &["stdin is longer than"]);
    let ran = installation
        .command(&["subscriptions", "put", "no-file"])
        .await?;
    check(&ran, 1, &["cannot read no-file"]);
    let ran = installation
        .command(&["subscriptions", "put", "-", "--id", "a/b"])
        .await?;
    check(&ran, 2, &["--id"]);
    assert!(installation.read_topic("subscriptions").await?.is_empty());
    Ok(())
}

/// A second `put` of the same file must not rotate what the receiver verifies with.
async fn what_would_not_be_delivered_is_not_written(bed: Bed) -> Outcome {
    let installation = installation(&bed)
        .await?
        .set("subscriptions.secret_env", r#"["SHOP_*"]"#);
    let valid = json!({"url": "https://example.com", "events": ["*"]});
    let changes = [
        (
            json!({"url": "https://10.1.2.3"}),
            "`url`: 10.1.2.3 is refused: ",
        ),
        (
            json!({"url": "http://8.8.8.8"}),
            "`url`: plain http to 8.8.8.8 is refused",
        ),
        (
            json!({"secrets": [SECRET, {"env": "OTHER"}]}),
            "`secrets[1].env`: the environment variable `OTHER` is not allowed",
        ),
        (
            json!({"secrets": [{"file": "/run/secrets/shop"}]}),
            "`secrets[0].file`: the file `/run/secrets/shop` is not in a folder",
        ),
    ];
    let put = ["subscriptions", "put", "-", "--id", "shop"];
    for (change, reason) in changes {
        let mut value = valid.clone();
        for (name, changed) in change.as_object().context("an object")? {
            value[name] = changed.clone();
        }
        let ran = installation.command_fed(&put, &value.to_string()).await?;
        let todo = "in the settings of this command and of the dispatchers";
        check(
            &ran,
            1,
            &[
                "default/shop would not be delivered, nothing is written",
                reason,
            ],
        );
        assert!(ran.stderr.contains(todo), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
    assert!(installation.read_topic("subscriptions").await?.is_empty());
    let allowed =
        json!({"url": "http://127.0.0.1:1", "events": ["*"], "secrets": [{"env": "SHOP_KEY"}]});
    let ran = installation.command_fed(&put, &allowed.to_string()).await?;
    check(&ran, 0, &[]);
    Ok(())
}

async fn secrets_are_generated_once_and_kept(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let put = [
        "subscriptions",
        "put",
        "-",
        "--id",
        "one",
        "--output",
        "json",
    ];
    let value = r#"{"url":"https://example.com","events":["*"]}"#;
    let first = installation.command_fed(&put, value).await?.json()?;
    let generated = text(&first["secret"])?.to_owned();
    assert_eq!(
        newest_value(&installation).await?["secrets"],
        json!([generated])
    );

    let paused = r#"{"url":"https://example.com","events":["*"],"state":"paused"}"#;
    let ran = installation.command_fed(&put, paused).await?;
    check(&ran, 0, &["keeps the secrets"]);
    assert_eq!(
        ran.json()?,
        json!({"tenant": "default", "id": "one", "revision": 1})
    );
    let kept = newest_value(&installation).await?;
    assert_eq!(
        (&kept["secrets"], &kept["state"]),
        (&json!([generated]), &json!("paused"))
    );

    let own = json!({"url": "https://example.com", "events": ["*"], "secrets": [SECRET]});
    let ran = installation.command_fed(&put, &own.to_string()).await?;
    assert_eq!(ran.json()?.get("secret"), None);
    assert_eq!(
        newest_value(&installation).await?["secrets"],
        json!([SECRET])
    );

    // Another tenant's is another subscription; a deleted one is gone with its secrets.
    let of_acme = [&put[..], &["--tenant", "acme"]].concat();
    let other = installation.command_fed(&of_acme, value).await?.json()?;
    assert_ne!(text(&other["secret"])?, generated);
    installation
        .command(&["subscriptions", "delete", "one"])
        .await?;
    let anew = installation.command_fed(&put, value).await?.json()?;
    assert!(anew["secret"].is_string(), "{anew}");

    let shown = installation
        .command(&["subscriptions", "get", "one"])
        .await?;
    assert!(shown.stdout.contains(r#"["[redacted]"]"#), "{shown:?}");
    assert!(!shown.stdout.contains("whsec_"), "{shown:?}");
    Ok(())
}

async fn what_is_invalid_is_shown_with_its_reason_and_without_secrets(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let misplaced = json!({
        "url": format!("https://example.com/ {SECRET}"),
        "events": [SECRET],
        "secret": SECRET,
        "secrets": [{"key": SECRET, "env": "NAME", "not_after": "2026-11-22T10:00:00Z"}, OTHER_SECRET],
        "labels": {"mine": SECRET},
        "headers": [SECRET],
    });
    installation
        .put_subscription("acme/odd", &misplaced)
        .await?;
    installation
        .put_subscription("acme/newer", &json!({"version": 2, "novel": SECRET}))
        .await?;
    installation.put_subscription("stray", &json!({})).await?;
    let topic = installation.topic("subscriptions");
    let broken = NewRecord::keyed("acme/broken", SECRET);
    installation.kafka().produce(&topic, &broken).await?;
    for (id, reason, shown) in [
        ("odd", "`secret`: is not known here", r#""env":"NAME""#),
        ("newer", "`version`: is newer than 1", r#""version":2"#),
        ("broken", "is not JSON", r#""subscription": null"#),
    ] {
        let get = [
            "subscriptions",
            "get",
            id,
            "--tenant",
            "acme",
            "--output",
            "json",
        ];
        let ran = installation.command(&get).await?;
        check(&ran, 0, &[]);
        let problem = ran.json()?["problem"].clone();
        assert!(text(&problem)?.contains(reason), "{ran:?}");
        assert_eq!(ran.json()?["state"], "invalid");
        assert!(ran.stdout.contains(shown), "{ran:?}");
        let as_text = installation.command(&get[..5]).await?;
        for ran in [&ran, &as_text] {
            assert!(!ran.stdout.contains("whsec_"), "{ran:?}");
        }
    }
    let ran = installation.command(&["subscriptions", "list"]).await?;
    check(&ran, 0, &["ignored: 1"]);
    assert!(
        ran.stdout
            .contains("acme/newer    invalid  1         `version`: is newer"),
        "{ran:?}"
    );
    Ok(())
}

/// The topic's last offsets are never delivered then.
async fn reading_ends_behind_aborted_records(bed: Bed) -> Outcome {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let installation = installation(&bed).await?;
    let value = json!({"url": "https://example.com", "events": ["*"], "signatures": []});
    installation.put_subscription("default/one", &value).await?;
    let (mut config, topic) = (
        installation.kafka().client_config(),
        installation.topic("subscriptions"),
    );
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.set("transactional.id", &topic).create()?;
        producer.init_transactions(SOON)?;
        producer.begin_transaction()?;
        for key in ["default/one", "default/two"] {
            let record = BaseRecord::<str, str>::to(&topic).key(key).payload("{}");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(SOON)?;
        producer.abort_transaction(SOON)?;
        anyhow::Ok(())
    })
    .await??;
    let list = ["subscriptions", "list", "--output", "json"];
    let listed = installation.command(&list).await?.json()?;
    let states: Vec<_> = listed
        .as_array()
        .context("a list")?
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["active"]);
    Ok(())
}
