//! Whether an event is as the catalogue says, and who was told already that one is not.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::data_schema::Mismatch;
use crate::clock::Timestamp;
use crate::event_type_table::{EventTypeTable, Invalid};
use crate::record::Coordinates;
use crate::record::json_text::{Document, Node};

/// What `data` is where a CloudEvent has none.
const NO_DATA: &str = "null";
/// How often it is said of a type that its events are not as they should be.
const AGAIN: Duration = Duration::from_mins(1);
/// Of how many types it is known when it was said.
const MOST: usize = 1_000;

/// What events are held against.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue<'a> {
    /// The types.
    pub table: &'a EventTypeTable,
    /// Whether what is not as it should be is rejected.
    pub rejects: bool,
}

/// Why an event is not as the catalogue says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nonconformity {
    /// The catalogue does not have its type.
    UnknownType,
    /// What the catalogue says of its type cannot be used.
    InvalidType(Invalid),
    /// Its `data` breaks the schema.
    Violation(String),
    /// To judge its `data` by the schema takes too much work.
    TooComplex,
}

impl Nonconformity {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_event_type",
            Self::InvalidType(_) => "invalid_event_type",
            Self::Violation(_) => "schema_violation",
            Self::TooComplex => "schema_too_complex",
        }
    }
}

impl fmt::Display for Nonconformity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType => formatter.write_str("its type is not in the catalogue"),
            Self::InvalidType(error) => {
                write!(
                    formatter,
                    "its type's record in the catalogue is invalid: {error}"
                )
            }
            Self::Violation(message) => formatter.write_str(message),
            Self::TooComplex => formatter.write_str(
                "to judge its data by its type's schema takes more work than one event may",
            ),
        }
    }
}

/// Holds an event against the catalogue.
///
/// # Errors
/// It is not as the catalogue says.
pub fn judge(
    table: &EventTypeTable,
    event_type: &str,
    document: &Document<'_>,
) -> Result<(), Nonconformity> {
    let entry = table.get(event_type).ok_or(Nonconformity::UnknownType)?;
    let compiled = match &entry.content {
        Ok(compiled) => compiled,
        Err(error) => return Err(Nonconformity::InvalidType(error.clone())),
    };
    let Some(data) = document
        .member("data")
        .or_else(|| Node::parse_str(NO_DATA).ok())
    else {
        return Ok(());
    };
    compiled.check(data).map_err(|mismatch| match mismatch {
        Mismatch::Violation { message } => Nonconformity::Violation(message),
        Mismatch::TooComplex => Nonconformity::TooComplex,
    })
}

