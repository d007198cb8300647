//! `hooktide endpoints`: what is known of endpoints, and the brakes and switches of operators. A wish
//! is a record; every process acts on it as soon as it has read it.

mod view;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::subscriptions::{DEFAULT_TENANT, id, key, revision, tenant, unknown};
use super::{Failure, Output, output};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::endpoint_table::EndpointTable;
use crate::kafka::errand::{Expected, RecordWriter, newest_records};
use crate::record::{EndpointWish, SubscriptionKey, WishKey, WishedState};
use crate::telemetry::start_log;
use crate::topic::Topic;

#[derive(Debug, Subcommand)]
pub(super) enum EndpointsCommand {
    /// Show what is paused, disabled, failing, throttled or behind an open breaker, since when and why
    #[command(after_help = "\
Examples:
  hooktide endpoints list
  hooktide endpoints list --tenant acme --output json")]
    List {
        /// Only those of this tenant; brakes on hosts are shown all the same
        #[arg(long, value_name = "TENANT", value_parser = tenant)]
        tenant: Option<String>,
    },
    /// Have deliveries wait: to one subscription, to a host, or of a tenant
    ///
    /// In force in all processes within two seconds, and until `resume`, whatever is restarted. What
    /// is on the wire ends. What is due waits on Kafka and uses up no retry; its `max_age` still holds.
    #[command(after_help = "\
Examples:
  hooktide endpoints pause --subscription shop --tenant acme
  hooktide endpoints pause --host hooks.example.com
  hooktide endpoints pause --tenant acme")]
    Pause(Scope),
    /// Take a brake off again
    ///
    /// What waited goes out as its waits on Kafka end: the longer it was paused, the longer they are: about
    /// six times as long as the pause, and at most endpoints.resume_within.
    #[command(after_help = "\
Examples:
  hooktide endpoints resume --host hooks.example.com
  hooktide endpoints resume --tenant acme

Takes off just this brake: others on the same endpoints stay. `hooktide endpoints list` shows them.")]
    Resume(Scope),
    /// Send nothing more to an endpoint, and give up what pends
    #[command(after_help = "\
Examples:
  hooktide endpoints disable shop --tenant acme

Until `enable`, or until the subscription gets a newer record.
Exit code 1: there is no such subscription, or Kafka has not acknowledged it.")]
    Disable(One),
    /// Send to a disabled endpoint again, whatever disabled it
    #[command(after_help = "\
Examples:
  hooktide endpoints enable shop --tenant acme

What was given up stays on the dead-letter topic; events that it missed, on theirs.
Exit code 1: there is no such subscription, or Kafka has not acknowledged it.")]
    Enable(One),
}

/// What a brake is on.
#[derive(Debug, Args)]
#[group(id = "scope", required = true, multiple = true)]
pub(super) struct Scope {
    /// One subscription, of --tenant or else of `default`
    #[arg(long, value_name = "ID", value_parser = id)]
    subscription: Option<String>,
    /// All subscriptions of this tenant, unless one is given
    #[arg(long, value_name = "TENANT", value_parser = tenant)]
    tenant: Option<String>,
    /// All subscriptions whose URL has this host, of whatever tenant
    #[arg(long, value_name = "HOST", value_parser = host, conflicts_with_all = ["subscription", "tenant"])]
    host: Option<String>,
}

/// One subscription's endpoint.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The subscription's name among those of its tenant
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    /// Whose it is
    #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT, value_parser = tenant)]
    tenant: String,
}

/// A host as URLs have it: in lower case, other scripts in ASCII.
fn host(text: &str) -> Result<String, String> {
    match url::Host::parse(text) {
        Ok(host) => Ok(host.to_string()),
        Err(_) => Err("must be a host as in a URL, without scheme, port and path".to_owned()),
    }
}

impl Scope {
    fn key(self) -> anyhow::Result<WishKey> {
        Ok(match (self.subscription, self.tenant, self.host) {
            (Some(id), tenant, _) => {
                let tenant = tenant.as_deref().unwrap_or(DEFAULT_TENANT);
                WishKey::PauseSubscription(key(tenant, &id)?)
            }
            (None, Some(tenant), _) => WishKey::PauseTenant(tenant),
            (None, None, host) => WishKey::PauseHost(host.unwrap_or_default()),
        })
    }
}

