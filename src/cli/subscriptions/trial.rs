//! `hooktide subscriptions test`: a sample event goes to one subscription by the way of all others.

mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::value::RawValue;

use super::{DEFAULT_TENANT, id, key, newest, tenant, unknown};
use crate::cli::input::Input;
use crate::cli::{Output, endpoints, event_types, output};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::duration_text::{canonical, parse};
use crate::event_type_table::Compiled as EventType;
use crate::kafka::errand::{RecordWriter, Tail};
use crate::record::json_text::{Node, minify, quote};
use crate::record::subscription::State;
use crate::record::{EventPatternShape, Subscription, SubscriptionKey, TaskHeaders, type_of_key};
use crate::router::data_schema::Mismatch;
use crate::router::routing::Destinations;
use crate::router::trial::{Tried, task};
use crate::subscription_table::Compiled;
use crate::topic::Topic;
use report::{Answer, Outcome, Report};

/// The longest data that is read, in bytes.
const LONGEST: usize = 4 << 20;
/// What topics take by default, in bytes; one that takes less says so itself.
const LARGEST_RECORD: usize = 1_048_588;
/// After that a dispatcher would not send it any more.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// The type where a subscription asks for all and there is no catalogue.
const ANY_TYPE: &str = "hooktide.test";
/// The data where nobody gives any.
const ANY_DATA: &str = r#"{"test":true}"#;
/// Characters of the event's id, behind `test_`.
const ID_LENGTH: usize = 22;
/// How long one look at the topics takes.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Its name among those of its tenant
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    /// Whose it is
    #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT, value_parser = tenant)]
    tenant: String,
    /// The sample's type
    #[arg(long = "type", value_name = "TYPE", value_parser = event_types::event_type)]
    event_type: Option<String>,
    /// File with the sample's `data` as JSON, or `-` for stdin
    #[arg(long, value_name = "FILE|-")]
    data: Option<PathBuf>,
    /// How long an answer is waited for, at most 5m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = timeout)]
    timeout: Duration,
}

fn timeout(text: &str) -> Result<Duration, String> {
    match parse(text) {
        Ok(wait) if wait <= LONGEST_WAIT => Ok(wait),
        Ok(_) => Err(format!("at most {}", canonical(LONGEST_WAIT))),
        Err(error) => Err(error.to_string()),
    }
}

/// What is sent.
struct Sample {
    event_type: String,
    id: String,
    /// The event's JSON.
    event: String,
}

impl Arguments {
    pub(super) fn run(self, config: &Config, format: Output) -> anyhow::Result<()> {
        let key = key(&self.tenant, &self.id)?;
        let record = newest(config, &key)?.ok_or_else(|| unknown(&key))?;
        let rules = config.subscription_rules();
        let is_invalid = || format!("subscription {key} is invalid: nothing is sent for it");
        let value = record.value.as_deref().map_err(Clone::clone);
        let value = value.with_context(is_invalid)?;
        let compiled = Compiled::parse(&key, value, &rules).with_context(is_invalid)?;
        let subscription = &compiled.subscription;
        check_open(config, &key, record.revision, subscription)?;

        let now = Timestamp::now();
        let sample = self.sample(config, &key, subscription, now)?;
        let tried = Tried {
            key: &key,
            value,
            revision: record.revision,
        };
        let to = Destinations::new(&config.topics, LARGEST_RECORD);
        let (made, headers) = task(tried, &sample.event, &sample.event_type, &rules, &to, now)
            .with_context(|| {
                let event_type = output::plain(&sample.event_type);
                format!("nothing is sent of this {event_type} to {key}")
            })?;

        let attempts = config.topics.name(Topic::Attempts);
        let dlq = config.topics.name(Topic::Dlq);
        let tail = Tail::begin(config, &[attempts.clone(), dlq])?;
        let writer = RecordWriter::connect(config, &config.topics.name(Topic::Deliveries))?;
        writer.write_whole(&made)?;
        let produced_at = Timestamp::now();
        let outcome = self.wait(&tail, &attempts, &headers)?;
        let report = Report {
            key: &key,
            revision: record.revision,
            event_id: &sample.id,
            event_type: &sample.event_type,
            subscription,
            headers: &headers,
            body: made.value.unwrap_or_default(),
            produced_at,
            outcome: &outcome,
        };
        match format {
            Output::Json => output::json(&report.json())?,
            Output::Text => output::data(&report.text())?,
        }
        match &outcome {
            Outcome::Answered(answer) if answer.outcome == "delivered" => Ok(()),
            Outcome::Answered(_) => Err(anyhow!("it is not delivered")),
            Outcome::GivenUp { reason, message } => Err(anyhow!(
                "it is given up without a request, as {reason}: {message}"
            )),
        }
    }