/// When it was last said of a type, and for which reason.
#[derive(Debug, Default)]
pub struct Reminders(HashMap<(Box<str>, &'static str), Timestamp>);

impl Reminders {
    /// Says it in the log, if it is time to.
    pub fn say(
        &mut self,
        event_type: &str,
        found: &Nonconformity,
        at: &Coordinates,
        now: Timestamp,
    ) {
        let reason = found.reason();
        if self.is_due(event_type, reason, now) {
            tracing::warn!(event_type, %at, reason, message = %found, "an event is not as the catalogue says");
        }
    }

    /// Whether it is to be said now; then it is not again for a minute.
    fn is_due(&mut self, event_type: &str, reason: &'static str, now: Timestamp) -> bool {
        let what = (event_type.into(), reason);
        let was_said = self.0.get(&what);
        if was_said.is_some_and(|said| now.since(*said) < AGAIN && *said <= now) {
            return false;
        }
        if self.0.len() >= MOST && was_said.is_none() {
            // As many types in a minute are a flood: not one line for each of its events.
            self.0.retain(|_, said| now.since(*said) < AGAIN);
            if self.0.len() >= MOST {
                return false;
            }
        }
        self.0.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::endpoint_table::EndpointTable;
    use crate::kafka::record::Incoming;
    use crate::record::subscription::Rules;
    use crate::record::{Headers, document};
    use crate::router::known::Known;
    use crate::router::routing::{Destinations, Result as What, route};
    use crate::subscription_table::SubscriptionTable;

    #[test]
    fn an_event_is_judged_by_its_type() {
        let mut table = EventTypeTable::default();
        table.apply(b"any", Some(b"{}"), 0);
        table.apply(b"number", Some(br#"{"schema":{"type":"number"}}"#), 1);
        table.apply(b"none", Some(br#"{"schema":{"type":"null"}}"#), 2);
        table.apply(b"broken", Some(br#"{"schema":1}"#), 3);
        let many: Vec<_> = (0..15_000).collect();
        let many = format!(r#"{{"schema":{{"items":{{"enum":{many:?}}}}}}}"#);
        table.apply(b"many", Some(many.as_bytes()), 4);
        let check = |event_type: &str, event: &str, expected: Result<(), (&str, &str)>| {
            let judged = judge(&table, event_type, &document(event.as_bytes()).unwrap());
            let judged = judged.map_err(|found| (found.reason(), found.to_string()));
            let expected = expected.map_err(|(reason, message)| (reason, message.to_owned()));
            assert_eq!(judged, expected, "{event_type} {event}");
        };
        check("any", r#"{"data":[1]}"#, Ok(()));
        check("number", r#"{"data":1.10}"#, Ok(()));
        let wrong = r#"data: value is not of type "number" (rule /type)"#;
        check(
            "number",
            r#"{"data":"1"}"#,
            Err(("schema_violation", wrong)),
        );
        check("none", "{}", Ok(()));
        let wrong = r#"data: value is not of type "null" (rule /type)"#;
        check("none", r#"{"data":0}"#, Err(("schema_violation", wrong)));
        let unknown = "its type is not in the catalogue";
        check(
            "other",
            r#"{"data":1}"#,
            Err(("unknown_event_type", unknown)),
        );
        let broken = "its type's record in the catalogue is invalid: `schema` must be an object, true or false";
        check(
            "broken",
            r#"{"data":1}"#,
            Err(("invalid_event_type", broken)),
        );
        let large = format!(r#"{{"data":[{}1]}}"#, "1,".repeat(40_000));
        let complex = "to judge its data by its type's schema takes more work than one event may";
        check("many", &large, Err(("schema_too_complex", complex)));
    }

    #[test]
    fn it_is_said_once_a_minute() {
        let mut reminders = Reminders::default();
        let mut is_due = |what: &str, reason, second: i64| {
            reminders.is_due(what, reason, Timestamp::from_millis(second * 1_000))
        };
        assert!(is_due("a", "x", 0) && is_due("a", "y", 1) && is_due("b", "x", 2));
        assert!(!is_due("a", "x", 59));
        assert!(is_due("a", "x", 60));
        let said = (0..2_000)
            .filter(|n| is_due(&format!("t{n}"), "x", 61))
            .count();
        assert_eq!(said, MOST - 2, "one is a minute old");
        assert!(is_due("new", "x", 200), "there is room again");
    }

    #[test]
    fn what_is_not_as_the_catalogue_says_is_told_or_rejected() {
        let mut types = EventTypeTable::default();
        let value = br#"{"schema":{"required":["id"]}}"#;
        types.apply(b"order.made", Some(value), 0);
        let mut subscriptions = SubscriptionTable::new(Rules::default());
        let all = br#"{"url":"https://e.com/","signatures":[],"events":["*"]}"#;
        subscriptions.apply(Some(b"acme/all"), Some(all), 0);
        let to = Destinations {
            deliveries: "deliveries".into(),
            dlq: "dlq".into(),
            notices: "notices".into(),
            rejects: "rejects".into(),
            longest_body: 200,
            longest_reject: 200,
        };
        let check = |topic: &str, event: &str, rejects: bool, expected: (What, &[&str])| {
            let record = Incoming {
                at: format!("{topic}/0/0").parse().unwrap(),
                timestamp: None,
                key: None,
                value: Some(Bytes::copy_from_slice(event.as_bytes())),
                headers: Headers::new(),
            };
            let catalogue = Some(Catalogue {
                table: &types,
                rejects,
            });
            let (endpoints, now) = (EndpointTable::default(), Timestamp::from_millis(9));
            let known = Known::new(&subscriptions, &endpoints, catalogue);
            let routed = route(&record, None, None, known, &to, now);
            let found = (routed.result, routed.rejects.as_slice());
            assert_eq!(found, expected, "{event} {rejects}");
            routed.nonconforming.map(|(_, found)| found.reason())
        };
        let good = r#"{"tenant":"acme","type":"order.made","data":{"id":1}}"#;
        let bad = r#"{"tenant":"acme","type":"order.made","data":{}}"#;
        let other = r#"{"tenant":"acme","type":"other","data":{}}"#;
        let passes = (What::Matched, &[][..]);
        for rejects in [false, true] {
            assert_eq!(check("events", good, rejects, passes), None);
            assert_eq!(check("notices", other, rejects, passes), None);
        }
        for (event, reason) in [(bad, "schema_violation"), (other, "unknown_event_type")] {
            assert_eq!(check("events", event, false, passes), Some(reason));
            let rejected = (What::Rejected, &[reason][..]);
            assert_eq!(check("events", event, true, rejected), Some(reason));
        }
    }
}
