//! `hooktide receiver`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Failure, Output, output};
use crate::clock::Timestamp;
use crate::receiver::{Arrival, Manner, Receiver, Seen, Settings, Signature, YOURS};
use crate::secret::{KeyForm, Secret, SecretError};
use crate::shutdown;

/// Deliveries that are remembered, to tell copies.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// Check signatures with this secret of a subscription; more than one can be given
    #[arg(long = "secret", value_name = "WHSEC", value_parser = typed_secret)]
    secrets: Vec<TypedSecret>,
    /// Requests that /limited takes in a second
    #[arg(long, value_name = "N", default_value_t = 5)]
    limit: u32,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.parse();
    parsed.map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080".to_owned())
}

/// A secret as it was typed. What is none must be named without being shown, which the parser of
/// arguments would do.
#[derive(Clone, Debug)]
struct TypedSecret(Result<Secret, SecretError>);

#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
fn typed_secret(text: &str) -> Result<TypedSecret, std::convert::Infallible> {
    // The receiver checks by Standard Webhooks alone.
    let usable = |secret: Secret| {
        secret
            .key(KeyForm::Base64)
            .map(drop)
            .map(|()| secret.clone())
    };
    Ok(TypedSecret(Secret::parse(text).and_then(usable)))
}

impl Arguments {
    /// Receives until a signal comes.
    pub(super) fn run(self, format: Output) -> Result<(), Failure> {
        let secrets: Result<Vec<_>, _> = self.secrets.into_iter().map(|typed| typed.0).collect();
        let secrets = secrets.map_err(|error| {
            Failure::Refused(anyhow!(
                "`--secret`: {error}; `hooktide subscriptions put` prints it when it makes one"
            ))
        })?;
        let settings = Settings {
            listen: self.listen,
            seed: rand::random(),
            limit: self.limit,
            secrets,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(receive(settings, format))
    }
}

async fn receive(settings: Settings, format: Output) -> Result<(), Failure> {
    let stop: CancellationToken = shutdown::on_signals().context("cannot listen for signals")?;
    let listen = settings.listen;
    let mut receiver = Receiver::start(settings, true).await.with_context(|| {
        format!("cannot listen on {listen}: choose another address with --listen")
    })?;
    let paths = Manner::ALL.map(Manner::name).into_iter().chain([YOURS]);
    let paths: Vec<_> = paths.map(|path| format!("/{path}")).collect();
    let (address, paths) = (receiver.address(), paths.join(" "));
    output::talk(&format!("listening on http://{address}, paths {paths}"));
    let mut copies = Copies::default();
    while let Some(Some(seen)) = stop.run_until_cancelled(receiver.next()).await {
        match seen {
            Seen::Arrived(_) => {}
            Seen::Answered {
                arrival, status, ..
            } => {
                let line = Line {
                    copy: copies.count(&arrival.id),
                    arrival: &arrival,
                    status,
                };
                match format {
                    Output::Text => output::data(&format!("{line}\n"))?,
                    Output::Json => output::data(&format!("{}\n", line.json()))?,
                }
            }
        }
    }
    Ok(())
}

/// What is told of a request.
struct Line<'a> {
    arrival: &'a Arrival,
    status: u16,
    /// How many requests of this delivery there were, with this one.
    copy: u64,
}

impl Line<'_> {
    fn json(&self) -> serde_json::Value {
        let Arrival {
            number: _,
            id,
            at,
            method,
            path,
            bytes,
            signature,
        } = self.arrival;
        let (verified, problem) = match signature {
            Signature::Unchecked => (None, None),
            Signature::Holds => (Some(true), None),
            Signature::Fails(reason) => (Some(false), Some(reason)),
        };
        json!({
            "at": at.to_string(), "method": method, "path": path, "status": self.status,
            "webhook_id": id, "copy": self.copy, "bytes": bytes,
            "signature_holds": verified, "problem": problem,
        })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrival = self.arrival;
        let id = match &*arrival.id {
            "" => "no webhook-id".to_owned(),
            id => output::plain(id),
        };
        let path = output::plain(&arrival.path);
        let (at, method, bytes) = (time_of_day(arrival.at), &arrival.method, arrival.bytes);
        write!(
            formatter,
            "{at}  {method} {path}  {}  {id}  {bytes} bytes",
            self.status
        )?;
        if arrival.signature != Signature::Unchecked {
            write!(formatter, "  {}", arrival.signature)?;
        }
        if self.copy > 1 {
            write!(formatter, "  request {} of this delivery", self.copy)?;
        }
        Ok(())
    }
}

