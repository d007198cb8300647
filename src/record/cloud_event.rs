//! CloudEvents 1.0: a record in binary mode as the JSON that the structured mode would have, and the
//! data of both as a JSON value.
//!
//! What `data` becomes depends on its media type alone, so that both modes give the same:
//!
//! | `datacontenttype` | `data` |
//! |---|---|
//! | none, `application/json`, `text/json`, `...+json` | the JSON value |
//! | `text/...`, `application/xml`, `...+xml` | a string |
//! | any other | a string, standard base64 |

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::record::json_object::{JsonError, shown_name};
use crate::record::json_text::{Document, Kind, Node, quote};
use crate::record::{EventError, Headers};

const PREFIX: &str = "ce_";
/// The header whose presence means binary mode.
const SPECVERSION: &str = "ce_specversion";
const CONTENT_TYPE: &str = "content-type";
const DATA_CONTENT_TYPE: &str = "datacontenttype";

/// Why a record in binary mode has no structured form.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CloudEventError {
    /// The header of an attribute is not UTF-8, or stands for no attribute.
    #[error("the header `{name}` is not UTF-8, or not an attribute")]
    BadAttribute {
        /// The header's name (its start, when it is long).
        name: String,
    },
    /// The data is not what its media type says.
    #[error("data: {0}")]
    Data(#[from] JsonError),
}

impl CloudEventError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BadAttribute { .. } => "bad_attribute",
            Self::Data(error) => error.reason(),
        }
    }
}

/// What a media type is to JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON, also where nothing is said.
    Json,
    /// Text that is not JSON.
    Text,
    /// Bytes.
    Opaque,
}

impl Media {
    /// Judges a media type, parameters and all.
    pub fn of(content_type: Option<&str>) -> Self {
        let Some(content_type) = content_type else {
            return Self::Json;
        };
        let essence = essence(content_type);
        let (kind, subtype) = essence.split_once('/').unwrap_or((&essence, ""));
        match (kind, subtype) {
            ("", _) => Self::Json,
            (_, "json") => Self::Json,
            (_, subtype) if subtype.ends_with("+json") => Self::Json,
            ("text", _) | ("application", "xml") => Self::Text,
            (_, subtype) if subtype.ends_with("+xml") => Self::Text,
            _ => Self::Opaque,
        }
    }

    /// Bytes of this kind as the text of a JSON value.
    ///
    /// # Errors
    /// [`JsonError`]: they are not of this kind.
    fn to_json(self, bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
        match self {
            Self::Json => Ok(Cow::Borrowed(json_value(bytes)?.text())),
            Self::Text => Ok(Cow::Owned(quote(utf8(bytes)?))),
            Self::Opaque => Ok(Cow::Owned(quote(&STANDARD.encode(bytes)))),
        }
    }
}

/// Any one JSON value, and nothing beside it.
///
/// # Errors
/// [`JsonError`].
pub fn json_value(bytes: &[u8]) -> Result<Node<'_>, JsonError> {
    Node::parse_str(utf8(bytes)?).map_err(JsonError::from)
}

fn utf8(bytes: &[u8]) -> Result<&str, JsonError> {
    str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        at: error.valid_up_to(),
    })
}

/// A media type without its parameters, in lower case.
pub fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// The header `content-type` of a record, however it is spelt. None if it is not text.
pub fn content_type(headers: &Headers) -> Option<&str> {
    let mut from_the_end = headers.iter().rev();
    let found = from_the_end
        .find(|(name, value)| name.eq_ignore_ascii_case(CONTENT_TYPE) && value.is_some());
    str::from_utf8(found?.1?).ok()
}

/// Whether a record is a CloudEvent in binary mode.
pub fn is_binary(headers: &Headers) -> bool {
    headers.get(SPECVERSION).is_some()
}

/// The data of a record in binary mode.
#[derive(Clone, Copy, Debug)]
pub enum BinaryData<'a> {
    /// Bytes of the media type that `content-type` names.
    Bytes(&'a [u8]),
    /// JSON text, whatever the media type says: what was written with a schema.
    Json(&'a str),
}

/// A record in binary mode as a structured one: each attribute that a header holds is a member, in
/// the order of the headers. Of a repeated header the last one counts, as Kafka has it.
///
/// # Errors
/// [`CloudEventError`].
pub fn structured(headers: &Headers, data: BinaryData<'_>) -> Result<String, CloudEventError> {
    let content_type = content_type(headers);
    let data = match data {
        BinaryData::Json(text) => Some(Cow::Borrowed(text)),
        BinaryData::Bytes([]) => None,
        BinaryData::Bytes(bytes) => Some(Media::of(content_type).to_json(bytes)?),
    };
    let room = headers.size() + data.as_ref().map_or(0, |data| data.len());
    let mut json = String::with_capacity(room + 64);
    json.push('{');
    let mut member = |name: &str, value: &str| {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&quote(name));
        json.push(':');
        json.push_str(value);
    };
    for (header, value) in headers.iter() {
        let Some(name) = header.strip_prefix(PREFIX) else {
            continue;
        };
        let Some(value) = value.filter(|value| headers.get(header) == Some(value)) else {
            continue;
        };
        let bad_attribute = || CloudEventError::BadAttribute {
            name: shown_name(header),
        };
        match name {
            // Where it belongs decides: what is in `content-type`.
            DATA_CONTENT_TYPE => continue,
            "" | "data" | "data_base64" => return Err(bad_attribute()),
            _ => {}
        }
        let value = str::from_utf8(value).map_err(|_| bad_attribute())?;
        member(name, &quote(value));
    }
    if let Some(content_type) = content_type {
        member(DATA_CONTENT_TYPE, &quote(content_type));
    }
    if let Some(data) = data {
        member("data", &data);
    }
    json.push('}');
    Ok(json)
}

