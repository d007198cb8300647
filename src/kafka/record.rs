//! Records as they come from Kafka and as they go back, free of librdkafka's buffers.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders, ToBytes};

use crate::clock::Timestamp;
use crate::record::{Coordinates, Headers};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// A record that was read. Its bytes are copies: a record that is held while its request is on the
/// wire must not pin the whole fetch buffer.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it stands.
    pub at: Coordinates,
    /// When the broker appended it or, on topics with `CreateTime`, the producer made it.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none for a tombstone.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Headers,
}

impl Incoming {
    /// Copies a message out of librdkafka's buffer. `topic` is its topic's name, shared.
    pub(super) fn copied_from(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Self {
        Self {
            at: Coordinates {
                topic: Arc::clone(topic),
                partition: message.partition(),
                offset: message.offset(),
            },
            timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: headers_of(message),
        }
    }

    /// Key, value and headers together, in bytes: what it costs to hold.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self.headers.size()
    }
}

/// Room for those of most tasks, in bytes.
const TYPICAL_HEADERS: usize = 512;

/// Copies a message's headers out of librdkafka's buffer.
pub(super) fn headers_of(message: &BorrowedMessage<'_>) -> Headers {
    let Some(native) = message.headers() else {
        return Headers::new();
    };
    let mut headers = Headers::with_capacity(native.count(), TYPICAL_HEADERS);
    for header in native.iter() {
        headers.push(header.key, header.value);
    }
    headers
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// A fixed partition; without it the key decides.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Headers,
    /// The record that it was made from, for the case that it can never be written.
    pub cause: Coordinates,
}

impl Outgoing {
    /// Key, value and headers together, in bytes: what it costs to hold.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self.headers.size()
    }

    /// The headers in librdkafka's form.
    pub(super) fn native_headers(&self) -> OwnedHeaders {
        let native = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(native, |native, (key, value)| {
            let value = value.map(HeaderValue);
            native.insert(Header {
                key,
                value: value.as_ref(),
            })
        })
    }
}

/// librdkafka's binding wants a sized type.
struct HeaderValue<'a>(&'a [u8]);

impl ToBytes for HeaderValue<'_> {
    fn to_bytes(&self) -> &[u8] {
        self.0
    }
}
