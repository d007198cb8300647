//! The network between Hooktide and a broker: a proxy that can stall, reset and refuse. The broker
//! advertises the proxy's address on a listener of its own (`broker/node.rs`, `Plan::wire`), so every
//! connection of a client that begins there goes through it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Everything.
    Flows,
    /// Nothing that the clients send. What was on its way arrives when traffic flows again.
    StallsToBroker,
    /// Nothing that the broker sends.
    StallsFromBroker,
    /// Nothing. Connections stay, and new ones are made.
    Stalls,
    /// Connections are reset, and new ones as soon as they are made.
    IsCut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    FromBroker,
}

impl Traffic {
    fn lets_pass(self, way: Way) -> bool {
        match self {
            Self::Flows => true,
            Self::StallsToBroker => way == Way::FromBroker,
            Self::StallsFromBroker => way == Way::ToBroker,
            Self::Stalls | Self::IsCut => false,
        }
    }
}

/// See the module. It ends, with all its connections, when dropped.
pub struct Wire {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    /// Counts resets.
    resets: watch::Sender<u64>,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Wire {
    /// A wire to `broker`, which need not listen yet.
    pub async fn to(broker: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let traffic = watch::Sender::new(Traffic::Flows);
        let resets = watch::Sender::new(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let mut server = JoinSet::new();
        let (watched, reset) = (traffic.subscribe(), resets.subscribe());
        server.spawn(accept(
            listener,
            broker,
            watched,
            reset,
            Arc::clone(&connections),
        ));
        Ok(Self {
            address,
            traffic,
            resets,
            connections,
            _server: server,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
        if traffic == Traffic::IsCut {
            self.reset();
        }
    }

    /// Resets every connection, with all that is on its way.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    broker: SocketAddr,
    traffic: watch::Receiver<Traffic>,
    resets: watch::Receiver<u64>,
    accepted: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        let (traffic, mut resets) = (traffic.clone(), resets.clone());
        resets.mark_unchanged();
        connections.spawn(async move {
            // How it ends is for both ends of it to see.
            drop(carry(client, broker, traffic, resets).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(
    mut client: TcpStream,
    broker: SocketAddr,
    traffic: watch::Receiver<Traffic>,
    mut resets: watch::Receiver<u64>,
) -> anyhow::Result<()> {
    if *traffic.borrow() == Traffic::IsCut {
        return Ok(client.set_zero_linger()?);
    }
    let Ok(mut server) = TcpStream::connect(broker).await else {
        // Nobody listens there, so nobody seems to listen here.
        return Ok(client.set_zero_linger()?);
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let was_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = pump(from_client, to_server, traffic.clone(), Way::ToBroker) => { drop(ended); false }
            ended = pump(from_server, to_client, traffic.clone(), Way::FromBroker) => { drop(ended); false }
            changed = resets.changed() => changed.is_ok(),
        }
    };
    if was_reset {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// Carries one way until its sender closes; that, too, stays unseen while nothing passes.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut traffic: watch::Receiver<Traffic>,
    way: Way,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        let passes = traffic.wait_for(|traffic| traffic.lets_pass(way));
        passes.await.context("the wire is gone")?;
        match read? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length]).await?,
        }
    }
}
