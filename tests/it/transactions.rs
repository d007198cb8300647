//! Every class of error that a transaction can meet, on purpose and on a Kafka that is real: what the
//! protocol asks for is done, nothing is lost, every output is there once, and the process lives on.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError as Error;
use kafka_protocol::messages::ApiKey::{
    self, AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, InitProducerId, Produce, TxnOffsetCommit,
};
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::json;

use crate::support::expositions::Metrics;
use crate::support::go_between::Fault::{self, Denied, Late, Lost, Refused, Unanswered};
use crate::support::go_between::GoBetween;
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::Keep;
use crate::support::scene::{READY, SOON, Scene, event};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        the_dispatcher_recovers_from_every_error,
        the_router_recovers_from_every_error,
        a_producer_that_was_fenced_is_made_anew,
        a_transaction_that_the_coordinator_gave_up_comes_again,
}

/// What the protocol asks a producer to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The request is made again; the transaction goes on.
    Retriable,
    /// The transaction is aborted and begins again.
    Abortable,
    /// The producer is of no more use; another takes its transactional id over.
    Fatal,
}
use Class::{Abortable, Fatal, Retriable};

/// What requests of one transaction meet, and of which class that is.
type Case<'a> = (Class, &'a [(ApiKey, Fault)]);

#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    // ---- partitions are added to the transaction ----
    (Retriable, &[(AddPartitionsToTxn, Refused(Error::CoordinatorLoadInProgress))]),
    (Retriable, &[(AddPartitionsToTxn, Refused(Error::CoordinatorNotAvailable))]),
    (Retriable, &[(AddPartitionsToTxn, Refused(Error::NotCoordinator))]),
    (Retriable, &[(AddPartitionsToTxn, Refused(Error::ConcurrentTransactions))]),
    (Retriable, &[(AddPartitionsToTxn, Lost)]),
    (Retriable, &[(AddPartitionsToTxn, Unanswered)]),
    (Abortable, &[(AddPartitionsToTxn, Refused(Error::TopicAuthorizationFailed))]),
    (Abortable, &[(AddPartitionsToTxn, Refused(Error::OperationNotAttempted))]),
    (Abortable, &[(AddPartitionsToTxn, Refused(Error::UnknownProducerId))]),
    (Abortable, &[(AddPartitionsToTxn, Refused(Error::InvalidProducerIdMapping))]),
    (Fatal, &[(AddPartitionsToTxn, Refused(Error::InvalidProducerEpoch))]),
    (Fatal, &[(AddPartitionsToTxn, Refused(Error::ProducerFenced))]),
    (Fatal, &[(AddPartitionsToTxn, Refused(Error::InvalidTxnState))]),
    (Fatal, &[(AddPartitionsToTxn, Refused(Error::TransactionalIdAuthorizationFailed))]),
    // ---- records are written ----
    (Retriable, &[(Produce, Refused(Error::NotLeaderOrFollower))]),
    (Retriable, &[(Produce, Refused(Error::NotEnoughReplicas))]),
    (Retriable, &[(Produce, Denied(Error::NotEnoughReplicasAfterAppend))]),
    (Retriable, &[(Produce, Refused(Error::RequestTimedOut))]),
    (Retriable, &[(Produce, Lost)]),
    (Retriable, &[(Produce, Unanswered)]),
    (Abortable, &[(Produce, Refused(Error::TopicAuthorizationFailed))]),
    (Abortable, &[(Produce, Refused(Error::UnknownProducerId))]),
    // For these the protocol asks for a new epoch, which librdkafka leaves to its successor.
    (Fatal, &[(Produce, Refused(Error::OutOfOrderSequenceNumber))]),
    (Fatal, &[(Produce, Refused(Error::InvalidProducerEpoch))]),
    // ---- offsets are added to the transaction ----
    (Retriable, &[(AddOffsetsToTxn, Refused(Error::CoordinatorNotAvailable))]),
    (Retriable, &[(AddOffsetsToTxn, Refused(Error::NotCoordinator))]),
    (Retriable, &[(AddOffsetsToTxn, Refused(Error::ConcurrentTransactions))]),
    (Retriable, &[(AddOffsetsToTxn, Refused(Error::RequestTimedOut))]),
    (Retriable, &[(AddOffsetsToTxn, Lost)]),
    (Retriable, &[(AddOffsetsToTxn, Unanswered)]),
    (Abortable, &[(AddOffsetsToTxn, Refused(Error::GroupAuthorizationFailed))]),
    (Abortable, &[(AddOffsetsToTxn, Refused(Error::UnknownProducerId))]),
    (Abortable, &[(AddOffsetsToTxn, Denied(Error::UnknownServerError))]),
    (Fatal, &[(AddOffsetsToTxn, Refused(Error::InvalidProducerEpoch))]),
    (Fatal, &[(AddOffsetsToTxn, Refused(Error::InvalidTxnState))]),
    (Fatal, &[(AddOffsetsToTxn, Refused(Error::TransactionalIdAuthorizationFailed))]),
    // ---- offsets are committed with it ----
    (Retriable, &[(TxnOffsetCommit, Refused(Error::CoordinatorNotAvailable))]),
    (Retriable, &[(TxnOffsetCommit, Refused(Error::NotCoordinator))]),
    (Retriable, &[(TxnOffsetCommit, Refused(Error::CoordinatorLoadInProgress))]),
    (Retriable, &[(TxnOffsetCommit, Refused(Error::ConcurrentTransactions))]),
    (Retriable, &[(TxnOffsetCommit, Lost)]),
    (Retriable, &[(TxnOffsetCommit, Unanswered)]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::IllegalGeneration))]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::UnknownMemberId))]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::FencedInstanceId))]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::GroupAuthorizationFailed))]),
    (Abortable, &[(TxnOffsetCommit, Denied(Error::UnknownServerError))]),
    (Fatal, &[(TxnOffsetCommit, Refused(Error::InvalidProducerEpoch))]),
    (Fatal, &[(TxnOffsetCommit, Refused(Error::InvalidTxnState))]),
    (Fatal, &[(TxnOffsetCommit, Refused(Error::InvalidProducerIdMapping))]),
    // ---- it is committed: whether it was, an error does not tell ----
    (Retriable, &[(EndTxn, Refused(Error::CoordinatorLoadInProgress))]),
    (Retriable, &[(EndTxn, Refused(Error::CoordinatorNotAvailable))]),
    (Retriable, &[(EndTxn, Refused(Error::NotCoordinator))]),
    (Retriable, &[(EndTxn, Refused(Error::ConcurrentTransactions))]),
    (Retriable, &[(EndTxn, Denied(Error::CoordinatorNotAvailable))]),
    (Retriable, &[(EndTxn, Lost)]),
    (Retriable, &[(EndTxn, Unanswered)]),
    (Abortable, &[(EndTxn, Refused(Error::UnknownProducerId))]),
    (Abortable, &[(EndTxn, Refused(Error::InvalidProducerIdMapping))]),
    (Abortable, &[(EndTxn, Refused(Error::UnknownServerError))]),
    (Abortable, &[(EndTxn, Denied(Error::UnknownServerError))]),
    (Abortable, &[(EndTxn, Denied(Error::RequestTimedOut))]),
    (Abortable, &[(EndTxn, Denied(Error::UnknownProducerId))]),
    (Fatal, &[(EndTxn, Refused(Error::InvalidProducerEpoch))]),
    (Fatal, &[(EndTxn, Refused(Error::ProducerFenced))]),
    (Fatal, &[(EndTxn, Refused(Error::InvalidTxnState))]),
    (Fatal, &[(EndTxn, Refused(Error::TransactionalIdAuthorizationFailed))]),
    (Fatal, &[(EndTxn, Denied(Error::InvalidProducerEpoch))]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced))]),
    (Fatal, &[(EndTxn, Denied(Error::InvalidTxnState))]),
    // ---- it is aborted ----
    (Abortable, &[(TxnOffsetCommit, Refused(Error::IllegalGeneration)), (EndTxn, Refused(Error::ConcurrentTransactions))]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::IllegalGeneration)), (EndTxn, Unanswered)]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::IllegalGeneration)), (EndTxn, Refused(Error::ProducerFenced))]),
    (Abortable, &[(TxnOffsetCommit, Refused(Error::IllegalGeneration)), (EndTxn, Denied(Error::UnknownServerError))]),
    // ---- a producer is made anew ----
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Refused(Error::CoordinatorNotAvailable))]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Refused(Error::CoordinatorLoadInProgress))]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Refused(Error::ConcurrentTransactions))]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Unanswered)]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Refused(Error::ProducerFenced))]),
    (Fatal, &[(EndTxn, Denied(Error::ProducerFenced)), (InitProducerId, Refused(Error::TransactionalIdAuthorizationFailed))]),
    (Fatal, &[(EndTxn, Refused(Error::ProducerFenced)), (InitProducerId, Denied(Error::UnknownServerError))]),
];

