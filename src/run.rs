//! A process: checks the cluster, starts what the roles share, then each role on a thread of its
//! own, and ends when told to or when a role cannot go on.

mod dispatcher_settings;
mod error;
mod files;
mod limits;
mod partitions;
mod unwritable;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use error::RunError;

use crate::config::{Config, EventTypeCheck, LostOffsets as LostOffsetsSetting, Start};
use crate::dispatcher::{Dispatcher, Equipment};
use crate::http;
use crate::http::flights::Flights;
use crate::kafka::broker_clock::BrokerClock;
use crate::kafka::client_config;
use crate::kafka::endpoint_reader::EndpointReader;
use crate::kafka::event_type_reader::EventTypeReader;
use crate::kafka::log_watch::LogWatch;
use crate::kafka::member::{FirstStartRule, LostOffsets, Member, MemberError, Settings};
use crate::kafka::router_tables::RouterTables;
use crate::kafka::standstill::StandstillWatch;
use crate::kafka::subscription_reader::SubscriptionReader;
use crate::kafka::topic_admin::{TopicAdmin, TopicAdminError};
use crate::kafka::topic_rules::{ClusterFacts, Severity};
use crate::metrics::{
    self, DispatcherMetrics, HttpMetrics, KafkaMetrics, RoleKafkaMetrics, RouterMetrics,
    SchemaRegistryMetrics,
};
use crate::role::Role;
use crate::router::routing::Destinations;
use crate::router::{self, Router};
use crate::schema_registry::SchemaRegistry;
use crate::shutdown;
use crate::subscription_table::SubscriptionTable;
use crate::telemetry::{Component, Health, TelemetryServer};
use crate::topic::Topic;

/// How often an unreachable cluster is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long background work may take to end after the roles have.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// What a process gives to its roles, or a larger one (`hooktide dev`) to those that it runs inside.
pub struct Surroundings<'a> {
    /// Requests, telemetry and signals run on it.
    pub runtime: &'a Handle,
    /// Cancelled: drain and end.
    pub shutdown: &'a CancellationToken,
    /// Where the components say how they are.
    pub health: Health,
    /// Facts of a cluster that cannot be asked for them (the mock broker); none: it is checked.
    pub facts: Option<ClusterFacts>,
}

/// Runs `roles` until SIGTERM or SIGINT, or until stdin ends if that is asked for.
///
/// # Errors
/// [`RunError`]; everything that runs has been ended by then.
pub fn run(config: &Config, roles: &[Role], until_stdin_ends: bool) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let shutdown = runtime.block_on(async { shutdown::on_signals() })?;
    if until_stdin_ends {
        shutdown::on_end_of_stdin(shutdown.clone())?;
    }
    let surroundings = Surroundings {
        runtime: runtime.handle(),
        shutdown: &shutdown,
        health: Health::new(Instant::now()),
        facts: None,
    };
    let result = run_in(config, roles, surroundings);
    runtime.shutdown_timeout(LAST_GRACE);
    result
}

