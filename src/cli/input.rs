//! What a command reads: a file, or stdin where `-` is given. Everything is bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, ensure};

/// What stands for stdin.
pub(super) const STDIN: &str = "-";

/// An opened input.
pub(super) struct Input {
    name: String,
    reader: Box<dyn BufRead>,
    is_file: bool,
    is_terminal: bool,
}

impl Input {
    /// Opens a file, or stdin for `-`.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new(STDIN) {
            return Ok(Self {
                name: "stdin".to_owned(),
                reader: Box::new(io::stdin().lock()),
                is_file: false,
                is_terminal: io::stdin().is_terminal(),
            });
        }
        let name = path.display().to_string();
        let cannot = || format!("cannot read {name}");
        let file = File::open(path).with_context(cannot)?;
        let kind = file.metadata().with_context(cannot)?;
        ensure!(!kind.is_dir(), "cannot read {name}: it is a folder");
        Ok(Self {
            reader: Box::new(BufReader::new(file)),
            is_file: kind.is_file(),
            is_terminal: false,
            name,
        })
    }

    /// Whether it can be read a second time: a file, not stdin or a pipe.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_file
    }

    /// Whether somebody types it.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// All of it, at most `limit` bytes, of which some must be no white space.
    pub(super) fn whole(self, limit: usize) -> anyhow::Result<Vec<u8>> {
        let name = self.name.clone();
        let bytes = self.bytes(limit)?;
        ensure!(!bytes.trim_ascii().is_empty(), "{name} is empty");
        Ok(bytes)
    }

    /// All of it, at most `limit` bytes.
    pub(super) fn bytes(self, limit: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.reader.take(room).read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {}", self.name))?;
        ensure!(
            bytes.len() <= limit,
            "{} is longer than {limit} bytes",
            self.name
        );
        Ok(bytes)
    }

    /// Reads the next line that is not blank into `line`, without the white space around it; false at
    /// the end. `number` counts all lines, from 1. A line of more than `limit` bytes is refused.
    pub(super) fn next_line(
        &mut self,
        line: &mut Vec<u8>,
        number: &mut usize,
        limit: usize,
    ) -> anyhow::Result<bool> {
        let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(2);
        loop {
            line.clear();
            let read = self.reader.by_ref().take(room).read_until(b'\n', line);
            if read.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(false);
            }
            *number += 1;
            line.truncate(line.trim_ascii_end().len());
            line.drain(..line.len() - line.trim_ascii_start().len());
            ensure!(
                line.len() <= limit,
                "line {number} is longer than {limit} bytes"
            );
            if !line.is_empty() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_numbered_and_bounded() {
        fn check(text: &str, expected: &[(usize, &str)], refused: Option<&str>) {
            let mut input = Input {
                name: "test".into(),
                reader: Box::new(io::Cursor::new(text.as_bytes().to_vec())),
                is_file: false,
                is_terminal: false,
            };
            let (mut line, mut number, mut lines) = (Vec::new(), 0, Vec::new());
            let end = loop {
                match input.next_line(&mut line, &mut number, 8) {
                    Ok(true) => lines.push((number, String::from_utf8(line.clone()).unwrap())),
                    Ok(false) => break None,
                    Err(error) => break Some(error.to_string()),
                }
            };
            let lines: Vec<_> = lines.iter().map(|(at, text)| (*at, &**text)).collect();
            assert_eq!(lines, expected, "{text:?}");
            assert_eq!(end.as_deref(), refused, "{text:?}");
        }
        check("", &[], None);
        check("a\nb", &[(1, "a"), (2, "b")], None);
        check("\r\n  a \r\n\n\tb\n\n", &[(2, "a"), (4, "b")], None);
        check("12345678\n", &[(1, "12345678")], None);
        let refusal = Some("line 2 is longer than 8 bytes");
        check("a\n123456789\nb\n", &[(1, "a")], refusal);
        check(&format!("a\n{}", "x".repeat(1_000)), &[(1, "a")], refusal);
    }

    #[test]
    fn the_whole_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345678").unwrap();
        let whole = |limit| Input::open(&path).unwrap().whole(limit);
        assert_eq!(whole(8).unwrap(), b"12345678");
        let error = whole(7).unwrap_err().to_string();
        assert!(error.ends_with("is longer than 7 bytes"), "{error}");
        std::fs::write(&path, " \n").unwrap();
        let error = whole(7).unwrap_err().to_string();
        assert!(error.ends_with("is empty"), "{error}");
        assert!(Input::open(folder.path()).is_err());
    }
}