/// One role behind a go-between, the other one as ever.
struct Stage {
    scene: Scene,
    through: GoBetween,
    role: &'static str,
    process: Process,
    _other: Process,
    produced: usize,
}

/// How often transactions of the role ended so.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ends {
    committed: f64,
    aborted: f64,
    fatal: f64,
}

impl Stage {
    async fn set(bed: &Bed, role: &'static str, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let scene = Scene::keeping(bed, Keep::Ids, settings).await?;
        let installation = &scene.installation;
        scene.subscribe("acme/one", "/one", json!({})).await?;
        let through = GoBetween::start(installation.kafka().bootstrap_servers()).await?;
        let servers = through.bootstrap_servers();
        let settings = [
            ("instance_id", "a"),
            ("kafka.bootstrap_servers", servers.as_str()),
        ];
        let process = installation.start_with(role, &settings)?;
        let other = if role == "router" {
            "dispatcher"
        } else {
            "router"
        };
        let other = installation.start("b", other)?;
        process.wait_ready(READY).await?;
        other.wait_ready(READY).await?;
        Ok(Self {
            scene,
            through,
            role,
            process,
            _other: other,
            produced: 0,
        })
    }

    /// Produces some events and waits until what follows of them is committed, by either role.
    async fn deliver(&mut self) -> Outcome {
        const SOME: usize = 5;
        let numbers = self.produced..self.produced + SOME;
        let events = numbers.map(|number| event(&format!("evt_{number}"), json!({})));
        let records: Vec<_> = events
            .map(|event| NewRecord::value(event.to_string()))
            .collect();
        self.scene.produce_all(&records).await?;
        self.produced += SOME;
        self.check_outputs().await
    }

