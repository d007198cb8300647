//! `hooktide secrets`.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Failure, Output, output};
use crate::record::subscription::SignatureScheme;
use crate::secret::{self, KeyForm, KeyPair, Secret};

/// How many random bytes a secret holds unless somebody asks for another number.
pub(super) const BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Make a new secret, or with --scheme v1a a key pair
    ///
    /// Prints it and keeps it nowhere. A `whsec_` secret serves every signature but `v1a`: older receivers
    /// take its text as it is.
    #[command(after_help = "\
Examples:
  hooktide secrets generate > secret.txt
  hooktide secrets generate --bytes 64
  hooktide secrets generate --scheme v1a --output json

Of a key pair, the first line (`whsk_`) is for the subscription, the second (`whpk_`) for the
receiver.")]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The preset that it is to sign by
    #[arg(long, value_name = "NAME", default_value = "standard", value_parser = preset)]
    scheme: SignatureScheme,
    /// How many random bytes it holds, 24 to 64; a key pair has its own length [default: 32]
    #[arg(long, value_name = "N", value_parser = length)]
    bytes: Option<usize>,
}

fn preset(name: &str) -> Result<SignatureScheme, String> {
    SignatureScheme::preset(name).ok_or_else(|| {
        let names: Vec<_> = SignatureScheme::presets()
            .map(|scheme| scheme.to_string())
            .collect();
        format!("must be one of {}", names.join(", "))
    })
}

fn length(text: &str) -> Result<usize, String> {
    let bytes = text
        .parse()
        .ok()
        .filter(|bytes| secret::LENGTHS.contains(bytes));
    let (least, most) = (secret::LENGTHS.start(), secret::LENGTHS.end());
    bytes.ok_or_else(|| format!("must be a number from {least} to {most}"))
}

#[derive(Serialize)]
struct Made {
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl SecretsCommand {
    pub(super) fn run(self, format: Output) -> Result<(), Failure> {
        let Self::Generate(Generate { scheme, bytes }) = self;
        let made = match scheme.key {
            KeyForm::Ed25519 if bytes.is_some() => {
                let error = "`--bytes` does not go with a key pair, which has its own length";
                return Err(Failure::Refused(anyhow!(error)));
            }
            KeyForm::Ed25519 => {
                let pair = new_pair().ok_or_else(|| anyhow!("no key pair could be made"))?;
                Made {
                    secret: pair.text_of_new(),
                    public_key: Some(pair.public().to_string()),
                }
            }
            KeyForm::Base64 | KeyForm::Text => Made {
                secret: new_secret(bytes.unwrap_or(BYTES)),
                public_key: None,
            },
        };
        match (format, &made.public_key) {
            (Output::Json, _) => output::json(&made)?,
            (Output::Text, None) => output::data(&format!("{}\n", made.secret))?,
            (Output::Text, Some(public)) => output::data(&format!("{}\n{public}\n", made.secret))?,
        }
        output::talk(match made.public_key {
            None => "for `secrets` of the subscription, and for the receiver; it is kept nowhere",
            Some(_) => {
                "`whsk_` is for `secrets` of the subscription, `whpk_` for the receiver; they are kept nowhere"
            }
        });
        Ok(())
    }
}

/// The text of a new secret of so many random bytes.
pub(super) fn new_secret(bytes: usize) -> String {
    let key: [u8; 64] = rand::random();
    Secret::text_of_new(&key[..bytes.min(key.len())])
}

/// A new key pair. Every seed makes one; the library does not say so.
pub(super) fn new_pair() -> Option<KeyPair> {
    KeyPair::from_seed(&rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_new_and_can_sign() {
        for bytes in secret::LENGTHS {
            let text = new_secret(bytes);
            assert_ne!(text, new_secret(bytes));
            let made = Secret::parse(&text).unwrap();
            assert!(made.key(KeyForm::Base64).is_ok() && made.key(KeyForm::Text).is_ok());
        }
        let text = new_pair().unwrap().text_of_new();
        assert!(Secret::parse(&text).unwrap().key(KeyForm::Ed25519).is_ok());
    }
}
