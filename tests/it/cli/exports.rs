//! Subscriptions written as files that can be applied again.

use anyhow::Context;
use serde_json::{Value, json};

use super::manifests::{Folder, SHOP, records};
use super::{check, installation};
use crate::support::scene::SECRET;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        what_is_exported_changes_nothing_when_it_is_applied,
        files_of_people_survive_an_export,
}

/// A subscription with something secret wherever there can be something.
fn full() -> Value {
    json!({
        "version": 1, "url": "https://me:pass@example.com/hooks?token=t", "events": ["a.b", "*"],
        "secrets": [SECRET], "headers": {"X-Api-Key": "hidden", "X-Team": "billing"},
        "timeout": "15s", "retry": {"schedule": ["5s", "1m"], "jitter": 0.1}, "max_age": "12h",
        "answers": {"delivered": [409]}, "rate_limit": {"requests": 100, "per": "1s"},
        "filters": [{"field": "data.n", "operator": "in", "value": [1.5, "no", null, "12"]}],
        "fields": ["data.id"], "description": "one\n\n# two: 'three'\n", "labels": {"on": "~"},
    })
}

async fn what_is_exported_changes_nothing_when_it_is_applied(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let unsigned = json!({"url": "https://example.com/", "events": ["*"], "signatures": [], "id": "A", "tenant": "acme"});
    installation.put_subscription("acme/shop", &full()).await?;
    installation.put_subscription("acme/A", &unsigned).await?;
    let mut small = unsigned.clone();
    small["id"] = json!("a");
    installation.put_subscription("acme/a", &small).await?;
    installation.put_subscription("other/x", &full()).await?;
    for (format, suffix) in [("yaml", "yaml"), ("json", "json")] {
        let folder = Folder(bed.folder().join(format));
        let ran = folder
            .run(&installation, "export", &["--format", format])
            .await?;
        check(&ran, 0, &["4 written, 0 removed, 0 unchanged"]);
        let shop = folder.read(&format!("acme/shop.{suffix}"))?;
        for secret in ["whsec_", "me:", "pass", "token", "hidden", "billing"] {
            assert!(!shop.contains(secret), "{secret} in {shop}");
        }
        // Names that some file systems take for the same.
        assert!(folder.read(&format!("acme/A.{suffix}"))?.contains('A'));
        assert!(folder.read(&format!("acme/a~2.{suffix}"))?.contains('a'));
        let ran = folder.apply(&installation, &["--prune"]).await?;
        check(&ran, 0, &[]);
        assert_eq!(ran.stdout, "0 created, 0 changed, 0 deleted, 4 unchanged\n");
        let ran = folder
            .run(&installation, "export", &["--format", format])
            .await?;
        check(&ran, 0, &["0 written, 0 removed, 4 unchanged"]);
    }
    assert_eq!(records(&installation).await?.len(), 4);

    // To another cluster, with everything.
    let moved = [
        "subscriptions",
        "export",
        "--with-secrets",
        "--tenant",
        "acme",
    ];
    let ran = installation.command(&moved).await?;
    check(&ran, 0, &[]);
    let other = super::installation(&bed).await?;
    let applied = other
        .command_fed(&["subscriptions", "apply", "-"], &ran.stdout)
        .await?;
    check(&applied, 0, &[]);
    assert_eq!(records(&other).await?.len(), 3);
    let copied = records(&other).await?;
    let (_, mut shop) = copied
        .into_iter()
        .find(|(key, _)| key == "acme/shop")
        .context("it")?;
    shop["version"] = json!(1);
    shop.as_object_mut()
        .context("an object")?
        .retain(|name, _| name != "id" && name != "tenant");
    assert_eq!(shop, full());
    let again = other.command(&moved).await?;
    assert_eq!(again.stdout, ran.stdout);
    Ok(())
}

async fn files_of_people_survive_an_export(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let own = "headers: {X-Team: billing}\n";
    let folder = Folder::new(
        &bed,
        &[
            ("acme/shop.yaml", &format!("{SHOP}{own}")),
            (
                "acme/two.yaml",
                "url: https://example.com/\nevents: [a]\nid: b\nsignatures: []\n",
            ),
        ],
    )?;
    check(&folder.apply(&installation, &[]).await?, 0, &[]);
    let ran = folder.run(&installation, "export", &[]).await?;
    check(&ran, 0, &["0 written, 0 removed, 2 unchanged"]);
    assert!(
        folder
            .read("acme/shop.yaml")?
            .starts_with("# The shop's orders.")
    );

    // What has changed on the topic is written, where that loses nothing of somebody else's.
    let value = json!({"url": "https://example.com/", "events": ["*"], "signatures": []});
    installation.put_subscription("acme/shop", &value).await?;
    installation.put_subscription("acme/b", &value).await?;
    let ran = folder
        .run(&installation, "export", &["--output", "json"])
        .await?;
    check(
        &ran,
        1,
        &[
            "acme/b: ",
            "two.yaml:1: differs there, and is not overwritten",
        ],
    );
    assert_eq!(ran.json()?["written"].as_array().map(Vec::len), Some(1));
    assert!(
        folder
            .read("acme/shop.yaml")?
            .starts_with("tenant: acme\nid: shop\n")
    );

    installation.delete_subscription("acme/shop").await?;
    installation.delete_subscription("acme/b").await?;
    installation
        .put_subscription("acme/broken", &json!({"url": SECRET}))
        .await?;
    let ran = folder.run(&installation, "export", &["--prune"]).await?;
    check(
        &ran,
        1,
        &[
            "0 written, 2 removed",
            "acme/broken: is invalid: ",
            "not exported: 1",
        ],
    );
    assert!(!ran.stderr.contains("whsec_"), "{ran:?}");
    assert!(!folder.0.join("acme/shop.yaml").exists());
    Ok(())
}