impl EndpointsCommand {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        start_log(&config.telemetry).context("cannot start logging")?;
        match self {
            Self::List { tenant } => view::list(config, tenant.as_deref(), format)?,
            Self::Pause(scope) => pause(config, &scope.key()?, format)?,
            Self::Resume(scope) => resume(config, &scope.key()?, format)?,
            Self::Disable(one) => disable(config, &key(&one.tenant, &one.id)?, format)?,
            Self::Enable(one) => enable(config, &key(&one.tenant, &one.id)?, format)?,
        }
        Ok(())
    }
}

fn pause(config: &Config, key: &WishKey, format: Output) -> anyhow::Result<()> {
    if let WishKey::PauseSubscription(subscription) = key {
        revision(config, subscription)?.ok_or_else(|| unknown(subscription))?;
    }
    let table = table(config)?;
    let before = table.wishes().find(|(present, _)| *present == key);
    let what = view::subject(key);
    if let Some((_, wish)) = before {
        return said(
            format,
            key,
            "paused",
            &format!("{what} is paused already, since {}", wish.at),
        );
    }
    write(config, key, Some(WishedState::Paused))?;
    said(format, key, "paused", &format!("paused {what}"))
}

fn resume(config: &Config, key: &WishKey, format: Output) -> anyhow::Result<()> {
    let table = table(config)?;
    let what = view::subject(key);
    if !table.wishes().any(|(present, _)| present == key) {
        return said(
            format,
            key,
            "resumed",
            &format!("there is no brake on {what}"),
        );
    }
    write(config, key, None)?;
    said(format, key, "resumed", &format!("resumed {what}"))
}

fn disable(config: &Config, key: &SubscriptionKey, format: Output) -> anyhow::Result<()> {
    let revision = revision(config, key)?.ok_or_else(|| unknown(key))?;
    let wish = WishKey::State(key.clone());
    if let Some(disabled) = table(config)?.disabled(key, revision) {
        let why = view::why(disabled.reason);
        let line = format!("{key} is disabled already, since {}: {why}", disabled.at);
        return said(format, &wish, "disabled", &line);
    }
    write(config, &wish, Some(WishedState::Disabled { revision }))?;
    said(format, &wish, "disabled", &format!("disabled {key}"))
}

fn enable(config: &Config, key: &SubscriptionKey, format: Output) -> anyhow::Result<()> {
    let revision = revision(config, key)?.ok_or_else(|| unknown(key))?;
    let wish = WishKey::State(key.clone());
    let Some(disabled) = table(config)?.disabled(key, revision) else {
        return said(format, &wish, "enabled", &format!("{key} is not disabled"));
    };
    let lifts = disabled.at;
    write(config, &wish, Some(WishedState::Enabled { lifts }))?;
    said(format, &wish, "enabled", &format!("enabled {key}"))
}

/// What all processes know now.
pub(super) fn table(config: &Config) -> anyhow::Result<EndpointTable> {
    let topic = config.topics.name(Topic::Endpoints);
    let records = newest_records(config, &topic, Expected::Any, |_| true)?;
    let mut table = EndpointTable::new(topic.into());
    for (key, record) in &records {
        table.apply(key, Some(&record.value), 0, record.offset);
    }
    Ok(table)
}

fn write(config: &Config, key: &WishKey, wished: Option<WishedState>) -> anyhow::Result<()> {
    let at = Timestamp::now();
    let value = wished.map(|wished| EndpointWish { wished, at }.encode());
    let writer = RecordWriter::connect(config, &config.topics.name(Topic::Endpoints))?;
    writer.write_one(key.to_string().as_bytes(), value.transpose()?.as_deref())?;
    Ok(())
}

fn said(format: Output, key: &WishKey, state: &str, line: &str) -> anyhow::Result<()> {
    match format {
        Output::Json => {
            let mut document = view::named(key);
            document["state"] = json!(state);
            output::json(&document)
        }
        Output::Text => output::data(&format!("{line}\n")),
    }
}
