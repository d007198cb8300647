//! `hooktide events`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::json;

use super::input::{Input, STDIN};
use super::{Failure, Output, output, progress};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::errand::RecordWriter;
use crate::record::{Coordinates, Event, Headers};
use crate::router::event_form::EventForm;
use crate::router::event_form::mapping::{Mapping, Source};
use crate::telemetry::start_log;
use crate::topic::check_name;

/// The longest line that is read, in bytes: far above what a broker takes by default.
const LONGEST_LINE: usize = 16 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Produce events, one JSON object a line, and wait until they are acknowledged
    ///
    /// Every line of a file is checked before the first is sent. Lines of stdin are sent as they
    /// come; the first bad one ends the command. Blank lines are passed over.
    #[command(after_help = "\
Examples:
  hooktide events produce --topic events orders.jsonl
  echo '{\"id\":\"evt_1\",\"type\":\"order.created\",\"data\":{\"amount\":1.10}}' |
    hooktide events produce --topic events -

`type` and `data` are required; `id`, `tenant`, `timestamp` and others may be there.
On a topic with one of `events.mappings`, a line is what that makes an event of.
Exit code 1: a line is no event, or not all are acknowledged; the error names the line.")]
    Produce {
        /// Topic to write to
        #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
        topic: String,
        /// Kafka key of all these events: they keep their order. Without it they are spread
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// File with events, or `-` for stdin
        #[arg(value_name = "FILE|-", default_value = STDIN)]
        file: PathBuf,
    },
}

fn topic_name(text: &str) -> Result<String, String> {
    match check_name(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// How the command ended before its input did.
struct Stop {
    error: anyhow::Error,
    /// The line that is to blame.
    line: usize,
}

impl EventsCommand {
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        let Self::Produce { topic, key, file } = self;
        if config.topics.is_own(&topic) {
            return Err(Failure::Refused(anyhow!(
                "`{topic}` is one of Hooktide's own topics: events go to those of `events.topics`"
            )));
        }
        start_log(&config.telemetry).context("cannot start logging")?;
        if !config
            .events
            .topics
            .iter()
            .any(|entry| entry.matches(&topic))
        {
            output::talk(&format!(
                "note: `events.topics` does not name `{topic}`: no router reads it"
            ));
        }
        let check = EventCheck::new(&topic, key.as_deref(), &config.events.mappings);
        let mut input = Input::open(&file)?;
        let mut total = None;
        if input.is_repeatable() {
            total = Some(check.all(input)?);
            input = Input::open(&file)?;
        }
        if input.is_terminal() {
            output::talk("one event a line; Ctrl-D ends");
        }
        let writer = RecordWriter::connect(config, &topic).map_err(anyhow::Error::from)?;
        let bar = progress::bar(total);
        let result = check.send(input, &writer, key.as_deref(), &bar);
        writer.settle();
        bar.finish_and_clear();
        let acknowledged = writer.acknowledged();
        match format {
            Output::Json => output::json(&json!({ "topic": topic, "acknowledged": acknowledged }))?,
            Output::Text => output::data(&format!("events acknowledged: {acknowledged}\n"))?,
        }
        // What failed on the cluster comes before what stands further down in the file.
        let failed = writer.failure().map(|(line, error)| Stop {
            error: error.into(),
            line,
        });
        match failed.or(result.err()) {
            Some(Stop { error, line }) => Err(error.context(format!("line {line}")).into()),
            None => Ok(()),
        }
    }
}

/// Whether lines are events.
struct EventCheck {
    /// Of the topic.
    mapping: Option<Mapping>,
    key: Option<String>,
    at: Coordinates,
    now: Timestamp,
}

impl EventCheck {
    fn new(topic: &str, key: Option<&str>, mappings: &[Mapping]) -> Self {
        Self {
            mapping: Mapping::of(mappings, topic).cloned(),
            key: key.map(str::to_owned),
            // Where it will stand is not known, and does not matter here.
            at: Coordinates {
                topic: topic.into(),
                partition: 0,
                offset: 0,
            },
            now: Timestamp::now(),
        }
    }

    fn line(&self, line: &[u8]) -> anyhow::Result<()> {
        let Some(mapping) = &self.mapping else {
            Event::parse(line, &self.at, self.now)?;
            return Ok(());
        };
        let headers = Headers::new();
        let source = Source {
            topic: &self.at.topic,
            key: self.key.as_deref().map(str::as_bytes),
            headers: &headers,
        };
        let read = EventForm::of_source(Some(mapping), source, line)
            .and_then(|form| form.decode(&headers, None))
            .and_then(|decoded| decoded.read(&self.at, self.now).map(drop));
        match read {
            Err(error) if error.is_passed_over() => Ok(()),
            read => Ok(read?),
        }
    }

    /// How many events there are, if all lines are events.
    fn all(&self, mut input: Input) -> anyhow::Result<u64> {
        let (mut line, mut number, mut events) = (Vec::new(), 0, 0);
        while input.next_line(&mut line, &mut number, LONGEST_LINE)? {
            self.line(&line)
                .with_context(|| format!("nothing is sent: line {number}"))?;
            events += 1;
        }
        Ok(events)
    }

    /// Hands all lines over up to the first that is no event or cannot be sent. Lines are checked
    /// here even if [`EventCheck::all`] has seen them: the file may have changed since.
    fn send(
        &self,
        mut input: Input,
        writer: &RecordWriter,
        key: Option<&str>,
        bar: &ProgressBar,
    ) -> Result<(), Stop> {
        let (mut line, mut number) = (Vec::new(), 0);
        let stop = |number| {
            move |error| Stop {
                error,
                line: number,
            }
        };
        while input
            .next_line(&mut line, &mut number, LONGEST_LINE)
            .map_err(stop(number))?
        {
            self.line(&line).map_err(stop(number))?;
            writer
                .write(number, key.map(str::as_bytes), Some(&line))
                .map_err(|error| stop(number)(error.into()))?;
            bar.inc(1);
            if let Some((line, error)) = writer.failure() {
                return Err(stop(line)(error.into()));
            }
        }
        Ok(())
    }
}
