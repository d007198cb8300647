//! What becomes of an event before it is sent: `where`, `mapping`, `body`, `method` and `content_type`,
//! as written. The router compiles them.

use http::{HeaderValue, Method};

use super::error::{Rule, SubscriptionError};
use super::field::{Field, Fields};

const LONGEST_EXPRESSION: usize = 4_096;
const LONGEST_TEMPLATE: usize = 32 * 1_024;
const LONGEST_CONTENT_TYPE: usize = 256;
const LONGEST_PATH: usize = 512;
const MOST_MEMBERS: usize = 256;

/// What few subscriptions say; kept apart, so that the others take no room for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// `where`: an expression that must hold.
    pub condition: Option<String>,
    /// Pairs of a path in the body and one in the event.
    pub mapping: Option<Vec<(String, String)>>,
    /// What is sent, where that is not the usual.
    pub body: Option<Body>,
    /// Where that is not `POST`.
    pub method: Option<Method>,
    /// Where that is not what the body has by itself; visible ASCII.
    pub content_type: Option<String>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A body that has a name.
    Preset(BodyPreset),
    /// The text of a template.
    Template(String),
}

/// A body that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyPreset {
    /// That of Standard Webhooks.
    Standard,
    /// A CloudEvent in structured JSON.
    CloudEvents,
    /// The bytes of the event's record.
    Raw,
    /// The event's `data`, bare.
    Data,
    /// With `created`, and the subscription's id in `webhook`.
    Envelope,
    /// With the type as `event`.
    Event,
    /// With the type as `event` and the subscription's id as `hookId`.
    Hook,
}

impl BodyPreset {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::CloudEvents,
        Self::Raw,
        Self::Data,
        Self::Envelope,
        Self::Event,
        Self::Hook,
    ];

    /// As subscriptions have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::CloudEvents => "cloudevents",
            Self::Raw => "raw",
            Self::Data => "data",
            Self::Envelope => "envelope",
            Self::Event => "event",
            Self::Hook => "hook",
        }
    }
}

/// What a subscription says of it; `None` when nothing.
pub(super) fn parse(fields: &Fields) -> Result<Option<Box<Shaping>>, SubscriptionError> {
    let shaping = Shaping {
        condition: fields
            .get("where")
            .map(|field| nonempty(field, LONGEST_EXPRESSION))
            .transpose()?,
        mapping: fields.get("mapping").map(mapping).transpose()?,
        body: fields.get("body").map(body).transpose()?,
        method: fields.get("method").map(method).transpose()?,
        content_type: fields.get("content_type").map(content_type).transpose()?,
    };
    check_together(fields, &shaping)?;
    Ok((shaping != Shaping::default()).then(|| Box::new(shaping)))
}

/// Not all of them make sense together.
fn check_together(fields: &Fields, shaping: &Shaping) -> Result<(), SubscriptionError> {
    let refuse_beside = |name: &str, other: &'static str| match fields.get(name) {
        Some(field) => Err(field.refuse(Rule::Beside(other))),
        None => Ok(()),
    };
    if shaping.mapping.is_some() {
        refuse_beside("body", "mapping")?;
        refuse_beside("fields", "mapping")?;
    }
    match &shaping.body {
        Some(Body::Template(_)) => refuse_beside("fields", "a template"),
        Some(Body::Preset(BodyPreset::Raw)) => refuse_beside("fields", "`raw`"),
        Some(Body::Preset(BodyPreset::CloudEvents)) => {
            refuse_beside("content_type", "`cloudevents`, which has its own")
        }
        Some(Body::Preset(_)) | None => Ok(()),
    }
}

fn nonempty(field: &Field, most: usize) -> Result<String, SubscriptionError> {
    let text = field.short_string(most)?;
    if text.trim().is_empty() {
        return Err(field.refuse(Rule::Empty));
    }
    Ok(text)
}

fn mapping(field: &Field) -> Result<Vec<(String, String)>, SubscriptionError> {
    let members = field.object()?;
    if members.len() > MOST_MEMBERS {
        return Err(field.refuse(Rule::TooMany { most: MOST_MEMBERS }));
    }
    if members.len() == 0 {
        return Err(field.refuse(Rule::Empty));
    }
    let pair =
        |(target, source): (&str, &Field)| Ok((target.to_owned(), nonempty(source, LONGEST_PATH)?));
    members.iter().map(pair).collect()
}

fn body(field: &Field) -> Result<Body, SubscriptionError> {
    if field.is_string() {
        let name = field.string()?;
        return BodyPreset::ALL
            .into_iter()
            .find(|preset| preset.as_str() == name)
            .map(Body::Preset)
            .ok_or_else(|| field.refuse(Rule::Body));
    }
    let members = field.object()?;
    members.only(&["template"])?;
    nonempty(members.require("template")?, LONGEST_TEMPLATE).map(Body::Template)
}

fn method(field: &Field) -> Result<Method, SubscriptionError> {
    match field.string()?.as_str() {
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(field.refuse(Rule::Method)),
    }
}

fn content_type(field: &Field) -> Result<String, SubscriptionError> {
    let text = nonempty(field, LONGEST_CONTENT_TYPE)?;
    let is_media_type = text.split_once('/').is_some_and(|(kind, rest)| {
        !kind.is_empty() && !rest.is_empty() && !kind.contains([' ', ';'])
    });
    let is_visible = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !is_media_type || !is_visible || HeaderValue::from_str(&text).is_err() {
        return Err(field.refuse(Rule::ContentType));
    }
    Ok(text)
}
