//! How a record names the schema it was written with, as serializers for Confluent's schema registry
//! do: in front of the value (a zero byte, then the id), or in a header beside it.

use std::fmt;

use crate::record::Headers;
use crate::record::avro::AvroSchema;

/// The header that names the schema of a record's value.
const HEADER: &str = "__value_schema_id";
/// What stands before an id.
const ID: u8 = 0;
/// What stands before a globally unique id.
const GUID: u8 = 1;

/// Which schema, in the registry's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// A number that one registry gave.
    Id(u32),
    /// The same in every registry.
    Guid([u8; 16]),
}

/// A schema as the registry has it, ready to read records with.
#[derive(Debug)]
pub enum Schema {
    /// Avro.
    Avro(AvroSchema),
    /// The record is JSON; its schema is not needed to read it, and records are not held against it.
    Json,
    /// Protobuf, which is not read.
    Protobuf,
    /// Something that cannot be used, and why.
    Unusable(String),
}

/// A value and the schema it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Which schema.
    pub schema: SchemaId,
    /// What was written with it.
    pub payload: &'a [u8],
}

/// A record that begins as if it named a schema, and does not.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FramingError {
    /// The value ends within the id.
    #[error("the value begins with a zero byte, and is too short for the schema's id behind it")]
    Truncated,
    /// The header holds something else.
    #[error("the header `{HEADER}` holds no schema's id")]
    Header,
}

impl FramingError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "truncated_framing",
            Self::Header => "bad_schema_header",
        }
    }
}

impl<'a> Framed<'a> {
    /// Whether a header names the schema: whatever the value begins with, it was written with one.
    pub fn is_in_header(headers: &Headers) -> bool {
        headers.get(HEADER).is_some()
    }

    /// The framing of a record. None if it has none: neither the header nor a zero byte.
    ///
    /// # Errors
    /// [`FramingError`].
    pub fn find(headers: &Headers, value: &'a [u8]) -> Result<Option<Self>, FramingError> {
        if let Some(header) = headers.get(HEADER) {
            let schema = match header.split_first() {
                Some((&ID, id)) => id.try_into().map(u32::from_be_bytes).map(SchemaId::Id),
                // Protobuf writes behind it which message it is.
                Some((&GUID, guid)) => guid[..guid.len().min(16)].try_into().map(SchemaId::Guid),
                _ => return Err(FramingError::Header),
            };
            let schema = schema.map_err(|_| FramingError::Header)?;
            let payload = value;
            return Ok(Some(Self { schema, payload }));
        }
        let Some((&ID, rest)) = value.split_first() else {
            return Ok(None);
        };
        let (id, payload) = rest.split_first_chunk().ok_or(FramingError::Truncated)?;
        let schema = SchemaId::Id(u32::from_be_bytes(*id));
        Ok(Some(Self { schema, payload }))
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "{id}"),
            Self::Guid(guid) => formatter.write_str(&super::avro::uuid(*guid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_schema_in_front_of_the_value_or_beside_it() {
        fn check(
            header: Option<&'static [u8]>,
            value: &[u8],
            expected: Result<Option<(&str, &[u8])>, FramingError>,
        ) {
            let mut headers = Headers::new();
            if let Some(header) = header {
                headers.push(HEADER, Some(header));
            }
            let found = Framed::find(&headers, value);
            let found =
                found.map(|found| found.map(|framed| (framed.schema.to_string(), framed.payload)));
            let expected =
                expected.map(|found| found.map(|(schema, payload)| (schema.to_owned(), payload)));
            assert_eq!(found, expected, "{header:?} {value:?}");
        }
        check(None, b"{}", Ok(None));
        check(None, b"", Ok(None));
        check(None, b"\x00\x00\x00\x01\x02", Ok(Some(("258", b""))));
        check(
            None,
            b"\x00\xff\xff\xff\xff{}",
            Ok(Some(("4294967295", b"{}"))),
        );
        for short in [&b"\x00"[..], b"\x00\x00\x00\x01"] {
            check(None, short, Err(FramingError::Truncated));
        }
        check(
            Some(b"\x00\x00\x00\x00\x07"),
            b"\x00x",
            Ok(Some(("7", b"\x00x"))),
        );
        check(
            Some(b"\x01\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"),
            b"x",
            Ok(Some(("00112233-4455-6677-8899-aabbccddeeff", b"x"))),
        );
        for wrong in [
            &b""[..],
            b"\x00\x01",
            b"\x01\x02",
            b"\x02\x00\x00\x00\x01",
            b"1",
        ] {
            check(Some(wrong), b"x", Err(FramingError::Header));
        }
    }
}