/// `10:00:00.000Z`
fn time_of_day(at: Timestamp) -> String {
    let text = at.to_string();
    let time = text.split_once('T').map(|(_, time)| time.to_owned());
    time.unwrap_or(text)
}

/// How often each delivery came, of the latest ones.
#[derive(Default)]
struct Copies {
    counts: HashMap<String, u64>,
    in_order: VecDeque<String>,
}

impl Copies {
    /// Counts one more, and says how many that makes. What has no id is not counted.
    fn count(&mut self, id: &str) -> u64 {
        if id.is_empty() {
            return 1;
        }
        if let Some(count) = self.counts.get_mut(id) {
            *count += 1;
            return *count;
        }
        if self.in_order.len() == REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.in_order.push_back(id.to_owned());
        self.counts.insert(id.to_owned(), 1);
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival() -> Arrival {
        Arrival {
            number: 1,
            id: "msg_1".to_owned(),
            at: Timestamp::from_millis(1_795_341_600_007),
            method: "POST".to_owned(),
            path: "/flaky".to_owned(),
            bytes: 84,
            signature: Signature::Unchecked,
        }
    }

    #[test]
    fn a_line_says_what_came_and_what_was_answered() {
        fn check(change: impl FnOnce(&mut Arrival), copy: u64, expected: &str) {
            let mut arrival = arrival();
            change(&mut arrival);
            let line = Line {
                arrival: &arrival,
                status: 503,
                copy,
            };
            assert_eq!(line.to_string(), expected);
        }
        let plain = "10:00:00.007Z  POST /flaky  503  msg_1  84 bytes";
        check(|_| (), 1, plain);
        let again = format!("{plain}  request 2 of this delivery");
        check(|_| (), 2, &again);
        let holds = format!("{plain}  signature holds");
        check(|one| one.signature = Signature::Holds, 1, &holds);
        let fails = format!("{plain}  SIGNATURE FAILS: old");
        let old = Signature::Fails("old".to_owned());
        check(|one| one.signature = old, 1, &fails);
        let strange = "10:00:00.007Z  POST /\u{fffd}[2J  503  no webhook-id  84 bytes";
        let change = |one: &mut Arrival| {
            one.id.clear();
            one.path = "/\u{1b}[2J".to_owned();
        };
        check(change, 1, strange);
    }

    #[test]
    fn scripts_get_the_same() {
        let mut arrival = arrival();
        arrival.signature = Signature::Fails("old".to_owned());
        let line = Line {
            arrival: &arrival,
            status: 204,
            copy: 2,
        };
        let expected = json!({
            "at": "2026-11-22T10:00:00.007Z", "method": "POST", "path": "/flaky", "status": 204,
            "webhook_id": "msg_1", "copy": 2, "bytes": 84,
            "signature_holds": false, "problem": "old",
        });
        assert_eq!(line.json(), expected);
    }

    #[test]
    fn copies_are_counted_among_the_latest() {
        let mut copies = Copies::default();
        assert_eq!([1, 2].map(|_| copies.count("first")), [1, 2]);
        assert_eq!([1, 2].map(|_| copies.count("")), [1, 1]);
        for number in 0..REMEMBERED {
            assert_eq!(copies.count(&format!("msg_{number}")), 1);
        }
        assert_eq!(copies.count("first"), 1, "forgotten");
        assert_eq!(copies.counts.len(), REMEMBERED);
    }
}
