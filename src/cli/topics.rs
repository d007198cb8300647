//! `hooktide topics`.

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::json;

use super::{Failure, Output, output};
use crate::config::{Config, EventTopic};
use crate::kafka::topic_admin::{Creation, TopicAdmin};
use crate::kafka::topic_rules::{Finding, Severity};
use crate::record::schema;
use crate::schema_registry::RegistryErrand;
use crate::telemetry::start_log;
use crate::topic::Topic;

/// Creates what is missing, topics of events only if that is asked for, and then judges everything,
/// also what was there.
pub(super) fn create(config: &Config, events: bool, format: Output) -> Result<(), Failure> {
    let admin = connect(config)?;
    if events {
        for pattern in config.events.topics.iter().filter_map(EventTopic::pattern) {
            output::talk(&format!(
                "note: `{pattern}` of `events.topics` is a pattern: it names no topic to make"
            ));
        }
    }
    let (creation, schema, findings) = block_on(async {
        let mut creation = admin.create().await?;
        if events {
            let of_events = admin
                .create_events(config.topic_creation.partitions)
                .await?;
            creation.created.extend(of_events.created);
            creation.existing.extend(of_events.existing);
        }
        let schema = register(config).await;
        Ok((creation, schema, admin.check().await?.findings))
    })?;
    let Creation { created, existing } = creation;
    match format {
        Output::Json => output::json(&json!({
            "created": created, "existing": existing, "schema": schema.as_ref().ok(), "findings": findings,
        }))?,
        Output::Text => {
            let created = created.iter().map(|name| format!("created {name}\n"));
            let existing = existing.iter().map(|name| format!("existing {name}\n"));
            output::data(&created.chain(existing).collect::<String>())?;
            if let Ok(Some(Registered { subject, id })) = &schema {
                output::data(&format!("schema {subject} (id {id})\n"))?;
            }
            output::data(&lines(&findings))?;
        }
    }
    verdict(&findings)?;
    schema?;
    Ok(())
}

/// A schema in the registry.
#[derive(Serialize)]
struct Registered {
    subject: String,
    id: u32,
}

/// Registers the schema of the records that others write: subscriptions. Without a registry there is
/// nothing to do.
async fn register(config: &Config) -> anyhow::Result<Option<Registered>> {
    let registry = RegistryErrand::new(&config.schema_registry)?;
    if !registry.is_configured() {
        return Ok(None);
    }
    let subject = format!("{}-value", config.topics.name(Topic::Subscriptions));
    let id = registry
        .register(&subject, schema::SUBSCRIPTION)
        .await
        .context("the topics are made, but the schema is not registered")?;
    Ok(Some(Registered { subject, id }))
}

/// Judges the cluster.
pub(super) fn check(config: &Config, format: Output) -> Result<(), Failure> {
    let admin = connect(config)?;
    let findings = block_on(async { Ok(admin.check().await?.findings) })?;
    match format {
        Output::Json => output::json(&json!({ "findings": findings }))?,
        Output::Text => output::data(&lines(&findings))?,
    }
    verdict(&findings)
}

fn connect(config: &Config) -> anyhow::Result<TopicAdmin> {
    start_log(&config.telemetry)?;
    Ok(TopicAdmin::try_new(config)?)
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}

fn lines(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| match finding.severity {
            Severity::Error => format!("error {finding}\n"),
            Severity::Warning => format!("warning {finding}\n"),
        })
        .collect()
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    if errors > 0 {
        return Err(anyhow!("{errors} of the rules do not hold").into());
    }
    output::talk("the topics are as they must be");
    Ok(())
}
