//! Pages that are made from the schemas, the settings and the command line, so that they cannot
//! disagree with them. `HOOKTIDE_BLESS=1 cargo test --test docs generated` writes them anew.

use std::fmt::Write as _;
use std::fs;

use clap::CommandFactory;
use hooktide::cli::Cli;

use crate::package::{examples, path, text};
use crate::schema_pages::page;

const BLESS: &str = "HOOKTIDE_BLESS=1 cargo test --test docs generated";

fn check(file: &str, source: &str, content: &str) {
    let note = format!("<!-- Made from {source} by `{BLESS}`: change that, not this. -->\n\n");
    let expected = format!("{note}{}\n", content.trim_end());
    if std::env::var_os("HOOKTIDE_BLESS").is_some() {
        fs::write(path(file), &expected).unwrap();
    }
    let found = fs::read_to_string(path(file)).unwrap_or_default();
    assert!(found == expected, "{file} is stale: run {BLESS}");
}

#[test]
fn subscriptions() {
    let mut content = page("subscription", 1);
    content += "## Durations and paths\n\n";
    content += "Durations are a whole number and a unit: `250ms`, `30s`, `5m`, `6h`, `1d`. A path names members,\n";
    content += "joined by dots: `data.order.id`; `[0]` leads to an element of a list, `[*]` to every one.\n\n## Examples\n";
    for (_, example) in shown_examples("subscription") {
        write!(content, "\n```json\n{example}\n```\n").unwrap();
    }
    check(
        "docs/subscriptions.md",
        "schemas/subscription.schema.json",
        &content,
    );
}

#[test]
fn records() {
    let mut content = "# Records\n\nWhat lies on the topics, beside [subscriptions](subscriptions.md). \
                       The schemas themselves, for JSON Schema and Avro, are in [schemas](../schemas).\n\n"
        .to_owned();
    for record in [
        "event",
        "event_type",
        "attempt",
        "dead_letter",
        "notice",
        "endpoint_state",
        "endpoint_wish",
    ] {
        content += &page(record, 2);
        let (_, example) = &shown_examples(record)[0];
        write!(content, "```json\n{example}\n```\n\n").unwrap();
    }
    check("docs/records.md", "the schemas", &content);
}

/// As they are written: numbers keep their zeros. The plain one first.
fn shown_examples(record: &str) -> Vec<(String, String)> {
    let mut shown: Vec<_> = examples(record)
        .into_iter()
        .map(|(name, _)| (name.clone(), text(&name).trim_end().to_owned()))
        .collect();
    shown.sort_by_key(|(name, _)| (name.matches('.').count(), name.clone()));
    shown
}

#[test]
fn configuration() {
    let source = text("config/default.toml");
    let mut content = "# Configuration\n\n".to_owned();
    let (mut section, mut comment) = (String::new(), String::new());
    let mut head_is_open = true;
    for line in source.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment += words;
            comment.push('\n');
            if words.is_empty() {
                comment.push('\n');
            }
        } else if line.is_empty() {
            // What is no setting's own comment belongs to the page.
            let loose = std::mem::take(&mut comment);
            if !loose.is_empty() {
                writeln!(content, "{}\n", joined(&loose)).unwrap();
            }
        } else if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_owned();
            head_is_open = true;
            let is_open_table = ["kafka.properties", "topics.names"].contains(&name);
            if is_open_table {
                row(&mut content, &format!("{name}.*"), "", &comment);
            } else {
                writeln!(content, "\n## {name}\n").unwrap();
            }
            head_is_open &= !is_open_table;
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let key = match &*section {
                "" => key.to_owned(),
                section => format!("{section}.{key}"),
            };
            if std::mem::take(&mut head_is_open) {
                content += "| key | default | meaning |\n|---|---|---|\n";
            }
            row(&mut content, &key, value, &comment);
            comment.clear();
        } else {
            panic!("config/default.toml: `{line}` has an unknown form");
        }
    }
    check("docs/configuration.md", "config/default.toml", &content);
}

fn row(content: &mut String, key: &str, value: &str, comment: &str) {
    let value = if value.is_empty() {
        String::new()
    } else {
        format!("`{value}`")
    };
    writeln!(
        content,
        "| `{key}` | {value} | {} |",
        joined(comment).replace('|', "\\|")
    )
    .unwrap();
}

/// Lines of a comment as text; what the file's environment and command lines say is marked as code.
fn joined(comment: &str) -> String {
    let paragraphs: Vec<_> = comment
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    paragraphs
        .join("\n\n")
        .replace('<', "&lt;")
        .replace("HOOKTIDE__*", "`HOOKTIDE__*`")
        .replace("__FILE", "`__FILE`")
}

#[test]
fn commands() {
    let mut content = "# Commands\n\nData goes to stdout, talk to stderr. Exit codes are in the \
                       [reference](reference.md#exit-codes).\n"
        .to_owned();
    let mut root = Cli::command().term_width(96);
    root.build();
    help(&mut content, &mut root);
    check("docs/commands.md", "the command line's own help", &content);
}

fn help(content: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or("hooktide").to_owned();
    let text = command.render_long_help().to_string();
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    write!(
        content,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        text.join("\n").trim_end()
    )
    .unwrap();
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" {
            help(content, inner);
        }
    }
}
