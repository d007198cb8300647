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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{check, parse, with};
    use super::*;

    #[test]
    fn reads_exponential_policies() {
        fn waits(retry: Value) -> Vec<u128> {
            let subscription = with("retry", retry).unwrap();
            let policy = subscription.retry().unwrap();
            (1..)
                .map_while(|failed| policy.wait(failed, 1.0))
                .map(|wait| wait.as_millis())
                .collect()
        }
        let retry = json!({"max_retries":3,"initial":"2s","multiplier":3,"max":"10s","jitter":0.5});
        assert_eq!(waits(retry), [3_000, 9_000, 15_000]);
        let retry = json!({"max_retries":2,"initial":"10s"});
        assert_eq!(waits(retry), [11_000, 22_000]);
        assert!(waits(json!({"max_retries":0})).is_empty());
        assert!(waits(json!({"schedule":[]})).is_empty());
        let retry = json!({"max_retries":3,"initial":"10s","multiplier":1,"jitter":0});
        assert_eq!(waits(retry), [10_000; 3]);
        let standard = with("retry", json!("standard")).unwrap();
        assert_eq!(standard.retry(), Some(&Policy::standard()));
    }

    #[test]
    fn names_what_is_wrong_with_a_retry_policy() {
        let exponential = |name: &str, value: Value| {
            let mut policy = json!({"max_retries":5,"initial":"2s"});
            policy[name] = value;
            policy
        };
        check("retry", json!({}), "`retry.max_retries`: is missing");
        check(
            "retry",
            json!("svix"),
            "`retry`: must be an object, or the preset `standard`",
        );
        check(
            "retry",
            json!({"max_retries":1}),
            "`retry.initial`: is missing",
        );
        check(
            "retry",
            json!({"schedule":["5s"],"max":"1h"}),
            "`retry.max`: is not known here",
        );
        check(
            "retry",
            json!({"schedule":["5s","32d"]}),
            "`retry.schedule[1]`: has a wait of more than 31 days",
        );
        check(
            "retry",
            json!({"schedule":["5s"],"jitter":1.5}),
            "`retry`: has a jitter that is not from 0 to 1",
        );
        check(
            "retry",
            exponential("max", json!("1s")),
            "`retry`: has a `max` below its `initial`",
        );
        check(
            "retry",
            exponential("multiplier", json!(0.5)),
            "`retry`: has a multiplier that is not from 1 to 100",
        );
        check(
            "retry",
            exponential("max_retries", json!(1_001)),
            "`retry`: has more than 1000 retries",
        );
        check(
            "retry",
            exponential("multiplier", json!("2")),
            "`retry.multiplier`: must be a number",
        );
        let error = parse(br#"{"url":"http://a/","events":["*"],"signatures":[],"retry":{"max_retries":1,"initial":"1s","multiplier":1e999}}"#);
        assert_eq!(
            error.unwrap_err().to_string(),
            "`retry.multiplier`: must be a number"
        );
    }
}
