//! Which event types a subscription asks for.

use std::fmt;
use std::str::FromStr;

/// One entry of a subscription's `events`: an exact type, `*` for all, or `order.*` for `order`
/// with one or more further segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventPattern(Box<str>);

/// What a pattern asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventPatternShape<'a> {
    /// Every type.
    All,
    /// This type alone.
    Exact(&'a str),
    /// Every type that continues this one by a dot and more.
    Under(&'a str),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventPatternError {
    /// The text is empty.
    #[error("an event pattern must not be empty")]
    Empty,
    /// Longer than [`EventPattern::MAX_BYTES`].
    #[error(
        "an event pattern must not be longer than {} bytes",
        EventPattern::MAX_BYTES
    )]
    TooLong,
    /// `*` may stand alone or as the last segment.
    #[error("`*` may stand alone or at the end, behind a type and a dot (`{0}`)")]
    Wildcard(String),
}

impl EventPattern {
    /// The longest pattern, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// What it asks for.
    pub fn shape(&self) -> EventPatternShape<'_> {
        if &*self.0 == "*" {
            return EventPatternShape::All;
        }
        match self.0.strip_suffix(".*") {
            Some(prefix) => EventPatternShape::Under(prefix),
            None => EventPatternShape::Exact(&self.0),
        }
    }

    /// Whether it asks for this type.
    pub fn matches(&self, event_type: &str) -> bool {
        match self.shape() {
            EventPatternShape::All => true,
            EventPatternShape::Exact(exact) => event_type == exact,
            EventPatternShape::Under(prefix) => event_type
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|further| !further.is_empty()),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventPattern {
    type Err = EventPatternError;

    fn from_str(text: &str) -> Result<Self, EventPatternError> {
        if text.is_empty() {
            return Err(EventPatternError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(EventPatternError::TooLong);
        }
        let fixed = text.strip_suffix(".*").unwrap_or(text);
        if text != "*" && (fixed.is_empty() || fixed.contains('*')) {
            return Err(EventPatternError::Wildcard(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_the_contract_says() {
        fn check(pattern: &str, event_type: &str, expected: bool) {
            let pattern: EventPattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(event_type),
                expected,
                "{pattern} {event_type}"
            );
        }
        check("*", "order", true);
        check("*", "order.item.added", true);
        check("order.created", "order.created", true);
        check("order.created", "order.created.v2", false);
        check("order.created", "Order.created", false);
        check("order", "order.created", false);
        check("order.*", "order.created", true);
        check("order.*", "order.item.added", true);
        check("order.*", "order", false);
        check("order.*", "order.", false);
        check("order.*", "orders.created", false);
        check("order.item.*", "order.item.added", true);
        check("order.item.*", "order.created", false);
        check("größe.*", "größe.x", true);
    }

    #[test]
    fn refuses_by_name() {
        fn check(text: &str, expected: EventPatternError) {
            assert_eq!(text.parse::<EventPattern>(), Err(expected), "{text}");
        }
        check("", EventPatternError::Empty);
        for text in [
            "**",
            ".*",
            "*.*",
            "order*",
            "*.created",
            "a.*.b",
            "a.**",
            "*.a.*",
        ] {
            check(text, EventPatternError::Wildcard(text.to_owned()));
        }
        check(&"a".repeat(257), EventPatternError::TooLong);
        assert!("a".repeat(256).parse::<EventPattern>().is_ok());
    }

    #[test]
    fn shows_its_shape() {
        fn check(text: &str, expected: EventPatternShape<'_>) {
            let pattern: EventPattern = text.parse().unwrap();
            assert_eq!(pattern.shape(), expected);
            assert_eq!(pattern.to_string(), text);
        }
        check("*", EventPatternShape::All);
        check("a.b", EventPatternShape::Exact("a.b"));
        check("a.b.*", EventPatternShape::Under("a.b"));
    }
}
