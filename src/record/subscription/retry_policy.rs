//! The forms in which a subscription says when to try again.

use super::error::{Rule, SubscriptionError};
use super::field::{Field, Fields};
use crate::retry::policy::{DEFAULT_JITTER, Exponential, LONGEST_WAIT, MOST_RETRIES};
use crate::retry::{Policy, PolicyError};

const DEFAULT_MULTIPLIER: f64 = 2.0;

/// Reads `retry`: the name of a preset, an object with `schedule` (and `jitter`, else 0), or one with `max_retries`,
/// `initial` (needed only when there are retries), `multiplier` (else 2), `max` (else 31 days) and
/// `jitter` (else 0.1).
pub(super) fn parse(field: &Field) -> Result<Policy, SubscriptionError> {
    if field.is_string() {
        return match field.string()?.as_str() {
            "standard" => Ok(Policy::standard()),
            _ => Err(field.refuse(Rule::RetryPreset)),
        };
    }
    let fields = field.object()?;
    match fields.get("schedule") {
        Some(schedule) => {
            fields.only(&["schedule", "jitter"])?;
            let entries = schedule.list(MOST_RETRIES as usize)?;
            let waits = entries
                .iter()
                .map(|entry| match entry.duration()? {
                    wait if wait > LONGEST_WAIT => Err(entry.refuse(PolicyError::TooLong)),
                    wait => Ok(wait),
                })
                .collect::<Result<_, _>>()?;
            let jitter = number_or(&fields, "jitter", 0.0)?;
            Policy::schedule(waits, jitter).map_err(|error| field.refuse(error))
        }
        None => {
            fields.only(&["max_retries", "initial", "multiplier", "max", "jitter"])?;
            let max_retries = fields.require("max_retries")?.whole_number()?;
            let max = fields.get("max").map(Field::duration).transpose()?;
            let max = max.unwrap_or(LONGEST_WAIT);
            let initial = match fields.get("initial") {
                None if max_retries == 0 => max,
                Some(_) | None => fields.require("initial")?.duration()?,
            };
            let growth = Exponential {
                max_retries,
                initial,
                multiplier: number_or(&fields, "multiplier", DEFAULT_MULTIPLIER)?,
                max,
            };
            let jitter = number_or(&fields, "jitter", DEFAULT_JITTER)?;
            Policy::exponential(growth, jitter).map_err(|error| field.refuse(error))
        }
    }
}

fn number_or(fields: &Fields, name: &str, default: f64) -> Result<f64, SubscriptionError> {
    fields.get(name).map_or(Ok(default), Field::number)
}
