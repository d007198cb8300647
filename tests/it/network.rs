//! A network that stalls and resets between a process and its broker.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::support::account;
use crate::support::broker::node::{Plan, local};
use crate::support::broker::{Broker, HEAP};
use crate::support::event_flow::{EventFlow, numbered};
use crate::support::free_port::free_port;
use crate::support::process::Process;
use crate::support::receiver::{Answer, Keep};
use crate::support::scene::{READY, Scene};
use crate::support::wire::{Traffic, Wire};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_stall_beyond_the_session_is_sat_out,
        one_way_is_enough_to_stall,
        resets_are_survived,
        nothing_is_sent_for_long_that_cannot_be_committed,
}

/// The shortest that can be set.
const SESSION: (&str, &str) = ("kafka.session_timeout", "3s");
const DRAIN: (&str, &str) = ("shutdown.timeout", "2s");
/// Longer than a session.
const STALL: Duration = Duration::from_secs(7);
/// How long work may take to go on after a fault.
const GOES_ON: Duration = Duration::from_secs(90);
/// Lines that may be logged during a stall. Each of a dozen clients may say twenty things in ten seconds.
const LINES: usize = 300;
/// Events a second.
const FLOW: usize = 100;

/// An installation whose broker is reached by a wire only.
struct Behind {
    scene: Scene,
    wire: Wire,
    broker: Broker,
}

async fn behind_a_wire(bed: &Bed, settings: &[(&str, &str)]) -> anyhow::Result<Option<Behind>> {
    let plain = Plan::new(1, HEAP)?;
    let behind = local(free_port()?);
    let wire = Wire::to(behind).await?;
    let plan = Plan {
        wire: Some((behind, wire.address())),
        ..plain
    };
    let Some((bed, broker)) = bed.with_broker_as(plan)? else {
        return Ok(None);
    };
    let address = wire.address().to_string();
    let servers = [("kafka.bootstrap_servers", address.as_str())];
    let settings = [settings, &servers].concat();
    let scene = Scene::keeping(&bed, Keep::Ids, &settings).await?;
    Ok(Some(Behind {
        scene,
        wire,
        broker,
    }))
}

/// A process behind a wire, at work.
struct AtWork {
    scene: Scene,
    wire: Wire,
    flow: EventFlow,
    process: Process,
    _broker: Broker,
}

impl AtWork {
    async fn begin(bed: &Bed) -> anyhow::Result<Option<Self>> {
        let Some(Behind {
            wire,
            broker,
            scene,
        }) = behind_a_wire(bed, &[SESSION, DRAIN]).await?
        else {
            return Ok(None);
        };
        scene.subscribe("acme/one", "/one", json!({})).await?;
        scene.subscribe("acme/two", "/two", json!({})).await?;
        let process = scene.run("a").await?;
        let events = scene.installation.events_topic();
        let flow = EventFlow::start(scene.installation.kafka(), &events, FLOW);
        let at_work = Self {
            scene,
            wire,
            flow,
            process,
            _broker: broker,
        };
        at_work.goes_on().await?;
        Ok(Some(at_work))
    }

    /// Waits until events that come from now on are delivered.
    async fn goes_on(&self) -> Outcome {
        let more = 2 * (self.flow.begun() + FLOW);
        let come = self.scene.receiver.wait_for_ids(more, GOES_ON, |_| true);
        come.await.with_context(|| self.flow.state()).map(drop)
    }

    /// Lets nothing, or nothing one way, pass for longer than the session. The process waits without
    /// spinning, in peace.
    async fn sit_out(&self, traffic: Traffic) -> Outcome {
        let lines = || anyhow::Ok(self.process.log_text()?.lines().count());
        self.wire.set(traffic);
        let (cpu, said) = (self.process.cpu_time(), lines()?);
        let ended = self.process.wait_exit(STALL).await;
        assert!(ended.is_err(), "did not wait");
        if let (Some(before), Some(after)) = (cpu, self.process.cpu_time()) {
            // What was read before the stall is still delivered; a loop that spins takes a whole core.
            let used = after.saturating_sub(before);
            assert!(used < STALL / 2, "{used:?} of CPU time in {STALL:?}");
        }
        let said = lines()? - said;
        assert!(said < LINES, "{said} lines in {STALL:?}");
        assert_eq!(self.process.status_of("/health").await?, 200);
        Ok(())
    }

