//! `hooktide subscriptions apply`: what files say becomes what the topic says.

mod diff;
pub(super) mod plan;
mod receipt;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;

use super::manifest::{self, Found, Problem};
use super::{table, tenant};
use crate::cli::{Failure, Output, output, progress};
use crate::config::Config;
use crate::kafka::errand::{Expected, RecordWriter, newest_records};
use crate::record::SubscriptionKey;
use crate::topic::Topic;
use plan::{Plan, Step};
use receipt::{Secrets, say};

/// How many names an error repeats.
const SHOWN: usize = 5;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Folder or file with subscriptions as YAML or JSON, or `-` for stdin
    #[arg(value_name = "DIR|FILE|-")]
    path: PathBuf,
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit code 1 if anything would change
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
    /// Delete subscriptions that are on the topic and in no file, of the tenants that the files name
    #[arg(long)]
    prune: bool,
    /// Only subscriptions of this tenant; can be repeated
    #[arg(long, value_name = "TENANT", value_parser = tenant)]
    tenant: Vec<String>,
    /// Let --prune delete all subscriptions of a --tenant that has none in the files
    #[arg(long, requires = "prune", requires = "tenant")]
    allow_empty: bool,
    /// Write generated secrets to a new file that only its owner can read, rather than to stdout
    #[arg(long, value_name = "FILE")]
    secrets_to: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        let mut found = read(&self.path)?;
        plan::check(&mut found, config);
        refuse(&mut found.problems, found.files, format)?;
        self.limit(&mut found)?;
        let topic = config.topics.name(Topic::Subscriptions);
        let present = table::read(config)?.subscriptions;
        let tenants = self.tenants(&found);
        let planned = Plan::new(&found.manifests, &present, tenants.as_ref(), config);
        let plan = planned.or_else(|mut problems| {
            refuse(&mut problems, found.files, format)?;
            Err(anyhow!("nothing is written"))
        })?;
        if self.dry_run {
            say(&plan, true, &Secrets::Unsaid, format)?;
            return match self.exit_code && !plan.steps.is_empty() {
                true => Err(anyhow!("{} would change", plan.steps.len()).into()),
                false => Ok(()),
            };
        }
        let secrets = match &self.secrets_to {
            Some(path) => {
                receipt::keep(&plan, path)?;
                Secrets::Unsaid
            }
            None => Secrets::Said,
        };
        if plan.steps.is_empty() {
            return Ok(say(&plan, false, &secrets, format)?);
        }
        nobody_else_wrote(config, &topic, &plan)?;
        let written = write(config, &topic, &plan);
        // Whatever has become of it: what was made must be known, for it may be on the topic.
        say(&plan, false, &secrets, format)?;
        Ok(written?)
    }

    /// Leaves out those of other tenants, and refuses to prune for want of files.
    fn limit(&self, found: &mut Found) -> anyhow::Result<()> {
        if !self.tenant.is_empty() {
            let before = found.manifests.len();
            let is_meant = |key: &SubscriptionKey| self.tenant.iter().any(|t| t == key.tenant());
            found.manifests.retain(|key, _| is_meant(key));
            let others = before - found.manifests.len();
            if others > 0 {
                output::talk(&format!("note: of other tenants, left alone: {others}"));
            }
        }
        if !self.prune || self.allow_empty {
            return Ok(());
        }
        let path = self.path.display();
        ensure!(
            !(self.tenant.is_empty() && found.manifests.is_empty()),
            "there is no subscription in {path}: nothing says whose are to be deleted; name them with \
             --tenant and say --allow-empty"
        );
        for tenant in &self.tenant {
            ensure!(
                found.manifests.keys().any(|key| key.tenant() == tenant),
                "there is no subscription of {tenant} in {path}: all of its subscriptions would be \
                 deleted; say --allow-empty if that is meant"
            );
        }
        Ok(())
    }

    /// Whose subscriptions are deleted when they are in no file.
    fn tenants(&self, found: &Found) -> Option<BTreeSet<String>> {
        if !self.prune {
            return None;
        }
        let named = self.tenant.iter().cloned();
        let in_files = found.manifests.keys().map(|key| key.tenant().to_owned());
        Some(named.chain(in_files).collect())
    }
}

fn read(path: &std::path::Path) -> anyhow::Result<Found> {
    let mut bar = None;
    let found = manifest::read(path, |index, total| {
        let bar = bar.get_or_insert_with(|| progress::bar(u64::try_from(total).ok()));
        bar.set_position(u64::try_from(index).unwrap_or(u64::MAX));
    })?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if let Some(first) = found.passed_over.first() {
        let more = found.passed_over.len() - 1;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        output::talk(&format!(
            "note: neither .yaml, .yml nor .json, passed over: {first}{more}"
        ));
    }
    Ok(found)
}

/// All that is wrong, if anything is.
fn refuse(problems: &mut [Problem], files: usize, format: Output) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    match format {
        Output::Json => output::json(&serde_json::json!({ "problems": problems }))?,
        Output::Text => problems
            .iter()
            .for_each(|problem| output::talk(&output::plain(&problem.to_string()))),
    }
    let of_those: BTreeSet<_> = problems.iter().map(|problem| &problem.place.file).collect();
    bail!(
        "problems: {}, in {} of {files} files; nothing is written",
        problems.len(),
        of_those.len()
    )
}

/// The plan was made from what the topic said a moment ago. What another client writes between this
/// look and our records is overwritten: the last one wins, as with any table on Kafka.
fn nobody_else_wrote(config: &Config, topic: &str, plan: &Plan) -> anyhow::Result<()> {
    let planned: BTreeMap<Bytes, Option<i64>> = plan
        .steps
        .iter()
        .map(|step| (Bytes::from(step.key.to_string()), step.revision))
        .collect();
    let now = newest_records(config, topic, Expected::One, |key| {
        planned.contains_key(key)
    })?;
    let changed: Vec<_> = planned
        .iter()
        .filter(|(key, revision)| now.get(*key).map(|record| record.offset) != **revision)
        .map(|(key, _)| String::from_utf8_lossy(key).into_owned())
        .collect();
    ensure!(
        changed.is_empty(),
        "somebody else has just changed {}: nothing is written; apply again",
        some(&changed)
    );
    Ok(())
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn write(config: &Config, topic: &str, plan: &Plan) -> anyhow::Result<()> {
    let writer = RecordWriter::connect_to_table(config, topic)?;
    let bar = progress::bar(u64::try_from(plan.steps.len()).ok());
    let mut refused = None;
    for (number, step) in plan.steps.iter().enumerate() {
        let key = step.key.to_string();
        if let Err(error) = writer.write(number, Some(key.as_bytes()), step.value()) {
            refused = Some((number, error));
            break;
        }
        bar.set_position(writer.acknowledged());
        if writer.failure().is_some() {
            break;
        }
    }
    writer.settle();
    bar.finish_and_clear();
    match writer.failure().or(refused) {
        None => Ok(()),
        Some((number, error)) => {
            let key = plan
                .steps
                .get(number)
                .map(|step: &Step| step.key.to_string());
            Err(error).with_context(|| {
                format!(
                    "{}: acknowledged are {} of {} changes; apply again to go on",
                    key.unwrap_or_default(),
                    writer.acknowledged(),
                    plan.steps.len()
                )
            })
        }
    }
}
