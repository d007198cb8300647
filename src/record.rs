//! What travels on the topics: one file for each kind of record. Everything here is pure: bytes in,
//! a typed value or a named error out, and back.

mod attempt;
pub mod avro;
pub mod cloud_event;
mod coordinates;
mod dead_letter;
mod delivery_id;
mod endpoint_state;
mod endpoint_wish;
mod event;
mod event_pattern;
mod event_type;
mod framing;
mod headers;
mod json_object;
pub mod json_text;
mod notice;
mod notice_cursor;
mod parked;
mod recorded_attempt;
mod reject;
mod rfc_3339;
pub mod schema;
pub mod subscription;
mod subscription_key;
mod task;

pub use attempt::{Attempt, AttemptOutcome};
pub use coordinates::{Coordinates, CoordinatesError};
pub use dead_letter::{DeadLetter, Inscription, Reason};
pub use delivery_id::{DeliveryId, DeliveryIdError, EventKey};
pub use endpoint_state::{
    Disabled, DisabledReason, EndpointState, Failing, OpenBreaker, Throttled,
};
pub use endpoint_wish::{EndpointWish, WishError, WishKey, WishedState};
pub use event::{Envelope, Event, EventError, document, is_cloud_event, is_event_type};
pub use event_pattern::{EventPattern, EventPatternError, EventPatternShape};
pub use event_type::{EventType, EventTypeError, type_of_key};
pub use framing::{Framed, FramingError, Schema, SchemaId};
pub use headers::Headers;
pub use json_object::JsonError;
pub use notice::{Notice, NoticeDetails, NoticeKind};
pub use notice_cursor::NoticeCursor;
pub use parked::{Parked, UnknownParked};
pub use recorded_attempt::{RecordedAttempt, RecordedAttemptError};
pub use reject::Reject;
pub use subscription::{Subscription, SubscriptionError};
pub use subscription_key::{SubscriptionKey, SubscriptionKeyError, is_key_part};
pub use task::{TaskError, TaskHeaders, TaskRule, is_trial};
