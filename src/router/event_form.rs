//! In which form a record holds its event, and how that form becomes the one document that the
//! router works on.
//!
//! Forms are told apart per record, in this order: a [mapping] of its topic, the `content-type`
//! header (structured CloudEvents), the header `ce_specversion` (binary CloudEvents), registry
//! framing (a zero byte in front, or the header `__value_schema_id`), a JSON member `specversion`
//! (structured CloudEvents), plain JSON.

pub mod mapping;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::record::avro::AvroError;
use crate::record::cloud_event::{self, BinaryData, CloudEventError, Media};
use crate::record::json_text::{Document, Node};
use crate::record::{
    Coordinates, Envelope, Event, EventError, Framed, FramingError, Headers, JsonError, Schema,
    SchemaId, document, is_cloud_event,
};
use mapping::{Mapped, Mapping, MappingError, Source};

/// The form of one record.
#[derive(Clone, Copy, Debug)]
pub enum EventForm<'r> {
    /// No event by itself, but its topic has a mapping.
    Mapped(Mapped<'r>),
    /// JSON: plain or, with a member `specversion`, a structured CloudEvent.
    Json(&'r [u8]),
    /// A structured CloudEvent, as its `content-type` says.
    Structured(&'r [u8]),
    /// A CloudEvent in binary mode.
    Binary(&'r [u8]),
    /// A CloudEvent in binary mode whose data was written with a schema.
    FramedBinary(Framed<'r>),
    /// Written with a schema.
    Framed(Framed<'r>),
}

/// The schema that a record names, as far as there is one.
#[derive(Clone, Debug)]
pub enum WriterSchema {
    /// This one.
    Known(Arc<Schema>),
    /// The registry has none of that id.
    Unknown,
    /// No registry is configured.
    NoRegistry,
}

/// Why a record holds no event that can be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormError {
    /// Several events in one record.
    #[error("a batch of CloudEvents is not read: produce each event as a record of its own")]
    Batch,
    /// A structured CloudEvent in another format than JSON.
    #[error("structured CloudEvents are read as application/cloudevents+json only")]
    Format,
    /// Broken framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Broken binary mode.
    #[error(transparent)]
    CloudEvent(#[from] CloudEventError),
    /// No value of its schema.
    #[error(transparent)]
    Avro(#[from] AvroError),
    /// Written with Protobuf.
    #[error("schema {0} is a Protobuf schema, which is not read")]
    Protobuf(SchemaId),
    /// Its schema cannot be used.
    #[error("schema {0} cannot be used: {1}")]
    Schema(SchemaId, String),
    /// The registry does not know its schema.
    #[error("the schema registry has no schema {0}")]
    UnknownSchema(SchemaId),
    /// There is nobody to ask for its schema.
    #[error(
        "the record was written with schema {0}, and no registry is configured to ask for it: set `schema_registry.urls`"
    )]
    NoRegistry(SchemaId),
    /// Its topic's mapping makes no event of it.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// Its members are not those of an event.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl From<JsonError> for FormError {
    fn from(error: JsonError) -> Self {
        Self::Event(error.into())
    }
}

impl FormError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Batch => "cloudevents_batch_not_supported",
            Self::Format => "cloudevents_format_not_supported",
            Self::Framing(error) => error.reason(),
            Self::CloudEvent(error) => error.reason(),
            Self::Avro(error) => error.reason(),
            Self::Protobuf(_) => "protobuf_not_supported",
            Self::Schema(..) => "unusable_schema",
            Self::UnknownSchema(_) => "unknown_schema",
            Self::NoRegistry(_) => "no_schema_registry",
            Self::Mapping(error) => error.reason(),
            Self::Event(error) => error.reason(),
        }
    }

    /// Whether nothing is wrong with it: there is no event in it, and none is missed.
    pub const fn is_passed_over(&self) -> bool {
        matches!(self, Self::Mapping(MappingError::PassedOver(_)))
    }
}

impl<'r> EventForm<'r> {
    /// The form of a record whose topic may have a mapping: that goes before all.
    ///
    /// # Errors
    /// [`FormError`]: a form that is named and cannot be read.
    pub fn of_source(
        mapping: Option<&'r Mapping>,
        source: Source<'r>,
        value: &'r [u8],
    ) -> Result<Self, FormError> {
        match mapping {
            Some(mapping) => Ok(Self::Mapped(mapping.find(source, value)?)),
            None => Self::of(source.headers, value),
        }
    }

    /// The form of a record with these headers and this value, on a topic without a mapping.
    ///
    /// # Errors
    /// [`FormError`]: a form that is named and cannot be read.
    pub fn of(headers: &Headers, value: &'r [u8]) -> Result<Self, FormError> {
        let content_type = cloud_event::content_type(headers);
        if let Some(content_type) = content_type {
            match &*cloud_event::essence(content_type) {
                "application/cloudevents+json" => return Ok(Self::Structured(value)),
                batch if batch.starts_with("application/cloudevents-batch") => {
                    return Err(FormError::Batch);
                }
                other if other.starts_with("application/cloudevents") => {
                    return Err(FormError::Format);
                }
                _ => {}
            }
        }
        if cloud_event::is_binary(headers) {
            // Bytes that are said to be neither JSON nor Avro may begin with anything.
            let may_be_framed = Media::of(content_type) != Media::Opaque
                || Framed::is_in_header(headers)
                || content_type.is_some_and(|media| cloud_event::essence(media).contains("avro"));
            let framed = match may_be_framed {
                true => Framed::find(headers, value)?,
                false => None,
            };
            return Ok(framed.map_or(Self::Binary(value), Self::FramedBinary));
        }
        Ok(Framed::find(headers, value)?.map_or(Self::Json(value), Self::Framed))
    }

    /// The schema that is needed to decode it.
    pub fn schema(&self) -> Option<SchemaId> {
        match self {
            Self::Mapped(mapped) => mapped.framed.map(|framed| framed.schema),
            Self::Framed(framed) | Self::FramedBinary(framed) => Some(framed.schema),
            Self::Json(_) | Self::Structured(_) | Self::Binary(_) => None,
        }
    }

    /// Decodes it. `schema` is the one that [`EventForm::schema`] names; none is there if none is
    /// needed.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn decode(
        self,
        headers: &Headers,
        schema: Option<&WriterSchema>,
    ) -> Result<Decoded<'r>, FormError> {
        let (text, envelope) = match self {
            Self::Mapped(mapped) => {
                let value = match mapped.framed {
                    None => Cow::Borrowed(mapped.value),
                    Some(framed) => unframed(framed, schema)?.0,
                };
                let text = mapped.event(&value)?;
                (Cow::Owned(text.into_bytes()), Envelope::Json)
            }
            Self::Json(value) => (Cow::Borrowed(value), Envelope::Json),
            Self::Structured(value) => (Cow::Borrowed(value), Envelope::CloudEvent),
            Self::Binary(value) => {
                let text = cloud_event::structured(headers, BinaryData::Bytes(value))?;
                (Cow::Owned(text.into_bytes()), Envelope::CloudEvent)
            }
            Self::Framed(framed) => unframed(framed, schema)?,
            Self::FramedBinary(framed) => {
                let (data, _) = unframed(framed, schema)?;
                // Nothing but one value may come to stand in `data`.
                let data = cloud_event::json_value(&data)?.text();
                let text = cloud_event::structured(headers, BinaryData::Json(data))?;
                (Cow::Owned(text.into_bytes()), Envelope::CloudEvent)
            }
        };
        Ok(Decoded {
            text,
            envelope,
            data: OnceCell::new(),
        })
    }
}

