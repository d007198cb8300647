//! `hooktide event-types`: the catalogue of what events look like.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::input::Input;
use super::output::plain;
use super::{Failure, Output, output};
use crate::config::Config;
use crate::event_type_table::{Compiled, Invalid};
use crate::kafka::errand::{ErrandError, Expected, NewestRecord, RecordWriter, newest_records};
use crate::record::json_text::{Node, minify};
use crate::record::type_of_key;
use crate::router::data_schema::Mismatch;
use crate::telemetry::start_log;
use crate::topic::Topic;

/// The longest file that is read, in bytes.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum EventTypesCommand {
    /// Show all types
    #[command(after_help = "\
Examples:
  hooktide event-types list
  hooktide event-types list --output json")]
    List,
    /// Show what events of a type look like
    #[command(after_help = "\
Examples:
  hooktide event-types show order.created
  hooktide event-types show order.created --output json

Exit code 1: there is no such type.")]
    Show {
        /// The type
        #[arg(value_name = "TYPE", value_parser = event_type)]
        event_type: String,
    },
    /// Write a type, new or changed
    ///
    /// It is checked first: a schema that cannot be used is not written, nor one that the example does not
    /// satisfy.
    #[command(after_help = "\
Examples:
  hooktide event-types put order-created.json --type order.created
  echo '{\"type\":\"order.created\",\"schema\":{\"type\":\"object\",\"required\":[\"id\"]},
    \"example\":{\"id\":\"o1\"}}' | hooktide event-types put -

Without --type the `type` in the file is taken.
Exit code 1: it is invalid, or Kafka has not acknowledged it.")]
    Put {
        /// File with the type as JSON, or `-` for stdin
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The type
        #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
        event_type: Option<String>,
    },
    /// Delete a type; its events are then of a type that is not known
    #[command(after_help = "\
Example:
  hooktide event-types delete order.created

Exit code 1: there is no such type, or Kafka has not acknowledged it.")]
    Delete {
        /// The type
        #[arg(value_name = "TYPE", value_parser = event_type)]
        event_type: String,
    },
}

pub(super) fn event_type(text: &str) -> Result<String, String> {
    match type_of_key(text.as_bytes()) {
        Ok(event_type) => Ok(event_type.to_owned()),
        Err(_) => Err("a type is 1 to 256 bytes without control characters".to_owned()),
    }
}

impl EventTypesCommand {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        start_log(&config.telemetry).context("cannot start logging")?;
        match self {
            Self::List => list(config, format)?,
            Self::Show { event_type } => show(config, &event_type, format)?,
            Self::Put { file, event_type } => put(config, &file, event_type, format)?,
            Self::Delete { event_type } => delete(config, &event_type, format)?,
        }
        Ok(())
    }
}

/// A type as it is shown.
#[derive(Serialize)]
struct View<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    /// `valid`, `deprecated` or `invalid`.
    state: &'static str,
    /// Why it is invalid.
    problem: Option<String>,
    revision: i64,
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Option<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<Option<Box<RawValue>>>,
}

impl<'a> View<'a> {
    fn new(
        event_type: &'a str,
        revision: i64,
        content: &'a Result<Compiled, Invalid>,
        is_detailed: bool,
    ) -> Self {
        let written = content.as_ref().ok().map(|compiled| &compiled.written);
        let detail = |part: Option<&Box<RawValue>>| {
            // On one line, or JSON in JSON would look odd.
            let part = part.and_then(|part| RawValue::from_string(minify(part.get())).ok());
            is_detailed.then_some(part)
        };
        Self {
            event_type,
            state: match written {
                None => "invalid",
                Some(written) if written.deprecated => "deprecated",
                Some(_) => "valid",
            },
            problem: content.as_ref().err().map(ToString::to_string),
            revision,
            description: written.and_then(|written| written.description.as_deref()),
            schema: detail(written.and_then(|written| written.schema.as_ref())),
            example: detail(written.and_then(|written| written.example.as_ref())),
        }
    }

    fn remark(&self) -> String {
        let said = self.problem.as_deref().or(self.description);
        plain(said.unwrap_or_default())
    }
}

fn list(config: &Config, format: Output) -> anyhow::Result<()> {
    let records = newest(config, |_| true)?;
    let types: BTreeMap<&str, (i64, Result<Compiled, Invalid>)> = records
        .iter()
        .filter_map(|(key, record)| {
            let event_type = type_of_key(key).ok()?;
            let content = Compiled::parse(event_type, &record.value);
            Some((event_type, (record.offset, content)))
        })
        .collect();
    let views = types
        .iter()
        .map(|(event_type, (revision, content))| View::new(event_type, *revision, content, false));
    let views: Vec<_> = views.collect();
    match format {
        Output::Json => output::json(&views),
        Output::Text if views.is_empty() => {
            output::talk("there are no event types");
            Ok(())
        }
        Output::Text => output::data(&table(&views)),
    }
}

