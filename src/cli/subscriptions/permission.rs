//! Whether the dispatchers will do what a subscription asks for: the address policy and the allowed
//! references of secrets, judged by what they themselves judge by.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::http::Refused;
use crate::record::Subscription;
use crate::record::subscription::SecretSource;
use crate::secret_store::NotAllowed;

/// The settings are those of this command, which cannot see those of the dispatchers.
const WHOSE: &str = "in the settings of this command and of the dispatchers";

/// What the dispatchers will not do.
#[derive(Debug, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub(super) struct Forbidden {
    /// The path to what asks for it.
    pub(super) field: String,
    /// The rule, and what to do.
    reason: String,
}

/// Checks a subscription that is valid in itself. A host that is a name passes: where it leads is
/// known when it is dialled.
///
/// # Errors
/// Names the field, the rule, and what to do.
pub(super) fn check(
    subscription: &Subscription,
    config: &Config,
    now: Timestamp,
) -> Result<(), Forbidden> {
    let policy = config.address_policy();
    if let Err(refused) = policy.check_url(subscription.url().expose()) {
        return Err(Forbidden {
            field: "url".to_owned(),
            reason: format!("{refused}: {}", way_out_of(&refused)),
        });
    }
    if subscription.signatures().is_empty() {
        return Ok(()); // Nobody reads its secrets.
    }
    let store = config.secret_store();
    let secrets = subscription.secrets().iter().enumerate();
    for (index, secret) in secrets.filter(|(_, secret)| secret.is_live(now)) {
        let member = match secret.source() {
            SecretSource::Key(_) => "key",
            SecretSource::Env(_) => "env",
            SecretSource::File(_) => "file",
        };
        store.check_allowed(secret.source()).map_err(|refused| {
            let todo = match refused {
                NotAllowed::Env(_) => "add its name",
                NotAllowed::File(_) => "add its folder",
            };
            Forbidden {
                field: format!("secrets[{index}].{member}"),
                reason: format!("{refused}: {todo} {WHOSE}"),
            }
        })?;
    }
    Ok(())
}

fn way_out_of(refused: &Refused) -> String {
    match refused {
        Refused::Address { .. } => {
            format!("if it is meant, put its network into `http.allow_networks` {WHOSE}")
        }
        Refused::Plaintext { .. } => format!(
            "use https; if http is meant, put its network into `http.allow_networks`, or set \
             `http.allow_plaintext`, {WHOSE}"
        ),
        Refused::Scheme(_) | Refused::Host => "use an https URL with a host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SubscriptionKey;

    fn config(settings: &[(&str, &str)]) -> Config {
        let variables = settings
            .iter()
            .map(|(name, value)| (format!("HOOKTIDE__{name}"), (*value).to_owned()));
        Config::load(None, variables).unwrap()
    }

    fn judged(members: &str, settings: &[(&str, &str)]) -> Result<(), String> {
        let config = config(settings);
        let key = SubscriptionKey::try_new("acme", "shop").unwrap();
        let value = format!(r#"{{"events":["*"],{members}}}"#);
        let rules = config.subscription_rules();
        let subscription = Subscription::parse(&key, value.as_bytes(), &rules).unwrap();
        let now = Timestamp::from_millis(1_795_341_600_000);
        check(&subscription, &config, now).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refuses(members: &str, settings: &[(&str, &str)], words: &[&str]) {
        let error = judged(members, settings).unwrap_err();
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
    }

    #[test]
    fn targets_are_those_that_would_be_dialled() {
        let unsigned = |url: &str| format!(r#""url":"{url}","signatures":[]"#);
        let private = unsigned("https://10.1.2.3/hooks");
        let rule = "10.1.2.3 is refused: ";
        refuses(&private, &[], &["`url`: ", rule, "`http.allow_networks`"]);
        let allowed = [("HTTP__ALLOW_NETWORKS", r#"["10.0.0.0/8"]"#)];
        assert_eq!(judged(&private, &allowed), Ok(()));

        let plain = unsigned("http://8.8.8.8/hooks");
        let rule = "plain http to 8.8.8.8 is refused";
        refuses(&plain, &[], &["`url`: ", rule, "use https"]);
        let allowed = [("HTTP__ALLOW_PLAINTEXT", "true")];
        assert_eq!(judged(&plain, &allowed), Ok(()));

        // Names are judged by what they resolve to when they are dialled.
        for url in ["https://example.com/hooks", "http://receiver:8080/good"] {
            assert_eq!(judged(&unsigned(url), &[]), Ok(()));
        }
    }

    #[test]
    fn references_are_those_that_would_be_read() {
        let signed = |secrets: &str| format!(r#""url":"https://a.example","secrets":[{secrets}]"#);
        let key = r#""whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=""#;
        assert_eq!(judged(&signed(key), &[]), Ok(()));

        let env = signed(&format!(r#"{key},{{"env":"SHOP_KEY"}}"#));
        let words = [
            "`secrets[1].env`: ",
            "`SHOP_KEY` is not allowed by `subscriptions.secret_env`",
            "add its name",
        ];
        refuses(&env, &[], &words);
        let allowed = [("SUBSCRIPTIONS__SECRET_ENV", r#"["SHOP_*"]"#)];
        assert_eq!(judged(&env, &allowed), Ok(()));

        let file = signed(r#"{"file":"/run/secrets/shop"}"#);
        let words = ["`secrets[0].file`: ", "`subscriptions.secret_dirs`"];
        refuses(&file, &[], &words);
        let allowed = [("SUBSCRIPTIONS__SECRET_DIRS", r#"["/run/secrets"]"#)];
        assert_eq!(judged(&file, &allowed), Ok(()));

        // What nobody will read may refer to anything.
        let expired = signed(&format!(
            r#"{key},{{"env":"OLD","not_after":"2026-01-01T00:00:00Z"}}"#
        ));
        assert_eq!(judged(&expired, &[]), Ok(()));
        let unsigned = r#""url":"https://a.example","signatures":[],"secrets":[{"env":"OLD"}]"#;
        assert_eq!(judged(unsigned, &[]), Ok(()));
    }
}
