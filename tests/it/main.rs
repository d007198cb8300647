//! The tests that need a real socket, a real process or a real Kafka: one binary, one broker.
//!
//! `cargo test --test it` runs all; `cargo test --test it bed::` those whose names hold `bed::`. The
//! broker is looked for, and if need be started, when the first test asks for one.
#![allow(unreachable_pub, reason = "a test binary has no outside")]

/// Topics that are made anew while work is under way.
mod anew;
/// Subscriptions written in Avro.
mod avro_subscriptions;
/// The test bed itself: broker, receiver, watchdog.
mod bed;
/// Where a group that is new begins, and that a crash changes nothing of it.
mod beginnings;
/// `hooktide bench`, and what it reports.
mod bench;
/// The commands besides `run`, as typed.
mod cli;
/// What lies in the groups' committed offsets, read and written.
mod commits;
/// Endpoints that behave badly or may not be reached.
mod delivery;
/// `hooktide dev`, all in one process.
mod dev;
/// Offsets that are lost, and topics that are restored.
mod disasters;
/// Endpoints that are disabled, paused, and told about.
mod endpoints;
/// The catalogue of event types, and tests of subscriptions.
mod event_types;
/// Systems that could move here: `examples/`, loaded, delivered and judged by their own receivers.
mod examples;
/// Events that are not plain JSON: CloudEvents, Avro, JSON Schema, and the registry of schemas.
mod forms;
/// Long halts, and retention that passes meanwhile.
mod halts;
/// What is away for a time and waited for: brokers, credentials, topics, groups.
mod healing;
/// No endpoint can hurt another.
mod isolation;
/// A cluster of three that loses a broker.
mod losses;
/// Topics whose records become events by a mapping.
mod mappings;
/// Processes that come, go, die and return.
mod members;
/// A network that stalls and resets.
mod network;
/// Brokers that do not answer.
mod outages;
/// What a subscription says about statuses and about time.
mod policy;
/// Deliveries that pass through a proxy.
mod proxy;
/// Partitions that move from process to process.
mod rebalances;
/// Records that cannot be processed.
mod rejects;
/// What keeps requests back for a time, over kills and moves.
mod restraints;
/// When a delivery is tried again, and when it is given up.
mod retry;
/// Which events reach which endpoints, and what arrives there.
mod routing;
/// Bodies, methods and URLs of a subscription's own, and conditions that are programs.
mod shaping;
/// Signatures, verified by code that is not ours.
mod signatures;
/// How a process begins and ends, and what it refuses.
mod start;
/// What does not move is seen.
mod stuck;
/// Changes of subscriptions while deliveries are under way.
mod table;
/// What operators see: health, metrics, logs, and no secrets.
mod telemetry;
/// Every class of error of a transaction.
mod transactions;
/// Versions, ladders and clocks that change or differ under traffic.
mod upgrades;

mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == support::watchdog::REHEARSAL) {
        return support::watchdog::rehearse().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    support::run([
        bed::tests(),
        avro_subscriptions::tests(),
        cli::tests(),
        cli::events::tests(),
        cli::exports::tests(),
        cli::manifests::tests(),
        cli::receiver::tests(),
        cli::subscriptions::tests(),
        routing::tests(),
        shaping::tests(),
        examples::tests(),
        retry::tests(),
        policy::tests(),
        table::tests(),
        rejects::tests(),
        forms::tests(),
        mappings::tests(),
        event_types::tests(),
        delivery::tests(),
        signatures::tests(),
        isolation::tests(),
        restraints::tests(),
        proxy::tests(),
        endpoints::tests(),
        members::tests(),
        rebalances::tests(),
        dev::tests(),
        bench::tests(),
        commits::tests(),
        transactions::tests(),
        start::tests(),
        beginnings::tests(),
        telemetry::tests(),
        outages::tests(),
        losses::tests(),
        network::tests(),
        healing::tests(),
        anew::tests(),
        stuck::tests(),
        halts::tests(),
        upgrades::tests(),
        disasters::tests(),
    ])
}
