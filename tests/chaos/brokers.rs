//! The Kafka of a run: one broker, or three. Members reach each of them by a wire that can stall and be
//! cut; whoever watches and produces does not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hooktide::role::Role;

use crate::fleet::{instance, pause};
use crate::plan::{Layout, Victim};
use crate::support::Bed;
use crate::support::broker::cluster::Cluster;
use crate::support::broker::node::{Plan, local};
use crate::support::broker::{Broker, HEAP};
use crate::support::free_port::free_port;
use crate::support::wire::{Traffic, Wire};

/// How long a cluster may take to miss a broker, to name one that coordinates, or to be whole again.
const MOVES: Duration = Duration::from_secs(120);
/// Between two questions of who coordinates.
const POLL: Duration = Duration::from_millis(200);

/// See the module. They end when dropped.
pub struct Brokers {
    nodes: Nodes,
    /// One for each broker, in their order.
    wires: Vec<Wire>,
}

enum Nodes {
    Alone(Arc<Broker>),
    Cluster(Arc<Cluster>),
}

impl Brokers {
    /// Starts them, each with its wire: and the same bed on them. None: this machine cannot.
    pub async fn start(bed: &Bed, layout: Layout) -> anyhow::Result<Option<(Bed, Self)>> {
        let mut plans = match layout {
            Layout::Alone => vec![Plan::new(1, HEAP)?],
            Layout::Cluster => Cluster::plans()?,
        };
        let mut wires = Vec::new();
        for plan in &mut plans {
            let behind = local(free_port()?);
            let wire = Wire::to(behind).await?;
            plan.wire = Some((behind, wire.address()));
            wires.push(wire);
        }
        let started = match layout {
            Layout::Alone => bed
                .with_broker_as(plans.remove(0))?
                .map(|(bed, broker)| (bed, Nodes::Alone(Arc::new(broker)))),
            Layout::Cluster => bed
                .with_cluster_as(&plans)?
                .map(|(bed, cluster)| (bed, Nodes::Cluster(Arc::new(cluster)))),
        };
        Ok(started.map(|(bed, nodes)| (bed, Self { nodes, wires })))
    }

    /// Where members find them.
    pub fn bootstrap_servers(&self) -> String {
        let wires = self.wires.iter();
        let addresses: Vec<_> = wires.map(|wire| wire.address().to_string()).collect();
        addresses.join(",")
    }

    /// From now on the wire to one of them, or all wires, are like this.
    pub fn set(&self, broker: Option<usize>, traffic: Traffic) {
        for (place, wire) in self.wires.iter().enumerate() {
            if broker.is_none_or(|broker| broker == place) {
                wire.set(traffic);
            }
        }
    }

    /// Resets all connections of members.
    pub fn reset(&self) {
        self.wires.iter().for_each(Wire::reset);
    }

    /// Whether each wire has carried something.
    pub fn were_reached_by_wire(&self) -> bool {
        self.wires.iter().all(|wire| wire.connections() > 0)
    }

    /// Kills one -9 and starts it again. Comes back when it answers, and all copies are in sync.
    pub async fn kill(
        &self,
        victim: Victim,
        down: Duration,
        application: &str,
    ) -> anyhow::Result<()> {
        match &self.nodes {
            Nodes::Alone(broker) => {
                broker.kill9()?;
                pause(down).await;
                let broker = Arc::clone(broker);
                tokio::task::spawn_blocking(move || broker.restart()).await?
            }
            Nodes::Cluster(cluster) => {
                let id = find(cluster, victim, application).await?;
                let cluster = Arc::clone(cluster);
                // Its questions block: in a task of their own they hold up nobody else.
                let killed = tokio::spawn(async move {
                    cluster.kill9(id)?;
                    if !matches!(victim, Victim::Broker(_)) {
                        cluster.wait_without(id, MOVES).await?;
                    }
                    pause(down).await;
                    cluster.restart(id)?;
                    // The others may not have missed it yet, and take all for in sync until it comes.
                    cluster.wait_for_answer(id, MOVES).await?;
                    cluster.wait_in_sync(MOVES).await
                });
                killed.await?.with_context(|| format!("broker {id}"))
            }
        }
    }
}

/// The id of a broker of the cluster.
async fn find(cluster: &Cluster, victim: Victim, application: &str) -> anyhow::Result<i32> {
    let group = |role: Role| format!("{application}.{}", role.as_str());
    let found = async {
        loop {
            let found = match victim {
                Victim::Broker(place) => {
                    let ids = cluster.ids();
                    ids.get(place).copied().context("no such broker")
                }
                Victim::GroupCoordinator(role) => cluster.group_coordinator(&group(role)).await,
                Victim::TransactionCoordinator { role, member } => {
                    let id = format!("{}.{}", group(role), instance(member));
                    cluster.transaction_coordinator(&id).await
                }
                Victim::Controller => cluster.controller(MOVES).await,
            };
            match found {
                Ok(id) => return id,
                // A leader may be on its way.
                Err(_) => pause(POLL).await,
            }
        }
    };
    tokio::time::timeout(MOVES, found)
        .await
        .with_context(|| format!("nobody is {victim:?}"))
}
