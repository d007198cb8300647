//! What a subscription that is to be written lacks of secrets: made anew, or kept from the record on the topic.

use std::fmt;

use crate::cli::secrets;
use crate::record::Subscription;
use crate::record::json_text::{Kind, Node};
use crate::record::subscription::SignatureScheme;
use crate::secret::{KeyForm, KeyPair, Secret};

/// A subscription with all that it needs, so far as it can be made or kept.
pub(super) struct Completed {
    pub(super) value: Vec<u8>,
    /// What is made anew.
    pub(super) made: Generated,
    /// Whether it lacked secrets.
    pub(super) lacked: bool,
    /// What is said of the secrets that it keeps, if it does.
    pub(super) kept: Option<String>,
}

impl Completed {
    /// `present` is the record on the topic, as far as it is known.
    pub(super) fn of(value: &[u8], present: Option<&[u8]>) -> Self {
        let Some(object) = lacking_secrets(value) else {
            return Self {
                value: value.to_vec(),
                made: Generated::default(),
                lacked: false,
                kept: None,
            };
        };
        // What is wrong with them is for those who check.
        let schemes = Subscription::signatures_of(value).unwrap_or_default();
        let (made, entries, kept) = match present.and_then(secrets_of) {
            Some(present) => {
                let kept = Kept::of(present, &schemes);
                let made = Generated::for_signatures(kept.lacking.iter().copied());
                let said = kept.to_string();
                (made, kept.entries, Some(said))
            }
            None => (Generated::for_signatures(schemes.iter()), Vec::new(), None),
        };
        let all = [made.entries(), entries].concat();
        Self {
            value: with_secrets(object, &all).into_bytes(),
            made,
            lacked: true,
            kept,
        }
    }
}

/// The text of an object that has no `secrets` though its requests are to be signed.
fn lacking_secrets(value: &[u8]) -> Option<&str> {
    let object = Node::parse(value)
        .ok()
        .filter(|node| node.kind() == Kind::Object)?;
    let unsigned = object.member("signatures").is_some_and(|schemes| {
        schemes.kind() == Kind::Array && schemes.elements().next().is_none()
    });
    (!unsigned && object.member("secrets").is_none()).then_some(object.text())
}

/// The list of secrets, if there is one that holds something.
fn secrets_of(value: &[u8]) -> Option<Node<'_>> {
    let secrets = Node::parse(value).ok()?.member("secrets")?;
    secrets.elements().next()?;
    Some(secrets)
}

/// The object with a last member more.
fn with_secrets(object: &str, secrets: &[String]) -> String {
    let open = object.strip_suffix('}').unwrap_or(object).trim_ascii_end();
    let comma = if open.ends_with('{') { "" } else { "," };
    format!("{open}{comma}\"secrets\":[{}]}}", secrets.join(","))
}

/// Secrets for a subscription that lacks them.
#[derive(Default)]
pub(super) struct Generated {
    /// For all signatures but `v1a`.
    pub(super) secret: Option<String>,
    /// For `v1a`.
    pub(super) pair: Option<KeyPair>,
}

impl Generated {
    /// One of each kind that these need.
    fn for_signatures<'a>(schemes: impl Iterator<Item = &'a SignatureScheme> + Clone) -> Self {
        let of_pairs = |scheme: &SignatureScheme| scheme.key == KeyForm::Ed25519;
        let needs_secret = !schemes.clone().all(of_pairs);
        let needs_pair = schemes.clone().any(of_pairs);
        Self {
            secret: needs_secret.then(|| secrets::new_secret(secrets::BYTES)),
            pair: needs_pair.then(secrets::new_pair).flatten(),
        }
    }

    /// As JSON, for the subscription.
    pub(super) fn entries(&self) -> Vec<String> {
        let private = self.pair.as_ref().map(KeyPair::text_of_new);
        let texts = self.secret.iter().chain(&private);
        texts.map(|text| format!("\"{text}\"")).collect()
    }
}

/// What a subscription keeps of the secrets that it has, though its signatures may have changed.
struct Kept<'a> {
    /// As JSON.
    entries: Vec<String>,
    /// How many are of no use any more.
    dropped: usize,
    /// The signatures that none of them is for.
    lacking: Vec<&'a SignatureScheme>,
}

impl<'a> Kept<'a> {
    fn of(present: Node<'_>, schemes: &'a [SignatureScheme]) -> Self {
        let all: Vec<_> = present
            .elements()
            .map(|entry| (entry, given(entry)))
            .collect();
        let is_for = |secret: &Option<Secret>, scheme: &SignatureScheme| match secret {
            Some(secret) => secret.key(scheme.key).is_ok(),
            None => true, // only referred to: it is seen when it is read
        };
        let is_of_use = |secret| schemes.iter().any(|scheme| is_for(secret, scheme));
        let useful = all.iter().filter(|(_, secret)| is_of_use(secret));
        let entries: Vec<_> = useful.map(|(entry, _)| entry.text().to_owned()).collect();
        let is_lacking =
            |scheme: &&SignatureScheme| all.iter().all(|(_, secret)| !is_for(secret, scheme));
        Self {
            dropped: all.len() - entries.len(),
            entries,
            lacking: schemes.iter().filter(is_lacking).collect(),
        }
    }
}

