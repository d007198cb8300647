//! A delivery task: a Kafka record whose value is the body to send and whose headers say the rest.
//! Moving a task rewrites headers only.

use std::str;

use crate::clock::Timestamp;
use crate::record::event::{is_event_id, is_event_type};
use crate::record::{Coordinates, DeliveryId, Headers, Parked};

const DELIVERY_ID: &str = "hooktide-delivery-id";
const EVENT_ID: &str = "hooktide-event-id";
const EVENT_TYPE: &str = "hooktide-event-type";
const ATTEMPT: &str = "hooktide-attempt";
const CHARGED: &str = "hooktide-charged";
const PARKS: &str = "hooktide-parks";
const PARKED: &str = "hooktide-parked";
const FIRST_SEEN: &str = "hooktide-first-seen";
const NOT_BEFORE: &str = "hooktide-not-before";
const SOURCE: &str = "hooktide-source";
const REVISION: &str = "hooktide-subscription-revision";
const CONTENT_TYPE: &str = "hooktide-content-type";
const METHOD: &str = "hooktide-method";
const TARGET: &str = "hooktide-target";
const TEST: &str = "hooktide-test";
const VERSION: &str = "hooktide-version";

const KNOWN: [&str; 16] = [
    DELIVERY_ID,
    EVENT_ID,
    EVENT_TYPE,
    ATTEMPT,
    CHARGED,
    PARKS,
    PARKED,
    FIRST_SEEN,
    NOT_BEFORE,
    SOURCE,
    REVISION,
    CONTENT_TYPE,
    METHOD,
    TARGET,
    TEST,
    VERSION,
];

/// The version of the headers that we write, and the newest that we read. It is not said: a task without
/// one is of this version. Headers that are added do not change it, for they pass through older readers;
/// one that changes what is there would, one minor version after readers have learnt it.
const THIS_VERSION: u32 = 1;

/// Room for what is the same in most tasks: names, numbers and the delivery's id, in bytes.
const TYPICAL_BYTES: usize = 400;

/// An id that stands for an event without one holds a topic's name (249 bytes at most) and two
/// numbers, which is less; so one bound serves both.
const LONGEST_TEXT: usize = 2_048;

/// The headers of a task. The record's key is the subscription's (`tenant/id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskHeaders {
    /// The same on every copy of the task and every request for it.
    pub delivery_id: DeliveryId,
    /// The event's id; `topic/partition/offset` when it has none.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// How many requests have been made.
    pub attempt: u32,
    /// How many of them the retry policy charged; only written where it differs from `attempt`.
    pub charged: u32,
    /// How often the task was put off without a request.
    pub parks: u32,
    /// Why it was put off, if it was not sent since; a reason of a newer version is not kept.
    pub parked: Option<Parked>,
    /// When the event's record was written, as far as that is not ahead of the router's clock. What
    /// `max_age` counts from.
    pub first_seen: Timestamp,
    /// No request before this time.
    pub not_before: Option<Timestamp>,
    /// Where the event stands.
    pub source: Coordinates,
    /// Offset of the subscription's record that the task was made from.
    pub revision: i64,
    /// The body's content type, where it is not `application/json`.
    pub content_type: Option<String>,
    /// The request's method, where it is not `POST`.
    pub method: Option<String>,
    /// Where the request goes, where that is not the subscription's own URL.
    pub target: Option<String>,
    /// Whether somebody tries the subscription out: it is sent once or not at all, soon or never, and says
    /// nothing against its endpoint.
    pub is_test: bool,
    /// All other headers in their order: `traceparent`, and those that are not ours.
    pub passthrough: Headers,
}

/// Why headers are not those of a task.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the header `{name}` {rule}")]
pub struct TaskError {
    /// The header.
    pub name: &'static str,
    /// What it breaks.
    pub rule: TaskRule,
}

/// What the headers of a task must keep to.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaskRule {
    /// Every task has it.
    #[error("is missing")]
    Missing,
    /// Two readers could take different ones.
    #[error("is given twice")]
    Repeated,
    /// Kafka allows null; we write none.
    #[error("is null")]
    Null,
    /// All headers are UTF-8 text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Counts, offsets and times are plain decimals, as we write them.
    #[error("is not a decimal number in its range")]
    NotANumber,
    /// See [`DeliveryId`].
    #[error("is not a delivery id")]
    NotADeliveryId,
    /// See [`Coordinates`].
    #[error("is not of the form topic/partition/offset")]
    NotCoordinates,
    /// What we know of its headers may not hold.
    #[error("is not {THIS_VERSION}: it was written by a newer hooktide")]
    NewerVersion,
    /// Empty, too long or with control characters.
    #[error("is empty, too long or holds control characters")]
    NotPlainText,
}

impl TaskHeaders {
    /// Reads the headers of a task's record.
    pub fn decode(headers: &Headers) -> Result<Self, TaskError> {
        let (reader, passthrough) = Reader::of(headers);
        reader.of_this_version()?;
        let attempt = reader.count(ATTEMPT)?.ok_or(missing(ATTEMPT))?;
        Ok(Self {
            delivery_id: reader.required(DELIVERY_ID, TaskRule::NotADeliveryId, parsed)?,
            event_id: reader.required(EVENT_ID, TaskRule::NotPlainText, |text| {
                is_event_id(text).then(|| text.to_owned())
            })?,
            event_type: reader.required(EVENT_TYPE, TaskRule::NotPlainText, |text| {
                is_event_type(text).then(|| text.to_owned())
            })?,
            attempt,
            charged: reader.count(CHARGED)?.unwrap_or(attempt),
            parks: reader.count(PARKS)?.ok_or(missing(PARKS))?,
            parked: reader.plain_text(PARKED)?.and_then(|text| parsed(&text)),
            first_seen: reader.time(FIRST_SEEN)?.ok_or(missing(FIRST_SEEN))?,
            not_before: reader.time(NOT_BEFORE)?,
            source: reader.required(SOURCE, TaskRule::NotCoordinates, parsed)?,
            revision: reader.required(REVISION, TaskRule::NotANumber, |text| {
                decimal(text).filter(|offset: &i64| *offset >= 0)
            })?,
            content_type: reader.plain_text(CONTENT_TYPE)?,
            method: reader.plain_text(METHOD)?,
            target: reader.plain_text(TARGET)?,
            is_test: reader.plain_text(TEST)?.is_some(),
            passthrough,
        })
    }

