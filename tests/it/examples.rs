//! The systems of `examples/`, moved: their subscriptions and events loaded as their users would, what
//! arrives compared byte by byte and judged by the receivers that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::Value;

use crate::support::receiver::{Received, Receiver};
use crate::support::scene::{SOON, Scene, verify};
use crate::support::topic_reader::Record;
use crate::support::verifiers;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        an_integration_hub_moves,
        a_business_directory_moves,
        an_inventory_moves,
}

async fn an_integration_hub_moves(bed: Bed) -> Outcome {
    moves(&bed, "integration-hub").await
}

async fn a_business_directory_moves(bed: Bed) -> Outcome {
    moves(&bed, "business-directory").await
}

async fn an_inventory_moves(bed: Bed) -> Outcome {
    moves(&bed, "inventory").await
}

/// A folder of `examples/`.
struct Example {
    name: &'static str,
    folder: PathBuf,
    /// By `tenant/id`.
    subscriptions: BTreeMap<String, Subscription>,
    /// Ids and types, in their order.
    events: Vec<(String, String)>,
}

struct Subscription {
    text: String,
    value: Value,
}

/// `tenant/id` of a subscription and an event's id.
type Delivery = (String, String);

async fn moves(bed: &Bed, name: &'static str) -> Outcome {
    let verifiers = verifiers::all().await?;
    let example = Example::read(name)?;
    let expected = example.expected()?;
    let scene = Scene::set(bed, &[]).await?;
    let hooktide = &scene.installation;
    let subscriptions = bed.folder().join("subscriptions");
    for (key, subscription) in &example.subscriptions {
        let file = subscriptions.join(format!("{key}.json"));
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(&file, subscription.at(&scene.receiver)?)?;
    }
    let subscriptions = subscriptions.to_str().context("a path in UTF-8")?;
    let ran = hooktide
        .command(&["subscriptions", "apply", subscriptions])
        .await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    let process = scene.run("a").await?;
    let events = example.folder.join("events.ndjson");
    let events = events.to_str().context("a path in UTF-8")?;
    let topic = hooktide.events_topic();
    let ran = hooktide
        .command(&["events", "produce", "--topic", &topic, events])
        .await?;
    ensure!(ran.code == Some(0), "{ran:?}");

    let count = example.events.len() as f64;
    process
        .wait_for_metrics(SOON, |metrics| {
            metrics.sum("hooktide_events_total", &[]) >= count
        })
        .await?;
    let least = expected.len();
    hooktide
        .wait_for_topic("deliveries", SOON, move |tasks| tasks.len() >= least)
        .await?;
    // Exactly these: every event has been routed, and every task is one that is expected.
    let tasks = hooktide.read_topic("deliveries").await?;
    let mut deliveries = BTreeMap::new();
    for task in &tasks {
        let (id, delivery) = made(task).with_context(|| format!("{task:?}"))?;
        deliveries.insert(id, delivery);
    }
    let made: BTreeSet<_> = deliveries.values().cloned().collect();
    assert_eq!(made, expected);
    assert_eq!(tasks.len(), expected.len());
    let received = scene
        .receiver
        .wait_for_ids(expected.len(), SOON, |_| true)
        .await?;
    assert_eq!(received.len(), expected.len());
    for topic in ["dlq", "rejects"] {
        let records = hooktide.read_topic(topic).await?;
        ensure!(records.is_empty(), "{topic}: {records:?}");
    }

    let mut arrived: BTreeMap<&Delivery, &Received> = BTreeMap::new();
    for request in &received {
        let delivery = deliveries.get(request.id()).context("a task of this id")?;
        arrived.insert(delivery, request);
    }
    for (key, subscription) in &example.subscriptions {
        example.compare(key, subscription, &arrived)?;
    }
    for ((key, event), request) in arrived {
        let subscription = &example.subscriptions[key];
        if let Some(secret) = subscription.first_secret() {
            for (request, is_good) in [(request.clone(), true), (tampered(request), false)] {
                for verifier in &verifiers {
                    let taken = verifier.example(name, secret, &request).await?;
                    assert_eq!(
                        taken, is_good,
                        "{key}: {event}: {verifier:?}: {:?} {request:?}",
                        request.headers
                    );
                }
            }
        }
        if let Some(secret) = subscription.standard_secret() {
            verify(request, secret)?;
        }
    }
    Ok(())
}

/// The id of a task, and what it delivers.
fn made(task: &Record) -> Option<(String, Delivery)> {
    let id = task.header("hooktide-delivery-id")?.to_owned();
    let event = task.header("hooktide-event-id")?.to_owned();
    Some((id, (task.key.clone()?, event)))
}

