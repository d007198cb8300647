//! What has to be written so that the topic says what the files say: no more than that.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{Difference, differences};
use crate::cli::subscriptions::completion::{Completed, Generated};
use crate::cli::subscriptions::manifest::{Found, Manifest, Place, Problem};
use crate::cli::subscriptions::table::Present;
use crate::cli::subscriptions::{permission, redacted, sameness};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::record::SubscriptionKey;
use crate::subscription_table::Compiled;

/// All that has to be written, in the order of keys.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// How many subscriptions are on the topic as they are in the files.
    pub(super) unchanged: usize,
}

/// A record to write.
pub(super) struct Step {
    pub(super) key: SubscriptionKey,
    pub(super) action: Action,
    /// Of the record on the topic, if there is one.
    pub(super) revision: Option<i64>,
}

pub(super) enum Action {
    /// The topic has none.
    Create(Written),
    /// The topic has another.
    Change(Written),
    /// No file has it.
    Delete,
}

/// What is written.
pub(super) struct Written {
    value: Vec<u8>,
    /// Where it stands.
    pub(super) place: Place,
    pub(super) differences: Vec<Difference>,
    /// Secrets that it lacked.
    pub(super) made: Generated,
}

/// Checks all that is found, each for itself. What refers to the topic ([`redacted`]) waits until it is
/// known.
pub(super) fn check(found: &mut Found, config: &Config) {
    let now = Timestamp::now();
    for manifest in found.manifests.values() {
        if !redacted::is_in(&manifest.value) {
            let completed = Completed::of(manifest.value.as_bytes(), None);
            let problem = judge(manifest, &completed.value, config, now);
            found.problems.extend(problem.err());
        }
    }
}

/// Whether it is valid, and would be delivered.
fn judge(
    manifest: &Manifest,
    value: &[u8],
    config: &Config,
    now: Timestamp,
) -> Result<(), Problem> {
    let compiled = Compiled::parse(&manifest.key, value, &config.subscription_rules())
        .map_err(|invalid| manifest.problem(&invalid.place(), &invalid))?;
    permission::check(&compiled.subscription, config, now)
        .map_err(|forbidden| manifest.problem(&forbidden.field, &forbidden))
}

/// What a file that [`check`] has seen says once it has what it keeps from the record on the topic.
fn complete(
    manifest: &Manifest,
    present: Option<&Present>,
    config: &Config,
    now: Timestamp,
) -> Result<Completed, Problem> {
    let unreadable = present.and_then(|record| record.value.as_ref().err());
    let present = present.and_then(Present::json);
    let value = redacted::restored(&manifest.value, present)
        .map_err(|lost| manifest.problem(&lost.field, &lost))?;
    let completed = Completed::of(value.as_bytes(), present);
    if let (true, Some(error)) = (completed.lacked, unreadable) {
        let problem = format!(
            "the record on the topic cannot be read ({error}): to replace its secrets, put `secrets` into the file"
        );
        return Err(manifest.problem("", problem));
    }
    // Anything else was judged before the topic was known.
    if completed.lacked || redacted::is_in(&manifest.value) {
        judge(manifest, &completed.value, config, now)?;
    }
    Ok(completed)
}

/// Whether a file says what the record, which is valid, says.
pub(in crate::cli::subscriptions) fn is_as_written(
    manifest: &Manifest,
    present: &Present,
    config: &Config,
) -> bool {
    complete(manifest, Some(present), config, Timestamp::now())
        .is_ok_and(|completed| is_same(&completed.value, present.json().unwrap_or_default()))
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (str::from_utf8(one), str::from_utf8(other)) else {
        return false;
    };
    let (ours, theirs) = (sameness::members(one), sameness::members(other));
    // Without members it is no object of ours.
    !ours.is_empty()
        && ours.len() == theirs.len()
        && ours
            .iter()
            .zip(&theirs)
            .all(|((name, value), (other, old))| name == other && sameness::is_same(value, old))
}

impl Plan {
    /// Compares; `pruned` are the tenants whose subscriptions go when they are in no file.
    pub(super) fn new(
        manifests: &BTreeMap<SubscriptionKey, Manifest>,
        present: &BTreeMap<SubscriptionKey, Present>,
        pruned: Option<&BTreeSet<String>>,
        config: &Config,
    ) -> Result<Self, Vec<Problem>> {
        let now = Timestamp::now();
        let (mut steps, mut problems, mut unchanged) = (Vec::new(), Vec::new(), 0);
        for (key, manifest) in manifests {
            let present = present.get(key);
            let completed = match complete(manifest, present, config, now) {
                Ok(completed) => completed,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let old = present.and_then(Present::json).unwrap_or_default();
            if is_same(&completed.value, old) {
                unchanged += 1;
                continue;
            }
            let written = Written {
                place: manifest.place(),
                differences: differences(old, &completed.value),
                value: completed.value,
                made: completed.made,
            };
            steps.push(Step {
                key: key.clone(),
                revision: present.map(|record| record.revision),
                action: match present {
                    None => Action::Create(written),
                    Some(_) => Action::Change(written),
                },
            });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_pruned = |key: &SubscriptionKey| {
            pruned.is_some_and(|tenants| tenants.contains(key.tenant()))
                && !manifests.contains_key(key)
        };
        let gone = present.iter().filter(|(key, _)| is_pruned(key));
        steps.extend(gone.map(|(key, record)| Step {
            key: key.clone(),
            action: Action::Delete,
            revision: Some(record.revision),
        }));
        steps.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self { steps, unchanged })
    }
}

impl Step {
    /// The record's value; none is a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.written().map(|written| &*written.value)
    }

    pub(super) fn written(&self) -> Option<&Written> {
        match &self.action {
            Action::Create(written) | Action::Change(written) => Some(written),
            Action::Delete => None,
        }
    }
}
