//! Dispatchers as processes of their own, one of which is killed every few seconds.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::role::Role;

/// Instance ids of the dispatchers.
pub const INSTANCES: [&str; 2] = ["dispatcher-1", "dispatcher-2"];
/// From one kill to the next.
const BETWEEN_KILLS: Duration = Duration::from_secs(4);
/// How long a killed one stays dead.
const DEAD: Duration = Duration::from_secs(1);
/// How long an asked one may take to end: `shutdown.timeout` and a little.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(20);

/// The dispatchers and the one who kills them.
pub struct Chaos {
    members: Vec<Member>,
    next_kill: Instant,
    /// Whose turn it is.
    turn: usize,
}

struct Member {
    instance: &'static str,
    command: Command,
    state: State,
}

enum State {
    Runs(Child),
    /// Until it is started again.
    Dead(Instant),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// This one was killed.
    Killed(&'static str),
    /// This one was started again.
    Started(&'static str),
    /// This one ended by itself, which it should not.
    Ended(&'static str, ExitStatus),
}

impl Chaos {
    /// Starts the dispatchers.
    pub fn start(stage: &Stage) -> io::Result<Self> {
        let mut members = Vec::new();
        for instance in INSTANCES {
            let mut command = command(stage, instance)?;
            let state = State::Runs(command.spawn()?);
            members.push(Member {
                instance,
                command,
                state,
            });
        }
        Ok(Self {
            members,
            next_kill: Instant::now() + BETWEEN_KILLS,
            turn: 0,
        })
    }

    /// Does what is due: kills one if `kills`, and starts the dead again.
    pub fn serve(&mut self, now: Instant, kills: bool) -> io::Result<Vec<Happening>> {
        let mut happenings = Vec::new();
        for member in &mut self.members {
            happenings.extend(member.serve(now)?);
        }
        if !kills {
            // The first one comes a while after kills are allowed.
            self.next_kill = now + BETWEEN_KILLS;
        } else if now >= self.next_kill {
            self.next_kill = now + BETWEEN_KILLS;
            let victim = self.turn % self.members.len();
            self.turn += 1;
            happenings.extend(self.members[victim].kill(now)?);
        }
        Ok(happenings)
    }

    /// Asks all to drain, and waits until they have ended.
    pub fn stop(mut self) -> io::Result<()> {
        for member in &mut self.members {
            if let State::Runs(child) = &mut member.state {
                // Its stdin ends.
                drop(child.stdin.take());
            }
        }
        let deadline = Instant::now() + PATIENCE;
        for member in &mut self.members {
            if let State::Runs(child) = &mut member.state {
                while child.try_wait()?.is_none() && Instant::now() < deadline {
                    std::thread::sleep(GLANCE);
                }
            }
        }
        Ok(()) // What still runs is killed when dropped.
    }
}

impl Member {
    fn serve(&mut self, now: Instant) -> io::Result<Option<Happening>> {
        match &mut self.state {
            State::Runs(child) => {
                let Some(status) = child.try_wait()? else {
                    return Ok(None);
                };
                self.state = State::Dead(now + DEAD);
                Ok(Some(Happening::Ended(self.instance, status)))
            }
            State::Dead(until) if now < *until => Ok(None),
            State::Dead(_) => {
                self.state = State::Runs(self.command.spawn()?);
                Ok(Some(Happening::Started(self.instance)))
            }
        }
    }

    fn kill(&mut self, now: Instant) -> io::Result<Option<Happening>> {
        let State::Runs(child) = &mut self.state else {
            return Ok(None);
        };
        child.kill()?;
        child.wait()?;
        self.state = State::Dead(now + DEAD);
        Ok(Some(Happening::Killed(self.instance)))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let State::Runs(child) = &mut self.state {
            // Refused when it has ended, which is as good.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A static member.
fn command(stage: &Stage, instance: &str) -> io::Result<Command> {
    let mut command = stage.installation.run_child(&[Role::Dispatcher])?;
    command
        .env("HOOKTIDE__INSTANCE_ID", instance)
        .env_remove("HOOKTIDE__INSTANCE_ID__FILE")
        // What being killed leads to is no news here.
        .env("HOOKTIDE__TELEMETRY__LOG", "error");
    Ok(command)
}