    /// Every output is there, and there once.
    async fn check_outputs(&self) -> Outcome {
        let count = self.produced;
        let installation = &self.scene.installation;
        let attempts =
            installation.wait_for_topic("attempts", READY, move |all| all.len() >= count);
        let attempts = attempts.await?;
        let tasks = installation.read_topic("deliveries").await?;
        let received = self.scene.receiver.received();
        let counts = [tasks.len(), received.len(), attempts.len()];
        anyhow::ensure!(counts == [count; 3], "of {count} each: {counts:?}");
        let ids: BTreeSet<_> = received.iter().map(|one| one.id()).collect();
        anyhow::ensure!(ids.len() == count, "{} different of {count}", ids.len());
        Ok(())
    }

    fn ends(&self, metrics: &Metrics) -> Ends {
        let of = |result| {
            let labels = [("role", self.role), ("result", result)];
            metrics.sum("hooktide_transactions_total", &labels)
        };
        Ends {
            committed: of("committed"),
            aborted: of("aborted"),
            fatal: of("fatal"),
        }
    }

    /// Whether the metric tells of this class since `before`.
    fn shows(&self, class: Class, before: Ends, metrics: &Metrics) -> bool {
        let now = self.ends(metrics);
        let aborted = now.aborted > before.aborted;
        let fatal = now.fatal > before.fatal;
        match class {
            Retriable => !aborted && !fatal,
            Abortable => aborted && !fatal,
            Fatal => fatal && !aborted,
        }
    }

