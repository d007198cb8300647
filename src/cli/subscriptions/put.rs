//! `hooktide subscriptions put`: what is written is the user's own text, but for secrets it lacks.

use std::path::Path;

use anyhow::Context;
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;

use super::completion::Completed;
use super::{DEFAULT_TENANT, newest, permission};
use crate::cli::input::Input;
use crate::cli::{Output, output};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::errand::{ErrandError, RecordWriter};
use crate::record::SubscriptionKey;
use crate::record::json_text::Node;
use crate::subscription_table::Compiled;
use crate::topic::Topic;

/// More than any topic takes by default, in bytes.
const LONGEST: usize = 4 << 20;
/// Characters of a generated id; 62^22 is more than 2^130.
const ID_LENGTH: usize = 22;

/// What the user is told.
#[derive(Serialize)]
struct Receipt<'a> {
    tenant: &'a str,
    id: &'a str,
    revision: i64,
    /// Where one is made: that of all signatures but `v1a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Where a key pair is made: what receivers verify `v1a` with.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

/// Checks a subscription, completes it and writes it.
pub(super) fn put(
    config: &Config,
    file: &Path,
    id: Option<String>,
    tenant: Option<String>,
    format: Output,
) -> anyhow::Result<()> {
    let value = Input::open(file)?.whole(LONGEST)?;
    let id = id.or_else(|| text_member(&value, "id"));
    let tenant = tenant.or_else(|| text_member(&value, "tenant"));
    let id = id.unwrap_or_else(|| {
        format!(
            "sub_{}",
            Alphanumeric.sample_string(&mut rand::rng(), ID_LENGTH)
        )
    });
    let tenant = tenant.unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    let key = SubscriptionKey::try_new(&tenant, &id)?;

    let mut completed = Completed::of(&value, None);
    // Before the cluster is asked for anything.
    check(&key, &completed.value, config)?;
    if completed.lacked
        && let Some(present) = newest(config, &key)?
    {
        let present = present.value.with_context(|| {
            format!("the record of {key} cannot be read: to replace its secrets, put `secrets` into the file")
        })?;
        completed = Completed::of(&value, Some(&present));
        check(&key, &completed.value, config)
            .context("with the secrets that it has on the topic")?;
        if let Some(kept) = &completed.kept {
            output::talk(kept);
        }
    }
    let Completed { value, made, .. } = completed;
    let topic = config.topics.name(Topic::Subscriptions);
    let writer = RecordWriter::connect_to_table(config, &topic)?;
    let landing = writer
        .write_one(key.to_string().as_bytes(), Some(&value))
        .map_err(|error| explained(error, !made.entries().is_empty()))?;
    tell(
        &Receipt {
            tenant: key.tenant(),
            id: key.id(),
            revision: landing.offset,
            public_key: made.pair.as_ref().map(|pair| pair.public().to_string()),
            secret: made.secret,
        },
        format,
    )
}

fn check(key: &SubscriptionKey, value: &[u8], config: &Config) -> anyhow::Result<()> {
    let compiled = Compiled::parse(key, value, &config.subscription_rules())
        .with_context(|| format!("subscription {key} is invalid, nothing is written"))?;
    permission::check(&compiled.subscription, config, Timestamp::now())
        .with_context(|| format!("subscription {key} would not be delivered, nothing is written"))
}

/// A string among the members, if the value is so far in order; what is not is for [`check`].
fn text_member(value: &[u8], name: &str) -> Option<String> {
    let text = Node::parse(value).ok()?.member(name)?.string()?;
    String::from_utf8(text.into_owned()).ok()
}

fn explained(error: ErrandError, with_new_secret: bool) -> anyhow::Error {
    let is_ambiguous = matches!(error, ErrandError::Unacknowledged { .. });
    let error = anyhow::Error::from(error);
    if is_ambiguous && with_new_secret {
        // The next `put` would keep a secret that nobody has seen.
        error.context("put it again with `secrets` of your own in the file")
    } else {
        error
    }
}

fn tell(receipt: &Receipt<'_>, format: Output) -> anyhow::Result<()> {
    match format {
        Output::Json => output::json(receipt)?,
        Output::Text => {
            let Receipt {
                tenant,
                id,
                revision,
                secret,
                public_key,
            } = receipt;
            let mut text = format!("tenant    {tenant}\nid        {id}\nrevision  {revision}\n");
            if let Some(secret) = secret {
                text += &format!("secret    {secret}\n");
            }
            if let Some(public_key) = public_key {
                text += &format!("public    {public_key}\n");
            }
            output::data(&text)?;
        }
    }
    if receipt.secret.is_some() {
        output::talk("the secret is shown this once: give it to the receiver now");
    }
    if receipt.public_key.is_some() {
        output::talk("the receiver verifies `v1a` with the public key");
    }
    Ok(())
}
