//! What is shown of a subscription. Nothing secret gets through, of an invalid record least of all:
//! there nobody knows where a secret may stand.

use serde::Serialize;
use serde_json::value::RawValue;

use super::table::Present;
use crate::cli::output::plain;
use crate::clock::Timestamp;
use crate::record::SubscriptionKey;
use crate::record::json_text::{Kind, Node, minify, quote};
use crate::record::subscription::{Rules, State, TargetUrl};
use crate::secret;
use crate::subscription_table::{Compiled, Invalid};

/// What stands for what is not shown.
pub(super) const REDACTED: &str = "\"[redacted]\"";
/// Every member that a subscription can have and that holds no secret.
const SHOWN: [&str; 22] = [
    "version",
    "id",
    "tenant",
    "events",
    "state",
    "signatures",
    "timeout",
    "retry",
    "max_age",
    "answers",
    "max_concurrency",
    "adaptive_concurrency",
    "rate_limit",
    "filters",
    "where",
    "fields",
    "mapping",
    "body",
    "method",
    "content_type",
    "description",
    "labels",
];

/// A subscription as a person may see it.
pub(super) struct View {
    key: SubscriptionKey,
    revision: i64,
    written: Option<Timestamp>,
    content: Result<Compiled, Invalid>,
    members: Vec<(String, String)>,
}

/// One line of the list.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    tenant: &'a str,
    id: &'a str,
    state: &'static str,
    /// Why it is invalid.
    problem: Option<String>,
    revision: i64,
    url: Option<String>,
    events: Option<Vec<String>>,
}

/// All that may be seen.
#[derive(Serialize)]
pub(super) struct Detailed<'a> {
    tenant: &'a str,
    id: &'a str,
    state: &'static str,
    /// Why it is invalid.
    problem: Option<String>,
    revision: i64,
    /// When the record was written.
    written_at: Option<String>,
    /// The record, redacted; none if it is no JSON object.
    subscription: Option<Box<RawValue>>,
}

impl View {
    /// Judges and redacts the newest record of a key.
    pub(super) fn new(key: &SubscriptionKey, record: &Present, rules: &Rules) -> Self {
        Self {
            key: key.clone(),
            revision: record.revision,
            written: record.written,
            content: match &record.value {
                Ok(value) => Compiled::parse(key, value, rules),
                Err(error) => Err(error.clone().into()),
            },
            members: record.json().map(redacted_members).unwrap_or_default(),
        }
    }

    fn state(&self) -> &'static str {
        match &self.content {
            Err(_) => "invalid",
            Ok(compiled) => match compiled.subscription.state() {
                State::Active => "active",
                State::Paused => "paused",
                State::Disabled => "disabled",
            },
        }
    }

    fn problem(&self) -> Option<String> {
        self.content.as_ref().err().map(ToString::to_string)
    }

    /// One entry of a list.
    pub(super) fn summary(&self) -> Summary<'_> {
        let subscription = self
            .content
            .as_ref()
            .ok()
            .map(|compiled| &compiled.subscription);
        Summary {
            tenant: self.key.tenant(),
            id: self.key.id(),
            state: self.state(),
            problem: self.problem(),
            revision: self.revision,
            url: subscription.map(|subscription| subscription.url().redacted().to_string()),
            events: subscription.map(|subscription| {
                let patterns = subscription.events().iter();
                patterns.map(ToString::to_string).collect()
            }),
        }
    }

    /// Everything, for JSON.
    pub(super) fn detailed(&self) -> Detailed<'_> {
        Detailed {
            tenant: self.key.tenant(),
            id: self.key.id(),
            state: self.state(),
            problem: self.problem(),
            revision: self.revision,
            written_at: self.written.map(|time| time.to_string()),
            subscription: self.object(),
        }
    }

    fn object(&self) -> Option<Box<RawValue>> {
        if self.members.is_empty() {
            return None;
        }
        let members = self.members.iter();
        let members: Vec<_> = members
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
    }

    /// Everything, for people: a line for each member.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            ("subscription".to_owned(), self.key.to_string()),
            ("state".to_owned(), self.state().to_owned()),
        ];
        lines.extend(
            self.problem()
                .map(|problem| ("problem".to_owned(), problem)),
        );
        lines.push(("revision".to_owned(), self.revision.to_string()));
        lines.extend(
            self.written
                .map(|time| ("written".to_owned(), time.to_string())),
        );
        let members = self.members.iter();
        lines.extend(members.map(|(name, value)| {
            let name = name.trim_matches('"');
            (format!("  {name}"), value.clone())
        }));
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines
            .iter()
            .map(|(name, value)| format!("{:width$}  {}\n", plain(name), plain(value)))
            .collect()
    }
}

