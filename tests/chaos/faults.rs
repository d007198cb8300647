//! How each fault is inflicted.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::Context;
use hooktide::clock::Timestamp;

use crate::fleet::{END, Fleet, Member, READY, instance_of, pause};
use crate::plan::{DRAIN, Fault};
use crate::receiver::Mood;
use crate::record::Strike;
use crate::support::wire::Traffic;

/// How long a process may take until it passes a kill point, before it is killed otherwise.
const PASSES: Duration = Duration::from_secs(30);
/// SIGABRT: how a process dies at a kill point.
const ABORTED: i32 = 6;
/// How often two processes with one id may take the producer from each other.
const MOST_TUGS: usize = 20;

impl Fleet {
    /// Inflicts a fault and waits until every member is ready again.
    pub async fn inflict(&self, fault: &Fault) -> anyhow::Result<()> {
        self.inflict_beside(fault).await?;
        self.all_ready()
            .await
            .with_context(|| format!("after {fault:?}"))
    }

    /// Inflicts a fault, whatever else is done to the members meanwhile.
    pub async fn inflict_beside(&self, fault: &Fault) -> anyhow::Result<()> {
        let inflicted = self.inflict_one(fault).await;
        inflicted.with_context(|| format!("{fault:?}"))
    }

    async fn inflict_one(&self, fault: &Fault) -> anyhow::Result<()> {
        let name = fault.name();
        match fault {
            Fault::Kill { member, down } => {
                let mut member = self.members[*member].lock().await;
                let strike = Strike::on(name, &member.instance);
                member.process.kill9().await?;
                let strike = strike.end();
                pause(*down).await;
                self.restart(&mut member, strike)
            }
            Fault::Terminate { member, down } => {
                let mut member = self.members[*member].lock().await;
                self.terminate(&mut member, &name, *down).await
            }
            Fault::RollingRestart => {
                for member in &self.members {
                    let mut member = member.lock().await;
                    self.terminate(&mut member, &name, Duration::ZERO).await?;
                    member.process.wait_ready(READY).await?;
                }
                Ok(())
            }
            Fault::KillPoint { .. } => self.die_at(std::slice::from_ref(fault)).await,
            Fault::Freeze { member, time } => {
                let member = self.members[*member].lock().await;
                let strike = Strike::on(name, &member.instance);
                member.process.sigstop()?;
                pause(*time).await;
                member.process.sigcont()?;
                self.strike(strike.end());
                Ok(())
            }
            Fault::Storm { members, stay } => self.storm(&name, *members, *stay).await,
            Fault::Twin { member } => {
                let mut member = self.members[*member].lock().await;
                self.twin(&mut member, &name).await
            }
            Fault::Receiver { mood, time } => {
                let strike = Strike::begin(name);
                self.receiver.set(*mood);
                pause(*time).await;
                self.receiver.set(Mood::Good);
                self.strike(strike.end());
                Ok(())
            }
            Fault::KillBroker { victim, down } => {
                let strike = Strike::begin(name);
                let killed = self.brokers.kill(*victim, *down, self.installation.id());
                killed.await?;
                self.strike(strike.end());
                Ok(())
            }
            Fault::Network {
                broker,
                traffic,
                time,
            } => {
                let strike = Strike::begin(name);
                self.brokers.set(*broker, *traffic);
                pause(*time).await;
                self.brokers.set(*broker, Traffic::Flows);
                self.strike(strike.end());
                Ok(())
            }
            Fault::Resets { times, apart } => {
                let strike = Strike::begin(name);
                for _ in 0..*times {
                    self.brokers.reset();
                    pause(*apart).await;
                }
                self.strike(strike.end());
                Ok(())
            }
        }
    }

    fn restart(&self, member: &mut Member, strike: Strike) -> anyhow::Result<()> {
        let restarted = Some(Timestamp::now());
        member.process = self.launch(&member.instance)?;
        self.strike(Strike {
            restarted,
            ..strike
        });
        Ok(())
    }

