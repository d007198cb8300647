//! `hooktide bench`, and the processes that a run of it consists of.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use super::{Failure, Output, environment, output};
use crate::bench::load::Load;
use crate::bench::neighbour::Neighbour;
use crate::bench::plan::Wish;
use crate::bench::receiver::{self, Manners};
use crate::bench::tls::PemFiles;
use crate::bench::{self, BenchError, Plan, bare_loop, router_alone, talk};
use crate::config::Config;
use crate::installation::Layers;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Measure on this Kafka; without it on that of `kafka.bootstrap_servers`
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    #[command(flatten)]
    wish: Wish,
}

impl Arguments {
    /// Measures.
    pub(super) fn run(self, config: Option<PathBuf>, format: Output) -> Result<(), Failure> {
        let plan = Plan::try_new(self.wish);
        let plan = plan.map_err(|error| Failure::Refused(anyhow!(error)))?;
        let layers = Layers {
            file: config,
            environment: environment().map_err(Failure::Refused)?,
        };
        let bar = bar(plan.deliveries());
        let report = bench::run(&plan, self.bootstrap.as_deref(), layers, &bar).map_err(failure)?;
        match format {
            Output::Json => output::json(&report)?,
            Output::Text => output::data(&report.to_string())?,
        }
        Ok(())
    }
}

fn failure(error: BenchError) -> Failure {
    if error.is_configuration() {
        Failure::Refused(anyhow!(error))
    } else {
        Failure::Failed(anyhow!(error))
    }
}

/// Drawn on stderr, if that is a terminal.
fn bar(deliveries: u64) -> ProgressBar {
    let bar = match io::stderr().is_terminal() {
        true => ProgressBar::new(deliveries),
        false => ProgressBar::hidden(),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    match ProgressStyle::with_template(
        "{msg:<12}{bar:40} {human_pos}/{human_len}, {per_sec}, {eta} left",
    ) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A process of a run; they are started by `hooktide bench` only.
#[derive(Debug, Subcommand)]
pub(super) enum Part {
    /// Counts what arrives
    #[command(after_help = "Example:\n  hooktide bench-part receiver --endpoints 1 --delay-ms 0")]
    Receiver {
        #[arg(long)]
        endpoints: u32,
        #[arg(long)]
        delay_ms: u64,
        /// Requests to it take so long as --slow-ms says
        #[arg(long, requires = "slow_ms")]
        slow_path: Option<String>,
        #[arg(long, requires = "slow_path")]
        slow_ms: Option<u64>,
        /// Nobody listens until told so
        #[arg(long)]
        deaf: bool,
        /// PEM file: speak TLS, with this
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        /// PEM file with the certificate's key
        #[arg(long, requires = "certificate")]
        key: Option<PathBuf>,
    },
    /// Produces events
    #[command(
        after_help = "Example:\n  hooktide bench-part load --topic t --events 1 --size 512 --types 1"
    )]
    Load {
        #[arg(long)]
        topic: String,
        #[arg(long)]
        events: u64,
        #[arg(long)]
        size: usize,
        #[arg(long, default_value_t = 0)]
        first_type: u64,
        #[arg(long)]
        types: u64,
        #[arg(long)]
        rate: Option<u32>,
        #[arg(long, default_value_t = 0)]
        first_number: u64,
        /// Events have their type as key
        #[arg(long)]
        keyed: bool,
    },
    /// Copies records within transactions
    #[command(after_help = "Example:\n  hooktide bench-part copy --from a --to b --records 1")]
    Copy {
        #[arg(long)]
        from: String,
        #[arg(long)]
        to: String,
        #[arg(long)]
        records: u64,
    },
    /// Behaves badly
    #[command(after_help = "Example:\n  hooktide bench-part neighbour hang")]
    Neighbour {
        /// How
        kind: Neighbour,
    },
    /// Posts the same body over and over
    #[command(
        after_help = "Example:\n  hooktide bench-part bare-loop --url http://127.0.0.1:80/ --requests 1 --size 512 --concurrency 1"
    )]
    BareLoop {
        #[arg(long)]
        url: Url,
        #[arg(long)]
        requests: u64,
        #[arg(long)]
        size: usize,
        #[arg(long)]
        concurrency: usize,
        /// PEM file of what signed the receiver's certificate
        #[arg(long)]
        ca_file: Option<PathBuf>,
    },
}

impl Part {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let said = match self {
            Self::Receiver {
                endpoints,
                delay_ms,
                slow_path,
                slow_ms,
                deaf,
                certificate,
                key,
            } => {
                let manners = Manners {
                    delay: Duration::from_millis(delay_ms),
                    slow: slow_path.zip(slow_ms.map(Duration::from_millis)),
                    deaf,
                    tls: certificate
                        .zip(key)
                        .map(|(certificate, key)| PemFiles { certificate, key }),
                };
                receiver::run(endpoints, manners)
            }
            Self::Load {
                topic,
                events,
                size,
                first_type,
                types,
                rate,
                first_number,
                keyed,
            } => {
                let load = Load {
                    first_number,
                    topic,
                    events,
                    size,
                    first_type,
                    types,
                    rate,
                    keyed,
                };
                talk::say(&load.run(config).map_err(anyhow::Error::from)?)
            }
            Self::Copy { from, to, records } => {
                let done = router_alone::copy(config, &from, &to, records);
                talk::say(&done.map_err(anyhow::Error::from)?)
            }
            Self::Neighbour { kind } => kind.run(),
            Self::BareLoop {
                url,
                requests,
                size,
                concurrency,
                ca_file,
            } => {
                let done = bare_loop::run(&url, ca_file.as_deref(), requests, size, concurrency);
                talk::say(&done.map_err(anyhow::Error::from)?)
            }
        };
        said.context("cannot take part in the run")?;
        Ok(())
    }
}
