//! `hooktide dev`: everything in one process, so that one sees what Hooktide does without setting
//! anything up.
//!
//! ```text
//! sample events ──▶ Kafka (mock or given) ◀──▶ roles: the code of `hooktide run`
//!                     │                          │ HTTP
//!                     │ topics are watched       ▼
//!                     ▼                        endpoints: good, flaky, slow, dead, limited
//!                   lines and totals
//! ```
//!
//! Everything that is told comes from the topics. With `--chaos` the dispatchers are processes of
//! their own that are killed, and the receiver's own view is held against the topics'.

pub mod chaos;
mod dead_end;
pub mod demo;
mod error;
pub mod head;
pub mod ledger;
pub mod line;
mod performance;
pub mod roles;
pub mod show;
pub mod sighting;
pub mod stage;
pub mod totals;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use error::DevError;
pub use ledger::Verdict;
pub use line::Screen;
pub use stage::Stage;

use crate::clock::Timestamp;
use crate::kafka::client_config;
use crate::kafka::errand::RecordWriter;
use crate::kafka::topic_follower::TopicFollower;
use crate::receiver::{Receiver, Settings};
use crate::role::Role;
use crate::shutdown;
use crate::topic::Topic;
use chaos::Chaos;
use dead_end::DeadEnd;
use demo::SUBSCRIBERS;
use ledger::Ledger;
use performance::Performance;
use roles::Roles;
use show::{Detail, Show};
use sighting::Watched;

/// Requests that the limited endpoint takes in a second: somewhat less than come. Among kills more, for
/// what they hold up comes at once, and in the end everything must have got through.
const LIMIT: u32 = 1;
const LIMIT_IN_CHAOS: u32 = 30;
/// How long background work may take to end.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// How long; none: until a signal.
    pub duration: Option<Duration>,
    /// Whether dispatchers are killed.
    pub chaos: bool,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// Plays until its time is over or a signal comes, then tells the totals.
///
/// # Errors
/// [`DevError`]. Topics of a given Kafka are removed in any case.
pub fn run(stage: Stage, play: &Play, screen: &mut Screen) -> Result<(), DevError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let signal = runtime.block_on(async { shutdown::on_signals() })?;
    runtime.block_on(stage.create_topics())?;
    let played = perform(&stage, play, screen, runtime.handle(), &signal);
    let cleaned = runtime.block_on(stage.clean_up());
    runtime.shutdown_timeout(LAST_GRACE);
    played.and(cleaned)
}

fn perform(
    stage: &Stage,
    play: &Play,
    screen: &mut Screen,
    runtime: &Handle,
    signal: &CancellationToken,
) -> Result<(), DevError> {
    let started = Timestamp::now();
    let limit = if play.chaos { LIMIT_IN_CHAOS } else { LIMIT };
    let settings = Settings {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        seed: play.seed,
        limit,
        secrets: Vec::new(),
    };
    let receiver = runtime.block_on(Receiver::start(settings, play.chaos))?;
    let dead_end = runtime.block_on(async { DeadEnd::take() })?;
    let program = program();
    screen.write(&head::head(stage, &program, receiver.address(), play.chaos));
    let (own_roles, detail): (&'static [Role], _) = if play.chaos {
        (&[Role::Router], Detail::Totals)
    } else {
        (&Role::ALL, Detail::Everything)
    };
    // First, because a group takes its time until it has an assignment.
    let roles = Roles::start(stage, own_roles, runtime)?;
    let chaos = match play.chaos {
        true => Some(Chaos::start(stage)?),
        false => None,
    };
    put_subscriptions(stage, receiver.address(), dead_end.address())?;
    let watched = Watched::of(&stage.installation.config, &stage.installation.events);
    let reader = client_config::table_reader(&stage.installation.config);
    let mut performance = Performance {
        follower: TopicFollower::start(&reader, &watched.names())?,
        writer: RecordWriter::connect(&stage.installation.config, &stage.installation.events)?,
        show: Show::new(started, detail),
        produced: 0,
        stage,
        runtime,
        screen,
        watched,
        receiver,
        roles,
        ledger: chaos.is_some().then(Ledger::default),
        chaos,
    };
    performance.play(play.duration, signal)?;
    performance.end()
}

/// How this program can be called from a second terminal in the same folder.
fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|_| Path::new("hooktide").to_owned());
    let here = std::env::current_dir().ok();
    match here.and_then(|here| Some(program.strip_prefix(here).ok()?.to_owned())) {
        // A shell looks for a name alone among the installed programs.
        Some(name) if name.components().count() == 1 => Path::new(".").join(name),
        Some(below) => below,
        None => program,
    }
}

fn put_subscriptions(
    stage: &Stage,
    receiver: SocketAddr,
    dead: SocketAddr,
) -> Result<(), DevError> {
    let topic = stage.installation.config.topics.name(Topic::Subscriptions);
    let writer = RecordWriter::connect_to_table(&stage.installation.config, &topic)?;
    for subscriber in SUBSCRIBERS {
        let record = subscriber.record(receiver, dead, rand::random());
        let value = record.to_string();
        writer.write_one(subscriber.key().as_bytes(), Some(value.as_bytes()))?;
    }
    Ok(())
}