/// The secret that an entry gives, rather than to refer to it.
fn given(entry: Node<'_>) -> Option<Secret> {
    let text = entry.string().or_else(|| entry.member("key")?.string())?;
    Secret::parse(str::from_utf8(&text).ok()?).ok()
}

impl fmt::Display for Kept<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dropped {
            0 => formatter.write_str("it keeps the secrets that it has"),
            dropped => write!(
                formatter,
                "it keeps the secrets that it has, but for {dropped} that none of its signatures can use"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_completed_as_text() {
        fn check(object: &str, expected: &str) {
            let lacking = lacking_secrets(object.as_bytes()).unwrap();
            assert_eq!(with_secrets(lacking, &["1".to_owned()]), expected);
        }
        check("{}", r#"{"secrets":[1]}"#);
        check(" { \n} \n", r#"{"secrets":[1]}"#);
        check(
            "{\"a\" : 1.10,\n \"b\":\"}\"\n}",
            "{\"a\" : 1.10,\n \"b\":\"}\",\"secrets\":[1]}",
        );
        check(
            r#"{"signatures":["standard"]}"#,
            r#"{"signatures":["standard"],"secrets":[1]}"#,
        );
    }

    /// How an entry that is a text begins.
    fn kinds(entries: &[String]) -> Vec<&str> {
        entries
            .iter()
            .map(|entry| &entry[1..=entry.find('_').unwrap()])
            .collect()
    }

    fn schemes(list: &str) -> Vec<SignatureScheme> {
        let value = format!(r#"{{"signatures":{list}}}"#);
        Subscription::signatures_of(value.as_bytes()).unwrap()
    }

    #[test]
    fn each_kind_of_signature_gets_its_kind_of_secret() {
        fn check(list: &str, expected: &[&str]) {
            let entries = Generated::for_signatures(schemes(list).iter()).entries();
            assert_eq!(kinds(&entries), expected, "{list}");
            let object =
                format!(r#"{{"url":"https://a.example","events":["*"],"signatures":{list}}}"#);
            let completed = with_secrets(&object, &entries);
            let key = "acme/shop".parse().unwrap();
            let rules = crate::record::subscription::Rules::default();
            assert!(Subscription::parse(&key, completed.as_bytes(), &rules).is_ok());
        }
        check(r#"["standard"]"#, &["whsec_"]);
        check(r#"["hex-body"]"#, &["whsec_"]);
        check(r#"["v1a"]"#, &["whsk_"]);
        check(r#"["v1a","combined"]"#, &["whsec_", "whsk_"]);
        assert!(Generated::for_signatures([].iter()).entries().is_empty());
    }

    #[test]
    fn what_is_kept_fits_the_signatures() {
        fn check(present: &str, list: &str, kept: &[&str], made: &[&str]) {
            let schemes = schemes(list);
            let present = Node::parse(present.as_bytes()).unwrap();
            let found = Kept::of(present, &schemes);
            assert_eq!(found.entries, kept, "{list}");
            assert_eq!(found.dropped, present.elements().count() - kept.len());
            let entries = Generated::for_signatures(found.lacking.iter().copied()).entries();
            assert_eq!(kinds(&entries), made, "{list}");
        }
        let secret = r#""whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw""#;
        let pair = r#"{"key":"whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="}"#;
        let text = r#""a secret of an older system""#;
        let reference = r#"{"env":"A"}"#;
        let all = format!("[{secret}, {pair}, {text}, {reference}]");
        let (standard, both) = (r#"["standard"]"#, r#"["v1a","standard"]"#);
        check(&all, standard, &[secret, reference], &[]);
        check(&all, both, &[secret, pair, reference], &[]);
        check(&all, r#"["hex-body"]"#, &[secret, text, reference], &[]);
        check(&format!("[{secret}]"), both, &[secret], &["whsk_"]);
        check(
            &format!("[{text}]"),
            r#"["hex-body","standard"]"#,
            &[text],
            &["whsec_"],
        );
        check(&format!("[{reference}]"), both, &[reference], &[]);
    }

    #[test]
    fn what_needs_no_secret_is_left_alone() {
        for value in [
            r#"{"signatures":[ ]}"#,
            r#"{"secrets":[]}"#,
            r#"{"secrets":null}"#,
            r#"{"\u0073ecrets":["x"]}"#,
            "[]",
            "{",
            "",
        ] {
            assert_eq!(lacking_secrets(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn secrets_are_kept_only_when_there_are_some() {
        fn check(value: &str, expected: Option<&str>) {
            let found = secrets_of(value.as_bytes());
            assert_eq!(found.map(Node::text), expected, "{value}");
        }
        check(
            r#"{"secrets":["a", {"key":"b"}]}"#,
            Some(r#"["a", {"key":"b"}]"#),
        );
        check(r#"{"secrets":[]}"#, None);
        check(r#"{"secrets":"a"}"#, None);
        check("{}", None);
        check("not JSON", None);
    }
}
