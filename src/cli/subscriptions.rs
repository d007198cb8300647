//! `hooktide subscriptions`: the table that a role would have, looked at and changed from a terminal.

mod apply;
mod completion;
mod export;
mod manifest;
mod permission;
mod put;
mod redacted;
mod sameness;
mod table;
mod trial;
mod view;

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output, output};
use crate::config::Config;
use crate::kafka::errand::RecordWriter;
use crate::record::SubscriptionKey;
use crate::telemetry::start_log;
use crate::topic::Topic;
use table::newest;
pub(super) use table::revision;
use view::View;

/// Whose subscriptions are meant where nobody says.
pub(super) const DEFAULT_TENANT: &str = "default";

#[derive(Debug, Subcommand)]
pub(super) enum SubscriptionsCommand {
    /// Write a subscription, new or changed
    ///
    /// It is checked first: one that is invalid, or that the settings forbid to deliver (its address,
    /// where its secrets are), is not written, and the error names the field and the rule. One that is to be signed and has no `secrets` keeps those that it has on the topic; a
    /// new one gets a generated secret, which is printed this once.
    #[command(after_help = "\
Examples:
  hooktide subscriptions put shop.json --id shop
  echo '{\"url\":\"https://example.com/hooks\",\"events\":[\"order.*\"]}' |
    hooktide subscriptions put - --tenant acme

Without --id the `id` in the file is taken, else one is generated and printed.
Exit code 1: the subscription is invalid or forbidden, or Kafka has not acknowledged it.")]
    Put {
        /// File with the subscription as JSON, or `-` for stdin
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Its name among those of its tenant
        #[arg(long, value_name = "ID", value_parser = id)]
        id: Option<String>,
        /// Whose it is; without it the `tenant` in the file is taken, else `default`
        #[arg(long, value_name = "TENANT", value_parser = tenant)]
        tenant: Option<String>,
    },
    /// Show a subscription, its state and, if it is invalid, why; secrets are redacted
    #[command(after_help = "\
Examples:
  hooktide subscriptions get shop
  hooktide subscriptions get shop --tenant acme --output json

Exit code 1: there is no such subscription.")]
    Get {
        /// Its name among those of its tenant
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Whose it is
        #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT, value_parser = tenant)]
        tenant: String,
    },
    /// Show all subscriptions and their states
    #[command(after_help = "\
Examples:
  hooktide subscriptions list
  hooktide subscriptions list --tenant acme --output json")]
    List {
        /// Only those of this tenant
        #[arg(long, value_name = "TENANT", value_parser = tenant)]
        tenant: Option<String>,
    },
    /// Make the topic say what files say, such as a folder in git
    ///
    /// Reads all `.yaml`, `.yml` and `.json` files of a folder and of the folders in it, shows what differs
    /// from the topic, and writes only that. All files are checked first: if anything is wrong in any of
    /// them, all of it is named, with file and line, and nothing is written.
    #[command(after_help = "\
Examples:
  hooktide subscriptions apply webhooks --dry-run
  hooktide subscriptions apply webhooks --prune
  hooktide subscriptions export - | hooktide subscriptions apply -

A file holds one subscription or several (YAML documents, or a list). Whose it is say `tenant` and
`id`; without them the folder that the file is in and the name of the file: `acme/shop.yaml`.
Exit code 1: something in the files is wrong, or Kafka has not acknowledged all of it.")]
    Apply(apply::Arguments),
    /// Write subscriptions as files that `apply` takes
    ///
    /// A file for each, `TENANT/ID.yaml`; files that say already what the topic says stay as they are.
    /// Secrets, header values, and what is secret in URLs are left out: `apply` keeps those of the topic.
    #[command(after_help = "\
Examples:
  hooktide subscriptions export webhooks
  hooktide subscriptions export webhooks --prune --tenant acme
  hooktide subscriptions export --format json --with-secrets > all.json

Exit code 1: not everything could be exported; what is left out is named.")]
    Export(export::Arguments),
    /// Send a sample event to a subscription, and show request, answer and times
    ///
    /// A task is made as the router would make it, for this subscription alone, and a running dispatcher
    /// sends it: filters, body, signature, network and address policy are those of every delivery. It is
    /// sent once, and says nothing against the endpoint. The event's id begins with `test_`.
    #[command(after_help = "\
Examples:
  hooktide subscriptions test shop --tenant acme
  hooktide subscriptions test shop --type order.created --data data.json
  echo '{\"id\":\"o1\"}' | hooktide subscriptions test shop --data - --output json

Without --type the first exact type of `events` is taken, else the first of the catalogue
(`hooktide event-types list`) that they ask for; without --data the type's example.
Exit code 1: it is not delivered, not asked for, or no dispatcher sends it in time.")]
    Test(trial::Arguments),
    /// Delete a subscription; what pends for it is cancelled
    #[command(after_help = "\
Examples:
  hooktide subscriptions delete shop
  hooktide subscriptions delete shop --tenant acme

Exit code 1: there is no such subscription, or Kafka has not acknowledged it.")]
    Delete {
        /// Its name among those of its tenant
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Whose it is
        #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT, value_parser = tenant)]
        tenant: String,
    },
}

