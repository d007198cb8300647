//! Answers of the registry, at most so many.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::record::{Schema, SchemaId};
use crate::router::event_form::WriterSchema;

/// How long it is believed that there is no such schema, or none that can be used: a registry may be
/// restored from a copy, or the schemas that one refers to. A schema that is found never changes.
const BELIEVED: Duration = Duration::from_secs(60);

/// The least recently used answer goes first.
pub(super) struct Cache {
    most: usize,
    answers: HashMap<SchemaId, Answer>,
    /// Counts uses.
    clock: u64,
}

struct Answer {
    schema: WriterSchema,
    used: u64,
    until: Option<Instant>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            answers: HashMap::new(),
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, id: SchemaId, now: Instant) -> Option<WriterSchema> {
        self.clock += 1;
        let answer = self.answers.get_mut(&id)?;
        if answer.until.is_some_and(|until| until <= now) {
            self.answers.remove(&id);
            return None;
        }
        answer.used = self.clock;
        Some(answer.schema.clone())
    }

    pub(super) fn insert(&mut self, id: SchemaId, schema: WriterSchema, now: Instant) {
        if self.answers.len() >= self.most && !self.answers.contains_key(&id) {
            // A request went before this: the walk is nothing beside it.
            let oldest = self.answers.iter().min_by_key(|(_, answer)| answer.used);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.answers.remove(&oldest);
            }
        }
        self.clock += 1;
        let lasts = matches!(
            &schema,
            WriterSchema::Known(schema) if !matches!(**schema, Schema::Unusable(_))
        );
        let answer = Answer {
            schema,
            used: self.clock,
            until: (!lasts).then(|| now + BELIEVED),
        };
        self.answers.insert(id, answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keeps_what_is_used_and_forgets_what_may_change() {
        let start = Instant::now();
        let known = || WriterSchema::Known(Arc::new(Schema::Json));
        let mut cache = Cache::new(2);
        cache.insert(SchemaId::Id(1), known(), start);
        cache.insert(SchemaId::Id(2), WriterSchema::Unknown, start);
        assert!(cache.get(SchemaId::Id(1), start).is_some());
        cache.insert(SchemaId::Id(3), known(), start);
        assert!(
            cache.get(SchemaId::Id(2), start).is_none(),
            "used the least"
        );
        assert!(cache.get(SchemaId::Id(1), start).is_some());

        let unusable = WriterSchema::Known(Arc::new(Schema::Unusable("?".to_owned())));
        for may_change in [WriterSchema::Unknown, unusable] {
            cache.insert(SchemaId::Id(2), may_change, start);
            let just_before = start + BELIEVED - Duration::from_millis(1);
            assert!(cache.get(SchemaId::Id(2), just_before).is_some());
            assert!(cache.get(SchemaId::Id(2), start + BELIEVED).is_none());
        }
        let much_later = start + Duration::from_hours(1_000);
        assert!(cache.get(SchemaId::Id(1), much_later).is_some());
    }
}