fn unframed<'r>(
    framed: Framed<'r>,
    schema: Option<&WriterSchema>,
) -> Result<(Cow<'r, [u8]>, Envelope), FormError> {
    let schema = match schema {
        Some(WriterSchema::Known(schema)) => schema,
        Some(WriterSchema::Unknown) => return Err(FormError::UnknownSchema(framed.schema)),
        Some(WriterSchema::NoRegistry) | None => {
            return Err(FormError::NoRegistry(framed.schema));
        }
    };
    match &**schema {
        Schema::Avro(schema) => {
            let text = schema.to_json(framed.payload)?;
            Ok((Cow::Owned(text.into_bytes()), Envelope::Avro))
        }
        Schema::Json => Ok((Cow::Borrowed(framed.payload), Envelope::Json)),
        Schema::Protobuf => Err(FormError::Protobuf(framed.schema)),
        Schema::Unusable(why) => Err(FormError::Schema(framed.schema, why.clone())),
    }
}

/// The JSON of a record of a table that was written with a schema. A field that is null is as if it
/// were not there.
///
/// # Errors
/// [`FormError`].
pub fn table_record(framed: Framed<'_>, schema: &WriterSchema) -> Result<Vec<u8>, FormError> {
    if let WriterSchema::Known(known) = schema
        && let Schema::Avro(avro) = &**known
    {
        let text = avro.to_json_without_nulls(framed.payload)?;
        return Ok(text.into_bytes());
    }
    let (text, _) = unframed(framed, Some(schema))?;
    Ok(text.into_owned())
}

/// A record's event as JSON text, before it is read.
#[derive(Debug)]
pub struct Decoded<'r> {
    text: Cow<'r, [u8]>,
    envelope: Envelope,
    /// What `data_base64` stood for.
    data: OnceCell<String>,
}

impl Decoded<'_> {
    /// Reads the event, and the document that filters, fields and bodies work on.
    ///
    /// In it, a CloudEvent has the members of the plain form too: `timestamp` is its `time`, `data`
    /// what `data_base64` stands for.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn read(
        &self,
        at: &Coordinates,
        record_timestamp: Timestamp,
    ) -> Result<(Event, Document<'_>), FormError> {
        let mut document = document(&self.text)?;
        let event = Event::read(&document, self.envelope, at, record_timestamp)?;
        if is_cloud_event(&document, self.envelope) {
            if let Some(data) = cloud_event::data_of_base64(&document)? {
                let data = self.data.get_or_init(|| data);
                let node = Node::parse_str(data)
                    .map_err(|_| EventError::BadDataBase64("nests too deep"))?;
                document.insert("data", node);
            }
            if let Some(time) = document.member("time") {
                document.insert("timestamp", time);
            }
        }
        Ok((event, document))
    }
}

#[cfg(test)]
mod tests;