/// The same request with one member more in its data, which every signature here is over.
fn tampered(request: &Received) -> Received {
    let body =
        String::from_utf8_lossy(&request.body).replacen(r#""data":{"#, r#""data":{"a":1,"#, 1);
    assert_ne!(body.as_bytes(), &request.body[..], "{request:?}");
    Received {
        body: Bytes::from(body),
        ..request.clone()
    }
}

impl Example {
    fn read(name: &'static str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        let mut subscriptions = BTreeMap::new();
        for tenant in fs::read_dir(folder.join("subscriptions"))? {
            let tenant = tenant?;
            for file in fs::read_dir(tenant.path())? {
                let path = file?.path();
                let id = path.file_stem().context("a name")?.to_string_lossy();
                let key = format!("{}/{id}", tenant.file_name().to_string_lossy());
                let text = fs::read_to_string(&path)?;
                let value = serde_json::from_str(&text).with_context(|| key.clone())?;
                subscriptions.insert(key, Subscription { text, value });
            }
        }
        let mut events = Vec::new();
        for line in fs::read_to_string(folder.join("events.ndjson"))?.lines() {
            let event: Value = serde_json::from_str(line)?;
            let text =
                |member: &str| anyhow::Ok(event[member].as_str().context("a text")?.to_owned());
            events.push((text("id")?, text("type")?));
        }
        Ok(Self {
            name,
            folder,
            subscriptions,
            events,
        })
    }

    /// What the table "Who gets what" of the page says, which must have all subscriptions and events.
    fn expected(&self) -> anyhow::Result<BTreeSet<Delivery>> {
        let page = fs::read_to_string(self.folder.join("README.md"))?;
        let (_, section) = page
            .split_once("\n## Who gets what\n")
            .context("a section")?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut rows = section.lines().filter_map(|line| {
            let inner = line.strip_prefix('|')?.strip_suffix('|')?;
            Some(inner.split('|').map(str::trim).collect::<Vec<_>>())
        });
        let head = rows.next().context("a table")?;
        let columns: Vec<&str> = head[2..]
            .iter()
            .map(|cell| cell.trim_matches('`'))
            .collect();
        let known: Vec<_> = self.subscriptions.keys().collect();
        assert_eq!(columns, known, "{}: columns", self.name);
        let (mut expected, mut events) = (BTreeSet::new(), Vec::new());
        for row in rows.skip(1) {
            let cell = |index: usize| row[index].trim_matches('`').to_owned();
            for (column, mark) in columns.iter().zip(&row[2..]) {
                match *mark {
                    "x" => expected.insert(((*column).to_owned(), cell(0))),
                    mark => {
                        ensure!(mark.is_empty(), "{row:?}");
                        false
                    }
                };
            }
            events.push((cell(0), cell(1)));
        }
        assert_eq!(events, self.events, "{}: rows", self.name);
        Ok(expected)
    }

    /// Holds what arrived for a subscription against its file in `expected/`, or writes that.
    fn compare(
        &self,
        key: &str,
        subscription: &Subscription,
        arrived: &BTreeMap<&Delivery, &Received>,
    ) -> anyhow::Result<()> {
        let host = subscription.host()?;
        let mut shown = Vec::new();
        for (id, kind) in &self.events {
            if let Some(request) = arrived.get(&(key.to_owned(), id.clone())) {
                shown.push(format!("### {id}: {kind}\n{}", as_file(request, host)?));
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        let shown = shown.join("\n");
        let file = self.folder.join(format!("expected/{key}.http"));
        if std::env::var_os("HOOKTIDE_BLESS").is_some() {
            fs::create_dir_all(file.parent().context("a folder")?)?;
            fs::write(&file, &shown)?;
        }
        let expected = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        assert_eq!(shown, expected, "{}", file.display());
        Ok(())
    }
}

/// A request as a file has it: what is different each time is named in its place.
fn as_file(request: &Received, host: &str) -> anyhow::Result<String> {
    let timestamp = request.header("webhook-timestamp");
    let mut lines = Vec::new();
    for (name, value) in &request.headers {
        let name = name.to_lowercase();
        let value = str::from_utf8(value)?;
        let shown = match name.as_str() {
            "host" => host.to_owned(),
            "webhook-signature" => "<signature>".to_owned(),
            _ if value == request.id() => "<id>".to_owned(),
            _ if Some(value) == timestamp => "<timestamp>".to_owned(),
            "user-agent" => value.replace(env!("CARGO_PKG_VERSION"), "<version>"),
            _ => value.to_owned(),
        };
        lines.push((name, shown));
    }
    lines.sort();
    let head: String = lines
        .iter()
        .map(|(name, shown)| format!("{name}: {shown}\n"))
        .collect();
    let body = str::from_utf8(&request.body)?;
    let (method, path) = (&request.method, &request.path);
    Ok(format!("{method} {path} HTTP/1.1\n{head}\n{body}\n"))
}

impl Subscription {
    /// Its text, but that it sends to the test's receiver.
    fn at(&self, receiver: &Receiver) -> anyhow::Result<String> {
        let own = format!("https://{}", self.host()?);
        Ok(self.text.replacen(&own, &receiver.url(""), 1))
    }

    fn host(&self) -> anyhow::Result<&str> {
        let url = self.value["url"].as_str().context("a text")?;
        let behind = url.strip_prefix("https://").context("an https URL")?;
        behind.split('/').next().context("a host")
    }

    /// What the receiver that there is verifies with; none for one that verifies nothing.
    fn first_secret(&self) -> Option<&str> {
        self.value["secrets"].get(0)?.as_str()
    }

    /// What it will verify with when it has moved to Standard Webhooks.
    fn standard_secret(&self) -> Option<&str> {
        let signatures = self.value["signatures"].as_array()?;
        signatures
            .iter()
            .any(|signature| signature == "standard")
            .then_some(self.value["secrets"].as_array()?.last()?)?
            .as_str()
    }
}