    async fn meet(&mut self, (class, faults): Case<'_>) -> Outcome {
        let before = self.ends(&self.process.metrics().await?);
        for (request, fault) in faults {
            self.through.arm(*request, [*fault]);
        }
        self.deliver().await?;
        // What is on Kafka by now is not yet known to be.
        let is_known = |metrics: &Metrics| self.ends(metrics).committed > before.committed;
        let after = self.process.wait_for_metrics(SOON, is_known).await?;
        anyhow::ensure!(
            self.shows(class, before, &after),
            "{before:?} became {:?}",
            self.ends(&after)
        );
        anyhow::ensure!(self.through.unmet() == 0, "not all was met");
        anyhow::ensure!(self.process.exit_status().is_none(), "it has ended");
        Ok(())
    }
}

async fn every_error(bed: &Bed, role: &'static str) -> Outcome {
    let mut stage = Stage::set(bed, role, &[]).await?;
    stage.deliver().await?;
    // All that is wrong is told at once.
    let mut wrong = Vec::new();
    for case in CASES {
        if let Err(error) = stage.meet(*case).await {
            wrong.push(format!("{case:?}: {error:#}"));
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.deliver().await
}

async fn the_dispatcher_recovers_from_every_error(bed: Bed) -> Outcome {
    every_error(&bed, "dispatcher").await
}

async fn the_router_recovers_from_every_error(bed: Bed) -> Outcome {
    every_error(&bed, "router").await
}

/// Another producer takes the transactional id over, time and again, while transactions are under way.
async fn a_producer_that_was_fenced_is_made_anew(bed: Bed) -> Outcome {
    for role in ["dispatcher", "router"] {
        let mut stage = Stage::set(&bed, role, &[]).await?;
        for _ in 0..5 {
            let before = stage.ends(&stage.process.metrics().await?);
            // It is about to commit as it is fenced.
            stage
                .through
                .arm(EndTxn, [Late(Duration::from_millis(500))]);
            let id = format!("{}.{role}.a", stage.scene.installation.id());
            let mut config = stage.scene.installation.kafka().client_config();
            let usurper = tokio::task::spawn_blocking(move || {
                let usurper: BaseProducer = config.set("transactional.id", id).create()?;
                usurper.init_transactions(SOON)?;
                anyhow::Ok(())
            });
            let (delivered, usurped) = tokio::join!(stage.deliver(), usurper);
            usurped??;
            delivered?;
            // Had it committed before, it finds out now.
            stage.deliver().await?;
            let is_known = |metrics: &Metrics| stage.ends(metrics).fatal > before.fatal;
            stage.process.wait_for_metrics(SOON, is_known).await?;
        }
        anyhow::ensure!(stage.process.exit_status().is_none(), "it has ended");
    }
    Ok(())
}

/// No commit gets through before the coordinator has aborted the transaction. librdkafka gives each request
/// the transaction's timeout and then makes it again.
async fn a_transaction_that_the_coordinator_gave_up_comes_again(bed: Bed) -> Outcome {
    const LATE: (ApiKey, Fault) = (EndTxn, Late(Duration::from_secs(5)));
    let timeout = ("kafka.transaction_timeout", "1s");
    let mut stage = Stage::set(&bed, "dispatcher", &[timeout]).await?;
    stage.deliver().await?;
    stage.meet((Fatal, &[LATE; 5])).await
}
