//! What is sent of an event: its body, and of the request what follows from the event.
//!
//! Everything is compiled once, with the subscription. Rendering depends on nothing but the event and, where
//! the body names it, the subscription: it comes out the same whenever it is done.

mod fields;
mod mapping;
mod preset;
mod standard;
mod template;

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;
use http::Method;

pub use fields::{Fields, FieldsError};
pub use mapping::{Mapping, MappingError};
pub use template::{EventValues, Template, TemplateError};

use crate::record::json_text::{Document, Kind, Path};
use crate::record::subscription::{Body as Written, BodyPreset, Rules, Subscription, TargetError};
use crate::record::{DeliveryId, SubscriptionKey};
use crate::router::programs::Programs;

const JSON: &str = "application/json";
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// An event, as bodies are made of it.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Its members.
    pub document: &'a Document<'a>,
    /// What happened.
    pub event_type: &'a str,
    /// Whose it is.
    pub tenant: &'a str,
    /// Its id, or else `topic/partition/offset`; plain text, not JSON.
    pub id: &'a str,
    /// When it happened, or else the record's time; RFC 3339.
    pub timestamp: &'a str,
    /// Where it comes from: what a CloudEvent says, or else its topic.
    pub source: &'a str,
    /// The value of its record.
    pub raw: &'a Bytes,
    /// The record's own content type.
    pub raw_content_type: Option<&'a str>,
    /// Itself, as templates see it: made for the first of them.
    pub values: OnceCell<EventValues>,
}

/// Who a body is for.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Whose it is.
    pub key: &'a SubscriptionKey,
    /// As written.
    pub subscription: &'a Subscription,
    /// Of the delivery.
    pub delivery_id: &'a DeliveryId,
}

/// How a subscription wants its events, where that is not the usual.
#[derive(Clone, Debug)]
pub struct Shape {
    rendering: Rendering,
    content_type: Option<Box<str>>,
    method: Option<Method>,
}

/// How a body is made. Equal ones make the same of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Rendering {
    Preset(BodyPreset, Option<Fields>),
    Mapping(Mapping),
    Template(Template),
}

/// Why a subscription's wishes cannot be compiled.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    /// Its `fields`.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// Its `mapping`.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// Its `body`.
    #[error("body.template: {0}")]
    Template(#[from] TemplateError),
}

/// Why nothing can be sent of an event to one subscription.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RenderError {
    /// The template failed.
    #[error("body.template: {0}")]
    Template(#[from] TemplateError),
    /// There is no URL.
    #[error("url: {0}")]
    Target(#[from] TargetError),
}

/// What makes bodies equal; for one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a>(Option<&'a Rendering>);

impl Shape {
    /// What the subscription asks for; `None` for the usual body in the usual request.
    ///
    /// # Errors
    /// Names the member, the place and the rule.
    pub fn compile(
        subscription: &Subscription,
        rules: &Rules,
        programs: &mut Programs,
    ) -> Result<Option<Box<Self>>, ShapeError> {
        let fields = subscription.fields().map(Fields::parse).transpose()?;
        let Some(shaping) = subscription.shaping() else {
            return Ok(fields.map(|fields| {
                Box::new(Self {
                    rendering: Rendering::Preset(BodyPreset::Standard, Some(fields)),
                    content_type: None,
                    method: None,
                })
            }));
        };
        let content_type = shaping.content_type.as_deref();
        let rendering = match (&shaping.mapping, &shaping.body) {
            (Some(pairs), _) => Rendering::Mapping(Mapping::parse(pairs)?),
            (None, Some(Written::Template(text))) => Rendering::Template(programs.template(
                text,
                content_type.unwrap_or(JSON),
                rules.template_fuel,
            )?),
            (None, Some(Written::Preset(preset))) => Rendering::Preset(*preset, fields),
            (None, None) => Rendering::Preset(BodyPreset::Standard, fields),
        };
        Ok(Some(Box::new(Self {
            rendering,
            content_type: content_type.map(Into::into),
            method: shaping.method.clone(),
        })))
    }

    /// The request's method, where it is not `POST`.
    pub fn method(&self) -> Option<&Method> {
        self.method
            .as_ref()
            .filter(|method| **method != Method::POST)
    }

    /// The body's content type, where it is not `application/json`.
    pub fn content_type<'a>(&'a self, facts: &Facts<'a>) -> Option<&'a str> {
        let own = match &self.rendering {
            Rendering::Preset(BodyPreset::CloudEvents, _) => Some(CLOUD_EVENT),
            Rendering::Preset(BodyPreset::Raw, _) => facts.raw_content_type,
            Rendering::Preset(..) | Rendering::Mapping(_) | Rendering::Template(_) => None,
        };
        let said = self.content_type.as_deref().or(own);
        said.filter(|said| *said != JSON)
    }
}

/// What is equal for all bodies that are; `None` for one that is made for its subscription alone.
pub fn key(shape: Option<&Shape>) -> Option<Key<'_>> {
    let rendering = shape.map(|shape| &shape.rendering);
    match rendering {
        Some(Rendering::Preset(preset, _)) if preset::names_subscription(*preset) => None,
        Some(Rendering::Template(template)) if template.names_recipient() => None,
        Some(Rendering::Preset(BodyPreset::Standard, None)) | None => Some(Key(None)),
        Some(Rendering::Preset(..) | Rendering::Mapping(_) | Rendering::Template(_)) => {
            Some(Key(rendering))
        }
    }
}

