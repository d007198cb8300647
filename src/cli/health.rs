//! `hooktide health`.

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use super::{Failure, Output, output};
use crate::config::Config;
use crate::telemetry::State;
use crate::telemetry::question::{Condition, Question, ask, local};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Ask whether it is ready for work, and not only whether it makes progress
    #[arg(long)]
    ready: bool,
    /// Ask this process rather than the one on `telemetry.listen`
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Option<String>,
}

fn host_and_port(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let is_both = parts.is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match is_both {
        true => Ok(text.to_owned()),
        false => Err("must be a host and a port, such as localhost:9464".to_owned()),
    }
}

impl Arguments {
    /// Asks and tells.
    pub(super) fn run(self, config: &Config, format: Output) -> Result<(), Failure> {
        let address = match self.address {
            Some(address) => address,
            None if config.telemetry.listen.port() == 0 => {
                return Err(Failure::Refused(anyhow!(
                    "`telemetry.listen` has port 0, which takes any: say which one with --address"
                )));
            }
            None => local(config.telemetry.listen).to_string(),
        };
        let (question, wanted) = match self.ready {
            true => (Question::Ready, "ready"),
            false => (Question::Health, "healthy"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let asked = runtime.block_on(ask(&address, question));
        let condition = asked.map_err(|error| anyhow!("not {wanted}: {error}"))?;
        tell(&condition, format)?;
        match condition.is_good {
            true => Ok(()),
            false => {
                let culprits = culprits(question, &condition);
                Err(anyhow!("{address} is not {wanted}: {culprits}").into())
            }
        }
    }
}

fn tell(condition: &Condition, format: Output) -> anyhow::Result<()> {
    let components = &condition.components;
    match format {
        Output::Json => output::json(&json!({
            "good": condition.is_good, "components": components,
        })),
        Output::Text => {
            let width = components.keys().map(String::len).max().unwrap_or(0);
            let line = |(name, report): (&String, &crate::telemetry::Report)| {
                let state = report.state.as_str();
                let beat = report.last_beat_ms;
                let name = output::plain(name);
                format!("{name:width$}  {state:<8}  moved {beat} ms ago\n")
            };
            output::data(&components.iter().map(line).collect::<String>())
        }
    }
}

/// The components that keep it from being what was asked for.
fn culprits(question: Question, condition: &Condition) -> String {
    let components = condition.components.iter();
    let named: Vec<_> = match question {
        Question::Ready => components
            .filter(|(_, report)| report.state != State::Ready)
            .map(|(name, report)| format!("{} is {}", output::plain(name), report.state.as_str()))
            .collect(),
        Question::Health => components
            .max_by_key(|(_, report)| report.last_beat_ms)
            .map(|(name, report)| {
                let name = output::plain(name);
                format!("{name} has not moved for {} ms", report.last_beat_ms)
            })
            .into_iter()
            .collect(),
    };
    match named.is_empty() {
        true => "it has not started yet".to_owned(),
        false => named.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Report;

    #[test]
    fn who_is_to_blame_is_named() {
        fn check(question: Question, components: &[(&str, State, u64)], expected: &str) {
            let components = components.iter().map(|(name, state, last_beat_ms)| {
                let (state, last_beat_ms) = (*state, *last_beat_ms);
                let report = Report {
                    state,
                    last_beat_ms,
                };
                ((*name).to_owned(), report)
            });
            let condition = Condition {
                is_good: false,
                components: components.collect(),
            };
            assert_eq!(culprits(question, &condition), expected);
        }
        let both = [
            ("router", State::Starting, 1),
            ("dispatcher", State::Ready, 40_000),
        ];
        check(Question::Ready, &both, "router is starting");
        let stuck = "dispatcher has not moved for 40000 ms";
        check(Question::Health, &both, stuck);
        check(Question::Ready, &[], "it has not started yet");
    }

    #[test]
    fn an_address_has_a_port() {
        for text in ["localhost:9464", "127.0.0.1:1", "[::1]:9464"] {
            assert_eq!(host_and_port(text).as_deref(), Ok(text));
        }
        for text in ["localhost", ":9464", "localhost:", "localhost:0", "a:70000"] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }
}
