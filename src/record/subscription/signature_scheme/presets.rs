//! The table of presets, each in the form in which a subscription could write it out.

use std::borrow::Cow::Borrowed;
use std::sync::LazyLock;

use http::HeaderName;

use super::template::Piece::{self, Body, Data, Id, Text, Timestamp};
use super::{Algorithm, Encoding, Scheme, TimestampUnit};
use crate::secret::KeyForm;

/// All of them, in the order in which they are told. The first is what subscriptions have by default.
pub(super) static PRESETS: LazyLock<[Scheme; 8]> = LazyLock::new(|| {
    [
        // Standard Webhooks 1.0. Its other headers are on every request.
        Scheme {
            preset: Some("standard"),
            header: HeaderName::from_static("webhook-signature"),
            prefix: Borrowed("v1,"),
            separator: Some(Borrowed(" ")),
            encoding: Encoding::Base64,
            content: Borrowed(&[Id, DOT, Timestamp, DOT, Body]),
            key: KeyForm::Base64,
            ..plain()
        },
        Scheme {
            preset: Some("v1a"),
            header: HeaderName::from_static("webhook-signature"),
            prefix: Borrowed("v1a,"),
            separator: Some(Borrowed(" ")),
            algorithm: Algorithm::Ed25519,
            encoding: Encoding::Base64,
            content: Borrowed(&[Id, DOT, Timestamp, DOT, Body]),
            key: KeyForm::Ed25519,
            ..plain()
        },
        Scheme {
            preset: Some("sha256-body"),
            prefix: Borrowed("sha256="),
            timestamp_header: Some(HeaderName::from_static("x-webhook-timestamp")),
            ..plain()
        },
        Scheme {
            preset: Some("hex-body"),
            id_header: Some(HeaderName::from_static("x-webhook-id")),
            type_header: Some(HeaderName::from_static("x-event-type")),
            ..plain()
        },
        Scheme {
            preset: Some("hex-data"),
            content: Borrowed(&[Data]),
            id_header: Some(HeaderName::from_static("x-webhook-id")),
            type_header: Some(HeaderName::from_static("x-event-type")),
            ..plain()
        },
        Scheme {
            preset: Some("hex-timestamp-body"),
            content: Borrowed(&[Timestamp, DOT, Body]),
            timestamp_header: Some(HeaderName::from_static("x-webhook-timestamp")),
            ..plain()
        },
        Scheme {
            preset: Some("base64-body"),
            encoding: Encoding::Base64,
            ..plain()
        },
        Scheme {
            preset: Some("combined"),
            header: HeaderName::from_static("x-signature"),
            start: Borrowed(&[Text(Borrowed("t=")), Timestamp, Text(Borrowed(","))]),
            prefix: Borrowed("v1="),
            separator: Some(Borrowed(",")),
            content: Borrowed(&[Timestamp, DOT, Body]),
            ..plain()
        },
    ]
});

const DOT: Piece = Text(Borrowed("."));

/// What an object has that says nothing but its header.
pub(super) fn plain() -> Scheme {
    Scheme {
        preset: None,
        header: HeaderName::from_static("x-webhook-signature"),
        start: Borrowed(&[]),
        prefix: Borrowed(""),
        separator: None,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        content: Borrowed(&[Body]),
        timestamp_header: None,
        timestamp_unit: TimestampUnit::Seconds,
        id_header: None,
        type_header: None,
        key: KeyForm::Text,
    }
}
