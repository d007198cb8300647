//! With what a signature that does not hold would hold: another key, another part of the request, a body
//! that was changed on the way as bodies usually are. Found by trying.

use std::borrow::Cow;
use std::fmt;

use super::check::{Claim, Verifier, is_by};
use crate::dispatcher::signature::{Signed, data_of};
use crate::record::json_text::{Node, minify};
use crate::record::subscription::{Piece, Scheme};
use crate::secret::{Key, KeyForm, PREFIX, Secret};

/// How what was signed differs from what the scheme and the files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Another part of the secret is the key.
    Key(KeyForm),
    /// The key is what follows `whsec_`, as text.
    Bare,
    /// Other parts of the request.
    Content(&'static str),
    /// Another body.
    Body(Change),
}

/// What became of a body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A line's end was added, by an editor most likely.
    Ended,
    /// Its line's end was lost.
    Unended,
    /// Line ends are those of Windows.
    Windows,
    /// White space between its values was added: it was read as JSON and written again.
    Spaced,
    /// Only `data` was signed.
    Data,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key(KeyForm::Base64) => "with the key that the secret holds in base64, not its text",
            Self::Key(KeyForm::Text) => "with the secret's text as the key, not decoded from base64",
            Self::Key(KeyForm::Ed25519) => "with a key pair",
            Self::Bare => "with the text behind `whsec_` as the key",
            Self::Content(content) => return write!(formatter, "over `{content}`"),
            Self::Body(Change::Ended) => "over the body without the line end at its end",
            Self::Body(Change::Unended) => "over the body with a line end at its end",
            Self::Body(Change::Windows) => "over the body with `\\n`, where it has `\\r\\n`",
            Self::Body(Change::Spaced) => {
                "over the body without the white space between its values: it was read and written again"
            }
            Self::Body(Change::Data) => "over the body's member `data` alone",
        })
    }
}

/// What receivers' schemes sign; the first is whatever the scheme says.
const CONTENTS: [(&str, &[Piece]); 3] = [
    ("{body}", &[Piece::Body]),
    ("{timestamp}.{body}", &[Piece::Timestamp, DOT, Piece::Body]),
    (
        "{id}.{timestamp}.{body}",
        &[Piece::Id, DOT, Piece::Timestamp, DOT, Piece::Body],
    ),
];
const DOT: Piece = Piece::Text(Cow::Borrowed("."));

/// The least differences with which one of the keys has made one of the signatures.
pub(super) fn find(
    scheme: &Scheme,
    claim: &Claim<'_>,
    body: &[u8],
    verifiers: &[Verifier],
) -> Option<Vec<Difference>> {
    let mut best: Option<Vec<Difference>> = None;
    let bare: Vec<_> = verifiers
        .iter()
        .filter_map(bare)
        .map(Verifier::Secret)
        .collect();
    let mut variants = variants(scheme, claim);
    for (other, differences) in variants.clone() {
        if other.key == KeyForm::Text && !bare.is_empty() {
            let has_other_key = |one: &Difference| matches!(one, Difference::Key(_));
            let rest = differences.into_iter().filter(|one| !has_other_key(one));
            variants.push((other, rest.chain([Difference::Bare]).collect()));
        }
    }
    for (scheme, differences) in variants {
        let verifiers = match differences.contains(&Difference::Bare) {
            true => &bare,
            false => verifiers,
        };
        for (change, body) in bodies(&scheme, body) {
            let differences: Vec<_> = differences.iter().copied().chain(change).collect();
            if best
                .as_ref()
                .is_some_and(|best| best.len() <= differences.len())
            {
                continue;
            }
            let signed = Signed {
                id: claim.id,
                timestamp: claim.timestamp,
                event_type: claim.event_type,
                body: &body,
                data: &body,
            };
            let is_right = |verifier: &Verifier| {
                is_by(verifier, &scheme, &signed, &claim.signatures) == Ok(true)
            };
            if verifiers.iter().any(is_right) {
                best = Some(differences);
            }
        }
    }
    best
}

/// A secret without its beginning.
fn bare(verifier: &Verifier) -> Option<Secret> {
    match verifier {
        Verifier::Secret(secret) => match secret.key(KeyForm::Text).ok()? {
            Key::Shared(text) => {
                let behind = str::from_utf8(&text).ok()?.strip_prefix(PREFIX)?;
                Secret::parse(behind).ok()
            }
            Key::Pair(_) => None,
        },
        Verifier::Public(_) => None,
    }
}

/// The scheme and its likely misreadings, with how each differs.
fn variants(scheme: &Scheme, claim: &Claim<'_>) -> Vec<(Scheme, Vec<Difference>)> {
    let mut found = vec![(scheme.clone(), Vec::new())];
    for (text, content) in CONTENTS {
        let lacks = |piece: &Piece| {
            (*piece == Piece::Id && claim.id.is_empty())
                || (*piece == Piece::Timestamp && claim.timestamp.is_empty())
        };
        if *content != *scheme.content && !content.iter().any(lacks) {
            let content = Cow::Borrowed(content);
            let other = Scheme {
                content,
                ..scheme.clone()
            };
            found.push((other, vec![Difference::Content(text)]));
        }
    }
    let other_key = match scheme.key {
        KeyForm::Base64 => KeyForm::Text,
        KeyForm::Text => KeyForm::Base64,
        KeyForm::Ed25519 => return found,
    };
    for (other, mut differences) in found.clone() {
        differences.push(Difference::Key(other_key));
        let key = other_key;
        found.push((Scheme { key, ..other }, differences));
    }
    found
}

/// The body and what it may have been.
fn bodies<'a>(scheme: &Scheme, body: &'a [u8]) -> Vec<(Option<Difference>, Cow<'a, [u8]>)> {
    let mut found: Vec<(Option<Change>, Cow<'a, [u8]>)> = Vec::new();
    let text = str::from_utf8(body).unwrap_or_default();
    let data = data_of(body);
    match (scheme.content.contains(&Piece::Data), data) {
        (true, Some(data)) => {
            found.push((None, data.into()));
            let small = minify(str::from_utf8(data).unwrap_or_default());
            found.push((Some(Change::Spaced), small.into_bytes().into()));
        }
        (true, None) => {}
        (false, data) => {
            found.push((None, body.into()));
            let trimmed = text.trim_end_matches(['\r', '\n']);
            found.push((Some(Change::Ended), trimmed.as_bytes().into()));
            found.push((
                Some(Change::Unended),
                format!("{text}\n").into_bytes().into(),
            ));
            found.push((
                Some(Change::Windows),
                text.replace("\r\n", "\n").into_bytes().into(),
            ));
            if Node::parse(body).is_ok() {
                let small = minify(text).into_bytes();
                found.push((Some(Change::Spaced), small.into()));
            }
            found.extend(data.map(|data| (Some(Change::Data), data.into())));
        }
    }
    let difference = |(change, body): (Option<Change>, _)| (change.map(Difference::Body), body);
    found.into_iter().map(difference).collect()
}
