//! A subscription: who wants which events, where, and how. The value of a record on the
//! `subscriptions` topic; the contract describes every member.

mod answers;
mod error;
mod extra_headers;
mod field;
mod retry_policy;
mod shaping;
mod signature_scheme;
mod signing;
mod target_url;
mod url_template;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderMap;
use serde_json::value::RawValue;

pub use answers::{Answers, Meaning};
pub use error::{Rule, SubscriptionError};
pub use extra_headers::HeaderError;
pub use shaping::{Body, BodyPreset, Shaping};
pub use signature_scheme::{
    Algorithm, Encoding, Piece, Scheme, SchemeError, SignatureScheme, TimestampUnit,
};
pub use signing::{SecretSource, SigningSecret};
pub use target_url::{RedactedUrl, TargetUrl, UrlError};
pub use url_template::{TargetError, UrlTemplate, UrlTemplateError};

use crate::record::{EventPattern, SubscriptionKey};
use crate::retry::Policy;
use field::{Field, Fields};

const VERSION: u32 = 1;
const MEMBERS: [&str; 25] = [
    "version",
    "id",
    "tenant",
    "url",
    "events",
    "state",
    "secrets",
    "signatures",
    "headers",
    "timeout",
    "retry",
    "max_age",
    "answers",
    "max_concurrency",
    "adaptive_concurrency",
    "rate_limit",
    "filters",
    "where",
    "fields",
    "mapping",
    "body",
    "method",
    "content_type",
    "description",
    "labels",
];

const MOST_PATTERNS: usize = 1_000;
const MOST_FILTERS: usize = 256;
const MOST_FIELDS: usize = 256;
const LONGEST_FIELD: usize = 512;
const DEFAULT_CONCURRENCY: u32 = 64;
const MOST_CONCURRENCY: u32 = 10_000;
const MOST_REQUESTS: u32 = 1_000_000;
/// The greatest `max_age`, here and in the configuration: beyond a year it bounds nothing.
pub const LONGEST_AGE: Duration = Duration::from_hours(366 * 24);
const LONGEST_RATE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_DESCRIPTION: usize = 4_096;
const MOST_LABELS: usize = 64;
const LONGEST_LABEL: usize = 256;

/// A valid subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    url: TargetUrl,
    events: Box<[EventPattern]>,
    state: State,
    secrets: Box<[SigningSecret]>,
    /// None for the usual one.
    signatures: Option<Box<[SignatureScheme]>>,
    timeout: Duration,
    max_concurrency: u32,
    adaptive_concurrency: Option<bool>,
    shaping: Option<Box<Shaping>>,
    /// None for the most: of a million subscriptions each member costs megabytes.
    extras: Option<Box<Extras>>,
}

/// What few subscriptions say.
#[derive(Clone, Debug, Default)]
struct Extras {
    headers: HeaderMap,
    retry: Option<Policy>,
    max_age: Option<Duration>,
    answers: Answers,
    rate_limit: Option<RateLimit>,
    filters: Option<Box<RawValue>>,
    fields: Option<Vec<String>>,
    description: Option<String>,
    labels: BTreeMap<String, String>,
}

/// How most are signed.
static STANDARD: LazyLock<[SignatureScheme; 1]> = LazyLock::new(|| [SignatureScheme::standard()]);

/// What the others say.
static NO_EXTRAS: LazyLock<Extras> = LazyLock::new(Extras::default);

/// What the operator allows subscriptions to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For a request, where the subscription does not say.
    pub default_timeout: Duration,
    /// The most that a subscription may ask for.
    pub max_timeout: Duration,
    /// Names and values of its headers together.
    pub max_header_bytes: usize,
    /// The work that its template may do for one event: steps, and 64 bytes of what it makes or looks at, each count 1.
    pub template_fuel: u64,
}

impl Default for Rules {
    /// The defaults of the configuration.
    fn default() -> Self {
        Self {
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(120),
            max_header_bytes: 8 * 1_024,
            template_fuel: 200_000,
        }
    }
}

/// What becomes of a subscription's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Tasks are made and sent.
    #[default]
    Active,
    /// Tasks are made and parked.
    Paused,
    /// No tasks are made, pending ones are dead-lettered.
    Disabled,
}

/// So many requests in so much time, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    requests: u32,
    per: Duration,
}

impl RateLimit {
    /// How many requests, at least 1.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// In how much time, more than 0.
    pub fn per(&self) -> Duration {
        self.per
    }
}

impl Subscription {
    /// All that it can have, in the order of the documentation.
    pub const MEMBERS: &[&str] = &MEMBERS;

