//! Conventions that a machine can check, so that no review has to (CONTRIBUTING.md says why).

use std::fs;
use std::path::{Path, PathBuf};

/// A line of a source file that breaks a rule, or the file itself.
struct Offence {
    file: String,
    line: usize,
    rule: String,
}

/// A text file of the package.
struct Source {
    /// Relative to the package, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Numbered lines of code: without comments on lines of their own, which may talk of anything.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines();
        lines
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }

    /// What is shipped of the file: unit tests may do what the code above them may not.
    fn without_unit_tests(&self) -> Self {
        let is_tests = self.path.ends_with("/tests.rs");
        let shipped = self.text.split("\n#[cfg(test)]\nmod tests").next();
        Self {
            path: self.path.clone(),
            text: shipped.filter(|_| !is_tests).unwrap_or_default().to_owned(),
        }
    }

    /// Whether this is `folder` (`src/kafka`)'s own: below it, or the file of the same name beside it.
    fn belongs_to(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }

    /// The first line of code that mentions a word (as a whole word) breaks the rule.
    fn forbid(&self, words: &[&str], rule: &str, offences: &mut Vec<Offence>) {
        for (line, code) in self.code() {
            for word in words.iter().filter(|word| mentions(code, word)) {
                let rule = format!("`{word}`: {rule}");
                offences.push(self.offence(line, &rule));
            }
        }
    }

    fn offence(&self, line: usize, rule: &str) -> Offence {
        Offence {
            file: self.path.clone(),
            line,
            rule: rule.to_owned(),
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    check(|source, offences| {
        if !source.text.starts_with("//! ") {
            offences.push(source.offence(1, "a file opens with `//!` and its intent"));
        }
    });
}

#[test]
fn files_can_be_read_at_one_sitting() {
    const LIMIT: usize = 500;
    check(|source, offences| {
        let lines = source.text.lines().count();
        if lines > LIMIT {
            offences.push(source.offence(lines, "more than 500 lines: split it by intent"));
        }
    });
}

#[test]
fn no_drawers_and_no_mod_rs() {
    const DRAWERS: [&str; 6] = ["util", "utils", "common", "core", "types", "helpers"];
    check(|source, offences| {
        let path = Path::new(&source.path).with_extension("");
        let names = path.iter().map(|name| name.to_string_lossy());
        for name in names {
            if DRAWERS.contains(&name.as_ref()) {
                offences.push(source.offence(1, "a drawer: name what is in it"));
            }
            if name == "mod" {
                offences.push(source.offence(1, "the module's file stands beside its folder"));
            }
        }
    });
}

/// Folders of pure steps: what they need of the world comes in as arguments.
const PURE: [&str; 5] = [
    "src/record",
    "src/router/",
    "src/dispatcher/",
    "src/retry",
    "src/offset_tracker",
];

#[test]
fn steps_are_pure() {
    const WORLD: [&str; 10] = [
        "tokio",
        "rdkafka",
        "hyper",
        "axum",
        "rand",
        "Timestamp::now",
        "SystemTime::now",
        "Instant::now",
        "async fn",
        "std::env",
    ];
    check(|source, offences| {
        // With a slash: the folder, but not the loop beside it.
        let is_in = |folder: &str| match folder.ends_with('/') {
            true => source.path.starts_with(folder),
            false => source.belongs_to(folder),
        };
        if PURE.into_iter().any(is_in) {
            source
                .without_unit_tests()
                .forbid(&WORLD, "this folder holds pure steps", offences);
        }
    });
}

#[test]
fn only_their_rooms_touch_kafka_and_the_http_client() {
    check(|source, offences| {
        if source.path.starts_with("src/") {
            if !source.belongs_to("src/kafka") {
                source.forbid(&["rdkafka"], "only src/kafka touches it", offences);
            }
            if !source.belongs_to("src/http") {
                const CLIENT: [&str; 3] = ["hyper::client", "hyper_util::client", "tower"];
                source.forbid(&CLIENT, "only src/http touches it", offences);
            }
            if !source.belongs_to("src/schema_registry") {
                let registry = ["schema_registry_converter"];
                source.forbid(&registry, "only src/schema_registry touches it", offences);
                if source.path != "src/bench/bare_loop.rs" && source.path != "src/bench/error.rs" {
                    let rule = "only the bare loop and the registry's client use it";
                    source.forbid(&["reqwest"], rule, offences);
                }
            }
        }
    });
}

#[test]
fn tests_wait_for_conditions() {
    // Put together, so that this file keeps its own rule.
    let hope = ["sl", "eep"].concat();
    let hope_until = format!("{hope}_until");
    check(|source, offences| {
        if source.path.starts_with("tests/") {
            let rule = "wait for what should happen, bounded by a timeout";
            source.forbid(&[&hope, &hope_until], rule, offences);
        }
    });
}

#[test]
fn every_setting_is_explained() {
    let mut offences = Vec::new();
    for source in sources(&["config"], "toml") {
        let mut explained = false;
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim();
            let is_key = line
                .split_once('=')
                .is_some_and(|(key, _)| key.trim().chars().all(is_word_or_dot));
            if is_key && !explained && !line.contains(" # ") {
                offences.push(source.offence(index + 1, "a setting has a comment above it"));
            }
            explained = line.starts_with('#');
        }
    }
    report(offences);
}

/// Applies a rule to every Rust file of the package.
fn check(rule: impl Fn(&Source, &mut Vec<Offence>)) {
    let folders = ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"];
    let sources = sources(&folders, "rs");
    assert!(!sources.is_empty(), "no sources found");
    let mut offences = Vec::new();
    for source in &sources {
        rule(source, &mut offences);
    }
    report(offences);
}

fn report(offences: Vec<Offence>) {
    let lines: Vec<String> = offences
        .iter()
        .map(|offence| format!("{}:{}: {}", offence.file, offence.line, offence.rule))
        .collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

fn mentions(code: &str, word: &str) -> bool {
    let is_bounded = |(start, found): (usize, &str)| {
        let before = code[..start].chars().next_back();
        let after = code[start + found.len()..].chars().next();
        let is_part = |char: char| char.is_alphanumeric() || char == '_';
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    code.match_indices(word).any(is_bounded)
}

fn is_word_or_dot(char: char) -> bool {
    char.is_alphanumeric() || "_.-\"".contains(char)
}

/// The files with this extension below these folders of the package.
fn sources(folders: &[&str], extension: &str) -> Vec<Source> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| package.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        // Not every package has every folder.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let relative = path.strip_prefix(package).expect("found below it");
                found.push(Source {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).expect("sources are UTF-8"),
                });
            }
        }
    }
    found
}

/// The rules can find something.
#[test]
fn words_are_found_as_whole_words() {
    assert!(mentions("use tokio::time;", "tokio"));
    assert!(mentions("rand::random()", "rand"));
    assert!(!mentions("operand::random()", "rand"));
    assert!(!mentions("let randomly = 1;", "rand"));
    assert!(mentions("operand, rand", "rand"));
    assert!(mentions("Timestamp::now()", "Timestamp::now"));
}
