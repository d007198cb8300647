//! `hooktide dev`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::{Failure, environment};
use crate::dev::{self, DevError, Play, Screen, Stage};
use crate::duration_text::parse;
use crate::installation::Layers;
use crate::telemetry::start_log;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// End after this time, counted from when everything is ready, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse)]
    duration: Option<Duration>,
    /// Play on this Kafka rather than on a mock broker
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Run the dispatchers as processes of their own, kill one every few seconds, and count what is
    /// lost and doubled
    #[arg(long, requires = "bootstrap")]
    chaos: bool,
}

impl Arguments {
    /// Plays.
    pub(super) fn run(self, config: Option<PathBuf>) -> Result<(), Failure> {
        let stage = match &self.bootstrap {
            None => Stage::mock(),
            Some(servers) => {
                let environment = environment().map_err(Failure::Refused)?;
                let layers = Layers {
                    file: config,
                    environment,
                };
                Stage::given(servers, rand::random(), layers)
            }
        };
        let stage = stage.map_err(failure)?;
        start_log(&stage.installation.config.telemetry).context("cannot start logging")?;
        let stdout = std::io::stdout();
        // https://no-color.org: any value but an empty one.
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = stdout.is_terminal() && !is_plain;
        let mut screen = Screen::new(Box::new(stdout), colours);
        let play = Play {
            duration: self.duration,
            chaos: self.chaos,
            seed: rand::random(),
        };
        dev::run(stage, &play, &mut screen).map_err(failure)
    }
}

fn failure(error: DevError) -> Failure {
    if error.is_configuration() {
        Failure::Refused(anyhow!(error))
    } else {
        Failure::Failed(anyhow!(error))
    }
}
