//! `hooktide subscriptions export`: subscriptions as files that `apply` takes, without their secrets.

mod file;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::apply::plan;
use super::manifest::{self, Found};
use super::table::{self, Present};
use super::tenant;
use crate::cli::input::STDIN;
use crate::cli::{Failure, Output, output};
use crate::config::Config;
use crate::record::SubscriptionKey;
use file::{Exported, NotExported};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Folder to write to, or `-` for stdout
    #[arg(value_name = "DIR|-", default_value = STDIN)]
    path: PathBuf,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT", value_parser = tenant)]
    tenant: Option<String>,
    /// How they are written
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Form,
    /// Remove files whose subscriptions are not on the topic any more
    #[arg(long)]
    prune: bool,
    /// Write secrets too: for a move to another cluster. Files can be read by their owner only
    #[arg(long)]
    with_secrets: bool,
}

/// How subscriptions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One JSON document
    Json,
    /// For people
    Yaml,
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
        }
    }
}

/// What was done to files.
#[derive(Default)]
struct Done {
    written: Vec<String>,
    removed: Vec<String>,
    unchanged: usize,
    /// What could not be exported, and why.
    problems: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        let present = table::read(config)?.subscriptions;
        let is_meant = |key: &SubscriptionKey| {
            let tenant = self.tenant.as_ref();
            tenant.is_none_or(|tenant| tenant == key.tenant())
        };
        let mut done = Done::default();
        let mut exported = Vec::new();
        for (key, record) in present.iter().filter(|(key, _)| is_meant(key)) {
            let exported_one = match &record.value {
                Ok(value) => Exported::of(key, value, self.with_secrets, config),
                Err(error) => Err(NotExported::Invalid(error.to_string())),
            };
            match exported_one {
                Ok(object) => exported.push((key, object)),
                Err(error) => done.problems.push(format!("{key}: {error}")),
            }
        }
        if self.path == Path::new(STDIN) {
            let objects: Vec<_> = exported.iter().map(|(_, object)| object).collect();
            output::data(&file::all(&objects, self.format)?)?;
        } else {
            self.to_folder(&present, &exported, &mut done, config)?;
            done.tell(&self.path, format)?;
        }
        for problem in &done.problems {
            output::talk(&output::plain(problem));
        }
        match done.problems.len() {
            0 => Ok(()),
            number => Err(anyhow::anyhow!("not exported: {number}").into()),
        }
    }

    fn to_folder(
        &self,
        present: &BTreeMap<SubscriptionKey, Present>,
        exported: &[(&SubscriptionKey, Exported)],
        done: &mut Done,
        config: &Config,
    ) -> anyhow::Result<()> {
        fs::create_dir_all(&self.path)
            .with_context(|| format!("cannot make {}", self.path.display()))?;
        let there = manifest::read(&self.path, |_, _| {})?;
        if let Some(problem) = there.problems.first() {
            bail!("{problem}: correct it first, or export into an empty folder");
        }
        let files = there.files();
        let mut names = BTreeSet::new();
        for (key, object) in exported {
            let path = self.path_of(key, &mut names);
            let shown = path.display().to_string();
            if let Some(manifest) = there.manifests.get(key) {
                let is_as_written = present
                    .get(key)
                    .is_some_and(|record| plan::is_as_written(manifest, record, config));
                if is_as_written && !self.with_secrets {
                    done.unchanged += 1; // with its comments
                    continue;
                }
                let place = manifest.place();
                if *place.file != *shown {
                    let problem = "differs there, and is not overwritten";
                    done.problems.push(format!("{key}: {place}: {problem}"));
                    continue;
                }
            }
            let holds = files.get(&*shown).map_or(0, Vec::len);
            if holds > usize::from(there.manifests.contains_key(key)) {
                let problem = "holds other subscriptions, and is not overwritten";
                done.problems.push(format!("{key}: {shown}: {problem}"));
                continue;
            }
            match file::write(&path, &object.text(self.format)?, self.with_secrets)? {
                true => done.written.push(shown),
                false => done.unchanged += 1,
            }
        }
        if self.prune {
            self.remove_gone(present, &there, done)?;
        }
        Ok(())
    }

    /// `TENANT/ID.yaml`. Where that would be another's on a file system that takes `A` and `a` for the
    /// same, a number more tells them apart: whose it is stands in the file.
    fn path_of(&self, key: &SubscriptionKey, names: &mut BTreeSet<String>) -> PathBuf {
        let (tenant, id, suffix) = (key.tenant(), key.id(), self.format.suffix());
        let mut name = format!("{tenant}/{id}.{suffix}");
        let mut number = 2;
        while !names.insert(name.to_lowercase()) {
            name = format!("{tenant}/{id}~{number}.{suffix}");
            number += 1;
        }
        self.path.join(name)
    }

    fn remove_gone(
        &self,
        present: &BTreeMap<SubscriptionKey, Present>,
        there: &Found,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let is_meant = |tenant: &str| self.tenant.as_ref().is_none_or(|meant| meant == tenant);
        for (file, keys) in there.files() {
            let is_gone =
                |key: &&SubscriptionKey| !present.contains_key(*key) && is_meant(key.tenant());
            let gone = keys.iter().filter(|key| is_gone(key)).count();
            if gone == keys.len() {
                fs::remove_file(file).with_context(|| format!("cannot remove {file}"))?;
                done.removed.push(file.to_string());
            } else if gone > 0 {
                let problem = "holds subscriptions that are gone, and others: it is not removed";
                done.problems.push(format!("{file}: {problem}"));
            }
        }
        Ok(())
    }
}

impl Done {
    fn tell(&self, path: &Path, format: Output) -> anyhow::Result<()> {
        let Self {
            written,
            removed,
            unchanged,
            problems,
        } = self;
        match format {
            Output::Json => output::json(&json!({
                "written": written, "removed": removed, "unchanged": unchanged,
                "problems": problems,
            })),
            Output::Text => {
                let written_lines = written.iter().map(|file| format!("written {file}\n"));
                let removed_lines = removed.iter().map(|file| format!("removed {file}\n"));
                output::data(&written_lines.chain(removed_lines).collect::<String>())?;
                output::talk(&format!(
                    "{}: {} written, {} removed, {unchanged} unchanged",
                    path.display(),
                    written.len(),
                    removed.len()
                ));
                Ok(())
            }
        }
    }
}
