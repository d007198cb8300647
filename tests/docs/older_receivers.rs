//! The snippets of older forms take what Hooktide signs so and refuse the rest, each in its own language.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooktide::clock::Timestamp;
use hooktide::dispatcher::signature::{Message, headers};
use hooktide::record::subscription::SignatureScheme;
use hooktide::secret::Secret;
use serde_json::json;

use crate::package;
use crate::receivers::is_missing;
use crate::reference::rows;
use crate::signatures;

/// An older system gives out such secrets too: the prefix is part of the key.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const OTHER: &str = "a secret of an older system";
const BODY: &str = r#"{"type":"order.created","data":{"amount":12,"name":"é €"},"id":"1"}"#;

/// What a receiver gets.
#[derive(Clone)]
struct Request {
    headers: BTreeMap<String, String>,
    body: String,
}

fn scheme(form: &str) -> SignatureScheme {
    SignatureScheme::preset(form).unwrap_or_else(|| signatures::scheme("Objects", form))
}

fn signed(form: &str, secrets: &[&str], age: i64) -> Request {
    let at = Timestamp::from_millis(Timestamp::now().as_millis() - age * 1_000);
    let message = Message {
        id: "msg_1",
        event_type: "order.created",
        at,
        body: BODY.as_bytes(),
    };
    let secrets: Vec<_> = secrets
        .iter()
        .map(|text| Secret::parse(text).unwrap())
        .collect();
    let headers = headers(&[scheme(form)], &secrets, &message).unwrap();
    let texts = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Request {
        headers: texts.collect(),
        body: BODY.to_owned(),
    }
}

/// What is to be taken, and what is to be refused.
fn requests(form: &str) -> Vec<(&'static str, Request, bool)> {
    let scheme = scheme(form);
    let good = signed(form, &[SECRET], 0);
    let mut changed = good.clone();
    changed.body = changed.body.replace("12", "13");
    let mut unsigned = good.clone();
    unsigned.headers.remove(scheme.header.as_str());
    let mut cut = good.clone();
    cut.headers
        .entry(scheme.header.to_string())
        .and_modify(|value| {
            value.pop();
        });
    let mut requests = vec![
        ("another secret", signed(form, &[OTHER], 0), false),
        ("a changed body", changed, false),
        ("no signature", unsigned, false),
        ("a signature cut short", cut, false),
        (
            "the newest of two secrets",
            signed(form, &[SECRET, OTHER], 0),
            true,
        ),
        // Where a header holds several, the receiver can still have the old one.
        (
            "the older of two secrets",
            signed(form, &[OTHER, SECRET], 0),
            scheme.separator.is_some(),
        ),
        // Older forms without a signed time cannot tell.
        (
            "too old",
            signed(form, &[SECRET], 600),
            scheme.signs_no_time(),
        ),
        (
            "from the future",
            signed(form, &[SECRET], -600),
            scheme.signs_no_time(),
        ),
    ];
    requests.push(("signed", good, true));
    requests
}

fn check(tool: &str, file: &str) {
    if is_missing(tool, file) {
        return;
    }
    for row in rows("docs/receivers.md", "Older forms") {
        let form = row[0].trim_matches('`');
        for (what, request, is_good) in requests(form) {
            let input = json!({"headers": request.headers, "body": STANDARD.encode(&request.body)});
            let mut child = Command::new(tool)
                .args([file, form, SECRET])
                .current_dir(package::path("docs/receivers"))
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(input.to_string().as_bytes()).unwrap();
            drop(stdin);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let taken = output.status.code();
            assert_eq!(
                taken,
                Some(i32::from(!is_good)),
                "{file}: {form}: {what}: {said}"
            );
            assert_eq!(said, "", "{file}: {form}: {what}");
        }
    }
}

#[test]
fn node() {
    check("node", "older.js");
}

#[test]
fn python() {
    check("python3", "older.py");
}

/// So both snippets are held against all forms that the guide tells of, and these against the presets.
#[test]
fn every_preset_of_an_older_form_is_in_the_guide() {
    let told: Vec<_> = rows("docs/receivers.md", "Older forms")
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    for preset in SignatureScheme::presets() {
        let is_older = !preset.header.as_str().starts_with("webhook-");
        assert_eq!(
            told.iter().any(|form| *form == preset.name()),
            is_older,
            "{preset}"
        );
    }
}
