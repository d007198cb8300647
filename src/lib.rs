//! Hooktide delivers webhooks from Kafka.
//!
//! ```text
//! events ──▶ router ──▶ deliveries ──▶ dispatcher ──▶ HTTP ──▶ endpoint
//!              ▲        (tier 0)        │   ▲   │
//! subscriptions (compacted)             │   │   ├─▶ attempts   (a record for every request)
//!              └────────────────────────┘   │   ├─▶ dlq        (given up, with the reason)
//!                                           │   └─▶ rejects    (could not be read)
//!                     retry.5s … retry.6h ──┘◀──┘
//! ```
//!
//! Modules in reading order: what travels ([`record`]), where it travels ([`topic`]), the two loops
//! and their pure steps, then what both stand on. A folder under a role holds its pure steps (no
//! clock, no I/O); the file of the same name beside it is the loop that connects them to Kafka and
//! HTTP.

pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod dispatcher;
pub mod duration_text;
pub mod endpoint_table;
pub mod event_type_table;
pub mod http;
pub mod installation;
pub mod kafka;
pub mod kill_point;
pub mod metrics;
pub mod offset_tracker;
pub mod receiver;
pub mod record;
pub mod retry;
pub mod role;
pub mod router;
pub mod run;
pub mod schema_registry;
pub mod secret;
pub mod secret_store;
pub mod shutdown;
pub mod subscription_table;
pub mod telemetry;
pub mod topic;
pub mod wake;
