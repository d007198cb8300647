//! What is shown of endpoints that are not in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::table;
use crate::cli::{Output, output};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::errand::{Expected, newest_records};
use crate::record::{DisabledReason, SubscriptionKey, WishKey, WishedState};
use crate::topic::Topic;

/// One line of the list.
struct Row {
    /// Brakes first, then by name.
    order: (u8, String),
    name: Value,
    what: String,
    state: &'static str,
    since: Timestamp,
    why: String,
    details: Value,
}

pub(super) fn list(config: &Config, tenant: Option<&str>, format: Output) -> anyhow::Result<()> {
    let topic = config.topics.name(Topic::Subscriptions);
    let subscriptions = newest_records(config, &topic, Expected::One, |_| true)?;
    let revisions: BTreeMap<SubscriptionKey, i64> = subscriptions
        .iter()
        .filter_map(|(key, record)| Some((SubscriptionKey::try_from(&**key).ok()?, record.offset)))
        .collect();
    let table = table(config)?;
    let is_meant = |key: &SubscriptionKey| tenant.is_none_or(|tenant| key.tenant() == tenant);
    let mut rows = Vec::new();
    for (key, wish) in table.wishes() {
        let is_shown = match key {
            WishKey::PauseSubscription(key) => is_meant(key),
            WishKey::PauseTenant(name) => tenant.is_none_or(|tenant| name == tenant),
            WishKey::PauseHost(_) => true,
            WishKey::State(_) => false,
        };
        if is_shown && wish.wished == WishedState::Paused {
            rows.push(Row {
                order: (0, subject(key)),
                name: named(key),
                what: subject(key),
                state: "paused",
                since: wish.at,
                why: "an operator has paused it".to_owned(),
                details: Value::Null,
            });
        }
    }
    for (key, revision) in revisions.iter().filter(|(key, _)| is_meant(key)) {
        let state = table.state(key);
        let disabled = table.disabled(key, *revision);
        let failing = state.and_then(|state| state.failing);
        let now = Timestamp::now();
        let breaker = state.and_then(|state| state.breaker);
        let breaker = breaker.filter(|breaker| breaker.revision >= *revision);
        let throttled = state.and_then(|state| state.throttled);
        let throttled = throttled.filter(|one| one.revision >= *revision && one.until > now);
        let (shown, since, why) = match (disabled, failing) {
            (Some(disabled), _) => ("disabled", disabled.at, why(disabled.reason).to_owned()),
            // What was known before the subscription or an operator enabled it counts no more.
            (None, _) if state.is_some_and(|state| state.disabled.is_some()) => continue,
            (None, _) if let Some(breaker) = breaker => {
                let why = match breaker.until > now {
                    true => format!(
                        "its circuit breaker lets nothing pass until {}",
                        breaker.until
                    ),
                    false => format!(
                        "its circuit breaker lets one request pass since {}, to ask whether it is back",
                        breaker.until
                    ),
                };
                ("open", breaker.failing_since, why)
            }
            (None, Some(failing)) => {
                let last = state.and_then(|state| {
                    let status = state.last_status.map(|status| status.to_string());
                    status.or_else(|| state.last_error.clone())
                });
                let last = last.unwrap_or_else(|| "unknown".to_owned());
                let why = format!("{} failures or more, the last: {last}", failing.failures);
                ("failing", failing.since, why)
            }
            (None, None) if let Some(throttled) = throttled => {
                let why = format!("it asked for a pause until {}", throttled.until);
                ("throttled", throttled.at, why)
            }
            (None, None) => continue,
        };
        rows.push(Row {
            order: (1, key.to_string()),
            name: named(&WishKey::State(key.clone())),
            what: key.to_string(),
            state: shown,
            since,
            why,
            details: json!({
                "reason": disabled.map(|disabled| disabled.reason.as_str()),
                "failing_since": failing.map(|failing| failing.since),
                "failures": failing.map(|failing| failing.failures),
                "last_status": state.and_then(|state| state.last_status),
                "last_error": state.and_then(|state| state.last_error.clone()),
                "breaker_open_until": breaker.map(|breaker| breaker.until),
                "throttled_until": throttled.map(|throttled| throttled.until),
            }),
        });
    }
    rows.sort_by(|left, right| left.order.cmp(&right.order));
    match format {
        Output::Json => output::json(&rows.iter().map(Row::json).collect::<Vec<_>>()),
        Output::Text if rows.is_empty() => {
            output::talk("no endpoint is paused, disabled, failing, open or throttled");
            Ok(())
        }
        Output::Text => output::data(&text(&rows)),
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut document = self.name.clone();
        document["state"] = json!(self.state);
        document["since"] = json!(self.since);
        document["why"] = json!(self.why);
        for (name, value) in self.details.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        document
    }
}

fn text(rows: &[Row]) -> String {
    let widest = rows.iter().map(|row| row.what.chars().count()).max();
    let width = widest.unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        let why = output::plain(&row.why);
        let Row {
            what, state, since, ..
        } = row;
        text += &format!("{what:width$}  {state:9}  {since}  {why}\n");
    }
    text
}

/// What a wish is about, in words.
pub(super) fn subject(key: &WishKey) -> String {
    match key {
        WishKey::PauseSubscription(key) | WishKey::State(key) => key.to_string(),
        WishKey::PauseHost(host) => format!("host {}", output::plain(host)),
        WishKey::PauseTenant(tenant) => format!("tenant {}", output::plain(tenant)),
    }
}

/// The same as members of a JSON object.
pub(super) fn named(key: &WishKey) -> Value {
    match key {
        WishKey::PauseSubscription(key) | WishKey::State(key) => {
            json!({"tenant": key.tenant(), "id": key.id()})
        }
        WishKey::PauseHost(host) => json!({"host": host}),
        WishKey::PauseTenant(tenant) => json!({"tenant": tenant}),
    }
}

/// Why an endpoint is disabled, in words.
pub(super) const fn why(reason: DisabledReason) -> &'static str {
    match reason {
        DisabledReason::Gone => "it answered 410",
        DisabledReason::Failing => "it failed for too long",
        DisabledReason::Operator => "an operator has disabled it",
    }
}
