//! How the parts of a run are started.

use std::net::SocketAddr;
use std::time::Duration;

use super::child::Part;
use super::load::{self, Load};
use super::plan::Wish;
use super::report::Figures;
use super::tls::Identity;
use super::{Bench, BenchError, bare_loop};

/// Requests of the bare loop; enough for seconds, few enough not to bore.
const BARE_REQUESTS: u64 = 100_000;
/// How many for each delivery at most: with few of them its start would be most of what it costs.
const BARE_TURNS: u64 = 10;
/// How many of them are open at once: more is slower on few cores.
const BARE_CONCURRENCY: usize = 64;
/// The same where a receiver takes its time: as many as hooktide opens to one host.
const PATIENT_CONCURRENCY: usize = 256;
/// How long the bare loop may take then, about.
const PATIENT_LOOP: Duration = Duration::from_secs(5);

/// A load under way.
pub(super) struct Loading(Part);

impl Loading {
    /// Waits until all are acknowledged.
    pub(super) fn finished(mut self) -> Result<load::Done, BenchError> {
        self.0.read()
    }
}

impl Bench<'_> {
    pub(super) fn start_receiver(&self) -> Result<Part, BenchError> {
        let Wish {
            receivers,
            delay,
            slow,
            ..
        } = self.plan.asked();
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "receiver"])
            .args(["--endpoints", &receivers.to_string()])
            .args(["--delay-ms", &delay.as_millis().to_string()]);
        if let (Some(path), Some(slow)) = (self.plan.slow_path(), slow) {
            command
                .args(["--slow-path", &path])
                .args(["--slow-ms", &slow.as_millis().to_string()]);
        }
        if let Some(Identity { files, .. }) = self.identity {
            command.arg("--certificate").arg(&files.certificate);
            command.arg("--key").arg(&files.key);
        }
        Part::spawn("receiver", &mut command)
    }

    pub(super) fn load(&self, load: &Load) -> Result<Loading, BenchError> {
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "load"])
            .args(["--topic", &load.topic])
            .args(["--events", &load.events.to_string()])
            .args(["--first-number", &load.first_number.to_string()])
            .args(["--size", &load.size.to_string()])
            .args(["--first-type", &load.first_type.to_string()])
            .args(["--types", &load.types.to_string()]);
        if load.keyed {
            command.arg("--keyed");
        }
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
            // Batches would be latency of the load's own making.
            command.env("HOOKTIDE__KAFKA__PROPERTIES__LINGER_MS", "0");
        }
        Ok(Loading(Part::spawn("load", &mut command)?))
    }

    pub(super) fn bare_loop(&self, at: SocketAddr) -> Result<Figures, BenchError> {
        let delay = self.plan.asked().delay;
        let mut requests = BARE_REQUESTS.min(self.plan.deliveries().saturating_mul(BARE_TURNS));
        let mut concurrency = BARE_CONCURRENCY;
        if !delay.is_zero() {
            concurrency = PATIENT_CONCURRENCY;
            let turns = (PATIENT_LOOP.as_secs_f64() / delay.as_secs_f64()).ceil() as u64;
            requests = requests.min(turns * PATIENT_CONCURRENCY as u64);
        }
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "bare-loop"])
            .args(["--url", &format!("{}://{at}/", self.scheme())])
            .args(["--requests", &requests.to_string()])
            .args(["--size", &self.plan.asked().size.to_string()])
            .args(["--concurrency", &concurrency.to_string()]);
        if let Some(Identity { files, .. }) = self.identity {
            command.arg("--ca-file").arg(&files.certificate);
        }
        let mut part = Part::spawn("bare loop", &mut command)?;
        let done: bare_loop::Done = part.read()?;
        Ok(done.figures(requests))
    }
}