    async fn terminate(
        &self,
        member: &mut Member,
        name: &str,
        down: Duration,
    ) -> anyhow::Result<()> {
        let strike = self.ended(member, name).await?;
        pause(down).await;
        self.restart(member, strike)
    }

    /// Has a member end by SIGTERM.
    async fn ended(&self, member: &Member, name: &str) -> anyhow::Result<Strike> {
        let strike = Strike::on(name, &member.instance).draining(DRAIN);
        member.process.sigterm()?;
        let status = member.process.wait_exit(END).await?;
        if status.code() != Some(0) {
            self.incident(format!("{} ended with {status}", member.instance));
        }
        Ok(strike.end())
    }

    /// Has one member die at each of these points, one after the other.
    pub async fn die_at(&self, points: &[Fault]) -> anyhow::Result<()> {
        let mut before: Option<Strike> = None;
        for fault in points {
            let Fault::KillPoint {
                member,
                role,
                point,
                survived,
            } = fault
            else {
                anyhow::bail!("{fault:?} is no kill point");
            };
            let mut member = self.members[*member].lock().await;
            let strike = match before.take() {
                Some(strike) => strike,
                None => self.ended(&member, "SIGTERM").await?,
            };
            let at = format!("{}:{}:{survived}", role.as_str(), point.name());
            let restarted = Some(Timestamp::now());
            member.process = self.launch_armed(&member.instance, &at)?;
            self.strike(Strike {
                restarted,
                ..strike
            });
            before = Some(match member.process.wait_exit(PASSES).await {
                Ok(status) => {
                    if status.signal() != Some(ABORTED) {
                        let log = member.process.log().display();
                        self.incident(format!("ended at {at} with {status}: {log}"));
                    }
                    Strike::on(fault.name(), &member.instance)
                }
                Err(_) => {
                    self.missed(fault.name());
                    let strike = Strike::on("kill -9", &member.instance);
                    // Refused when it has died at its point after all.
                    drop(member.process.kill9().await);
                    member.process.wait_exit(END).await?;
                    strike.end()
                }
            });
        }
        if let (Some(strike), Some(Fault::KillPoint { member, .. })) = (before, points.last()) {
            let mut member = self.members[*member].lock().await;
            self.restart(&mut member, strike)?;
        }
        Ok(())
    }

    async fn storm(&self, name: &str, members: usize, stay: Duration) -> anyhow::Result<()> {
        let mut guests = Vec::new();
        for _ in 0..members {
            let strike = Strike::begin(name);
            let guest = self.launch_guest()?;
            guest.wait_ready(READY).await?;
            self.strike(strike.end());
            guests.push(guest);
        }
        pause(stay).await;
        for guest in guests {
            let instance = instance_of(&guest)?;
            let strike = Strike::on("SIGTERM of a dynamic member", &instance).draining(DRAIN);
            guest.sigterm()?;
            let status = guest.wait_exit(END).await?;
            if status.code() != Some(0) {
                self.incident(format!("guest {instance} ended with {status}"));
            }
            self.strike(strike.end());
        }
        Ok(())
    }

    /// Starts a second process with a member's id: one of the two must end, and say why.
    async fn twin(&self, member: &mut Member, name: &str) -> anyhow::Result<()> {
        let strike = Strike::on(name, &member.instance);
        let twin = self.launch(&member.instance)?;
        let is_first = tokio::select! {
            first = member.process.wait_exit(END) => first.map(|_| true)?,
            second = twin.wait_exit(END) => second.map(|_| false)?,
        };
        self.strike(strike.end());
        let fenced = match is_first {
            true => std::mem::replace(&mut member.process, twin),
            false => twin,
        };
        let log = fenced.log_text()?;
        let code = fenced.exit_status().and_then(|status| status.code());
        if code != Some(1) || !log.contains("has taken over this instance id") {
            let log = fenced.log().display();
            self.incident(format!(
                "fenced, ended with {code:?} and does not say so: {log}"
            ));
        }
        let tugs = log.matches("transactional producer made anew").count();
        if tugs > MOST_TUGS {
            self.incident(format!("fenced, its producer was made anew {tugs} times"));
        }
        Ok(())
    }
}
