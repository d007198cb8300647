//! Which topics hold events: those that are named, and those that a pattern finds.
//!
//! Patterns are matched here, not by librdkafka: own topics never hold events, whatever a pattern says.

use std::time::Instant;

use super::member::{Member, MemberError};
use crate::config::{EventTopic, EventsSettings};
use crate::topic::Topics;

/// Keeps a member subscribed to them.
pub struct EventTopics {
    events: EventsSettings,
    own: Topics,
    /// What the group is subscribed to; none before the first look.
    subscribed: Option<Vec<String>>,
    last_look: Option<Instant>,
}

impl EventTopics {
    /// What `events` names, but for the `own` topics.
    pub fn new(events: EventsSettings, own: Topics) -> Self {
        Self {
            events,
            own,
            subscribed: None,
            last_look: None,
        }
    }

    /// Subscribes to what there is now. To be called often; it looks at the cluster now and then, where a
    /// pattern may find something new.
    ///
    /// # Errors
    /// A name that librdkafka refuses.
    pub fn look(&mut self, member: &mut Member) -> Result<(), MemberError> {
        let is_pattern = |topic| matches!(topic, &EventTopic::Pattern(_));
        let may_change = self.subscribed.is_none() || self.events.topics.iter().any(is_pattern);
        let is_due = self
            .last_look
            .is_none_or(|last| may_change && last.elapsed() >= self.events.refresh);
        if !is_due {
            return Ok(());
        }
        self.last_look = Some(Instant::now());
        let present = match member.topic_names() {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(%error, "topics of events cannot be listed");
                return Ok(());
            }
        };
        if self.subscribed.is_none() {
            member.began_with(present.iter().cloned().collect());
        }
        let wanted = self.wanted(present);
        if self.subscribed.as_ref() != Some(&wanted) {
            tracing::info!(topics = ?wanted, "events are read from these topics");
            // librdkafka joins no group for nothing.
            if !wanted.is_empty() {
                member.subscribe(&wanted.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
            self.subscribed = Some(wanted);
        }
        Ok(())
    }

    fn wanted(&self, present: Vec<String>) -> Vec<String> {
        let topics = &self.events.topics;
        let is_meant = |name: &String| {
            !self.own.is_own(name) && topics.iter().any(|topic| topic.matches(name))
        };
        let named = topics.iter().filter_map(|topic| match topic {
            EventTopic::Name(name) => Some(name.clone()),
            EventTopic::Pattern(_) => None,
        });
        let mut wanted: Vec<String> = named.chain(present.into_iter().filter(is_meant)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}
