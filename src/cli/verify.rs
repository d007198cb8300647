//! `hooktide verify`: what a receiver's developer asks for when signatures do not hold.

mod check;
mod request;
mod suspects;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::input::{Input, STDIN};
use super::{Failure, Output, output};
use crate::clock::Timestamp;
use crate::duration_text;
use crate::record::subscription::SignatureScheme;
use crate::secret::{PUBLIC_PREFIX, PublicKey, Secret};
use check::{Terms, Verifier};
use request::Request;
use verdict::judge;

/// Holds a secret, or one on each line.
const VARIABLE: &str = "HOOKTIDE_SECRET";
/// More than any request of ours, in bytes.
const LONGEST_BODY: usize = 64 << 20;
const LONGEST_HEADERS: usize = 1 << 20;
const LONGEST_SECRETS: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// File with the request's headers; `-` for stdin
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// File with the request's body, byte for byte as it came; `-` for stdin
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// File with the secret, or the public key (`whpk_`) for `v1a`; several on a line each
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The same as it is; without any, HOOKTIDE_SECRET is taken
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<Typed>,
    /// A preset, or a scheme as `signatures` has it [default: all presets]
    #[arg(long = "scheme", value_name = "NAME|JSON", value_parser = scheme)]
    schemes: Vec<SignatureScheme>,
    /// How far the signed time may be from the clock
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration_text::parse)]
    tolerance: Duration,
    /// What the clock says, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

/// A secret as it was typed, which nothing prints.
#[derive(Clone)]
struct Typed(String);

impl From<&str> for Typed {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

fn scheme(text: &str) -> Result<SignatureScheme, String> {
    SignatureScheme::parse(text).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    check::rfc_3339(text).ok_or_else(|| "must be an RFC 3339 time".to_owned())
}

impl Arguments {
    pub(super) fn run(self, format: Output) -> Result<(), Failure> {
        let is_stdin = |path: &PathBuf| path.as_os_str() == STDIN;
        let files = [
            Some(&self.headers),
            Some(&self.body),
            self.secret_file.as_ref(),
        ];
        if files
            .into_iter()
            .flatten()
            .filter(|path| is_stdin(path))
            .count()
            > 1
        {
            let error = "only one of `--headers`, `--body` and `--secret-file` can be stdin";
            return Err(Failure::Refused(anyhow!(error)));
        }
        let verifiers = self.verifiers()?;
        let headers = Input::open(&self.headers)?.bytes(LONGEST_HEADERS)?;
        let body = Input::open(&self.body)?.bytes(LONGEST_BODY)?;
        let request = Request::read(&headers, body)?;
        let schemes = match self.schemes.is_empty() {
            true => SignatureScheme::presets().collect(),
            false => self.schemes,
        };
        let terms = Terms {
            verifiers: &verifiers,
            now: self.at.unwrap_or_else(Timestamp::now),
            tolerance: self.tolerance,
        };
        let verdict = judge(&schemes, &request, &terms);
        match format {
            Output::Json => output::json(&verdict)?,
            Output::Text => output::data(&verdict.text())?,
        }
        match verdict.valid {
            true => Ok(()),
            false => Err(Failure::Failed(anyhow!("the signature does not hold"))),
        }
    }

    fn verifiers(&self) -> Result<Vec<Verifier>, Failure> {
        let mut texts: Vec<(String, String)> = Vec::new();
        if let Some(file) = &self.secret_file {
            let bytes = Input::open(file)?.whole(LONGEST_SECRETS)?;
            let text = String::from_utf8(bytes).context("the file of secrets is not UTF-8")?;
            texts.extend(lines("--secret-file", &text));
        }
        let typed = self.secrets.iter();
        texts.extend(typed.map(|typed| ("`--secret`".to_owned(), typed.0.clone())));
        if texts.is_empty() {
            let variable = std::env::var(VARIABLE).unwrap_or_default();
            texts.extend(lines(VARIABLE, &variable));
        }
        if texts.is_empty() {
            return Err(Failure::Refused(anyhow!(
                "there is no secret: give it with --secret-file, or in {VARIABLE}"
            )));
        }
        let read = |(place, text): (String, String)| {
            if text.starts_with(PUBLIC_PREFIX) {
                let key = PublicKey::parse(&text).map(Verifier::Public);
                return key.ok_or_else(|| {
                    Failure::Refused(anyhow!(
                        "{place}: a public key must be `{PUBLIC_PREFIX}` and the base64 of 32 bytes"
                    ))
                });
            }
            let secret = Secret::parse(&text);
            secret
                .map(Verifier::Secret)
                .map_err(|error| Failure::Refused(anyhow!("{place}: {error}")))
        };
        texts.into_iter().map(read).collect()
    }
}

fn lines(place: &str, text: &str) -> Vec<(String, String)> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            (
                format!("`{place}`, line {}", index + 1),
                line.trim().to_owned(),
            )
        })
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