/// The `data` of a structured CloudEvent that stands in `data_base64`, as the text of a JSON value.
/// None if it has no such member.
///
/// # Errors
/// [`EventError::BadDataBase64`].
pub fn data_of_base64(document: &Document<'_>) -> Result<Option<String>, EventError> {
    let bad = EventError::BadDataBase64;
    let string = |node: Node<'_>| serde_json::from_str::<String>(node.text()).ok();
    let Some(encoded) = document.member("data_base64") else {
        return Ok(None);
    };
    if document.member("data").is_some() {
        return Err(bad("stands beside `data`"));
    }
    if encoded.kind() == Kind::Null {
        return Ok(None);
    }
    let encoded = string(encoded).ok_or(bad("is not a string"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| bad("is not base64"))?;
    let content_type = document.member(DATA_CONTENT_TYPE).and_then(string);
    let data = Media::of(content_type.as_deref()).to_json(&bytes);
    let data = data.map_err(|_| bad("does not hold what `datacontenttype` says"))?;
    Ok(Some(data.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in all {
            headers.push(name, Some(value.as_bytes()));
        }
        headers
    }

    #[test]
    fn media_types_are_judged() {
        fn check(content_type: &str, expected: Media) {
            assert_eq!(Media::of(Some(content_type)), expected, "{content_type}");
        }
        assert_eq!(Media::of(None), Media::Json);
        check("", Media::Json);
        check("application/json", Media::Json);
        check("Application/JSON; charset=utf-8", Media::Json);
        check("text/json", Media::Json);
        check("application/vnd.acme+json", Media::Json);
        check("text/plain", Media::Text);
        check("application/xml", Media::Text);
        check("image/svg+xml;q=1", Media::Text);
        check("application/octet-stream", Media::Opaque);
        check("image/png", Media::Opaque);
        check("json", Media::Opaque);
    }

    #[test]
    fn binary_mode_becomes_structured() {
        fn check(all: &[(&str, &str)], data: &[u8], expected: Result<&str, &str>) {
            let structured = structured(&headers(all), BinaryData::Bytes(data));
            let structured = structured.as_deref().map_err(CloudEventError::reason);
            assert_eq!(structured, expected, "{all:?}");
        }
        check(
            &[
                ("ce_specversion", "1.0"),
                ("own", "x"),
                ("ce_type", "a\"\u{e9}"),
                ("content-type", "application/json"),
                ("ce_tenant", "old"),
                ("ce_tenant", "acme"),
            ],
            b" {\"a\" : 1.10} ",
            Ok(
                "{\"specversion\":\"1.0\",\"type\":\"a\\\"\u{e9}\",\"tenant\":\"acme\",\"datacontenttype\":\"application/json\",\"data\":{\"a\" : 1.10}}",
            ),
        );
        check(&[("ce_id", "1")], b"", Ok(r#"{"id":"1"}"#));
        check(
            &[("Content-Type", "text/plain"), ("ce_datacontenttype", "x")],
            b"hi",
            Ok(r#"{"datacontenttype":"text/plain","data":"hi"}"#),
        );
        check(
            &[("content-type", "image/png")],
            b"\x00\xff",
            Ok(r#"{"datacontenttype":"image/png","data":"AP8="}"#),
        );
        // No way out of `data`.
        check(&[], br#"1,"type":"forged""#, Err("not_json"));
        check(&[], b"\xff", Err("not_utf8"));
        check(&[("content-type", "text/plain")], b"\xff", Err("not_utf8"));
        check(&[], "[".repeat(200).as_bytes(), Err("not_json"));
        let deep = "[".repeat(200) + &"]".repeat(200);
        check(&[], deep.as_bytes(), Err("too_deep"));
        for name in ["ce_data", "ce_data_base64", "ce_"] {
            check(&[(name, "1")], b"1", Err("bad_attribute"));
        }
        let mut bytes = Headers::new();
        bytes.push("ce_x", Some(b"\xff"));
        let refused = structured(&bytes, BinaryData::Bytes(b"1")).unwrap_err();
        assert_eq!(refused.reason(), "bad_attribute");
    }

    #[test]
    fn base64_data_is_what_its_media_type_says() {
        fn check(members: &str, expected: Result<Option<&str>, &'static str>) {
            let text = format!("{{{members}}}");
            let document = Document::parse(text.as_bytes()).unwrap();
            let expected = expected.map(|data| data.map(str::to_owned));
            let expected = expected.map_err(EventError::BadDataBase64);
            assert_eq!(data_of_base64(&document), expected, "{members}");
        }
        check(r#""data":1"#, Ok(None));
        check(r#""data_base64":null"#, Ok(None));
        check(r#""data_base64":"eyJhIjoxfQ==""#, Ok(Some(r#"{"a":1}"#)));
        check(
            r#""data_base64":"aGk=","datacontenttype":"text/plain""#,
            Ok(Some(r#""hi""#)),
        );
        check(
            r#""data_base64":"AP8=","datacontenttype":"image/png""#,
            Ok(Some(r#""AP8=""#)),
        );
        check(
            r#""data_base64":"aGk=""#,
            Err("does not hold what `datacontenttype` says"),
        );
        check(r#""data_base64":"aGk""#, Err("is not base64"));
        check(r#""data_base64":1"#, Err("is not a string"));
        check(
            r#""data_base64":"aGk=","data":null"#,
            Err("stands beside `data`"),
        );
    }
}
