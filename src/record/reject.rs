//! A record that could not be processed: kept with the reason, as far as it fits.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::record::dead_letter::first_bytes;
use crate::record::{Coordinates, Headers};

const REASON: &str = "hooktide-reason";
const ERROR: &str = "hooktide-error";
const SOURCE: &str = "hooktide-source";
const SHA256: &str = "hooktide-sha256";
const ORIGINAL_BYTES: &str = "hooktide-original-bytes";
const REJECTED_AT: &str = "hooktide-rejected-at";
const HEADERS_DROPPED: &str = "hooktide-headers-dropped";
const OURS: [&str; 7] = [
    REASON,
    ERROR,
    SOURCE,
    SHA256,
    ORIGINAL_BYTES,
    REJECTED_AT,
    HEADERS_DROPPED,
];

const LONGEST_ERROR: usize = 1_024;
/// Original headers that are kept, in bytes.
const HEADER_ROOM: usize = 16 * 1_024;
/// What a header costs beside its name and value; also bounds how many empty ones are kept.
const HEADER_COST: usize = 16;

/// A record and why it was rejected.
#[derive(Clone, Debug)]
pub struct Reject<'a> {
    /// A short name from a fixed set, as in the metric.
    pub reason: &'a str,
    /// The error, for people; cut to 1 KiB. Must not hold secrets.
    pub error: &'a str,
    /// Where the record stands.
    pub source: &'a Coordinates,
    /// The record's value.
    pub value: Option<&'a [u8]>,
    /// The record's headers.
    pub headers: &'a Headers,
    /// When it was rejected.
    pub rejected_at: Timestamp,
}

impl Reject<'_> {
    /// The value of the record on the `rejects` topic: the first `most` bytes of the original.
    pub fn value(&self, most: usize) -> Option<Bytes> {
        self.value
            .map(|value| Bytes::copy_from_slice(&value[..value.len().min(most)]))
    }

    /// Its headers: the original ones that fit into 16 KiB and do not have one of our names, then
    /// ours. The digest and the length are those of the whole value.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        let (mut room, mut dropped) = (HEADER_ROOM, 0_usize);
        for (name, value) in self.headers.iter() {
            let cost = HEADER_COST + name.len() + value.map_or(0, <[u8]>::len);
            if cost > room || OURS.contains(&name) {
                dropped += 1;
            } else {
                room -= cost;
                headers.push(name, value);
            }
        }
        let value = self.value.unwrap_or_default();
        headers.set(REASON, self.reason);
        headers.set(ERROR, first_bytes(self.error, LONGEST_ERROR));
        headers.set(SOURCE, self.source.to_string());
        headers.set(SHA256, hex(&Sha256::digest(value)));
        headers.set(ORIGINAL_BYTES, value.len().to_string());
        headers.set(REJECTED_AT, self.rejected_at.as_millis().to_string());
        if dropped > 0 {
            headers.set(HEADERS_DROPPED, dropped.to_string());
        }
        headers
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(value: Option<&[u8]>, headers: &Headers, expected: &[(&str, &str)]) {
        let source = "events/0/7".parse().unwrap();
        let reject = Reject {
            reason: "not_json",
            error: "the value is not JSON",
            source: &source,
            value,
            headers,
            rejected_at: Timestamp::from_millis(5),
        };
        assert_eq!(
            reject.value(2),
            value.map(|value| value[..value.len().min(2)].to_vec().into())
        );
        let written = reject.headers();
        let shown: Vec<_> = written
            .iter()
            .map(|(name, value)| (name, str::from_utf8(value.unwrap_or(b"null")).unwrap()))
            .collect();
        assert_eq!(shown, expected);
    }

    fn ours<'a>(sha256: &'a str, bytes: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            (REASON, "not_json"),
            (ERROR, "the value is not JSON"),
            (SOURCE, "events/0/7"),
            (SHA256, sha256),
            (ORIGINAL_BYTES, bytes),
            (REJECTED_AT, "5"),
        ]
    }

    #[test]
    fn keeps_the_start_and_the_digest_of_the_whole() {
        check(Some(b"abc"), &Headers::new(), &ours(ABC, "3"));
        check(Some(b""), &Headers::new(), &ours(NOTHING, "0"));
        check(None, &Headers::new(), &ours(NOTHING, "0"));
    }

    #[test]
    fn keeps_the_headers_that_fit() {
        let mut headers = Headers::new();
        headers.push("a", None);
        headers.push("big", Some(&[b'x'; 1_000_000]));
        headers.push(REASON, Some(b"forged"));
        headers.push("a", Some(b"1"));
        let mut expected = vec![("a", "null"), ("a", "1")];
        expected.extend(ours(ABC, "3"));
        expected.push((HEADERS_DROPPED, "2"));
        check(Some(b"abc"), &headers, &expected);
    }

    #[test]
    fn bounds_how_many_headers_are_kept() {
        let mut headers = Headers::new();
        for _ in 0..10_000 {
            headers.push("", None);
        }
        let mut expected = vec![("", "null"); 1_024];
        expected.extend(ours(ABC, "3"));
        expected.push((HEADERS_DROPPED, "8976"));
        check(Some(b"abc"), &headers, &expected);
    }
}
