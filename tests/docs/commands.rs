//! What the binary does with its settings and how it ends, as the reference says it.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Output};

use serde_json::Value;

use crate::reference::names;

fn hooktide(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktide"));
    command.args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

#[test]
fn exit_codes() {
    /// The code, for the list of those that were seen.
    fn check(arguments: &[&str], environment: &[(&str, &str)], code: i32, words: &str) -> String {
        let output = hooktide(arguments, environment);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        code.to_string()
    }
    let wrong = [("HOOKTIDE__HTTP__TIMEOUT", "soon")];
    let mut seen = BTreeSet::from([
        check(&["--help"], &[], 0, ""),
        check(&["config", "check"], &[], 0, "valid"),
        check(&["config", "check"], &wrong, 2, "http.timeout"),
        check(
            &["config", "check", "--config", "/no/such/file"],
            &[],
            2,
            "/no/such/file",
        ),
        check(&["no-such-command"], &[], 2, "no-such-command"),
    ]);
    // What goes wrong on the way, and not by what was asked for.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktide"));
    let failed = command
        .args(["config", "show"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("cannot write to stdout"), "{said}");
    seen.extend(failed.status.code().map(|code| code.to_string()));
    assert_eq!(names("Exit codes"), seen);
}

/// Another value for each setting, as the environment gives it and as `config show` has it.
const CHANGED: [(&str, &str, &str); 69] = [
    ("application_id", "other", "\"other\""),
    ("instance_id", "pod-0", "\"pod-0\""),
    ("kafka.bootstrap_servers", "broker:9093", "\"broker:9093\""),
    ("kafka.session_timeout", "45s", "\"45s\""),
    ("kafka.transaction_timeout", "20s", "\"20s\""),
    ("kafka.lost_offsets", "stop", "\"stop\""),
    ("topics.prefix", "other.", "\"other.\""),
    ("topics.partitions", "3", "3"),
    ("topics.replication_factor", "3", "3"),
    (
        "events.topics",
        "[\"orders\", \"^billing\"]",
        "[\"orders\", \"^billing\"]",
    ),
    ("events.start", "earliest", "\"earliest\""),
    (
        "events.mappings",
        "[{\"topic\": \"orders\", \"type\": {\"header\": \"kind\"}}]",
        "[{ topic = \"orders\", type = { header = \"kind\" } }]",
    ),
    ("events.refresh", "1s", "\"1s\""),
    ("event_types.check", "warn", "\"warn\""),
    (
        "schema_registry.urls",
        "[\"https://registry.example:8081\"]",
        "[\"https://registry.example:8081\"]",
    ),
    ("schema_registry.username", "reader", "\"reader\""),
    ("schema_registry.password", "hunter2", "(redacted)"),
    ("schema_registry.bearer_token", "", "(redacted)"),
    ("schema_registry.ca_file", "", "\"\""),
    ("schema_registry.certificate_file", "c.pem", "\"c.pem\""),
    ("schema_registry.key_file", "k.pem", "\"k.pem\""),
    ("schema_registry.timeout", "1s", "\"1s\""),
    ("schema_registry.longest_wait", "1m", "\"1m\""),
    ("schema_registry.cache", "50", "50"),
    (
        "subscriptions.secret_env",
        "[\"WEBHOOK_*\"]",
        "[\"WEBHOOK_*\"]",
    ),
    (
        "subscriptions.secret_dirs",
        "[\"/run/secrets\"]",
        "[\"/run/secrets\"]",
    ),
    ("retry.tiers", "[\"1s\", \"10s\"]", "[\"1s\", \"10s\"]"),
    ("retry.schedule", "[\"1s\"]", "[\"1s\"]"),
    ("retry.max_age", "1h", "\"1h\""),
    ("router.batch_records", "100", "100"),
    ("router.batch_bytes", "1MiB", "\"1MiB\""),
    ("router.template_fuel", "5000", "5000"),
    ("dispatcher.max_in_flight", "16", "16"),
    ("dispatcher.max_in_flight_per_host", "8", "8"),
    ("dispatcher.adaptive_concurrency", "true", "true"),
    ("breaker.failure_ratio", "0.5", "0.5"),
    ("breaker.min_requests", "20", "20"),
    ("breaker.window", "1m", "\"1m\""),
    ("breaker.first_probe", "2s", "\"2s\""),
    ("breaker.longest_probe", "1h", "\"1h\""),
    ("dispatcher.memory", "8MiB", "\"8MiB\""),
    ("dispatcher.holes_per_partition", "100", "100"),
    ("http.timeout", "10s", "\"10s\""),
    ("http.max_timeout", "1m", "\"1m\""),
    ("http.connect_timeout", "2s", "\"2s\""),
    ("http.response_limit", "1KiB", "\"1KiB\""),
    ("http.retry_after_max", "10m", "\"10m\""),
    (
        "http.allow_networks",
        "[\"10.0.0.0/8\"]",
        "[\"10.0.0.0/8\"]",
    ),
    ("http.allow_plaintext", "true", "true"),
    ("http.idle_timeout", "10s", "\"10s\""),
    ("http.idle_per_host", "8", "8"),
    ("http.kept_connections", "100", "100"),
    (
        "http.proxy",
        "socks5://u:p@proxy.example:1080",
        "\"socks5://redacted@proxy.example:1080\"",
    ),
    ("http.proxy_resolves", "true", "true"),
    (
        "http.no_proxy",
        "[\"inside.example\"]",
        "[\"inside.example\"]",
    ),
    ("http.ca_file", "", "\"\""),
    ("attempts.record", "failures", "\"failures\""),
    ("attempts.response_bytes", "0B", "\"0B\""),
    ("endpoints.auto_disable", "false", "false"),
    ("endpoints.disable_after", "1d", "\"1d\""),
    ("endpoints.disable_min_attempts", "5", "5"),
    ("endpoints.warn_at", "0.25", "0.25"),
    ("endpoints.resume_within", "10m", "\"10m\""),
    ("notices.window", "1h", "\"1h\""),
    ("shutdown.timeout", "5s", "\"5s\""),
    ("telemetry.listen", "127.0.0.1:0", "\"127.0.0.1:0\""),
    ("telemetry.stuck_after", "10m", "\"10m\""),
    ("telemetry.log", "debug", "\"debug\""),
    ("telemetry.log_format", "json", "\"json\""),
];

#[test]
fn every_setting_can_be_changed_from_outside() {
    let environment: Vec<(String, &str)> = CHANGED
        .iter()
        .map(|(key, value, _)| (variable(key), *value))
        .collect();
    let borrowed: Vec<_> = environment
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    let output = hooktide(&["config", "show", "--output", "json"], &borrowed);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for setting in &settings {
        let key = setting["key"].as_str().unwrap();
        let origin = setting["origin"].as_str().unwrap();
        assert!(
            origin.contains(&variable(key)),
            "{key} is from {origin}: name it above"
        );
    }
    for (key, _, expected) in CHANGED {
        let setting = settings.iter().find(|setting| setting["key"] == key);
        assert_eq!(
            setting.map(|setting| &setting["value"]),
            Some(&expected.into()),
            "{key}"
        );
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("HOOKTIDE__{}", key.to_uppercase().replace('.', "__"))
}
