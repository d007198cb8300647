//! Whether a request is signed as it should be, judged by the reference implementation of Standard
//! Webhooks and not by the code that signs.

use std::fmt;

use axum::http::HeaderMap;
use standardwebhooks::{Webhook, WebhookError};

use crate::secret::{Key, KeyForm, Secret};

/// What is known of a request's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// There is no secret to check it with.
    Unchecked,
    /// It was made with one of the secrets, lately.
    Holds,
    /// It does not hold, or is not there: why.
    Fails(String),
}

impl Signature {
    /// Checks a request; one of the secrets is enough.
    pub(super) fn check(secrets: &[Secret], headers: &HeaderMap, body: &[u8]) -> Self {
        let mut found = Self::Unchecked;
        for secret in secrets {
            let key = match secret.key(KeyForm::Base64) {
                Ok(Key::Shared(bytes)) => bytes.to_vec(),
                Ok(Key::Pair(_)) | Err(_) => continue, // refused before it came here
            };
            let verified =
                Webhook::from_bytes(key).and_then(|webhook| webhook.verify(body, headers));
            match verified {
                Ok(()) => return Self::Holds,
                Err(error) => found = Self::Fails(reason(&error)),
            }
        }
        found
    }
}

/// In the words of whoever has to set it right.
fn reason(error: &WebhookError) -> String {
    match error {
        WebhookError::InvalidSignature => "made with another secret, or of another body".to_owned(),
        WebhookError::MissingHeader(name) => format!("no webhook-{name}"),
        WebhookError::InvalidHeader(name) => format!("webhook-{name} cannot be read"),
        WebhookError::InvalidTimestamp => "webhook-timestamp is no number".to_owned(),
        WebhookError::TimestampTooOldError => "older than 5 minutes".to_owned(),
        WebhookError::FutureTimestampError => "more than 5 minutes ahead".to_owned(),
        WebhookError::InvalidPayload => "the body is not UTF-8".to_owned(),
        WebhookError::InvalidSecret(_) => "the secret cannot be read".to_owned(),
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => formatter.write_str("signature unchecked"),
            Self::Holds => formatter.write_str("signature holds"),
            Self::Fails(reason) => write!(formatter, "SIGNATURE FAILS: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::dispatcher::signature::{Message, headers};
    use crate::record::subscription::SignatureScheme;

    const OURS: [u8; 32] = [7; 32];
    const OTHER: [u8; 32] = [8; 32];

    #[test]
    fn what_the_dispatcher_signs_holds_and_nothing_else() {
        fn check(signed_with: &[u8; 32], age: i64, body: &[u8], expected: &str) {
            let secrets = [OTHER, OURS].map(|key| Secret::parse(&Secret::text_of_new(&key)));
            let secrets = secrets.map(Result::unwrap);
            let at = Timestamp::from_millis(Timestamp::now().as_millis() - age * 1_000);
            let message = Message {
                id: "msg_1",
                event_type: "a",
                at,
                body: b"{}",
            };
            let signer = Secret::parse(&Secret::text_of_new(signed_with)).unwrap();
            let signed = headers(&[SignatureScheme::standard()], &[signer], &message).unwrap();
            let mut headers: HeaderMap = signed.into_iter().collect();
            headers.insert("webhook-id", "msg_1".parse().unwrap());
            headers.insert("webhook-timestamp", at.as_secs().into());
            let found = Signature::check(&secrets, &headers, body);
            assert!(found.to_string().contains(expected), "{found}");
        }
        check(&OURS, 0, b"{}", "signature holds");
        check(&OTHER, 0, b"{}", "signature holds");
        check(&[9; 32], 0, b"{}", "another secret");
        check(&OURS, 0, b"{ }", "another body");
        check(&OURS, 3_600, b"{}", "older than");
        check(&OURS, -3_600, b"{}", "ahead");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let secret = Secret::parse(&Secret::text_of_new(&OURS)).unwrap();
        let found = Signature::check(&[secret], &HeaderMap::new(), b"{}");
        assert_eq!(found.to_string(), "SIGNATURE FAILS: no webhook-id");
        let unchecked = Signature::check(&[], &HeaderMap::new(), b"{}");
        assert_eq!(unchecked, Signature::Unchecked);
    }
}
