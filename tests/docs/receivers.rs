//! The snippets of the receivers' guide take what Hooktide signs and refuse the rest, each run in its
//! own language where that is at hand.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hooktide::clock::Timestamp;
use hooktide::dispatcher::signature::{Message, headers};
use hooktide::record::subscription::SignatureScheme;
use hooktide::secret::Secret;

use crate::{package, verify::verify};

/// A preset, two secrets for it, and what their receivers have of each.
struct Kind {
    preset: &'static str,
    version: &'static str,
    secrets: [&'static str; 2],
    given: [&'static str; 2],
}

const STANDARD: Kind = Kind {
    preset: "standard",
    version: "v1,",
    secrets: [
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "whsec_GBkaGxwdHh8gISIjJCUmJygpKissLS4v",
    ],
    given: [
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "whsec_GBkaGxwdHh8gISIjJCUmJygpKissLS4v",
    ],
};

/// RFC 8032, 7.1, test 1, and the pair of another sender.
const V1A: Kind = Kind {
    preset: "v1a",
    version: "v1a,",
    secrets: [
        "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ],
    given: [
        "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    ],
};

const ID: &str = "msg_X3Qf2P7v04jVikk7HYun88sbbDD";
/// Not what a JSON library would write: spaces, a number with a trailing zero, an escape.
const BODY: &[u8] =
    br#"{"type":"order.created", "data":{"amount":1.10,"name":"\u00e9 \xe2\x82\xac"}}"#;

/// What a receiver gets.
#[derive(Clone)]
struct Request {
    what: &'static str,
    secret: &'static str,
    id: &'static str,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
    is_good: bool,
}

impl Kind {
    fn sign(&self, secrets: &[&str], timestamp: i64) -> String {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|text| Secret::parse(text).unwrap())
            .collect();
        let message = Message {
            id: ID,
            event_type: "order.created",
            at: Timestamp::from_millis(timestamp * 1_000),
            body: BODY,
        };
        let scheme = SignatureScheme::preset(self.preset).unwrap();
        let signed = headers(&[scheme], &secrets, &message).unwrap();
        signed[0].1.to_str().unwrap().to_owned()
    }
}

fn requests(kind: &Kind) -> Vec<Request> {
    let now = Timestamp::now().as_secs();
    let [ours, other] = kind.secrets;
    let good = Request {
        what: "signed",
        secret: kind.given[0],
        id: ID,
        timestamp: now.to_string(),
        signature: kind.sign(&[ours], now),
        body: BODY.to_vec(),
        is_good: true,
    };
    let bad = Request {
        is_good: false,
        ..good.clone()
    };
    let at = |what, time: i64| Request {
        what,
        timestamp: time.to_string(),
        signature: kind.sign(&[ours], time),
        ..bad.clone()
    };
    let signed = |what, signature: String| Request {
        what,
        signature,
        ..bad.clone()
    };
    // The last character that holds bits of the signature.
    let last = good.signature.trim_end_matches('=').len() - 1;
    let mut flipped = good.signature.clone();
    let replacement = if &flipped[last..=last] == "A" {
        "Q"
    } else {
        "A"
    };
    flipped.replace_range(last..=last, replacement);
    vec![
        Request {
            what: "two secrets, ours first",
            signature: kind.sign(&[ours, other], now),
            ..good.clone()
        },
        Request {
            what: "two secrets, ours last",
            signature: kind.sign(&[other, ours], now),
            ..good.clone()
        },
        Request {
            what: "another secret",
            secret: kind.given[1],
            ..bad.clone()
        },
        Request {
            what: "a changed body",
            body: [BODY, b" "].concat(),
            ..bad.clone()
        },
        Request {
            what: "no body",
            body: Vec::new(),
            ..bad.clone()
        },
        Request {
            what: "another id",
            id: "msg_1",
            ..bad.clone()
        },
        Request {
            what: "a changed time",
            timestamp: (now - 1).to_string(),
            ..bad.clone()
        },
        Request {
            what: "no time",
            timestamp: "now".to_owned(),
            ..bad.clone()
        },
        at("too old", now - 600),
        at("from the future", now + 600),
        signed("a changed signature", flipped),
        signed(
            "a signature cut short",
            good.signature[..last - 4].to_owned(),
        ),
        signed(
            "another version",
            good.signature.replace(kind.version, "v2,"),
        ),
        signed("no version", good.signature.replace(kind.version, "")),
        signed("no signature", kind.version.to_owned()),
        signed("not base64", format!("{}*", kind.version)),
        signed("nothing", String::new()),
        good,
    ]
}

/// Runs a snippet over all requests. `prepare` and `run` are command lines; `{out}` in them is a
/// folder to build in.
fn check(kind: &Kind, language: &str, file: &str, prepare: &[&str], run: &[&str]) {
    let tool = prepare.first().unwrap_or(&run[0]);
    if is_missing(tool, file) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if !prepare.is_empty() {
        let output = command(prepare, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{language}: {said}");
    }
    for request in requests(kind) {
        let mut child = command(run, folder.path())
            .args([
                request.secret,
                request.id,
                &request.timestamp,
                &request.signature,
            ])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A snippet may refuse before it reads the body.
        drop(child.stdin.take().unwrap().write_all(&request.body));
        let output = child.wait_with_output().unwrap();
        let expected = i32::from(!request.is_good);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{language}: {}: {said}",
            request.what
        );
        assert_eq!(said, "", "{language}: {}", request.what);
    }
}

fn command(line: &[&str], folder: &Path) -> Command {
    let filled = |word: &&str| word.replace("{out}", folder.to_str().unwrap());
    let mut command = Command::new(filled(&line[0]));
    command
        .args(line[1..].iter().map(filled))
        .current_dir(package::path("docs/receivers"));
    command
}

/// Whether a tool is not there, which is a failure where everything is to be tested and said loudly
/// elsewhere, whatever the test runner does with what tests print.
pub(crate) fn is_missing(tool: &str, file: &str) -> bool {
    let is_missing = !is_at_hand(tool);
    if is_missing {
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "{file} cannot be run: there is no `{tool}`");
        let line = format!("SKIPPED: {file} was not run, there is no `{tool}`\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_missing
}

fn is_at_hand(tool: &str) -> bool {
    let quiet = |argument| {
        let mut command = Command::new(tool);
        command
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    quiet("--version") || quiet("version")
}

#[test]
fn rust() {
    for request in requests(&STANDARD) {
        let Request {
            secret,
            id,
            timestamp,
            signature,
            body,
            ..
        } = &request;
        let taken = verify(secret, id, timestamp, signature, body);
        assert_eq!(taken, request.is_good, "{}", request.what);
    }
}

#[test]
fn python() {
    check(
        &STANDARD,
        "Python",
        "verify.py",
        &[],
        &["python3", "verify.py"],
    );
}

#[test]
fn node() {
    check(&STANDARD, "Node", "verify.js", &[], &["node", "verify.js"]);
    check(&V1A, "Node", "v1a.js", &[], &["node", "v1a.js"]);
}

#[test]
fn go() {
    let run = ["{out}/verify"];
    for (kind, file) in [(&STANDARD, "verify.go"), (&V1A, "v1a.go")] {
        let build = ["go", "build", "-o", "{out}/verify", file];
        check(kind, "Go", file, &build, &run);
    }
}

#[test]
fn java() {
    let build = ["javac", "-d", "{out}", "Verify.java"];
    check(
        &STANDARD,
        "Java",
        "Verify.java",
        &build,
        &["java", "-cp", "{out}", "Verify"],
    );
}

#[test]
fn the_guide_shows_every_snippet() {
    let guide = package::text("docs/receivers.md");
    for file in package::files("docs/receivers", "") {
        let link = file.trim_start_matches("docs/");
        assert!(guide.contains(&format!("({link})")), "no link to {link}");
    }
}