    /// The end: everything has come, and only what was open or not committed came twice. `may_double`
    /// is what could, where that is known.
    async fn settle(self, may_double: Option<std::collections::BTreeSet<String>>) -> Outcome {
        let produced = self.flow.stop().await?;
        let received = account::settled(&self.scene, 2 * produced, GOES_ON).await?;
        if let Some(may_double) = may_double {
            for (id, count) in account::counts(&received) {
                let most = 1 + usize::from(may_double.contains(id));
                assert!(
                    count <= most,
                    "{id} came {count} times, at most {most} is right"
                );
            }
        }
        self.process.sigterm()?;
        let ended = self.process.wait_exit(READY).await?;
        assert_eq!(ended.code(), Some(0));
        let log = self.process.log_text()?;
        let line = log.lines().find(|line| line.contains("panicked"));
        line.map_or(Ok(()), |line| Err(anyhow::anyhow!("{line}")))
            .context(log)
    }
}

async fn a_stall_beyond_the_session_is_sat_out(bed: Bed) -> Outcome {
    let Some(at_work) = AtWork::begin(&bed).await? else {
        return Ok(());
    };
    at_work.sit_out(Traffic::Stalls).await?;
    // Nothing is sent any more, as the membership has run out, and nothing can be committed.
    let open = account::uncommitted(&at_work.scene).await?;
    at_work.wire.set(Traffic::Flows);
    at_work.goes_on().await?;
    at_work.settle(Some(open)).await
}

async fn one_way_is_enough_to_stall(bed: Bed) -> Outcome {
    let Some(at_work) = AtWork::begin(&bed).await? else {
        return Ok(());
    };
    for traffic in [Traffic::StallsFromBroker, Traffic::StallsToBroker] {
        at_work.sit_out(traffic).await?;
        at_work.wire.reset();
        at_work.wire.set(Traffic::Flows);
        at_work.goes_on().await?;
    }
    at_work.settle(None).await
}

/// Connections that break, again and again, and for longer than the session.
async fn resets_are_survived(bed: Bed) -> Outcome {
    let Some(at_work) = AtWork::begin(&bed).await? else {
        return Ok(());
    };
    for _ in 0..5 {
        at_work.wire.reset();
        at_work.goes_on().await?;
    }
    let before = at_work.wire.connections();
    at_work.sit_out(Traffic::IsCut).await?;
    // A dozen clients; each tries again once a second.
    let tried = at_work.wire.connections() - before;
    assert!(tried < 500, "{tried} connections in {STALL:?}");
    at_work.wire.set(Traffic::Flows);
    at_work.goes_on().await?;
    at_work.settle(None).await
}

/// What cannot be committed is made again after a crash: it must not grow for as long as the membership
/// lasts, which is far longer than this stall.
async fn nothing_is_sent_for_long_that_cannot_be_committed(bed: Bed) -> Outcome {
    const EVENTS: usize = 1_200;
    const AT_ONCE: usize = 2;
    let at_once = ("dispatcher.max_in_flight", AT_ONCE.to_string());
    let settings = [("kafka.session_timeout", "45s"), (at_once.0, &at_once.1)];
    let Some(behind) = behind_a_wire(&bed, &settings).await? else {
        return Ok(());
    };
    let Behind { scene, wire, .. } = &behind;
    scene.subscribe("acme/one", "/one", json!({})).await?;
    // About 100 a second: what is read before the stall lasts for longer than is looked at.
    let answer = Answer::status(204).after(Duration::from_millis(20));
    scene.receiver.script("/one", [answer]);
    scene.produce_all(&numbered(0..EVENTS)).await?;
    let process = scene.run("a").await?;
    let receiver = &scene.receiver;
    receiver.wait_for_ids(100, READY, |_| true).await?;
    wire.set(Traffic::Stalls);
    process
        .wait_for_log("no request starts until it is", READY)
        .await?;
    let last = receiver.received().len() + AT_ONCE;
    assert!(last < EVENTS / 2, "{last} of {EVENTS} had been sent");
    let more = receiver.wait_for_count("/one", last + 1, Duration::from_secs(2));
    assert!(
        more.await.is_err(),
        "requests start that cannot be committed"
    );
    wire.set(Traffic::Flows);
    let received = account::settled(scene, EVENTS, GOES_ON).await?;
    assert_eq!(account::doubled(&received), 0);
    Ok(())
}
