//! Every default of the contract, every rule, and the order of the layers.

use std::io::Write;

use super::*;
use crate::topic::Topic;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    written.write_all(file.as_bytes()).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(written.path()), environment)
}

/// What the error says, without the parts that change between runs.
fn refusal(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).unwrap_err().to_string()
}

fn setting(config: &Config, key: &str) -> show::Setting {
    let mut settings = config.settings().into_iter();
    settings.find(|setting| setting.key == key).unwrap()
}

#[test]
fn every_default_of_the_contract_is_shipped() {
    let config = Config::load(None, std::iter::empty()).unwrap();
    fn check(config: &Config, key: &str, expected: &str) {
        let setting = setting(config, key);
        assert_eq!((&*setting.value, &*setting.origin), (expected, "default"));
    }
    for (key, expected) in [
        ("application_id", r#""hooktide""#),
        ("instance_id", r#""""#),
        ("kafka.bootstrap_servers", r#""localhost:9092""#),
        ("kafka.session_timeout", r#""15s""#),
        ("topics.prefix", r#""<application_id>.""#),
        ("topics.partitions", "16"),
        ("topics.replication_factor", "-1"),
        ("events.topics", r#"["events"]"#),
        ("events.start", r#""latest""#),
        ("retry.tiers", r#"["5s", "30s", "2m", "10m", "1h", "6h"]"#),
        (
            "retry.schedule",
            r#"["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]"#,
        ),
        ("dispatcher.max_in_flight", "1024"),
        ("http.timeout", r#""30s""#),
        ("http.max_timeout", r#""2m""#),
        ("http.allow_networks", "[]"),
        ("http.allow_plaintext", "false"),
        ("attempts.record", r#""all""#),
        ("attempts.response_bytes", r#""1KiB""#),
        ("shutdown.timeout", r#""25s""#),
        ("telemetry.listen", r#""127.0.0.1:9464""#),
    ] {
        check(&config, key, expected);
    }
    assert_eq!(config.instance_id, None);
    assert_eq!(config.kafka.properties, Properties::default());
    assert_eq!(config.topic_creation.replication_factor, None);
    assert_eq!(config.topics.name(Topic::Dlq), "hooktide.dlq");
    assert_eq!(config.group(Role::Router), "hooktide.router");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[http]\ntimeout = '7s'\nmax_timeout = '8s'";
    let config = load(file, &[("HOOKTIDE__HTTP__TIMEOUT", "6s"), ("PATH", "/bin")]).unwrap();
    assert_eq!(config.http.timeout, Duration::from_secs(6));
    assert_eq!(config.http.max_timeout, Duration::from_secs(8));
    assert_eq!(config.http.connect_timeout, Duration::from_secs(5));
    let origin = |key| setting(&config, key).origin;
    assert_eq!(
        origin("http.timeout"),
        "environment HOOKTIDE__HTTP__TIMEOUT"
    );
    assert!(origin("http.max_timeout").starts_with("file "));
    assert_eq!(origin("http.connect_timeout"), "default");
}

#[test]
fn the_environment_takes_the_type_of_the_setting() {
    let config = load(
        "",
        &[
            ("HOOKTIDE__APPLICATION_ID", "123"),
            ("HOOKTIDE__TOPICS__PARTITIONS", "3"),
            ("HOOKTIDE__HTTP__ALLOW_PLAINTEXT", "true"),
            ("HOOKTIDE__EVENTS__TOPICS", r#"["orders","^eu\\."]"#),
            ("HOOKTIDE__RETRY", r#"{"tiers":["60s","1s"],"schedule":[]}"#),
            ("HOOKTIDE__TOPICS__NAMES__RETRY_1S", "one-second"),
        ],
    )
    .unwrap();
    assert_eq!(config.application_id, "123");
    assert_eq!(config.topic_creation.partitions, 3);
    assert!(config.http.allow_plaintext);
    assert!(config.events.topics[0].matches("orders") && config.events.topics[1].matches("eu.a"));
    assert!(!config.events.topics[0].matches("order") && !config.events.topics[1].matches("a.eu."));
    assert!(config.retry.schedule.is_empty());
    let names: Vec<_> = config
        .topics
        .tiers()
        .iter()
        .map(|tier| config.topics.name(Topic::Retry(*tier)))
        .collect();
    assert_eq!(names, ["one-second", "123.retry.1m"]);
}

#[test]
fn properties_are_dotted_however_they_are_given() {
    let file = "[kafka.properties]\nsecurity.protocol = 'SASL_SSL'\n'socket.keepalive.enable' = true\nsasl.password = 'low'";
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"hun ter2\r\n").unwrap();
    let config = load(
        file,
        &[
            (
                "HOOKTIDE__KAFKA__PROPERTIES",
                r#"{"socket.max.fails":3,"sasl.username":"table"}"#,
            ),
            ("HOOKTIDE__KAFKA__PROPERTIES__SASL_USERNAME", "me"),
            (
                "HOOKTIDE__KAFKA__PROPERTIES__SASL_PASSWORD__FILE",
                secret.path().to_str().unwrap(),
            ),
        ],
    )
    .unwrap();
    let properties: Vec<_> = config.kafka.properties.iter().collect();
    assert_eq!(
        properties,
        [
            ("sasl.password", "hun ter2"),
            ("sasl.username", "me"),
            ("security.protocol", "SASL_SSL"),
            ("socket.keepalive.enable", "true"),
            ("socket.max.fails", "3"),
        ]
    );
    let shown = format!("{config:?} {:?}", config.settings());
    assert!(!shown.contains("hun ter2"), "{shown}");
    assert_eq!(
        setting(&config, "kafka.properties.sasl.password").value,
        "(redacted)"
    );
    assert_eq!(
        setting(&config, "kafka.properties.sasl.username").value,
        r#""me""#
    );
}

#[test]
fn wrong_values_are_refused_by_name() {
    fn check(file: &str, key: &str) {
        let said = refusal(file, &[]);
        assert!(
            said.starts_with(&format!("`{key}` (file ")),
            "{file}: {said}"
        );
    }
    check("application_id = 'a b'", "application_id");
    check("application_id = ''", "application_id");
    check("instance_id = 'ä'", "instance_id");
    check("kafka.bootstrap_servers = ''", "kafka.bootstrap_servers");
    check("kafka.session_timeout = '61s'", "kafka.session_timeout");
    check("kafka.session_timeout = 15", "kafka.session_timeout");
    check(
        "kafka.transaction_timeout = '16m'",
        "kafka.transaction_timeout",
    );
    check("kafka.properties.debug = []", "kafka.properties.debug");
    check("topics.prefix = 'a/'", "topics.prefix");
    check("topics.partitions = 0", "topics.partitions");
    check("topics.partitions = 99999999999", "topics.partitions");
    check("topics.replication_factor = 0", "topics.replication_factor");
    check("topics.names.dql = 'x'", "topics.names.dql");
    check("topics.names.dlq = 'x y'", "topics.names.dlq");
    check("topics.names.dlq = 'hooktide.attempts'", "topics.names.dlq");
    check("events.topics = []", "events.topics");
    check("events.topics = ['a', '']", "events.topics[1]");
    check("events.topics = ['hooktide.retry.7s']", "events.topics[0]");
    check("events.topics = ['^(']", "events.topics[0]");
    check("events.topics = 'a'", "events.topics");
    check("events.start = 'now'", "events.start");
    check("events.refresh = '0s'", "events.refresh");
    for (mappings, key) in [
        ("topic = 'events'", "[0]"),
        ("topic = '^('\ntype = { topic = true }", "[0].topic"),
        ("topic = 'other'\ntype = { topic = true }", "[0].topic"),
        ("topic = 'events'\ntype = { topic = 1 }", "[0].type.topic"),
        ("topic = 'events'\ntype = { path = '' }", "[0].type"),
        (
            "topic = '^e'\ntype = { topic = true }\n[[events.mappings]]\ntopic = 'events'\ntype = { topic = true }",
            "[1].topic",
        ),
    ] {
        let file = format!("[[events.mappings]]\n{mappings}");
        check(&file, &format!("events.mappings{key}"));
    }
    check("[events.mappings.orders]\ntype = 'a'", "events.mappings");
    for urls in [
        "'https://a'",
        "['ftp://a']",
        "['registry:8081']",
        "['https://u:hunter2@a']",
        "['https://a/?token=hunter2']",
    ] {
        let file = format!("schema_registry.urls = {urls}");
        check(&file, "schema_registry.urls");
        assert!(!refusal(&file, &[]).contains("hunter2"), "{urls}");
    }
    for (members, key) in [
        ("username = 'u'", "username"),
        ("password = 'p'", "password"),
        (
            "username = 'u'\npassword = 'p'\nbearer_token = 't'",
            "bearer_token",
        ),
        ("certificate_file = 'c'", "certificate_file"),
        ("key_file = 'k'", "key_file"),
        ("timeout = '2m'", "timeout"),
        ("longest_wait = '0s'", "longest_wait"),
        ("cache = 15", "cache"),
    ] {
        let file = format!("[schema_registry]\n{members}");
        check(&file, &format!("schema_registry.{key}"));
    }
    check(
        "subscriptions.secret_dirs = ['run']",
        "subscriptions.secret_dirs[0]",
    );
    check(
        "subscriptions.secret_env = ['*_KEY']",
        "subscriptions.secret_env[0]",
    );
    check("retry.tiers = []", "retry.tiers");
    check("retry.tiers = ['60s', '1m']", "retry.tiers");
    check("retry.tiers = ['5s', '0s']", "retry.tiers[1]");
    check("retry.tiers = ['5x']", "retry.tiers");
    check("retry.schedule = ['32d']", "retry.schedule[0]");
    check("retry.max_age = '0s'", "retry.max_age");
    check("retry.max_age = '367d'", "retry.max_age");
    // The default schedule takes 75.6 h and a tenth more.
    check("retry.max_age = '83h'", "retry.max_age");
    check(
        "retry.schedule = ['1h']\nretry.max_age = '65m'",
        "retry.max_age",
    );
    check("router.batch_records = 0", "router.batch_records");
    check("router.batch_records = -1", "router.batch_records");
    check("router.batch_bytes = '0B'", "router.batch_bytes");
    check("router.template_fuel = 999", "router.template_fuel");
    check("router.template_fuel = 10000001", "router.template_fuel");
    check("dispatcher.max_in_flight = 0", "dispatcher.max_in_flight");
    check(
        "dispatcher.max_in_flight_per_host = 0",
        "dispatcher.max_in_flight_per_host",
    );
    check("breaker.failure_ratio = 0", "breaker.failure_ratio");
    check("breaker.failure_ratio = 1.1", "breaker.failure_ratio");
    check("breaker.min_requests = 0", "breaker.min_requests");
    check("breaker.window = '0s'", "breaker.window");
    check("breaker.first_probe = '6m'", "breaker.first_probe");
    check("dispatcher.memory = '64MB'", "dispatcher.memory");
    check(
        "dispatcher.holes_per_partition = 701",
        "dispatcher.holes_per_partition",
    );
    check("http.timeout = '3m'", "http.timeout");
    check("http.connect_timeout = '31s'", "http.connect_timeout");
    check("http.max_timeout = '0s'", "http.max_timeout");
    check("http.response_limit = '0B'", "http.response_limit");
    check(
        "http.allow_networks = ['10.0.0.1/8']",
        "http.allow_networks",
    );
    check("http.allow_networks = ['10.0.0.0']", "http.allow_networks");
    check("http.allow_plaintext = 'yes'", "http.allow_plaintext");
    check("attempts.record = 'some'", "attempts.record");
    check(
        "attempts.response_bytes = '65KiB'",
        "attempts.response_bytes",
    );
    check("shutdown.timeout = '2h'", "shutdown.timeout");
    check("telemetry.listen = 'localhost'", "telemetry.listen");
    check("telemetry.log = 'a=b=c'", "telemetry.log");
    check("telemetry.log_format = 'xml'", "telemetry.log_format");
    check("http = 5", "http");
    check("http.timeout.seconds = 5", "http.timeout");
}

#[test]
fn properties_that_would_break_a_guarantee_are_refused_by_name() {
    for name in [
        "group.id",
        "transactional.id",
        "isolation.level",
        "enable.auto.commit",
        "auto.offset.reset",
        "partitioner",
        "enable.idempotence",
        "group.instance.id",
        "bootstrap.servers",
        "partition.assignment.strategy",
        "acks",
        "transaction.timeout.ms",
        "session.timeout.ms",
        "max.poll.interval.ms",
        "enable.partition.eof",
        "metadata.broker.list",
        "group.protocol",
    ] {
        let said = refusal(&format!("[kafka.properties]\n'{name}' = 'x'"), &[]);
        assert!(
            said.starts_with(&format!("`kafka.properties.{name}` (file ")),
            "{said}"
        );
        assert!(said.contains("is not open to change"), "{said}");
    }
}

#[test]
fn unknown_keys_are_refused_by_full_name_and_layer() {
    let said = refusal("[http]\ntimout = '5s'", &[]);
    assert!(
        said.starts_with("unknown setting `http.timout` (file "),
        "{said}"
    );
    assert!(said.ends_with("did you mean `http.timeout`?"), "{said}");
    fn check(variable: &str, key: &str) {
        let said = refusal("", &[(variable, "1")]);
        let start = format!("unknown setting `{key}` (environment {variable})");
        assert!(said.starts_with(&start), "{said}");
    }
    check("HOOKTIDE__NOTHING_LIKE_THIS", "nothing_like_this");
    check("HOOKTIDE__HTTP__TIMEOUT__MORE", "http.timeout.more");
    check("HOOKTIDE__", "");
}

#[test]
fn wrong_variables_are_refused_by_name() {
    fn check(variable: &str, value: &str, key: &str) {
        let said = refusal("", &[(variable, value)]);
        assert!(
            said.starts_with(&format!("`{key}` (environment {variable})")),
            "{said}"
        );
    }
    check("HOOKTIDE__TOPICS__PARTITIONS", "x", "topics.partitions");
    check(
        "HOOKTIDE__HTTP__ALLOW_PLAINTEXT",
        "yes",
        "http.allow_plaintext",
    );
    check("HOOKTIDE__EVENTS__TOPICS", "orders", "events.topics");
    check("HOOKTIDE__EVENTS__TOPICS", "[null]", "events.topics");
    check(
        "HOOKTIDE__EVENTS__TOPICS",
        &"[".repeat(100_000),
        "events.topics",
    );
    check("HOOKTIDE__HTTP", "5", "http");
    let twice = [
        ("HOOKTIDE__HTTP__TIMEOUT", "1s"),
        ("HOOKTIDE__HTTP__TIMEOUT__FILE", "/x"),
    ];
    let said = refusal("", &twice);
    assert!(said.starts_with("`http.timeout` is given twice"), "{said}");
    let said = refusal("", &[("HOOKTIDE__HTTP__TIMEOUT__FILE", "/no/such/file")]);
    assert!(
        said.starts_with("cannot read /no/such/file (environment "),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_without_showing_its_lines() {
    let said = refusal("[kafka.properties]\n'sasl.password' = \"hunter2", &[]);
    assert!(said.contains(", line 2: "), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn proxies_are_read_and_shown_without_their_password() {
    let given = [(
        "HOOKTIDE__HTTP__PROXY",
        "http://user:hunter2@proxy.example:3128",
    )];
    let config = load(
        "[http]\nno_proxy = ['.inside.example', '10.0.0.0/8']",
        &given,
    )
    .unwrap();
    assert_eq!(config.http.no_proxy.len(), 2);
    assert!(config.http.proxy.is_some());
    let shown = setting(&config, "http.proxy").value;
    assert_eq!(shown, r#""http://redacted@proxy.example:3128/""#);
    assert!(!format!("{config:?}{:?}", config.settings()).contains("hunter2"));
    let config = load("", &[]).unwrap();
    assert_eq!(config.http.proxy, None);
    assert_eq!(setting(&config, "http.proxy").value, r#""""#);
}

#[test]
fn wrong_proxies_are_refused_without_showing_them() {
    fn check(file: &str, key: &str, rule: &str) {
        let said = refusal(&format!("[http]\n{file}"), &[]);
        assert!(said.starts_with(&format!("`{key}` (file ")), "{said}");
        assert!(said.contains(rule), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    check("proxy = 'hunter2'", "http.proxy", "must be a URL");
    check(
        "proxy = 'ftp://u:hunter2@a'",
        "http.proxy",
        "must begin with http://",
    );
    check(
        "proxy = 'socks5h://u:hunter2@a'",
        "http.proxy",
        "http.proxy_resolves",
    );
    check(
        "proxy = 'http://hunter2@a'",
        "http.proxy",
        "must have a user and a password",
    );
    check(
        "proxy_resolves = true",
        "http.proxy_resolves",
        "without `http.proxy`",
    );
    check(
        "no_proxy = ['*']",
        "http.no_proxy[0]",
        "must be a name, an address",
    );
    check(
        "idle_timeout = '60s'",
        "http.idle_timeout",
        "must be 1s to 59s",
    );
    check(
        "kept_connections = 2000000",
        "http.kept_connections",
        "must be 0 to 1000000",
    );
}
