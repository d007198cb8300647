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

/// A text from outside as a terminal may get it: what could move its cursor or turn its writing
/// around is replaced.
pub(super) fn plain(text: &str) -> String {
    let is_harmful = |char: char| {
        char.is_control()
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(is_harmful, "\u{fffd}")
}

/// Says something to the person at the terminal. There is nobody to tell if even that fails.
pub(super) fn talk(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_orders_from_outside() {
        fn check(text: &str, expected: &str) {
            assert_eq!(plain(text), expected);
        }
        check("a\u{1b}[2Jb\nc", "a\u{fffd}[2Jb\u{fffd}c");
        check(
            "\u{9b}0m \u{202e}gnp.\u{7f}",
            "\u{fffd}0m \u{fffd}gnp.\u{fffd}",
        );
        check(
            "b\u{fc}cher \u{6c34} [redacted]",
            "b\u{fc}cher \u{6c34} [redacted]",
        );
    }
}
