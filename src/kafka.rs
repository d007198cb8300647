//! The only place that knows librdkafka: how its clients are set up, and what the cluster must look
//! like.

pub mod broker_clock;
pub mod client_config;
pub mod client_log;
pub mod commit_pace;
pub mod endpoint_reader;
pub mod errand;
pub mod event_topics;
pub mod event_type_reader;
pub mod lane;
pub mod lanes;
pub mod log_watch;
pub mod member;
pub mod mock;
pub mod record;
pub mod router_tables;
pub mod standstill;
pub mod subscription_reader;
pub mod table_reader;
pub mod topic_admin;
pub mod topic_follower;
pub mod topic_rules;