    /// Follows the topics until the task has come to its end.
    fn wait(&self, tail: &Tail, attempts: &str, headers: &TaskHeaders) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        while began.elapsed() < self.timeout {
            let Some(record) = tail.next(GLANCE) else {
                continue;
            };
            if &*record.at.topic == attempts {
                let value = record.value.unwrap_or_default();
                // Others' are read over, those of newer versions too.
                let answer = serde_json::from_slice::<Answer>(&value).ok();
                let is_ours = |answer: &Answer| answer.delivery_id == headers.delivery_id.as_str();
                if let Some(answer) = answer.filter(is_ours) {
                    return Ok(Outcome::Answered(answer));
                }
                continue;
            }
            let task = TaskHeaders::decode(&record.headers).ok();
            let is_ours = |task: &TaskHeaders| task.delivery_id == headers.delivery_id;
            // Of one that was sent, the attempt says more.
            if task.is_some_and(|task| is_ours(&task) && task.attempt == 0) {
                let text = |name| {
                    let text = record.headers.get(name).unwrap_or_default();
                    String::from_utf8_lossy(text).into_owned()
                };
                return Ok(Outcome::GivenUp {
                    reason: text("hooktide-reason"),
                    message: text("hooktide-last-error"),
                });
            }
        }
        bail!(
            "no dispatcher has sent it within {}: is one running with these settings (`hooktide run`), \
             and is the endpoint not held back (`hooktide endpoints list`)? It is not sent later than \
             5 minutes after it was made",
            canonical(self.timeout)
        )
    }

    fn sample(
        &self,
        config: &Config,
        key: &SubscriptionKey,
        subscription: &Subscription,
        now: Timestamp,
    ) -> anyhow::Result<Sample> {
        let catalogue = event_types::usable(config)?;
        let event_type = match &self.event_type {
            Some(event_type) => event_type.clone(),
            None => type_for(subscription, catalogue.keys().map(String::as_str))
                .with_context(|| format!("cannot tell which type to send to {key}"))?,
        };
        let known = catalogue.get(&event_type);
        let data = match &self.data {
            Some(file) => {
                let bytes = Input::open(file)?.whole(LONGEST)?;
                let node = Node::parse(&bytes).context("the data is not JSON")?;
                if let Some(known) = known {
                    warn_of(known, node);
                }
                minify(node.text())
            }
            None => example(known).map_or_else(|| ANY_DATA.to_owned(), minify),
        };
        let id = Alphanumeric.sample_string(&mut rand::rng(), ID_LENGTH);
        let id = format!("test_{id}");
        let event = format!(
            r#"{{"id":{},"type":{},"tenant":{},"timestamp":{},"data":{data}}}"#,
            quote(&id),
            quote(&event_type),
            quote(key.tenant()),
            quote(&now.to_string()),
        );
        Ok(Sample {
            event_type,
            id,
            event,
        })
    }
}

fn example(known: Option<&EventType>) -> Option<&str> {
    let example: &RawValue = known?.written.example.as_deref()?;
    Some(example.get())
}

/// Data of somebody's own is sent as it is.
fn warn_of(known: &EventType, data: Node<'_>) {
    match known.check(data) {
        Ok(()) => {}
        Err(Mismatch::Violation { message }) => output::talk(&format!(
            "note: the data is not as the catalogue says: {}",
            output::plain(&message)
        )),
        Err(Mismatch::TooComplex) => {
            output::talk(
                "note: whether the data is as the catalogue says takes too much work to tell",
            );
        }
    }
}

/// The first type that a subscription names, or that is known and it asks for.
fn type_for<'a>(
    subscription: &Subscription,
    known: impl Iterator<Item = &'a str>,
) -> anyhow::Result<String> {
    let events = subscription.events();
    let exact = events.iter().find_map(|pattern| match pattern.shape() {
        EventPatternShape::Exact(exact) => Some(exact),
        EventPatternShape::All | EventPatternShape::Under(_) => None,
    });
    let mut known = known;
    let is_asked_for = |event_type: &&str| events.iter().any(|asked| asked.matches(event_type));
    let any = events.iter().find_map(|pattern| match pattern.shape() {
        EventPatternShape::All => Some(ANY_TYPE),
        EventPatternShape::Exact(_) | EventPatternShape::Under(_) => None,
    });
    let found = exact.or_else(|| known.find(is_asked_for)).or(any);
    let found = found.filter(|found| type_of_key(found.as_bytes()).is_ok());
    found.map(str::to_owned).ok_or_else(|| {
        let asked: Vec<_> = events
            .iter()
            .map(|pattern| output::plain(pattern.as_str()))
            .collect();
        anyhow!(
            "its `events` are {}, of which the catalogue has none: give --type",
            asked.join(", ")
        )
    })
}

/// What would keep the task from being sent now.
fn check_open(
    config: &Config,
    key: &SubscriptionKey,
    revision: i64,
    subscription: &Subscription,
) -> anyhow::Result<()> {
    match subscription.state() {
        State::Active => {}
        State::Paused => bail!("subscription {key} is paused: nothing is sent for it now"),
        State::Disabled => bail!("subscription {key} is disabled: nothing is sent for it"),
    }
    let table = endpoints::table(config)?;
    if let Some(disabled) = table.disabled(key, revision) {
        bail!(
            "the endpoint of {key} is disabled since {}: `hooktide endpoints enable`, or a newer record, \
             enables it",
            disabled.at
        );
    }
    let host = subscription.url().expose().host_str().unwrap_or_default();
    if table.is_braked(key, host) {
        bail!("an operator has paused the endpoint of {key}: `hooktide endpoints list` says how");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::subscription::Rules;

    #[test]
    fn the_type_is_one_that_the_subscription_asks_for() {
        fn check(events: &str, known: &[&str], expected: Option<&str>) {
            let value = format!(r#"{{"url":"https://e.com/","signatures":[],"events":{events}}}"#);
            let key = "acme/shop".parse().unwrap();
            let compiled = Compiled::parse(&key, value.as_bytes(), &Rules::default()).unwrap();
            let found = type_for(&compiled.subscription, known.iter().copied());
            assert_eq!(found.ok().as_deref(), expected, "{events} {known:?}");
        }
        check(
            r#"["order.*","user.made"]"#,
            &["order.paid"],
            Some("user.made"),
        );
        check(r#"["order.*"]"#, &["a.b", "order.paid"], Some("order.paid"));
        check(r#"["order.*"]"#, &["a.b"], None);
        check(r#"["*"]"#, &["a.b"], Some("a.b"));
        check(r#"["*"]"#, &[], Some(ANY_TYPE));
    }
}
