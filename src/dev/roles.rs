//! The roles that run inside of this process: the same code as `hooktide run`, on a thread.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::DevError;
use super::stage::Stage;
use crate::role::Role;
use crate::run::{self, RunError, Surroundings};
use crate::telemetry::Health;

/// Roles at work.
pub struct Roles {
    health: Health,
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Roles {
    /// Starts them.
    pub fn start(stage: &Stage, roles: &'static [Role], runtime: &Handle) -> io::Result<Self> {
        let health = Health::new(Instant::now());
        let stop = CancellationToken::new();
        let thread = {
            let (config, facts) = (stage.installation.config.clone(), stage.facts.clone());
            let (health, stop, runtime) = (health.clone(), stop.clone(), runtime.clone());
            thread::Builder::new().name("roles".into()).spawn(move || {
                let surroundings = Surroundings {
                    runtime: &runtime,
                    shutdown: &stop,
                    health,
                    facts,
                };
                run::run_in(&config, roles, surroundings)
            })?
        };
        Ok(Self {
            health,
            stop,
            thread: Some(thread),
        })
    }

    /// Whether they have read their table and have an assignment.
    pub fn is_ready(&self) -> bool {
        self.health.is_ready(Instant::now())
    }

    /// Asks them to drain and end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether they have ended; the error that ended them.
    pub fn has_ended(&mut self) -> Result<bool, DevError> {
        match self.thread.take() {
            Some(thread) if !thread.is_finished() => {
                self.thread = Some(thread);
                Ok(false)
            }
            Some(thread) => match thread.join() {
                Ok(ended) => Ok(ended.map(|()| true)?),
                Err(_) => Err(DevError::Silent),
            },
            None => Ok(true),
        }
    }
}

/// However the show ends, they do not outlast it: their topics may be removed next.
impl Drop for Roles {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // It was asked for its result before, or another error is on its way.
            drop(thread.join());
        }
    }
}
