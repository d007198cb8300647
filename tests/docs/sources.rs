//! Names that the code gives to things, read from its text where no list of them can be had by
//! running it: a `match` without `_` is complete, a list beside it might not be.

use std::collections::BTreeSet;

use regex::Regex;

use crate::package::{files, text};

/// A file's text up to its unit tests.
pub(crate) fn shipped(file: &str) -> String {
    let text = text(file);
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    text[..end].to_owned()
}

/// As [`shipped`], of a folder and the file of the same name beside it.
pub(crate) fn shipped_of(folder: &str) -> String {
    let mut sources = files(folder, ".rs");
    sources.retain(|file| !file.ends_with("/tests.rs"));
    sources.push(format!("{folder}.rs"));
    sources.iter().map(|file| shipped(file)).collect()
}

/// What a file writes in the block that begins with `head`, up to the block's end.
fn block(file: &str, head: &str) -> String {
    let text = shipped(file);
    let start = text
        .find(head)
        .unwrap_or_else(|| panic!("no `{head}` in {file}"));
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let indent: String = text[line..]
        .chars()
        .take_while(|char| *char == ' ')
        .collect();
    let end = text[start..]
        .find(&format!("\n{indent}}}"))
        .unwrap_or_else(|| panic!("`{head}` has no end in {file}"));
    text[start..start + end].to_owned()
}

/// What the first group of a pattern finds; something must.
pub(crate) fn captures(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let found: BTreeSet<_> = pattern
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(!found.is_empty(), "nothing is like {pattern}");
    found
}

/// The texts of the arms (`=> "..."`) in the first block of `head` behind `within`.
pub(crate) fn text_arms(file: &str, within: &str, head: &str) -> BTreeSet<String> {
    let implementation = block(file, within);
    let start = implementation
        .find(head)
        .unwrap_or_else(|| panic!("no `{head}` in {file}"));
    let of_head = &implementation[start..];
    let end = of_head.find("\n    }").unwrap_or(of_head.len());
    captures(r#"=> "([^"]+)""#, &of_head[..end])
}

/// The patterns of the arms (`b"..." =>`) in the block of `head`.
pub(crate) fn byte_string_arms(file: &str, head: &str) -> BTreeSet<String> {
    captures(r#"b"([^"]+)" =>"#, &block(file, head))
}

/// The texts in a file that look like this, each whole.
pub(crate) fn literals(file: &str, pattern: &str) -> BTreeSet<String> {
    captures(&format!("\"({pattern})\""), &shipped(file))
}

/// As [`literals`], of a folder and the file of the same name beside it.
pub(crate) fn literals_of(folder: &str, pattern: &str) -> BTreeSet<String> {
    captures(&format!("\"({pattern})\""), &shipped_of(folder))
}

/// All test code: what is below `tests/` (the test of the reference apart), and the unit tests.
pub(crate) fn tests() -> String {
    let mut all = String::new();
    for file in files("tests", ".rs") {
        if file != "tests/docs/reference.rs" {
            all += &text(&file);
        }
    }
    for file in files("src", ".rs") {
        let text = text(&file);
        let start = match file.ends_with("/tests.rs") {
            true => 0,
            false => text.find("\n#[cfg(test)]").unwrap_or(text.len()),
        };
        all += &text[start..];
    }
    all
}