fn table(views: &[View<'_>]) -> String {
    let mut rows = vec![["TYPE", "STATE", "REVISION", "DESCRIPTION OR PROBLEM"].map(str::to_owned)];
    rows.extend(views.iter().map(|view| {
        [
            plain(view.event_type),
            view.state.to_owned(),
            view.revision.to_string(),
            view.remark(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name, state, revision) = (width(0), width(1), width(2));
    rows.iter()
        .map(|[a, b, c, d]| format!("{a:name$}  {b:state$}  {c:revision$}  {d}\n"))
        .collect()
}

fn show(config: &Config, event_type: &str, format: Output) -> anyhow::Result<()> {
    let record = of(config, event_type)?.ok_or_else(|| unknown(event_type))?;
    let content = Compiled::parse(event_type, &record.value);
    let view = View::new(event_type, record.offset, &content, true);
    if format == Output::Json {
        return output::json(&view);
    }
    let mut text = format!(
        "type         {}\nstate        {}\nrevision     {}\n",
        plain(event_type),
        view.state,
        view.revision
    );
    if !view.remark().is_empty() {
        let name = if view.problem.is_some() {
            "problem"
        } else {
            "description"
        };
        text += &format!("{name:11}  {}\n", view.remark());
    }
    for (name, part) in [("schema", &view.schema), ("example", &view.example)] {
        if let Some(Some(part)) = part {
            text += &format!("{name:11}  {}\n", plain(part.get()));
        }
    }
    output::data(&text)
}

fn put(
    config: &Config,
    file: &std::path::Path,
    event_type: Option<String>,
    format: Output,
) -> anyhow::Result<()> {
    let value = Input::open(file)?.whole(LONGEST)?;
    let event_type = match event_type.or_else(|| said_type(&value)) {
        Some(event_type) => event_type,
        None => bail!("nothing says which type it is: give --type, or a member `type` in the file"),
    };
    type_of_key(event_type.as_bytes())?;
    check(&event_type, &value).with_context(|| {
        format!(
            "event type {} is invalid, nothing is written",
            plain(&event_type)
        )
    })?;
    let writer = RecordWriter::connect_to_table(config, &config.topics.name(Topic::EventTypes))?;
    let landing = writer.write_one(event_type.as_bytes(), Some(&value))?;
    receipt(&event_type, landing.offset, "", format)
}

fn check(event_type: &str, value: &[u8]) -> anyhow::Result<()> {
    let compiled = Compiled::parse(event_type, value)?;
    let Some(example) = &compiled.written.example else {
        return Ok(());
    };
    match compiled.check(Node::try_from(&**example)?) {
        Ok(()) => Ok(()),
        Err(Mismatch::Violation { message }) => Err(anyhow!("`example`: {message}")),
        Err(Mismatch::TooComplex) => Err(anyhow!(
            "`example`: to judge it by the schema takes more work than one event may"
        )),
    }
}

/// The file's own word, if it is so far in order.
fn said_type(value: &[u8]) -> Option<String> {
    let text = Node::parse(value).ok()?.member("type")?.string()?;
    String::from_utf8(text.into_owned()).ok()
}

fn delete(config: &Config, event_type: &str, format: Output) -> anyhow::Result<()> {
    of(config, event_type)?.ok_or_else(|| unknown(event_type))?;
    let writer = RecordWriter::connect_to_table(config, &config.topics.name(Topic::EventTypes))?;
    let landing = writer.write_one(event_type.as_bytes(), None)?;
    receipt(event_type, landing.offset, "deleted ", format)
}

fn receipt(event_type: &str, revision: i64, done: &str, format: Output) -> anyhow::Result<()> {
    match format {
        Output::Json => output::json(&json!({ "type": event_type, "revision": revision })),
        Output::Text => {
            let event_type = plain(event_type);
            output::data(&format!("{done}{event_type}, revision {revision}\n"))
        }
    }
}

fn unknown(event_type: &str) -> anyhow::Error {
    let event_type = plain(event_type);
    anyhow!("there is no event type {event_type}: `hooktide event-types list` shows all")
}

/// What the catalogue says of a type.
fn of(config: &Config, event_type: &str) -> anyhow::Result<Option<NewestRecord>> {
    let mut records = newest(config, |key| key == event_type.as_bytes())?;
    Ok(records.remove(event_type.as_bytes()))
}

fn newest(
    config: &Config,
    wanted: impl Fn(&[u8]) -> bool,
) -> anyhow::Result<BTreeMap<Bytes, NewestRecord>> {
    let topic = config.topics.name(Topic::EventTypes);
    Ok(newest_records(config, &topic, Expected::One, wanted)?)
}

/// The types that can be used; none where there is no catalogue.
pub(super) fn usable(config: &Config) -> anyhow::Result<BTreeMap<String, Compiled>> {
    let topic = config.topics.name(Topic::EventTypes);
    let records = match newest_records(config, &topic, Expected::One, |_| true) {
        Ok(records) => records,
        Err(ErrandError::NoOwnTopic(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let compiled = records.iter().filter_map(|(key, record)| {
        let event_type = type_of_key(key).ok()?;
        let compiled = Compiled::parse(event_type, &record.value).ok()?;
        Some((event_type.to_owned(), compiled))
    });
    Ok(compiled.collect())
}