    /// The headers to write: ours, then those that pass through. What passes through under one of
    /// our names is left out, so that a header never says two things.
    pub fn encode(&self) -> Headers {
        let room = TYPICAL_BYTES + self.event_id.len() + self.event_type.len();
        let mut headers = Headers::with_capacity(
            KNOWN.len() + self.passthrough.len(),
            room + self.passthrough.size(),
        );
        headers.push_shown(DELIVERY_ID, self.delivery_id.as_str());
        headers.push_shown(EVENT_ID, &self.event_id);
        headers.push_shown(EVENT_TYPE, &self.event_type);
        headers.push_shown(ATTEMPT, self.attempt);
        if self.charged != self.attempt {
            headers.push_shown(CHARGED, self.charged);
        }
        headers.push_shown(PARKS, self.parks);
        if let Some(reason) = self.parked {
            headers.push_shown(PARKED, reason.as_str());
        }
        headers.push_shown(FIRST_SEEN, self.first_seen.as_millis());
        if let Some(time) = self.not_before {
            headers.push_shown(NOT_BEFORE, time.as_millis());
        }
        headers.push_shown(SOURCE, &self.source);
        headers.push_shown(REVISION, self.revision);
        for (name, value) in [
            (CONTENT_TYPE, &self.content_type),
            (METHOD, &self.method),
            (TARGET, &self.target),
        ] {
            if let Some(text) = value {
                headers.push_shown(name, text);
            }
        }
        if self.is_test {
            headers.push_shown(TEST, "1");
        }
        for (name, value) in self.passthrough.iter().filter(|(name, _)| !is_known(name)) {
            headers.push(name, value);
        }
        headers
    }
}

/// Whether the headers with these names are those of a trial's task.
pub fn is_trial<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| name == TEST)
}

/// Which of [`KNOWN`] a name is.
fn known(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("hooktide-")?;
    KNOWN
        .iter()
        .position(|known| known[name.len() - rest.len()..] == *rest)
}

fn is_known(name: &str) -> bool {
    known(name).is_some()
}

const fn missing(name: &'static str) -> TaskError {
    let rule = TaskRule::Missing;
    TaskError { name, rule }
}

fn parsed<T: str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A number written the one way that we write it: no plus sign, no leading zeros.
fn decimal<T: str::FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_as_written = text == "0" || digits.starts_with(|digit| matches!(digit, '1'..='9'));
    is_as_written.then(|| parsed(text)).flatten()
}

/// Our headers, by their places in [`KNOWN`].
struct Reader<'a>([Found<'a>; KNOWN.len()]);

#[derive(Clone, Copy)]
enum Found<'a> {
    Nothing,
    Once(Option<&'a [u8]>),
    Twice,
}

impl<'a> Reader<'a> {
    /// And those that are not ours.
    fn of(headers: &'a Headers) -> (Self, Headers) {
        let mut ours = [Found::Nothing; KNOWN.len()];
        let mut others = Headers::new();
        for (name, value) in headers.iter() {
            match known(name) {
                Some(place) => {
                    ours[place] = match ours[place] {
                        Found::Nothing => Found::Once(value),
                        Found::Once(_) | Found::Twice => Found::Twice,
                    }
                }
                None => others.push(name, value),
            }
        }
        (Self(ours), others)
    }

    fn of_this_version(&self) -> Result<(), TaskError> {
        match self.count(VERSION)? {
            None | Some(THIS_VERSION) => Ok(()),
            Some(_) => Err(TaskError {
                name: VERSION,
                rule: TaskRule::NewerVersion,
            }),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, TaskError> {
        let error = |rule| TaskError { name, rule };
        let found = known(name).map_or(Found::Nothing, |place| self.0[place]);
        match found {
            Found::Nothing => Ok(None),
            Found::Twice => Err(error(TaskRule::Repeated)),
            Found::Once(None) => Err(error(TaskRule::Null)),
            Found::Once(Some(bytes)) => str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| error(TaskRule::NotUtf8)),
        }
    }

    fn optional<T>(
        &self,
        name: &'static str,
        rule: TaskRule,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, TaskError> {
        self.text(name)?
            .map(|text| read(text).ok_or(TaskError { name, rule }))
            .transpose()
    }

    fn required<T>(
        &self,
        name: &'static str,
        rule: TaskRule,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, TaskError> {
        self.optional(name, rule, read)?.ok_or(missing(name))
    }

    fn count(&self, name: &'static str) -> Result<Option<u32>, TaskError> {
        self.optional(name, TaskRule::NotANumber, decimal)
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, TaskError> {
        let read = |text: &str| decimal(text).map(Timestamp::from_millis);
        self.optional(name, TaskRule::NotANumber, read)
    }

    fn plain_text(&self, name: &'static str) -> Result<Option<String>, TaskError> {
        self.optional(name, TaskRule::NotPlainText, |text| {
            let plain = !text.is_empty()
                && text.len() <= LONGEST_TEXT
                && !text.chars().any(char::is_control);
            plain.then(|| text.to_owned())
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