pub(super) fn id(text: &str) -> Result<String, String> {
    match SubscriptionKey::try_new(DEFAULT_TENANT, text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn tenant(text: &str) -> Result<String, String> {
    match SubscriptionKey::try_new(text, "any") {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl SubscriptionsCommand {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        start_log(&config.telemetry).context("cannot start logging")?;
        match self {
            Self::Put { file, id, tenant } => put::put(config, &file, id, tenant, format)?,
            Self::Get { id, tenant } => get(config, &key(&tenant, &id)?, format)?,
            Self::List { tenant } => list(config, tenant.as_deref(), format)?,
            Self::Apply(arguments) => arguments.run(config, format)?,
            Self::Export(arguments) => arguments.run(config, format)?,
            Self::Test(arguments) => arguments.run(config, format)?,
            Self::Delete { id, tenant } => delete(config, &key(&tenant, &id)?, format)?,
        }
        Ok(())
    }
}

pub(super) fn key(tenant: &str, id: &str) -> anyhow::Result<SubscriptionKey> {
    Ok(SubscriptionKey::try_new(tenant, id)?)
}

fn get(config: &Config, key: &SubscriptionKey, format: Output) -> anyhow::Result<()> {
    let record = newest(config, key)?.ok_or_else(|| unknown(key))?;
    let view = View::new(key, &record, &config.subscription_rules());
    match format {
        Output::Json => output::json(&view.detailed()),
        Output::Text => output::data(&view.text()),
    }
}

fn list(config: &Config, tenant: Option<&str>, format: Output) -> anyhow::Result<()> {
    let table = table::read(config)?;
    let rules = config.subscription_rules();
    if table.strays > 0 {
        output::talk(&format!(
            "note: records without a key of a subscription, ignored: {}",
            table.strays
        ));
    }
    let is_meant = |key: &SubscriptionKey| tenant.is_none_or(|tenant| key.tenant() == tenant);
    let meant = table.subscriptions.iter().filter(|(key, _)| is_meant(key));
    let views: Vec<View> = meant
        .map(|(key, record)| View::new(key, record, &rules))
        .collect();
    match format {
        Output::Json => output::json(&views.iter().map(View::summary).collect::<Vec<_>>()),
        Output::Text if views.is_empty() => {
            output::talk("there are no subscriptions");
            Ok(())
        }
        Output::Text => output::data(&view::table(&views)),
    }
}

fn delete(config: &Config, key: &SubscriptionKey, format: Output) -> anyhow::Result<()> {
    let topic = config.topics.name(Topic::Subscriptions);
    revision(config, key)?.ok_or_else(|| unknown(key))?;
    let writer = RecordWriter::connect_to_table(config, &topic)?;
    let landing = writer.write_one(key.to_string().as_bytes(), None)?;
    match format {
        Output::Json => output::json(&json!({
            "tenant": key.tenant(), "id": key.id(), "revision": landing.offset,
        })),
        Output::Text => output::data(&format!("deleted {key}, revision {}\n", landing.offset)),
    }
}

pub(super) fn unknown(key: &SubscriptionKey) -> anyhow::Error {
    anyhow!(
        "there is no subscription {key}: `hooktide subscriptions list` shows those of all tenants"
    )
}
