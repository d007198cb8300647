//! `hooktide subscriptions put`: what is written is the user's own text, but for secrets it lacks.

use std::path::Path;

use anyhow::Context;
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;

use super::{DEFAULT_TENANT, newest, permission};
use crate::cli::input::Input;
use crate::cli::{Output, output, secrets};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::errand::{ErrandError, RecordWriter};
use crate::record::json_text::{Kind, Node};
use crate::record::{Subscription, SubscriptionKey};
use crate::secret::{KeyForm, KeyPair};
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

    let mut shown = None;
    let value = match lacking_secrets(&value) {
        None => {
            check(&key, &value, config)?;
            value
        }
        Some(object) => {
            let generated = Generated::for_signatures_of(&value);
            let completed = with_secrets(object, &generated.list());
            // Before the cluster is asked for anything.
            check(&key, completed.as_bytes(), config)?;
            let present = newest(config, &key)?;
            match present
                .as_ref()
                .and_then(|record| present_secrets(&record.value))
            {
                Some(kept) => {
                    let completed = with_secrets(object, kept);
                    check(&key, completed.as_bytes(), config)
                        .context("with the secrets that it has on the topic")?;
                    output::talk("it keeps the secrets that it has");
                    completed.into_bytes()
                }
                None => {
                    shown = Some(generated);
                    completed.into_bytes()
                }
            }
        }
    };
    let topic = config.topics.name(Topic::Subscriptions);
    let writer = RecordWriter::connect_to_table(config, &topic)?;
    let landing = writer
        .write_one(key.to_string().as_bytes(), Some(&value))
        .map_err(|error| explained(error, shown.is_some()))?;
    let (secret, pair) = shown
        .map(|made| (made.secret, made.pair))
        .unwrap_or_default();
    tell(
        &Receipt {
            tenant: key.tenant(),
            id: key.id(),
            revision: landing.offset,
            secret,
            public_key: pair.map(|pair| pair.public().to_string()),
        },
        format,
    )
}

/// Secrets for a subscription that lacks them.
struct Generated {
    secret: Option<String>,
    pair: Option<KeyPair>,
}

impl Generated {
    /// One of each kind that its signatures need; what is wrong with those is for [`check`].
    fn for_signatures_of(value: &[u8]) -> Self {
        let schemes = Subscription::signatures_of(value).unwrap_or_default();
        let needs_pair = schemes.iter().any(|scheme| scheme.key == KeyForm::Ed25519);
        let needs_secret = schemes.iter().any(|scheme| scheme.key != KeyForm::Ed25519);
        Self {
            secret: (needs_secret || !needs_pair).then(|| secrets::new_secret(secrets::BYTES)),
            pair: needs_pair.then(secrets::new_pair).flatten(),
        }
    }

    /// As the subscription's member.
    fn list(&self) -> String {
        let private = self.pair.as_ref().map(KeyPair::text_of_new);
        let entries = self.secret.iter().chain(&private);
        let entries: Vec<_> = entries.map(|text| format!("\"{text}\"")).collect();
        format!("[{}]", entries.join(","))
    }
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

/// The text of an object that has no `secrets` though its requests are to be signed.
fn lacking_secrets(value: &[u8]) -> Option<&str> {
    let object = Node::parse(value)
        .ok()
        .filter(|node| node.kind() == Kind::Object)?;
    let unsigned = object.member("signatures").is_some_and(|schemes| {
        schemes.kind() == Kind::Array && schemes.elements().next().is_none()
    });
    (!unsigned && object.member("secrets").is_none()).then_some(object.text())
}

/// The text of the list of secrets, if there is one that holds something.
fn present_secrets(value: &[u8]) -> Option<&str> {
    let secrets = Node::parse(value).ok()?.member("secrets")?;
    secrets.elements().next()?;
    Some(secrets.text())
}

/// The object with a last member more.
fn with_secrets(object: &str, secrets: &str) -> String {
    let open = object.strip_suffix('}').unwrap_or(object).trim_ascii_end();
    let comma = if open.ends_with('{') { "" } else { "," };
    format!("{open}{comma}\"secrets\":{secrets}}}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_completed_as_text() {
        fn check(object: &str, expected: &str) {
            let lacking = lacking_secrets(object.as_bytes()).unwrap();
            assert_eq!(with_secrets(lacking, "[1]"), expected);
        }
        check("{}", r#"{"secrets":[1]}"#);
        check(" { \n} \n", r#"{"secrets":[1]}"#);
        check(
            "{\"a\" : 1.10,\n \"b\":\"}\"\n}",
            "{\"a\" : 1.10,\n \"b\":\"}\",\"secrets\":[1]}",
        );
        check(
            r#"{"signatures":["standard"]}"#,
            r#"{"signatures":["standard"],"secrets":[1]}"#,
        );
    }

    #[test]
    fn each_kind_of_signature_gets_its_kind_of_secret() {
        fn check(signatures: &str, kinds: &[&str]) {
            let object = format!(r#"{{"url":"https://a.example","events":["*"]{signatures}}}"#);
            let list = Generated::for_signatures_of(object.as_bytes()).list();
            let found: Vec<String> = serde_json::from_str(&list).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|text| &text[..=text.find('_').unwrap()])
                .collect();
            assert_eq!(found, kinds, "{signatures}");
            let completed = with_secrets(&object, &list);
            let key = "acme/shop".parse().unwrap();
            let rules = crate::record::subscription::Rules::default();
            assert!(Subscription::parse(&key, completed.as_bytes(), &rules).is_ok());
        }
        check("", &["whsec_"]);
        check(r#","signatures":["hex-body"]"#, &["whsec_"]);
        check(r#","signatures":["v1a"]"#, &["whsk_"]);
        check(r#","signatures":["v1a","combined"]"#, &["whsec_", "whsk_"]);
    }

    #[test]
    fn what_needs_no_secret_is_left_alone() {
        for value in [
            r#"{"signatures":[ ]}"#,
            r#"{"secrets":[]}"#,
            r#"{"secrets":null}"#,
            r#"{"\u0073ecrets":["x"]}"#,
            "[]",
            "{",
            "",
        ] {
            assert_eq!(lacking_secrets(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn secrets_are_kept_only_when_there_are_some() {
        fn check(value: &str, expected: Option<&str>) {
            assert_eq!(present_secrets(value.as_bytes()), expected, "{value}");
        }
        check(
            r#"{"secrets":["a", {"key":"b"}]}"#,
            Some(r#"["a", {"key":"b"}]"#),
        );
        check(r#"{"secrets":[]}"#, None);
        check(r#"{"secrets":"a"}"#, None);
        check("{}", None);
        check("not JSON", None);
    }
}
