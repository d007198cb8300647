//! Where words go: data to stdout, talk to stderr.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

/// Writes text as it is. A reader that has seen enough (`| head`) is no failure.
pub(super) fn data(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a JSON document and a line's end.
pub(super) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    data(&text)
}

/// Says something to the person at the terminal. There is nobody to tell if even that fails.
pub(super) fn talk(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