/// The list for people: a line for each subscription, in columns.
pub(super) fn table(views: &[View]) -> String {
    let mut rows = vec![["SUBSCRIPTION", "STATE", "REVISION", "URL OR PROBLEM"].map(str::to_owned)];
    rows.extend(views.iter().map(|view| {
        let summary = view.summary();
        [
            view.key.to_string(),
            summary.state.to_owned(),
            summary.revision.to_string(),
            plain(&summary.problem.or(summary.url).unwrap_or_default()),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (key, state, revision) = (width(0), width(1), width(2));
    rows.iter()
        .map(|[a, b, c, d]| format!("{a:key$}  {b:state$}  {c:revision$}  {d}\n"))
        .collect()
}

/// The members of an object in their order: name and value as JSON, secrets redacted.
pub(super) fn redacted_members(value: &[u8]) -> Vec<(String, String)> {
    let Ok(object) = Node::parse(value) else {
        return Vec::new();
    };
    object
        .members()
        .map(|(name, value)| {
            let is_any = |names: &[&str]| names.iter().any(|known| name.is(known));
            let shown = if is_any(&["url"]) {
                url(value)
            } else if is_any(&["secrets"]) {
                entries(value, secret_entry)
            } else if is_any(&["headers"]) {
                // A header can be as secret as a key: `Authorization`, `X-Api-Key`.
                members(value, |_, _| REDACTED.to_owned())
            } else if is_any(&SHOWN) && !holds_a_secret(value) {
                minify(value.text())
            } else {
                REDACTED.to_owned()
            };
            (name.source().to_owned(), shown)
        })
        .collect()
}

fn url(value: Node<'_>) -> String {
    let text = value
        .string()
        .and_then(|text| String::from_utf8(text.into_owned()).ok());
    let parsed = text.as_deref().and_then(|text| TargetUrl::parse(text).ok());
    match parsed {
        // As it was written, where that gives nothing away.
        Some(url)
            if !url.has_credentials()
                && url.expose().query().is_none()
                && url.template().is_none() =>
        {
            minify(value.text())
        }
        Some(url) => quote(&url.to_string()),
        None => REDACTED.to_owned(),
    }
}

/// Whether a secret stands where it does not belong.
fn holds_a_secret(value: Node<'_>) -> bool {
    [secret::PREFIX, secret::PRIVATE_PREFIX]
        .iter()
        .any(|prefix| value.text().contains(prefix))
}

/// A text that is the secret, or an object that says where it is and until when.
fn secret_entry(value: Node<'_>) -> String {
    members(value, |name, value| {
        if ["\"env\"", "\"file\"", "\"not_after\""].contains(&name) && !holds_a_secret(value) {
            minify(value.text())
        } else {
            REDACTED.to_owned()
        }
    })
}

/// A list with each entry shown by `entry`; anything else is redacted.
fn entries(list: Node<'_>, entry: impl Fn(Node<'_>) -> String) -> String {
    if list.kind() != Kind::Array {
        return REDACTED.to_owned();
    }
    let shown: Vec<_> = list.elements().map(entry).collect();
    format!("[{}]", shown.join(","))
}

/// An object with each value shown by `member`; anything else is redacted.
fn members(object: Node<'_>, member: impl Fn(&str, Node<'_>) -> String) -> String {
    if object.kind() != Kind::Object {
        return REDACTED.to_owned();
    }
    let shown: Vec<_> = object
        .members()
        .map(|(name, value)| format!("{}:{}", name.source(), member(name.source(), value)))
        .collect();
    format!("{{{}}}", shown.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        fn check(value: &str, expected: &str) {
            let members = redacted_members(value.as_bytes());
            let shown: Vec<_> = members.iter().map(|(n, v)| format!("{n}:{v}")).collect();
            assert_eq!(shown.join(","), expected, "{value}");
        }
        let kept = r#""events":["a",1.10],"timeout":"1s","labels":{"a":"b"}"#;
        check(&format!("{{ {} }}", kept.replace(':', " : ")), kept);
        check(r#"{"url":"https:\/\/a"}"#, r#""url":"https:\/\/a""#);
        check(
            r#"{"url":"https://u:p@a/b?c=d"}"#,
            r#""url":"https://[redacted]@a/b?[redacted]""#,
        );
        check(r#"{"url":"u:p@a"}"#, r#""url":"[redacted]""#);
        check(r#"{"url":["https://u:p@a"]}"#, r#""url":"[redacted]""#);
        check(
            r#"{"secrets":["a",{"key":"b","env":"C","sealed":"d","not_after":"e"},1]}"#,
            r#""secrets":["[redacted]",{"key":"[redacted]","env":"C","sealed":"[redacted]","not_after":"e"},"[redacted]"]"#,
        );
        check(r#"{"s\u0065crets":"a"}"#, r#""s\u0065crets":"[redacted]""#);
        check(
            r#"{"headers":{"A":"b"},"other":"c"}"#,
            r#""headers":{"A":"[redacted]"},"other":"[redacted]""#,
        );
        check(
            r#"{"description":"use whsec_abc","secrets":[{"env":"whsec_a"}]}"#,
            r#""description":"[redacted]","secrets":[{"env":"[redacted]"}]"#,
        );
        check(
            r#"{"description":"whsk_abc","signatures":["v1a",{"header":"whsk_a"}]}"#,
            r#""description":"[redacted]","signatures":"[redacted]""#,
        );
        check("whsec_abc", "");
        check(r#"["whsec_abc"]"#, "");
    }
}
