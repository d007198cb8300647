//! `hooktide run`.

use anyhow::Context;

use super::Failure;
use crate::config::Config;
use crate::role::Role;
use crate::telemetry::start_log;

/// Starts logging and the runtime, and works until a signal ends it.
pub(super) fn run(config: Config, roles: Vec<Role>) -> Result<(), Failure> {
    start_log(&config.telemetry).context("cannot start logging")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(work(config, roles))?)
}

/// The seam to the roles: `crate::run::run(config, roles)` goes here.
async fn work(_config: Config, roles: Vec<Role>) -> anyhow::Result<()> {
    anyhow::bail!("the roles {roles:?} are not built yet")
}
