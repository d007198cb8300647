//! What is said of a request: by which scheme it holds, or what is wrong with it.

use std::time::Duration;

use serde::Serialize;

use super::check::{Holds, Problem, Terms, check};
use super::request::Request;
use crate::cli::output;
use crate::record::subscription::{Scheme, SignatureScheme};

/// What is said of a request.
#[derive(Serialize)]
pub(super) struct Verdict {
    /// Whether it is signed as it should be.
    pub(super) valid: bool,
    /// The scheme that holds, or that came closest.
    pub(super) scheme: String,
    /// Which of the secrets has signed, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<usize>,
    /// When it was signed, if that is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed_at: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explanation: Option<String>,
}

/// The first scheme that holds, else the one that came closest to it.
pub(super) fn judge(schemes: &[SignatureScheme], request: &Request, terms: &Terms<'_>) -> Verdict {
    let mut closest: Option<(&SignatureScheme, Problem)> = None;
    for scheme in schemes {
        match check(scheme, request, terms) {
            Ok(Holds { verifier, at }) => {
                return Verdict {
                    valid: true,
                    scheme: shown(scheme),
                    secret: Some(verifier + 1),
                    signed_at: at.map(|at| at.to_string()),
                    problem: None,
                    explanation: scheme.signs_no_time().then(|| {
                        "the time is not signed: whoever has recorded a request can send it again".to_owned()
                    }),
                };
            }
            Err(problem) => {
                let is_closer = closest
                    .as_ref()
                    .is_none_or(|(_, known)| problem.rank() > known.rank());
                if is_closer {
                    closest = Some((scheme, problem));
                }
            }
        }
    }
    let told = |(scheme, problem): &(&SignatureScheme, Problem)| {
        (shown(scheme), told(scheme, problem, request, terms))
    };
    let (scheme, explanation) = closest.as_ref().map(told).unwrap_or_default();
    Verdict {
        valid: false,
        scheme,
        secret: None,
        signed_at: None,
        problem: closest.map(|(_, problem)| problem.name()),
        explanation: Some(explanation),
    }
}

/// A scheme as people can tell it from others.
fn shown(scheme: &SignatureScheme) -> String {
    match scheme.preset {
        Some(name) => name.to_owned(),
        None => format!("{}: {}", scheme.header, scheme.value_text()),
    }
}

/// A problem in words.
fn told(scheme: &Scheme, problem: &Problem, request: &Request, terms: &Terms<'_>) -> String {
    match problem {
        Problem::Missing { header } => {
            let others = request.suspicious().filter(|_| scheme.header == **header);
            let others: Vec<_> = others
                .map(|name| format!("`{}`", output::plain(name)))
                .collect();
            let hint = match others.is_empty() {
                true => String::new(),
                false => format!(
                    "; there is {}: describe its scheme with --scheme",
                    others.join(", ")
                ),
            };
            format!("there is no header `{header}`{hint}")
        }
        Problem::Form { header, rule } => format!("`{header}` {rule}"),
        Problem::NoData => {
            "the body is no JSON object with a member `data`, which the scheme signs".to_owned()
        }
        Problem::NoKey(error) => error.to_string(),
        Problem::Differs(None) => format!(
            "no key made this signature over `{}`: the secret is another one, or the body was changed",
            scheme.content_text()
        ),
        Problem::Differs(Some(differences)) => {
            let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
            format!("it was made {}", differences.join(", and "))
        }
        Problem::Clock { off, is_ahead } => {
            let off = humantime::format_duration(rounded(*off));
            let direction = if *is_ahead { "ahead of" } else { "behind" };
            let tolerance = humantime::format_duration(terms.tolerance);
            format!(
                "the signature is right, but its time is {off} {direction} the clock; {tolerance} are tolerated"
            )
        }
    }
}

/// No finer than anybody wants to know.
fn rounded(duration: Duration) -> Duration {
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        86_400.. => 3_600,
    };
    Duration::from_secs(seconds - seconds % unit)
}

impl Verdict {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = match self.valid {
            true => format!("valid    {}\n", self.scheme),
            false => format!("invalid  {}\n", self.scheme),
        };
        if let Some(secret) = self.secret {
            text += &format!("secret   number {secret}\n");
        }
        if let Some(at) = &self.signed_at {
            text += &format!("signed   {at}\n");
        }
        if let Some(explanation) = &self.explanation {
            text += &format!(
                "{}  {explanation}\n",
                if self.valid { "note   " } else { "because" }
            );
        }
        text
    }
}
