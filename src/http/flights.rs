//! Requests on the wire, and their way back to the loop that sent them.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::runtime::Handle;

use crate::http::{Client, ErrorClass, Exchange, Failure, Request};
use crate::kafka::member::Lease;
use crate::kill_point::{self, KillPoint};
use crate::role::Role;
use crate::wake::Waker;

/// A request that came back.
#[derive(Debug)]
pub struct Landed {
    /// The number it was launched with.
    pub number: u64,
    /// What became of it. None: it was not sent, because the lease had run out.
    pub exchange: Option<Exchange>,
}

impl Landed {
    /// For a request that could not even be made.
    pub fn not_sent(number: u64, failure: Failure) -> Self {
        let exchange = Exchange {
            duration: Duration::ZERO,
            result: Err(failure),
        };
        Self {
            number,
            exchange: Some(exchange),
        }
    }
}

/// Sends requests on the runtime and collects what comes back. The caller keeps the number of open
/// requests within the capacity; so the way back never fills up.
pub struct Flights {
    runtime: Handle,
    client: Client,
    lease: Lease,
    waker: Waker,
    /// Those that go with the next [`Self::depart`].
    boarding: Vec<Flight>,
    sender: Sender<Landed>,
    landed: Receiver<Landed>,
}

/// A request, and how it comes back.
struct Flight {
    request: Request,
    client: Client,
    lease: Lease,
    passage: Passage,
}

impl Flights {
    /// For at most `capacity` open requests, each of which starts only while `lease` is valid.
    pub fn new(
        runtime: Handle,
        client: Client,
        lease: Lease,
        waker: Waker,
        capacity: usize,
    ) -> Self {
        let (sender, landed) = bounded(capacity);
        Self {
            runtime,
            client,
            lease,
            waker,
            boarding: Vec::new(),
            sender,
            landed,
        }
    }

    /// Takes a request, to be sent with the next [`Self::depart`].
    pub fn launch(&mut self, number: u64, request: Request) {
        self.boarding.push(Flight {
            request,
            client: self.client.clone(),
            lease: self.lease.clone(),
            passage: Passage {
                landed: Some(Landed {
                    number,
                    exchange: Some(panicked()),
                }),
                sender: self.sender.clone(),
                waker: self.waker.clone(),
            },
        });
    }

    /// Sends what was launched. All of it goes to the runtime at once: what comes from outside costs it a
    /// lock and often the waking of a thread, each time.
    pub fn depart(&mut self) {
        let mut flights = std::mem::take(&mut self.boarding).into_iter();
        let Some(first) = flights.next() else { return };
        self.runtime.spawn(async move {
            for flight in flights {
                tokio::spawn(flight.fly());
            }
            first.fly().await;
        });
    }

    /// The next request that came back, if there is one.
    pub fn landed(&self) -> Option<Landed> {
        let landed = self.landed.try_recv().ok()?;
        kill_point::pass(Role::Dispatcher.as_str(), KillPoint::Answered);
        Some(landed)
    }

    /// Waits for a request to come back.
    pub fn wait(&self, timeout: Duration) -> Option<Landed> {
        self.landed.recv_timeout(timeout).ok()
    }
}

impl Flight {
    async fn fly(self) {
        let Self {
            request,
            client,
            lease,
            mut passage,
        } = self;
        // A process that was stopped for longer than the session timeout finds out at the last
        // moment before the wire, whichever of its threads runs first.
        let exchange = client.send_if(request, move || lease.is_valid()).await;
        if let Some(landed) = &mut passage.landed {
            landed.exchange = exchange;
        }
    }
}

fn panicked() -> Exchange {
    Exchange {
        duration: Duration::ZERO,
        result: Err(Failure::new(
            ErrorClass::Internal,
            "the request's task ended without an answer",
        )),
    }
}

/// Brings a request back however its task ends, also by a panic.
struct Passage {
    landed: Option<Landed>,
    sender: Sender<Landed>,
    waker: Waker,
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(landed) = self.landed.take()
            && self.sender.try_send(landed).is_err()
        {
            tracing::error!("a request came back to nobody");
        }
        self.waker.wake();
    }
}