    /// Reads the value of the record of this key.
    pub fn parse(
        key: &SubscriptionKey,
        value: &[u8],
        rules: &Rules,
    ) -> Result<Self, SubscriptionError> {
        let fields = Fields::of_record(value)?;
        // First, because a newer version explains the fields that are not known.
        if let Some(version) = fields.get("version") {
            check_version(version)?;
        }
        fields.only(&MEMBERS)?;
        must_equal(&fields, "id", key.id())?;
        must_equal(&fields, "tenant", key.tenant())?;

        let url = fields.require("url")?;
        let url = TargetUrl::parse(&url.string()?).map_err(|error| url.refuse(error))?;
        let events = events(fields.require("events")?)?;
        let state = fields.get("state").map_or(Ok(State::Active), state)?;
        let headers = headers(&fields, &url, rules)?;
        let signatures = signing::signatures(&fields, &url, &headers)?;
        let secrets = signing::secrets(&fields, &signatures)?;
        let extras = Extras::parse(&fields, headers)?;
        Ok(Self {
            timeout: match fields.get("timeout") {
                Some(field) => field.span(rules.max_timeout)?,
                None => rules.default_timeout,
            },
            max_concurrency: match fields.get("max_concurrency") {
                Some(field) => field.number_in(1, MOST_CONCURRENCY)?,
                None => DEFAULT_CONCURRENCY,
            },
            adaptive_concurrency: fields
                .get("adaptive_concurrency")
                .map(Field::switch)
                .transpose()?,
            shaping: shaping::parse(&fields)?,
            extras,
            url,
            events,
            state,
            secrets: secrets.into(),
            signatures: (*signatures != *STANDARD).then(|| signatures.into()),
        })
    }

    fn extras(&self) -> &Extras {
        self.extras.as_deref().unwrap_or(&NO_EXTRAS)
    }

    /// The signatures that a subscription's text asks for, whatever else is wrong with it: so that one
    /// that lacks secrets can be given those that it needs.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn signatures_of(value: &[u8]) -> Result<Vec<SignatureScheme>, SubscriptionError> {
        signing::schemes(&Fields::of_record(value)?)
    }

    /// Where its requests go.
    pub fn url(&self) -> &TargetUrl {
        &self.url
    }

    /// Which events it wants: any of these.
    pub fn events(&self) -> &[EventPattern] {
        &self.events
    }

    /// What becomes of them.
    pub fn state(&self) -> State {
        self.state
    }

    /// What its requests are signed with, each by the schemes that can use it. Empty only when there is
    /// no scheme.
    pub fn secrets(&self) -> &[SigningSecret] {
        &self.secrets
    }

    /// How its requests are signed; empty for not at all.
    pub fn signatures(&self) -> &[SignatureScheme] {
        self.signatures.as_deref().unwrap_or(&*STANDARD)
    }

    /// Headers added to its requests, none of them reserved.
    pub fn headers(&self) -> &HeaderMap {
        &self.extras().headers
    }

    /// For one request, from the look-up of the host's name to the last byte of the answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When to try again; `None` for the configuration's schedule.
    pub fn retry(&self) -> Option<&Policy> {
        self.extras().retry.as_ref()
    }

    /// How old an event may be and still be sent; `None` where it does not say.
    pub fn max_age(&self) -> Option<Duration> {
        self.extras().max_age
    }

    /// What its endpoint means by its statuses, where that is not the usual.
    pub fn answers(&self) -> &Answers {
        &self.extras().answers
    }

    /// How many of its requests may be open at once, from 1.
    pub fn max_concurrency(&self) -> u32 {
        self.max_concurrency
    }

    /// Whether it is to be found out how many of them its endpoint bears; `None` where it does not say.
    pub fn adaptive_concurrency(&self) -> Option<bool> {
        self.adaptive_concurrency
    }

    /// How many requests may be started in a span of time.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.extras().rate_limit
    }

    /// The list of what an event must fulfil, as source text; `None` when every event does.
    pub fn filters(&self) -> Option<&RawValue> {
        self.extras().filters.as_deref()
    }

    /// The paths of the event that are sent; `None` for all.
    pub fn fields(&self) -> Option<&[String]> {
        self.extras().fields.as_deref()
    }

    /// `where`, `mapping`, `body`, `method` and `content_type`; `None` when it has none of them.
    pub fn shaping(&self) -> Option<&Shaping> {
        self.shaping.as_deref()
    }

    /// For people.
    pub fn description(&self) -> Option<&str> {
        self.extras().description.as_deref()
    }

    /// For people and tools; never sent.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.extras().labels
    }
}

