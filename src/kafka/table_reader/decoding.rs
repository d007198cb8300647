//! Records in other forms than the table reads. One whose schema is not known yet holds the table: what
//! is behind it must not be applied without it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use super::{POLL, Shared};
use crate::kafka::record::headers_of;
use crate::record::Headers;
use crate::router::event_form::FormError;
use crate::telemetry::State;

/// A schema that is asked for usually comes sooner than this, and nobody needs to hear of it.
const USUAL: Duration = Duration::from_secs(1);

/// What a record with these headers and this value says.
pub type Decode = dyn Fn(&Headers, &[u8]) -> Decoding + Send + Sync;

/// Decodes values of records.
pub struct Decoder {
    /// Asked again and again while the answer is pending.
    pub decode: Box<Decode>,
    /// 1 while the table waits.
    pub held: IntGauge,
}

/// A value in the form that a table reads.
pub enum Decoding {
    /// It is.
    AsItIs,
    /// It has been brought into it.
    Decoded(Vec<u8>),
    /// It cannot be.
    Unreadable(FormError),
    /// It is not known yet: to be asked again.
    Pending,
}

impl Decoding {
    /// The value, which is `raw` on the topic.
    pub(super) fn of<'a>(&'a self, raw: &'a [u8]) -> Result<&'a [u8], &'a FormError> {
        match self {
            Self::AsItIs | Self::Pending => Ok(raw),
            Self::Decoded(value) => Ok(value),
            Self::Unreadable(error) => Err(error),
        }
    }
}

impl<T> Shared<T> {
    /// Waits until a record can be decoded. None: the table ends or begins anew before that.
    pub(super) fn decoded(&self, message: &BorrowedMessage<'_>) -> Option<Decoding> {
        let (Some(decoder), Some(value)) = (&self.decoder, message.payload()) else {
            return Some(Decoding::AsItIs);
        };
        let headers = headers_of(message);
        let since = Instant::now();
        let mut is_told = false;
        let decoding = loop {
            match (decoder.decode)(&headers, value) {
                Decoding::Pending => {}
                decoding => break Some(decoding),
            }
            if self.stop.load(Ordering::Acquire) || self.reload.load(Ordering::Acquire) {
                break None;
            }
            self.health.beat(Instant::now());
            if !is_told && since.elapsed() > USUAL {
                is_told = true;
                decoder.held.set(1);
                self.health.set(State::Holding);
                tracing::warn!(
                    topic = &*self.topic,
                    offset = message.offset(),
                    "the table waits for the schema of a record: what is behind it is not applied yet"
                );
            }
            thread::sleep(POLL);
        };
        if is_told {
            decoder.held.set(0);
            self.health
                .set(match self.is_loaded.load(Ordering::Acquire) {
                    true => State::Ready,
                    false => State::Starting,
                });
            let seconds = since.elapsed().as_secs();
            tracing::info!(topic = &*self.topic, seconds, "the table goes on");
        }
        decoding
    }
}
