//! Verifies a webhook. Usage: verify SECRET ID TIMESTAMP SIGNATURE < body
//!
//! Needs the crates `base64`, `hmac` and `sha2`: Rust's own library has no HMAC.

use std::io::Read;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Seconds that a request may be old, or ahead of our clock.
const TOLERANCE: u64 = 5 * 60;

/// Whether `body` (the raw bytes, before any parsing) was sent by who knows `secret`.
pub fn verify(secret: &str, id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
    let Ok(sent_at) = timestamp.parse::<u64>() else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    if now.is_ok_and(|now| now.as_secs().abs_diff(sent_at) > TOLERANCE) {
        return false;
    }
    let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else {
        return false;
    };
    // While secrets are rotated there is one signature for each; any of them will do.
    signature.split(' ').any(|entry| {
        let value = entry.strip_prefix("v1,").unwrap_or_default();
        let (Ok(given), Ok(mac)) = (STANDARD.decode(value), Hmac::<Sha256>::new_from_slice(&key))
        else {
            return false;
        };
        // Compares in constant time.
        mac.chain_update(format!("{id}.{timestamp}."))
            .chain_update(body)
            .verify_slice(&given)
            .is_ok()
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut body = Vec::new();
    let read = std::io::stdin().read_to_end(&mut body);
    match &arguments[..] {
        [secret, id, timestamp, signature]
            if read.is_ok() && verify(secret, id, timestamp, signature, &body) =>
        {
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
