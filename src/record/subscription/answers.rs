//! What a subscription's endpoint means by its statuses, where that is not the usual.

use std::collections::BTreeMap;

use super::error::{Rule, SubscriptionError};
use super::field::Field;

const MOST_ENTRIES: usize = 300;

/// Statuses that say more than their class. A class of a subscription's `answers` leaves them as
/// they are: whoever makes `4xx` final does not mean "slow down" (429).
const WITH_A_MEANING: [u16; 5] = [410, 429, 502, 503, 504];

/// What a status means for the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The endpoint has it.
    Delivered,
    /// It will never take it: no further request.
    Final,
    /// It may take it later.
    Retry,
}

/// A subscription's own word on statuses; empty by default, which leaves all to the usual rules.
/// A 2xx is not open to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    statuses: BTreeMap<u16, Meaning>,
    /// By the first digit.
    classes: BTreeMap<u16, Meaning>,
}

impl Answers {
    /// What the subscription says about this status; `None` for nothing. A status by itself goes
    /// before its class.
    pub fn meaning(&self, status: u16) -> Option<Meaning> {
        let class = || {
            let is_open = !WITH_A_MEANING.contains(&status);
            self.classes.get(&(status / 100)).filter(|_| is_open)
        };
        self.statuses.get(&status).or_else(class).copied()
    }

    /// Reads `answers`: an object with lists `delivered`, `final` and `retry` of statuses (404) and
    /// classes (`4xx`), none of them twice.
    pub(super) fn parse(field: &Field) -> Result<Self, SubscriptionError> {
        let fields = field.object()?;
        fields.only(&["delivered", "final", "retry"])?;
        let mut answers = Self::default();
        for (name, meaning) in [
            ("delivered", Meaning::Delivered),
            ("final", Meaning::Final),
            ("retry", Meaning::Retry),
        ] {
            let Some(list) = fields.get(name) else {
                continue;
            };
            for entry in list.list(MOST_ENTRIES)? {
                let before = match class_of(&entry)? {
                    Some(class) => answers.classes.insert(class, meaning),
                    None => {
                        let status = entry.number_in(300, 599)?;
                        let status = u16::try_from(status).unwrap_or(u16::MAX);
                        answers.statuses.insert(status, meaning)
                    }
                };
                if before.is_some() {
                    return Err(entry.refuse(Rule::Repeated));
                }
            }
        }
        Ok(answers)
    }
}

/// The first digit of a class; `None` for what is no text, and so perhaps a status.
fn class_of(entry: &Field) -> Result<Option<u16>, SubscriptionError> {
    if !entry.is_string() {
        return Ok(None);
    }
    match entry.string()?.as_str() {
        "3xx" => Ok(Some(3)),
        "4xx" => Ok(Some(4)),
        "5xx" => Ok(Some(5)),
        _ => Err(entry.refuse(Rule::StatusClass)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::check;

    #[test]
    fn names_what_is_wrong_with_answers() {
        check(
            "answers",
            json!({"gone": [404]}),
            "`answers.gone`: is not known here",
        );
        check(
            "answers",
            json!({"final": [404, "4xx"], "retry": [500, 404]}),
            "`answers.retry[1]`: is given twice",
        );
        check(
            "answers",
            json!({"delivered": ["4xx"], "final": ["4xx"]}),
            "`answers.final[0]`: is given twice",
        );
        for status in [0, 200, 299, 600] {
            check(
                "answers",
                json!({"retry": [status]}),
                "`answers.retry[0]`: must be from 300 to 599",
            );
        }
        for class in ["2xx", "4XX", "404", ""] {
            check(
                "answers",
                json!({"delivered": [409, class]}),
                "`answers.delivered[1]`: must be a status from 300 to 599, or `3xx`, `4xx` or `5xx`",
            );
        }
    }
}