impl Extras {
    const MEMBERS: [&str; 9] = [
        "headers",
        "retry",
        "max_age",
        "answers",
        "rate_limit",
        "filters",
        "fields",
        "description",
        "labels",
    ];

    /// Reads all but `headers`. None: it has none of them.
    fn parse(fields: &Fields, headers: HeaderMap) -> Result<Option<Box<Self>>, SubscriptionError> {
        if Self::MEMBERS.iter().all(|name| fields.get(name).is_none()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Self {
            headers,
            retry: fields.get("retry").map(retry_policy::parse).transpose()?,
            max_age: fields
                .get("max_age")
                .map(|field| field.span(LONGEST_AGE))
                .transpose()?,
            answers: fields
                .get("answers")
                .map_or(Ok(Answers::default()), Answers::parse)?,
            rate_limit: fields.get("rate_limit").map(rate_limit).transpose()?,
            filters: fields.get("filters").map(filters).transpose()?,
            fields: fields.get("fields").map(kept_fields).transpose()?,
            description: fields
                .get("description")
                .map(|field| field.short_string(LONGEST_DESCRIPTION))
                .transpose()?,
            labels: fields.get("labels").map_or(Ok(BTreeMap::new()), labels)?,
        })))
    }
}

fn check_version(field: &Field) -> Result<(), SubscriptionError> {
    match field.whole_number()? {
        0 => Err(field.refuse(Rule::Range {
            least: VERSION,
            most: VERSION,
        })),
        VERSION => Ok(()),
        _newer => Err(field.refuse(Rule::NewerVersion { known: VERSION })),
    }
}

fn must_equal(fields: &Fields, name: &str, expected: &str) -> Result<(), SubscriptionError> {
    match fields.get(name) {
        Some(field) if field.string()? != expected => Err(field.refuse(Rule::DiffersFromKey)),
        Some(_) | None => Ok(()),
    }
}

fn events(field: &Field) -> Result<Box<[EventPattern]>, SubscriptionError> {
    let entries = field.list(MOST_PATTERNS)?;
    if entries.is_empty() {
        return Err(field.refuse(Rule::Empty));
    }
    let pattern = |entry: &Field| {
        let parsed = entry.string()?.parse::<EventPattern>();
        parsed.map_err(|error| entry.refuse(error))
    };
    entries.iter().map(pattern).collect()
}

fn state(field: &Field) -> Result<State, SubscriptionError> {
    match field.string()?.as_str() {
        "active" => Ok(State::Active),
        "paused" => Ok(State::Paused),
        "disabled" => Ok(State::Disabled),
        _ => Err(field.refuse(Rule::State)),
    }
}

fn headers(
    fields: &Fields,
    url: &TargetUrl,
    rules: &Rules,
) -> Result<HeaderMap, SubscriptionError> {
    let Some(field) = fields.get("headers") else {
        return Ok(HeaderMap::new());
    };
    let headers = extra_headers::parse(field, rules.max_header_bytes)?;
    if url.has_credentials() && headers.contains_key(http::header::AUTHORIZATION) {
        return Err(field.refuse(HeaderError::AuthorizationTwice));
    }
    Ok(headers)
}

fn rate_limit(field: &Field) -> Result<RateLimit, SubscriptionError> {
    let fields = field.object()?;
    fields.only(&["requests", "per"])?;
    Ok(RateLimit {
        requests: fields.require("requests")?.number_in(1, MOST_REQUESTS)?,
        per: fields.require("per")?.span(LONGEST_RATE_PERIOD)?,
    })
}

fn filters(field: &Field) -> Result<Box<RawValue>, SubscriptionError> {
    field.list(MOST_FILTERS)?;
    Ok(field.raw().to_owned())
}

fn kept_fields(field: &Field) -> Result<Vec<String>, SubscriptionError> {
    let path = |entry: &Field| {
        let path = entry.short_string(LONGEST_FIELD)?;
        if path.is_empty() {
            return Err(entry.refuse(Rule::Empty));
        }
        Ok(path)
    };
    field.list(MOST_FIELDS)?.iter().map(path).collect()
}

fn labels(field: &Field) -> Result<BTreeMap<String, String>, SubscriptionError> {
    let fields = field.object()?;
    if fields.len() > MOST_LABELS {
        return Err(field.refuse(Rule::TooMany { most: MOST_LABELS }));
    }
    let label = |(name, entry): (&str, &Field)| {
        if name.len() > LONGEST_LABEL {
            return Err(entry.refuse(Rule::TooLong {
                most: LONGEST_LABEL,
            }));
        }
        Ok((name.to_owned(), entry.short_string(LONGEST_LABEL)?))
    };
    fields.iter().map(label).collect()
}

#[cfg(test)]
mod tests;
