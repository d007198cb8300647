//! Subscriptions as files: applied and pruned.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use super::{check, installation, text};
use crate::support::hooktide::{Installation, Ran};
use crate::support::scene::SECRET;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_folder_becomes_the_topic_and_then_nothing_changes,
        everything_wrong_is_told_and_nothing_written,
        what_no_file_has_is_pruned_for_tenants_of_the_files,
        thousands_of_files_are_applied_and_again_nothing,
        generated_secrets_can_go_to_a_file_of_their_own,
}

/// Files of a folder, each beside its name.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A folder of these.
    pub fn new(bed: &Bed, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = Self(bed.folder().join("webhooks"));
        std::fs::create_dir_all(&folder.0)?;
        for (name, content) in files {
            folder.write(name, content)?;
        }
        Ok(folder)
    }

    /// Writes one.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(std::fs::write(path, content)?)
    }

    /// What one says.
    pub fn read(&self, name: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.0.join(name)).with_context(|| name.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> anyhow::Result<&str> {
        self.0.to_str().context("a path")
    }

    /// Runs `subscriptions COMMAND` on it.
    pub async fn run(
        &self,
        installation: &Installation,
        command: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Ran> {
        let all = [&["subscriptions", command, self.path()?], arguments].concat();
        installation.command(&all).await
    }

    /// Applies it.
    pub async fn apply(&self, installation: &Installation, more: &[&str]) -> anyhow::Result<Ran> {
        self.run(installation, "apply", more).await
    }
}

/// Key and value of all records of the topic.
pub async fn records(installation: &Installation) -> anyhow::Result<Vec<(String, Value)>> {
    let records = installation.read_topic("subscriptions").await?;
    records
        .iter()
        .map(|record| {
            let value = match &record.value {
                Some(_) => record.json()?,
                None => Value::Null,
            };
            Ok((record.key.clone().context("a key")?, value))
        })
        .collect()
}

/// A file as people write them.
pub const SHOP: &str = "\
# The shop's orders.
url: https://example.com/hooks
events: [order.*]
filters:
  - {field: data.amount, operator: equals, value: 1.10}
labels: {on: no}
";

async fn a_folder_becomes_the_topic_and_then_nothing_changes(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let folder = Folder::new(
        &bed,
        &[
            ("acme/shop.yaml", SHOP),
            (
                "several.json",
                r#"[{"id":"a","tenant":"acme","url":"https://example.com/a","events":["*"],"signatures":[]},
                    {"id":"b","url":"https://example.com/b","events":["*"],"signatures":[]}]"#,
            ),
            ("README.md", "not one of them"),
        ],
    )?;
    let dry = folder.apply(&installation, &["--dry-run"]).await?;
    check(&dry, 0, &["passed over: ", "README.md"]);
    assert!(
        dry.stdout
            .ends_with("3 to create, 0 to change, 0 to delete, 0 unchanged\n"),
        "{dry:?}"
    );
    assert!(!dry.stdout.contains("whsec_"), "{dry:?}");
    let exit = folder
        .apply(&installation, &["--dry-run", "--exit-code"])
        .await?;
    check(&exit, 1, &["3 would change"]);
    assert!(records(&installation).await?.is_empty());

    let applied = folder.apply(&installation, &["--output", "json"]).await?;
    check(&applied, 0, &["shown this once"]);
    let plan = applied.json()?;
    assert_eq!(
        (&plan["create"], &plan["dry_run"]),
        (&json!(3), &json!(false))
    );
    let shop = &plan["steps"][1];
    assert_eq!((&shop["id"], &shop["line"]), (&json!("shop"), &json!(2)));
    let secret = text(&shop["secret"])?;
    let written = records(&installation).await?;
    let keys: Vec<_> = written.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["acme/a", "acme/shop", "default/b"]);
    assert_eq!(written[1].1["secrets"], json!([secret]));
    assert_eq!(written[1].1["labels"], json!({"on": "no"}));
    let source = installation.read_topic("subscriptions").await?;
    let source =
        String::from_utf8_lossy(source[1].value.as_deref().context("a value")?).into_owned();
    assert!(source.contains(r#""value":1.10}"#), "{source}");

    for _ in 0..2 {
        let again = folder.apply(&installation, &[]).await?;
        check(&again, 0, &[]);
        assert_eq!(
            again.stdout,
            "0 created, 0 changed, 0 deleted, 3 unchanged\n"
        );
    }
    check(
        &folder
            .apply(&installation, &["--dry-run", "--exit-code"])
            .await?,
        0,
        &[],
    );
    // Said otherwise, it is the same.
    let same = SHOP
        .replace("1.10", "1.1e0")
        .replace("# The", "state: active\n# The");
    folder.write("acme/shop.yaml", &same)?;
    let again = folder.apply(&installation, &[]).await?;
    assert!(
        again.stdout.starts_with("0 created, 0 changed"),
        "{again:?}"
    );
    assert_eq!(records(&installation).await?.len(), 3);

    folder.write(
        "acme/shop.yaml",
        &format!("{SHOP}timeout: 5s\nheaders: {{X-Key: hidden}}\n"),
    )?;
    let changed = folder.apply(&installation, &[]).await?;
    check(&changed, 0, &[]);
    for line in [
        "~ acme/shop  ",
        "    headers  + {\"X-Key\":\"[redacted]\"}\n",
        "    timeout  + \"5s\"\n",
        "0 created, 1 changed, 0 deleted, 2 unchanged\n",
    ] {
        assert!(changed.stdout.contains(line), "{line} {changed:?}");
    }
    assert!(!changed.stdout.contains("hidden") && !changed.stdout.contains('\u{1b}'));
    let written = records(&installation).await?;
    assert_eq!(
        (written.len(), &written[3].1["secrets"]),
        (4, &json!([secret]))
    );
    // Files that are not those on the topic say `-`, too.
    let fed = installation
        .command_fed(
            &["subscriptions", "apply", "-"],
            "id: c\nurl: https://example.com/\nevents: ['*']\nsignatures: []\n",
        )
        .await?;
    check(&fed, 0, &[]);
    assert!(fed.stdout.starts_with("+ default/c  stdin:1\n"), "{fed:?}");
    Ok(())
}

async fn everything_wrong_is_told_and_nothing_written(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let folder = Folder::new(
        &bed,
        &[
            ("acme/good.yaml", SHOP),
            ("acme/a.yaml", "url: https://example.com\nevents: []\n"),
            ("acme/b.yaml", "url: https://10.1.2.3\nevents: ['*']\n"),
            (
                "acme/c.yaml",
                "url: https://example.com\nevents: [a]\nfilters:\n- field: data.n\n  operator: like\n  value: 1\n",
            ),
            ("acme/d.json", "{\"url\":\n"),
            ("e.yaml", "tenant: acme\nid: good\n"),
            (
                "f.yaml",
                &format!("url: https://example.com\nevents: [a]\nsecrets: [{SECRET}]\nurl: x\n"),
            ),
            (
                "g.yaml",
                "url: https://[redacted]@example.com\nevents: [a]\n",
            ),
        ],
    )?;
    let ran = folder.apply(&installation, &[]).await?;
    let lines = [
        "acme/a.yaml:2: acme/a: `events`: must not be empty",
        "acme/b.yaml:1: acme/b: `url`: 10.1.2.3 is refused",
        "acme/c.yaml:5: acme/c: filters[0].operator: unknown operator",
        "acme/d.json:2: is not JSON",
        "e.yaml:1: acme/good: is also in ",
        "f.yaml:4: duplicate",
        "problems: 6, in 6 of 8 files; nothing is written",
    ];
    check(&ran, 1, &lines);
    assert!(
        ran.stdout.is_empty() && !ran.stderr.contains("whsec_"),
        "{ran:?}"
    );
    let ran = folder.apply(&installation, &["--output", "json"]).await?;
    let problems = ran.json()?["problems"].clone();
    assert_eq!(problems.as_array().map(Vec::len), Some(6), "{problems}");
    assert_eq!(problems[2]["line"], 5);

    for name in [
        "acme/a.yaml",
        "acme/b.yaml",
        "acme/c.yaml",
        "acme/d.json",
        "e.yaml",
        "f.yaml",
    ] {
        std::fs::remove_file(folder.0.join(name))?;
    }
    // What needs the topic to be judged.
    let ran = folder.apply(&installation, &[]).await?;
    check(
        &ran,
        1,
        &[
            "g.yaml:1: default/g: `url`: is [redacted], and",
            "nothing is written",
        ],
    );
    assert!(records(&installation).await?.is_empty());
    Ok(())
}

async fn what_no_file_has_is_pruned_for_tenants_of_the_files(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let value = json!({"url": "https://example.com/", "events": ["*"], "signatures": []});
    for key in ["acme/old", "acme/kept", "other/old"] {
        installation.put_subscription(key, &value).await?;
    }
    let kept = "url: https://example.com/\nevents: ['*']\nsignatures: []\n";
    let folder = Folder::new(&bed, &[("acme/kept.yaml", kept)])?;
    let ran = folder.apply(&installation, &[]).await?;
    assert_eq!(ran.stdout, "0 created, 0 changed, 0 deleted, 1 unchanged\n");
    let ran = folder
        .apply(&installation, &["--prune", "--dry-run"])
        .await?;
    assert_eq!(
        ran.stdout,
        "- acme/old\n0 to create, 0 to change, 1 to delete, 1 unchanged\n"
    );
    let ran = folder.apply(&installation, &["--prune"]).await?;
    check(&ran, 0, &[]);
    let written = records(&installation).await?;
    assert_eq!(written[3..], [("acme/old".to_owned(), Value::Null)]);

    // An empty folder is a mistake more often than a wish.
    let prune_other = ["--prune", "--tenant", "other"];
    let ran = folder.apply(&installation, &prune_other).await?;
    check(
        &ran,
        1,
        &[
            "no subscription of other",
            "--allow-empty",
            "of other tenants, left alone: 1",
        ],
    );
    std::fs::remove_dir_all(folder.0.join("acme"))?;
    let ran = folder.apply(&installation, &["--prune"]).await?;
    check(&ran, 1, &["there is no subscription in "]);
    assert_eq!(records(&installation).await?.len(), 4);
    let all = [&prune_other[..], &["--allow-empty"]].concat();
    check(&folder.apply(&installation, &all).await?, 0, &[]);
    let written = records(&installation).await?;
    assert_eq!(written[4..], [("other/old".to_owned(), Value::Null)]);
    let wrong = folder.apply(&installation, &["--allow-empty"]).await?;
    check(&wrong, 2, &["--prune"]);
    Ok(())
}

async fn thousands_of_files_are_applied_and_again_nothing(bed: Bed) -> Outcome {
    const MANY: usize = 3_000;
    let installation = installation(&bed).await?;
    let folder = Folder::new(&bed, &[])?;
    for number in 0..MANY {
        let value =
            format!("url: https://example.com/{number}\nevents: [order.*]\nsecrets: [{SECRET}]\n");
        folder.write(&format!("t{}/s{number}.yaml", number % 7), &value)?;
    }
    let ran = folder.apply(&installation, &[]).await?;
    check(&ran, 0, &[]);
    let end = format!("{MANY} created, 0 changed, 0 deleted, 0 unchanged\n");
    assert!(ran.stdout.ends_with(&end));
    let ran = folder.apply(&installation, &["--prune"]).await?;
    assert_eq!(
        ran.stdout,
        format!("0 created, 0 changed, 0 deleted, {MANY} unchanged\n")
    );
    assert_eq!(records(&installation).await?.len(), MANY);
    Ok(())
}

async fn generated_secrets_can_go_to_a_file_of_their_own(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let pair = "url: https://example.com/\nevents: [a]\nsignatures: [v1a]\n";
    let folder = Folder::new(&bed, &[("acme/shop.yaml", SHOP), ("acme/pair.yaml", pair)])?;
    let path = bed.folder().join("secrets.jsonl");
    let to = ["--secrets-to", path.to_str().context("a path")?];
    let ran = folder.apply(&installation, &to).await?;
    check(&ran, 0, &["generated secrets are in "]);
    assert!(
        !ran.stdout.contains("whs") && !ran.stdout.contains("whp"),
        "{ran:?}"
    );
    let lines = std::fs::read_to_string(&path)?;
    let made: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    let made = made?;
    assert_eq!(
        (&made[0]["id"], &made[1]["id"]),
        (&json!("pair"), &json!("shop"))
    );
    assert!(
        text(&made[0]["public_key"])?.starts_with("whpk_"),
        "{made:?}"
    );
    let written = records(&installation).await?;
    assert_eq!(written[1].1["secrets"], json!([made[1]["secret"]]));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path)?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Nothing is made, so the file is not needed; when it is, it is not overwritten.
    check(&folder.apply(&installation, &to).await?, 0, &[]);
    folder.write("acme/more.yaml", SHOP)?;
    check(
        &folder.apply(&installation, &to).await?,
        1,
        &["cannot write", "nothing is written"],
    );
    assert_eq!(records(&installation).await?.len(), 2);
    Ok(())
}
