//! Bodies with a name, each of a kind that receivers already read.

use super::Facts;
use super::fields::Fields;
use super::standard::{self, data, id, kind, timestamp};
use crate::record::json_text::quote;
use crate::record::subscription::BodyPreset;

/// Writes a body. `subscription` is the id of whose it is, for those that say so.
pub(super) fn render(
    preset: BodyPreset,
    facts: &Facts<'_>,
    subscription: &str,
    fields: Option<&Fields>,
    body: &mut Vec<u8>,
) {
    let mut write = |parts: &[Part<'_>]| {
        for part in parts {
            match part {
                Part::Text(text) => body.extend_from_slice(text.as_bytes()),
                Part::Quoted(text) => body.extend_from_slice(quote(text).as_bytes()),
                Part::Id => id(facts, body),
                Part::Type => kind(facts, body),
                Part::Time => timestamp(facts, body),
                Part::Data => data(facts, fields, body),
            }
        }
    };
    match preset {
        BodyPreset::Standard => standard::render(facts, fields, body),
        BodyPreset::Raw => body.extend_from_slice(facts.raw),
        BodyPreset::Data => write(&[Part::Data]),
        BodyPreset::CloudEvents => write(&[
            Part::Text(r#"{"specversion":"1.0","id":"#),
            Part::Id,
            Part::Text(r#","source":"#),
            Part::Quoted(facts.source),
            Part::Text(r#","type":"#),
            Part::Type,
            Part::Text(r#","time":"#),
            Part::Time,
            Part::Text(r#","datacontenttype":"application/json","tenant":"#),
            Part::Quoted(facts.tenant),
            Part::Text(r#","data":"#),
            Part::Data,
            Part::Text("}"),
        ]),
        BodyPreset::Envelope => write(&[
            Part::Text(r#"{"id":"#),
            Part::Id,
            Part::Text(r#","type":"#),
            Part::Type,
            Part::Text(r#","created":"#),
            Part::Time,
            Part::Text(r#","data":"#),
            Part::Data,
            Part::Text(r#","webhook":{"subscription_id":"#),
            Part::Quoted(subscription),
            // The same bytes on every attempt, or a signature would not be over what was sent first.
            Part::Text(r#","delivery_attempt":1}}"#),
        ]),
        BodyPreset::Event => write(&[
            Part::Text(r#"{"id":"#),
            Part::Id,
            Part::Text(r#","event":"#),
            Part::Type,
            Part::Text(r#","timestamp":"#),
            Part::Time,
            Part::Text(r#","data":"#),
            Part::Data,
            Part::Text("}"),
        ]),
        BodyPreset::Hook => write(&[
            Part::Text(r#"{"hookId":"#),
            Part::Quoted(subscription),
            Part::Text(r#","event":"#),
            Part::Type,
            Part::Text(r#","data":"#),
            Part::Data,
            Part::Text(r#","timestamp":"#),
            Part::Time,
            Part::Text("}"),
        ]),
    }
}

/// Whether the body says whose it is, so that each subscription has its own.
pub(super) const fn names_subscription(preset: BodyPreset) -> bool {
    match preset {
        BodyPreset::Envelope | BodyPreset::Hook => true,
        BodyPreset::Standard
        | BodyPreset::CloudEvents
        | BodyPreset::Raw
        | BodyPreset::Data
        | BodyPreset::Event => false,
    }
}

enum Part<'a> {
    Text(&'static str),
    Quoted(&'a str),
    Id,
    Type,
    Time,
    Data,
}