/// As [`run`], in surroundings of the caller's. Must not be called on the runtime itself.
///
/// # Errors
/// [`RunError`]; everything that runs has been ended by then.
pub fn run_in(
    config: &Config,
    roles: &[Role],
    surroundings: Surroundings<'_>,
) -> Result<(), RunError> {
    let Surroundings {
        runtime,
        shutdown,
        health,
        facts,
    } = surroundings;
    let kept_connections = match roles.contains(&Role::Dispatcher) {
        true => files::kept_connections(config)?,
        false => 0,
    };
    let registry = Registry::new();
    metrics::register_process(&registry)?;
    let kafka_metrics = KafkaMetrics::register(&registry)?;
    // Every component exists before the first question to `/ready`: none can be overlooked.
    let table_health = health.component("subscriptions", Instant::now());
    let endpoints_health = health.component("endpoints", Instant::now());
    let checks_events =
        config.event_types.check != EventTypeCheck::Off && roles.contains(&Role::Router);
    let types_health = checks_events.then(|| health.component("event_types", Instant::now()));
    for role in roles {
        health.component(role.as_str(), Instant::now());
    }
    let server = runtime.block_on(TelemetryServer::bind(
        config.telemetry.listen,
        registry.clone(),
        health.clone(),
    ))?;
    let instance = match &config.instance_id {
        Some(given) => given.clone(),
        None => format!("{:016x}", rand::random::<u64>()),
    };
    tracing::info!(instance, address = %server.address(), version = env!("CARGO_PKG_VERSION"), "telemetry is served");
    let served = CancellationToken::new();
    runtime.spawn(server.serve(served.clone()));

    let has_stamps = facts.is_none();
    let facts = match facts {
        Some(given) => given,
        None => match runtime.block_on(checked_facts(config, shutdown, &health))? {
            Some(found) => found,
            None => return Ok(()), // Told to stop before the cluster was there.
        },
    };
    let schemas = SchemaRegistry::new(
        &config.schema_registry,
        runtime.clone(),
        SchemaRegistryMetrics::register(&registry)?,
    )?;
    let subscriptions = Arc::new(SubscriptionReader::start(
        &client_config::table_reader(config),
        config.topics.name(Topic::Subscriptions).into(),
        SubscriptionTable::new(config.subscription_rules()),
        &kafka_metrics,
        table_health,
        schemas.clone(),
    )?);
    let endpoints = Arc::new(EndpointReader::start(
        &client_config::table_reader(config),
        config.topics.name(Topic::Endpoints).into(),
        facts.partitions,
        kafka_metrics.endpoints.clone(),
        endpoints_health,
    )?);
    let event_types = types_health.map(|health| {
        EventTypeReader::start(
            &client_config::table_reader(config),
            config.topics.name(Topic::EventTypes).into(),
            kafka_metrics.event_types.clone(),
            health,
        )
        .map(Arc::new)
    });
    let event_types = event_types.transpose()?;
    let watch = Arc::new(LogWatch::start(
        &client_config::table_reader(config),
        config.telemetry.stuck_after,
        partitions::of_tables(config, &facts, event_types.is_some()),
        kafka_metrics.watch.clone(),
    )?);
    let process = Process {
        config,
        facts: &facts,
        instance,
        registry: &registry,
        kafka_metrics: &kafka_metrics,
        health: &health,
        schemas: &schemas,
        subscriptions: &subscriptions,
        endpoints: &endpoints,
        event_types: event_types.as_ref(),
        watch: &watch,
        clock: match has_stamps {
            true => BrokerClock::default(),
            false => BrokerClock::of_this_process(),
        },
        has_stamps,
        shutdown,
        kept_connections,
    };
    let result = process.run_roles(roles, runtime);
    subscriptions.stop();
    endpoints.stop();
    watch.stop();
    if let Some(reader) = event_types {
        reader.stop();
    }
    served.cancel();
    result
}

