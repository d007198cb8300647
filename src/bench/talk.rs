//! How the processes of a run talk: one JSON document a line.

use std::io::{self, Write};

use serde::Serialize;

/// Says a document on stdout.
///
/// # Errors
/// Nobody listens any more.
pub fn say(document: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, document)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
