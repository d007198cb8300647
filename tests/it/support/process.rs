//! A running `hooktide`, to be watched, stopped, frozen and killed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::expositions::Metrics;
use super::http_get::http_get;
use super::{tail, watchdog};

/// How often a state that announces itself to nobody is asked for.
const POLL: Duration = Duration::from_millis(20);

/// A child process. Dropping kills it; so does the end of the test run, however it comes.
pub struct Process {
    pid: u32,
    telemetry: SocketAddr,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts a command with its output in `log`.
    pub fn spawn(
        mut command: Command,
        telemetry: SocketAddr,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::create(&log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let pid = child.id();
        watchdog::guard(pid);
        let (ended, exit) = watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait();
            // Known to have ended before the id can be another's: nobody signals it any more.
            ended.send_replace(status.ok());
            watchdog::release(pid);
        });
        Ok(Self {
            pid,
            telemetry,
            log,
            exit,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it serves its telemetry.
    pub fn telemetry(&self) -> SocketAddr {
        self.telemetry
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has said so far.
    pub fn log_text(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until its log holds `text`.
    pub async fn wait_for_log(&self, text: &str, within: Duration) -> anyhow::Result<()> {
        let said = async {
            let mut tick = tokio::time::interval(POLL);
            while !self.log_text()?.contains(text) {
                tick.tick().await;
            }
            Ok(())
        };
        tokio::time::timeout(within, said)
            .await
            .with_context(|| format!("`{text}` is not in the log within {within:?}"))
            .flatten()
    }

    /// Waits until `/ready` answers 200; an error with the log's end when it ends or takes longer.
    pub async fn wait_ready(&self, within: Duration) -> anyhow::Result<()> {
        let ready = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                if let Some(status) = self.exit_status() {
                    anyhow::bail!("ended with {status} before it was ready");
                }
                if matches!(http_get(self.telemetry, "/ready").await, Ok((200, _))) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(within, ready)
            .await
            .with_context(|| format!("not ready within {within:?}"))
            .flatten()
            .with_context(|| tail(&self.log, 4_096))
    }

    /// `/ready`, `/health`: the status; an error when nothing answers.
    pub async fn status_of(&self, path: &str) -> anyhow::Result<u16> {
        Ok(http_get(self.telemetry, path).await?.0)
    }

    /// What a path of its telemetry answers: status and body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        http_get(self.telemetry, path).await
    }

    /// Its metrics now.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let (status, text) = http_get(self.telemetry, "/metrics").await?;
        anyhow::ensure!(status == 200, "/metrics answered {status}");
        Metrics::parse(&text)
    }

    /// Scrapes until `condition` holds for the metrics.
    pub async fn wait_for_metrics(
        &self,
        within: Duration,
        condition: impl Fn(&Metrics) -> bool,
    ) -> anyhow::Result<Metrics> {
        let met = async {
            let mut tick = tokio::time::interval(POLL);
            loop {
                tick.tick().await;
                let metrics = self.metrics().await?;
                if condition(&metrics) {
                    return Ok(metrics);
                }
            }
        };
        match tokio::time::timeout(within, met).await {
            Ok(met) => met,
            Err(_) => anyhow::bail!(
                "the metrics did not get there within {within:?}: {:#?}",
                self.metrics().await?
            ),
        }
    }

    /// The CPU time of all its threads so far; none where nobody counts it.
    pub fn cpu_time(&self) -> Option<Duration> {
        #[cfg(target_os = "linux")]
        {
            let process = procfs::process::Process::new(i32::try_from(self.pid).ok()?).ok()?;
            let stat = process.stat().ok()?;
            let ticks = (stat.utime + stat.stime) as f64;
            Some(Duration::from_secs_f64(
                ticks / procfs::ticks_per_second() as f64,
            ))
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Asks it to drain and end.
    pub fn sigterm(&self) -> anyhow::Result<()> {
        self.signal("TERM")
    }

    /// Ends it at once, without a chance to clean up, and waits until it is gone.
    pub async fn kill9(&self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        self.wait_exit(Duration::from_secs(10)).await.map(drop)
    }

    /// Freezes it.
    pub fn sigstop(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`Process::sigstop`].
    pub fn sigcont(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Waits until it has ended.
    pub async fn wait_exit(&self, within: Duration) -> anyhow::Result<ExitStatus> {
        let mut exit = self.exit.clone();
        let ended = tokio::time::timeout(within, exit.wait_for(Option::is_some))
            .await
            .with_context(|| format!("still runs after {within:?}"))??;
        ended.context("waited for something")
    }

    /// How it ended; none while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        if let Some(status) = self.exit_status() {
            anyhow::bail!("cannot send SIG{name}: it has ended with {status}");
        }
        let status = Command::new("kill")
            .args(["-s", name, &self.pid.to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "kill -s {name} ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Refused when it has ended already, which is as good.
        drop(self.signal("KILL"));
    }
}