/// Asks until the cluster answers. None: told to stop before.
async fn checked_facts(
    config: &Config,
    shutdown: &CancellationToken,
    health: &Health,
) -> Result<Option<ClusterFacts>, RunError> {
    let admin = TopicAdmin::try_new(config)?;
    loop {
        let asked = tokio::select! {
            asked = admin.check() => asked,
            // The loops that would say so do not run yet, and a restart would not bring the cluster back.
            () = beat_for_ever(health) => continue,
            () = shutdown.cancelled() => return Ok(None),
        };
        match asked {
            Ok(inspection) => {
                let mut errors = 0;
                for finding in &inspection.findings {
                    match finding.severity {
                        Severity::Error => {
                            errors += 1;
                            tracing::error!(
                                topic = finding.topic,
                                rule = finding.rule,
                                found = finding.found,
                                wanted = finding.wanted,
                                "a rule for topics does not hold"
                            );
                        }
                        Severity::Warning => {
                            tracing::warn!(
                                topic = finding.topic,
                                rule = finding.rule,
                                found = finding.found,
                                wanted = finding.wanted,
                                "a recommendation for topics is not followed"
                            );
                        }
                    }
                }
                return match inspection.facts {
                    Some(facts) if errors == 0 => Ok(Some(facts)),
                    _ => Err(RunError::Topics(errors.max(1))),
                };
            }
            Err(error @ TopicAdminError::Client(_)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the cluster does not answer, it is asked again"),
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    }
}

async fn beat_for_ever(health: &Health) {
    loop {
        health.beat(Instant::now());
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What all roles of a process share.
struct Process<'a> {
    config: &'a Config,
    facts: &'a ClusterFacts,
    instance: String,
    registry: &'a Registry,
    kafka_metrics: &'a KafkaMetrics,
    health: &'a Health,
    schemas: &'a SchemaRegistry,
    subscriptions: &'a Arc<SubscriptionReader>,
    endpoints: &'a Arc<EndpointReader>,
    /// Where events are held against them.
    event_types: Option<&'a Arc<EventTypeReader>>,
    watch: &'a Arc<LogWatch>,
    clock: BrokerClock,
    /// Whether the cluster is one that stamps records and has transactions.
    has_stamps: bool,
    shutdown: &'a CancellationToken,
    /// Connections to endpoints that may stay open.
    kept_connections: usize,
}

impl Process<'_> {
    fn run_roles(&self, roles: &[Role], runtime: &Handle) -> Result<(), RunError> {
        let mut threads = Vec::new();
        let mut result = Ok(());
        for role in roles {
            let started = match role {
                Role::Router => self.start_router(),
                Role::Dispatcher => self.start_dispatcher(runtime),
            };
            match started {
                Ok(thread) => threads.push((*role, thread)),
                Err(error) => {
                    self.shutdown.cancel();
                    result = Err(error);
                    break;
                }
            }
        }
        for (role, thread) in threads {
            let ended = match thread.join() {
                Ok(Ok(()) | Err(MemberError::Stopped)) => Ok(()),
                Ok(Err(error)) => Err(RunError::Member { role, error }),
                Err(_) => Err(RunError::Panicked(role)),
            };
            if let Err(error) = ended {
                tracing::error!(%error, "a role ended");
                result = result.and(Err(error));
            }
        }
        result
    }

    /// Starts a thread that runs `body` and, however it ends, stops the whole process.
    fn spawn(
        &self,
        role: Role,
        body: impl FnOnce(&CancellationToken) -> Result<(), MemberError> + Send + 'static,
    ) -> Result<JoinHandle<Result<(), MemberError>>, RunError> {
        let shutdown = self.shutdown.clone();
        Ok(thread::Builder::new()
            .name(role.as_str().into())
            .spawn(move || {
                let _stop = shutdown.clone().drop_guard();
                body(&shutdown)
            })?)
    }

    fn member_settings(&self, role: Role) -> Settings {
        let rejects: Arc<str> = self.config.topics.name(Topic::Rejects).into();
        Settings {
            role: role.as_str(),
            consumer: client_config::group_consumer(self.config, role),
            producer: client_config::transactional_producer(
                self.config,
                role,
                &self.instance,
                self.facts.max_message_bytes,
            ),
            session_timeout: self.config.kafka.session_timeout,
            first_start: match (role, self.config.events.start) {
                (Role::Router, Start::Latest) => FirstStartRule::Latest,
                (Role::Router, Start::Earliest) | (Role::Dispatcher, _) => FirstStartRule::Earliest,
            },
            traces: partitions::written_by(role, self.config, self.facts),
            lost_offsets: match self.config.kafka.lost_offsets {
                LostOffsetsSetting::Repeat => LostOffsets::Repeat,
                LostOffsetsSetting::Stop => LostOffsets::Stop,
            },
            confirmation: self.subscriptions.at().clone(),
            substitute: Box::new(move |record, error| {
                unwritable::reject_of(record, error, &rejects)
            }),
            metrics: RoleKafkaMetrics {
                all: self.kafka_metrics.clone(),
                role,
            },
            watch: Arc::clone(self.watch),
            clock: self.clock.clone(),
            clock_at: match role {
                Role::Dispatcher if self.has_stamps => partitions::with_stamps(self.config),
                Role::Dispatcher | Role::Router => None,
            },
        }
    }

    fn start_router(&self) -> Result<JoinHandle<Result<(), MemberError>>, RunError> {
        let role = Role::Router;
        let settings = router::Settings {
            to: Destinations::new(&self.config.topics, self.facts.max_message_bytes),
            instance: self.instance.clone(),
            batch_records: self.config.router.batch_records,
            batch_bytes: self.config.router.batch_bytes.as_len(),
            events: self.config.events.clone(),
            topics: self.config.topics.clone(),
            rejects_nonconforming: self.config.event_types.check == EventTypeCheck::Reject,
            stuck_after: self.config.telemetry.stuck_after,
        };
        let metrics = RouterMetrics::register(self.registry)?;
        let kafka_metrics = self.kafka_metrics.clone();
        let health = self.health.component(role.as_str(), Instant::now());
        let member = self.member_settings(role);
        let schemas = self.schemas.clone();
        let tables = RouterTables {
            subscriptions: Arc::clone(self.subscriptions),
            endpoints: Arc::clone(self.endpoints),
            event_types: self.event_types.map(Arc::clone),
        };
        self.spawn(role, move |shutdown| {
            let member = Member::join(member, may_go_on(&health, shutdown))?;
            let metrics = (metrics, kafka_metrics);
            Router::new(member, tables, schemas, settings, metrics, health).run(shutdown)
        })
    }

    fn start_dispatcher(
        &self,
        runtime: &Handle,
    ) -> Result<JoinHandle<Result<(), MemberError>>, RunError> {
        let role = Role::Dispatcher;
        let config = self.config;
        let user_agent = concat!("hooktide/", env!("CARGO_PKG_VERSION")).to_owned();
        let settings = http::Settings {
            address_policy: config.address_policy(),
            connect_timeout: config.http.connect_timeout,
            keep_response_bytes: config.attempts.response_bytes.as_len(),
            max_response_bytes: config.http.response_limit.as_len(),
            user_agent: user_agent.clone(),
            ca_file: config.http.ca_file.clone(),
            idle_timeout: config.http.idle_timeout,
            idle_per_host: config.http.idle_per_host,
            kept_connections: self.kept_connections,
            connections_in_use: config.dispatcher.max_in_flight,
            proxy: config.http.proxy.clone(),
            proxy_resolves: config.http.proxy_resolves,
            bypass: config.http.no_proxy.clone(),
        };
        let client = http::Client::new(&settings, HttpMetrics::register(self.registry)?)?;
        let parts = Equipment {
            subscriptions: Arc::clone(self.subscriptions),
            endpoints: Arc::clone(self.endpoints),
            secrets: config.secret_store(),
            settings: dispatcher_settings::of(config, self.facts, &self.instance, user_agent)?,
            metrics: DispatcherMetrics::register(self.registry, self.kafka_metrics)?,
            health: self.health.component(role.as_str(), Instant::now()),
            clock: self.clock.clone(),
            standstills: StandstillWatch::new(
                role,
                config.telemetry.stuck_after.max(config.http.max_timeout),
                self.kafka_metrics.watch.clone(),
            ),
        };
        let member = self.member_settings(role);
        let runtime = runtime.clone();
        self.spawn(role, move |shutdown| {
            let mut member = Member::join(member, may_go_on(&parts.health, shutdown))?;
            let topics: Vec<&str> = parts.settings.delays.keys().map(|topic| &**topic).collect();
            member.subscribe(&topics)?;
            let flights = Flights::new(
                runtime,
                client,
                member.lease().clone(),
                member.waker().clone(),
                parts.settings.endpoints.max_in_flight,
            );
            Dispatcher::new(member, flights, parts).run(shutdown)
        })
    }
}

/// What a member asks while it waits for the cluster: it shows that it is alive, and hears whether
/// to go on.
fn may_go_on(health: &Component, shutdown: &CancellationToken) -> impl FnMut() -> bool + 'static {
    let (health, shutdown) = (health.clone(), shutdown.clone());
    move || {
        health.beat(Instant::now());
        !shutdown.is_cancelled()
    }
}
