//! `hooktide run`.

use anyhow::Context;

use super::Failure;
use crate::config::Config;
use crate::role::Role;
use crate::run;
use crate::telemetry::start_log;

/// Starts logging and works until a signal ends it.
pub(super) fn run(config: &Config, roles: &[Role], until_stdin_ends: bool) -> Result<(), Failure> {
    start_log(&config.telemetry).context("cannot start logging")?;
    run::run(config, roles, until_stdin_ends).map_err(|error| {
        if error.is_configuration() {
            Failure::Refused(error.into())
        } else {
            Failure::Failed(error.into())
        }
    })
}
