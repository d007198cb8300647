//! Where it ran, and what: figures mean nothing without.

use std::collections::BTreeMap;
use std::process::Command;
use std::{fs, thread};

const KAFKA: &str = include_str!("../../tests/it/support/kafka/pom.xml");

/// By what each thing is. `is_given`: the Kafka is the user's own.
pub fn machine(is_given: bool) -> BTreeMap<String, String> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kafka = match is_given {
        true => "given".to_owned(),
        false => {
            let version = between(KAFKA, "<kafka.version>", "</kafka.version>");
            format!(
                "{version}, one broker, 1 GiB heap, {}",
                first_line("java", "-version")
            )
        }
    };
    let commit = first_line("git", "describe --always --dirty");
    [
        (
            "CPU",
            format!("{cores} × {}", field("/proc/cpuinfo", "model name")),
        ),
        ("memory", memory()),
        ("system", first_line("uname", "-sr")),
        ("Kafka", kafka),
        ("Rust", first_line("rustc", "--version")),
        (
            "Hooktide",
            format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What stands behind a name in a file of `name : value` lines.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned()
}

fn memory() -> String {
    let kilobytes = field("/proc/meminfo", "MemTotal");
    let kilobytes = kilobytes.trim_end_matches(" kB").parse::<u64>();
    kilobytes.map_or("unknown".to_owned(), |it| format!("{} GiB", it >> 20))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(found, _)| found)
}

/// What a program says first, on either stream.
fn first_line(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let Ok(output) = output else {
        return "unknown".to_owned();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or("unknown").to_owned()
}
