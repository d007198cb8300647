//! The signature of a request by Standard Webhooks 1.0, scheme `v1`: HMAC-SHA256 over
//! `id.timestamp.body`, so that a receiver can tell who sent it, when, and that it is unchanged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `webhook-signature`: one `v1,<base64>` for each key, separated by spaces, in the
/// order given (newest first, so that receivers find the lasting one at once). Every live key
/// signs, so a receiver can change its key at any time while both are valid. Empty without keys.
///
/// `keys` are raw key bytes (what follows `whsec_`, decoded). `timestamp` is in Unix seconds.
pub fn sign_standard<K: AsRef<[u8]>>(keys: &[K], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = keys
        .iter()
        .filter_map(|key| Hmac::<Sha256>::new_from_slice(key.as_ref()).ok()) // takes any length
        .map(|mut mac| {
            mac.update(id.as_bytes());
            mac.update(b".");
            mac.update(timestamp.to_string().as_bytes());
            mac.update(b".");
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    /// Verifies as a receiver does, by the reference implementation, which has a clock of its own.
    fn verifies(key: &[u8], id: &str, timestamp: i64, body: &[u8], signature: &str) -> bool {
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        Webhook::from_bytes(key.to_vec())
            .unwrap()
            .verify(body, &headers)
            .is_ok()
    }

    #[test]
    fn agrees_with_the_vector_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign_standard(
            &[key],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_live_key_verifies_while_keys_are_rotated() {
        let (new, old, other) = ([1; 32], [2; 24], [3; 32]);
        let body = br#"{"a":1.10}"#;
        let now = Timestamp::now().as_secs();
        let signature = sign_standard(&[&new[..], &old[..]], "msg_1", now, body);
        assert!(signature.starts_with(&sign_standard(&[new], "msg_1", now, body)));
        assert!(verifies(&new, "msg_1", now, body, &signature));
        assert!(verifies(&old, "msg_1", now, body, &signature));
        assert!(!verifies(&other, "msg_1", now, body, &signature));
        assert!(!verifies(&new, "msg_2", now, body, &signature));
        assert!(!verifies(&new, "msg_1", now + 1, body, &signature));
        assert!(!verifies(&new, "msg_1", now, br#"{"a":1.1}"#, &signature));
        assert_eq!(sign_standard::<&[u8]>(&[], "msg_1", 0, body), "");
    }

    proptest! {
        #[test]
        fn any_body_verifies(
            key in proptest::collection::vec(any::<u8>(), 24..=64),
            body in "\\PC*", // the reference takes UTF-8 only
        ) {
            let timestamp = Timestamp::now().as_secs();
            let signature = sign_standard(&[&key], "msg_1", timestamp, body.as_bytes());
            prop_assert!(verifies(&key, "msg_1", timestamp, body.as_bytes(), &signature));
        }
    }
}
