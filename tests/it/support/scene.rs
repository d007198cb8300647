//! What most tests begin with: an installation whose topics are there, and a receiver.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::Bed;
use super::hooktide::Installation;
use super::kafka::NewRecord;
use super::process::Process;
use super::receiver::{Keep, Received, Receiver};

/// The key that [`Scene::subscribe`] signs with unless told otherwise.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A second one, for rotation.
pub const OTHER_SECRET: &str = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// Both roles, as for `--roles`.
pub const BOTH: &str = "router,dispatcher";

/// How long a process may take until it is ready.
pub const READY: Duration = Duration::from_secs(30);

/// How long what is due at once may take, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// An installation and a receiver for its webhooks.
pub struct Scene {
    /// With its topics and an events topic of two partitions.
    pub installation: Installation,
    /// Answers 204 unless scripted.
    pub receiver: Receiver,
}

impl Scene {
    /// Sets the scene with these settings.
    pub async fn set(bed: &Bed, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::keeping(bed, Keep::Whole, settings).await
    }

    /// The same with a say in what the receiver remembers.
    pub async fn keeping(bed: &Bed, keep: Keep, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut installation = Installation::new(bed)?;
        for (key, value) in settings {
            installation = installation.set(key, value);
        }
        installation.create_topics(2).await?;
        let receiver = Receiver::keeping(keep).await?;
        Ok(Self {
            installation,
            receiver,
        })
    }

    /// Writes a subscription under `tenant/id` to `path` of the receiver: all events, signed with
    /// [`SECRET`], with these members instead or besides.
    pub async fn subscribe(&self, key: &str, path: &str, members: Value) -> anyhow::Result<()> {
        let mut subscription = json!({
            "version": 1,
            "url": self.receiver.url(path),
            "events": ["*"],
            "secrets": [SECRET],
        });
        for (name, value) in members.as_object().context("members of an object")? {
            subscription[name] = value.clone();
        }
        self.installation
            .put_subscription(key, &subscription)
            .await
            .map(drop)
    }

    /// Starts a process with both roles and waits until it is ready.
    pub async fn run(&self, instance: &str) -> anyhow::Result<Process> {
        let process = self.installation.start(instance, BOTH)?;
        process.wait_ready(READY).await?;
        Ok(process)
    }

    /// Produces the text of an event as it is.
    pub async fn produce(&self, event: &str) -> anyhow::Result<()> {
        self.produce_all(&[NewRecord::value(event)]).await
    }

    /// Produces records to the events topic.
    pub async fn produce_all(&self, records: &[NewRecord]) -> anyhow::Result<()> {
        let topic = self.installation.events_topic();
        let kafka = self.installation.kafka();
        kafka.produce_all(&topic, records).await.map(drop)
    }
}

/// An event of the tenant `acme`.
pub fn event(id: &str, data: Value) -> Value {
    json!({"id": id, "type": "order.created", "tenant": "acme", "data": data})
}

/// Verifies a request as a receiver does, over the raw bytes.
pub fn verify(request: &Received, secret: &str) -> anyhow::Result<()> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(
            http::HeaderName::try_from(name.as_str())?,
            http::HeaderValue::from_bytes(value)?,
        );
    }
    Webhook::new(secret)?
        .verify(&request.body, &headers)
        .with_context(|| format!("{request:?}"))
}