/// Makes a body.
///
/// # Errors
/// A template can fail.
pub fn render(
    facts: &Facts<'_>,
    shape: Option<&Shape>,
    recipient: Recipient<'_>,
) -> Result<Bytes, RenderError> {
    let mut body = Vec::new();
    match shape.map(|shape| &shape.rendering) {
        None | Some(Rendering::Preset(BodyPreset::Standard, None)) => return Ok(usual(facts)),
        Some(Rendering::Preset(BodyPreset::Raw, _)) => return Ok(facts.raw.clone()),
        Some(Rendering::Preset(preset, fields)) => {
            let id = recipient.key.id();
            preset::render(*preset, facts, id, fields.as_ref(), &mut body);
        }
        Some(Rendering::Mapping(mapping)) => mapping.render(facts.document, &mut body),
        Some(Rendering::Template(template)) => {
            let values = facts.values.get_or_init(|| EventValues::of(facts));
            return Ok(template.render(values, recipient)?.into());
        }
    }
    // It waits in memory, often one of many: it must hold no more than it says.
    body.shrink_to_fit();
    Ok(body.into())
}

/// The body of a subscription that asks for nothing else.
pub fn usual(facts: &Facts<'_>) -> Bytes {
    let mut body = Vec::with_capacity(standard::whole_size(facts.document));
    standard::render(facts, None, &mut body);
    body.into()
}

/// Path and query of the request, where the event decides them.
///
/// # Errors
/// A value is missing, or would lead elsewhere.
pub fn target(
    facts: &Facts<'_>,
    subscription: &Subscription,
) -> Result<Option<String>, RenderError> {
    let Some(template) = subscription.url().template() else {
        return Ok(None);
    };
    Ok(Some(template.render(|path| plain_text(facts, path))?))
}

/// A value as a URL can say it.
fn plain_text<'a>(facts: &Facts<'a>, path: &Path) -> Option<Cow<'a, str>> {
    let found = facts
        .document
        .get(path)
        .filter(|node| node.kind() != Kind::Null);
    let Some(node) = found else {
        // What an event need not say.
        return match path.to_string().as_str() {
            "id" => Some(facts.id.into()),
            "tenant" => Some(facts.tenant.into()),
            "timestamp" => Some(facts.timestamp.into()),
            _ => None,
        };
    };
    match node.kind() {
        Kind::String => match node.string()? {
            Cow::Borrowed(said) => std::str::from_utf8(said).ok().map(Cow::Borrowed),
            // Half a surrogate pair is no text.
            Cow::Owned(said) => String::from_utf8(said).ok().map(Cow::Owned),
        },
        Kind::Number | Kind::Bool => Some(node.text().into()),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
