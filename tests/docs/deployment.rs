//! The image and `docker-compose.yml` against the binary: what they call, set, ask and expose is what it
//! has. None of this needs Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use regex::Regex;
use serde_json::Value;

use crate::compose::{
    COMPOSE, Service, dockerfile, exec_form, instruction, option, parses, program_path, strings,
};
use crate::package::{files, path, text, yaml};

#[test]
fn commands_and_health_checks_are_the_binarys_own() {
    parses(&exec_form(&instruction("CMD")));
    let check = exec_form(&instruction("HEALTHCHECK"));
    assert_eq!(check[0], program_path());
    parses(&check[1..]);
    assert!(instruction("COPY").ends_with(&program_path()));
    for service in Service::ours() {
        parses(&service.command());
        let is_over = service.content["healthcheck"]["disable"] == true;
        match service.health_check() {
            Some(arguments) => {
                assert_eq!(arguments[0], "health", "{}", service.name);
                parses(&arguments);
            }
            // Nobody asks a command that ends by itself.
            None => assert!(
                is_over && service.content["restart"] == "no",
                "{}",
                service.name
            ),
        }
    }
}

#[test]
fn settings_are_real_and_belong_together() {
    let kafka = Service::named("kafka").environment();
    let mut instances = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for service in Service::roles() {
        let (name, config) = (&service.name, service.config());
        let instance = config.instance_id.clone();
        let is_named_after = |id: &String| id.starts_with(name.as_str());
        assert!(
            instance.as_ref().is_some_and(is_named_after),
            "{name}: {instance:?}"
        );
        assert!(
            instances.insert(instance),
            "{name}: somebody else has its name"
        );
        roles.extend(option(&service.command(), "--roles").map(str::to_owned));
        assert!(
            service.duration("stop_grace_period") > config.shutdown.timeout,
            "{name} is killed while it drains"
        );
    }
    assert!(instances.len() >= 3, "a router and two dispatchers");
    assert_eq!(
        roles,
        BTreeSet::from(["dispatcher".to_owned(), "router".to_owned()])
    );
    for service in Service::ours() {
        if service.command()[0] == "receiver" {
            continue;
        }
        let servers = service.config().kafka.bootstrap_servers;
        let listener = format!("//{servers}");
        let advertised = &kafka["KAFKA_ADVERTISED_LISTENERS"];
        assert!(
            advertised.split(',').any(|one| one.ends_with(&listener)),
            "{servers}"
        );
        assert!(
            service.networks().contains("backbone"),
            "{} has no Kafka",
            service.name
        );
    }
}

#[test]
fn brokers_listen_where_they_say() {
    let kafka = Service::named("kafka").environment();
    let ports = |key: &str| -> BTreeMap<String, String> {
        let listeners = kafka[key].split(',');
        let port = |one: &str| {
            let (name, rest) = one.split_once("://").unwrap();
            (name.to_owned(), rest.rsplit_once(':').unwrap().1.to_owned())
        };
        listeners.map(port).collect()
    };
    let listening = ports("KAFKA_LISTENERS");
    for (name, port) in ports("KAFKA_ADVERTISED_LISTENERS") {
        assert_eq!(listening.get(&name), Some(&port), "{name}");
    }
    let controller = &kafka["KAFKA_CONTROLLER_LISTENER_NAMES"];
    let voter = format!("kafka:{}", listening[controller]);
    assert!(kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"].ends_with(&voter));
    let published = strings(&Service::named("kafka").content["ports"]);
    let host = &listening["HOST"];
    assert_eq!(published, [format!("127.0.0.1:{host}:{host}")]);
    // What a client of another container is told to use must not be the host's own address.
    assert!(kafka["KAFKA_ADVERTISED_LISTENERS"].contains(&format!("HOST://localhost:{host}")));
    let image = Service::named("kafka").content["image"].clone();
    let tested = text("tests/it/support/kafka/pom.xml");
    let (_, image) = image.as_str().unwrap().split_once(':').unwrap();
    assert!(
        tested.contains(&format!("<kafka.version>{image}</kafka.version>")),
        "{image}"
    );
}

#[test]
fn what_is_scraped_and_asked_is_what_listens() {
    let prometheus = yaml("deploy/prometheus/prometheus.yml");
    let mut scraped = BTreeSet::new();
    for job in prometheus["scrape_configs"].as_array().unwrap() {
        if job["job_name"] == "hooktide" {
            assert_eq!(job["metrics_path"], Value::Null, "the usual one is ours");
            for group in job["static_configs"].as_array().unwrap() {
                scraped.extend(strings(&group["targets"]));
            }
        }
    }
    let mut listening = BTreeSet::new();
    for service in Service::roles() {
        let listen = service.config().telemetry.listen;
        assert!(
            listen.ip().is_unspecified(),
            "{}: others cannot ask",
            service.name
        );
        assert_eq!(instruction("EXPOSE"), listen.port().to_string());
        listening.insert(format!("{}:{}", service.name, listen.port()));
        // It asks where it listens itself, being told nothing else.
        let check = service.health_check().unwrap();
        assert_eq!(option(&check, "--address"), None, "{}", service.name);
    }
    assert_eq!(scraped, listening);

    let receiver = Service::named("receiver");
    let (command, check) = (receiver.command(), receiver.health_check().unwrap());
    let listen: SocketAddr = option(&command, "--listen").unwrap().parse().unwrap();
    let asked: SocketAddr = option(&check, "--address").unwrap().parse().unwrap();
    assert_eq!(asked.port(), listen.port());
    let source = yaml("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
}

#[test]
fn webhooks_reach_the_receiver_and_nothing_else_inside() {
    let networks = &yaml(COMPOSE)["networks"];
    let subnet = networks["endpoints"]["ipam"]["config"][0]["subnet"].clone();
    for service in Service::roles() {
        let allowed: Vec<_> = service.config().http.allow_networks;
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, [subnet.as_str().unwrap()], "{}", service.name);
    }
    for service in Service::all() {
        let networks = service.networks();
        assert!(
            !networks.is_empty(),
            "{} would be on a network of its own",
            service.name
        );
        let is_there = networks.contains("endpoints");
        let may_be = service.name == "receiver" || service.name.starts_with("dispatcher-");
        assert_eq!(is_there, may_be, "{}", service.name);
    }
}

#[test]
fn containers_may_do_no_more_than_they_must() {
    for service in Service::all() {
        let (name, content) = (&service.name, &service.content);
        assert_eq!(strings(&content["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            strings(&content["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(
            content["mem_limit"].is_string() && content["pids_limit"].is_number(),
            "{name}"
        );
        for member in ["privileged", "cap_add", "network_mode", "pid", "devices"] {
            assert!(content[member].is_null(), "{name}: {member}");
        }
        for port in strings(&content["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let image = content["image"].as_str().unwrap();
        let (_, tag) = image.rsplit_once(':').unwrap_or_default();
        let is_pinned = tag.trim_start_matches('v').split('.').count() == 3;
        let is_ours = !content["build"].is_null();
        assert!(is_pinned || is_ours, "{name}: {image} can change unseen");
        if is_ours {
            assert_eq!(content["read_only"], true, "{name}");
            assert_eq!(content["user"], *instruction("USER"), "{name}");
        }
    }
    let user = instruction("USER");
    let is_nobody = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
    assert!(user.split(':').all(is_nobody), "{user}");
}

#[test]
fn what_is_waited_for_can_come() {
    for service in Service::all() {
        let needs = service.content["depends_on"].as_object();
        for (name, need) in needs.into_iter().flatten() {
            let needed = Service::named(name).content;
            match need["condition"].as_str() {
                Some("service_healthy") => {
                    assert!(needed["healthcheck"]["test"].is_array(), "{name}")
                }
                Some("service_completed_successfully") => {
                    assert_eq!(needed["restart"], "no", "{name}")
                }
                other => panic!("{}: {name}: {other:?}", service.name),
            }
        }
    }
    for service in Service::roles() {
        let needed = &service.content["depends_on"]["topics"];
        assert!(needed.is_object(), "{} starts without topics", service.name);
    }
}

#[test]
fn what_is_mounted_is_there() {
    let volumes = yaml(COMPOSE)["volumes"].clone();
    let mut mounted = BTreeMap::new();
    for service in Service::all() {
        for volume in strings(&service.content["volumes"]) {
            let parts: Vec<_> = volume.split(':').collect();
            match parts[0].strip_prefix("./") {
                Some(folder) => {
                    assert!(path(folder).is_dir(), "{folder}");
                    assert_eq!(parts.get(2), Some(&"ro"), "{volume}");
                    mounted.insert(parts[1].to_owned(), folder.to_owned());
                }
                None => assert!(volumes[parts[0]].is_object(), "{volume}"),
            }
        }
    }
    let on_host = |inside: &str| {
        let found = mounted.iter().find_map(|(target, folder)| {
            Some(format!("{folder}{}", inside.strip_prefix(target.as_str())?))
        });
        found.unwrap_or_else(|| panic!("{inside} is not mounted"))
    };
    let arguments = Service::named("prometheus").command();
    let config = arguments
        .iter()
        .find_map(|one| one.strip_prefix("--config.file="));
    assert!(path(&on_host(config.unwrap())).is_file());
    let rules = strings(&yaml("deploy/prometheus/prometheus.yml")["rule_files"]);
    for file in rules {
        assert!(
            path(&format!("deploy/prometheus/{file}")).is_file(),
            "{file}"
        );
    }
    let home =
        &Service::named("grafana").environment()["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert!(path(&on_host(home)).is_file(), "{home}");
    let provider = yaml("deploy/grafana/provisioning/dashboards/hooktide.yml");
    let folder = provider["providers"][0]["options"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(path(&on_host(&folder)).is_dir(), "{folder}");
}

#[test]
fn the_image_is_built_of_what_is_needed() {
    let manifest = text("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    let instructions = dockerfile();
    let bases: Vec<_> = instructions
        .iter()
        .filter(|(keyword, _)| keyword == "FROM")
        .collect();
    assert!(
        bases[0].1.starts_with(&format!("rust:{version}-")),
        "{bases:?}"
    );
    let ignored = text(".dockerignore");
    let mut copied = BTreeSet::new();
    for (_, arguments) in instructions.iter().filter(|(keyword, _)| keyword == "COPY") {
        if arguments.starts_with("--from=") {
            continue;
        }
        let (sources, _) = arguments.rsplit_once(' ').unwrap();
        for source in sources.split(' ') {
            assert!(path(source).exists(), "{source}");
            assert!(
                ignored.lines().any(|line| line == format!("!{source}")),
                "{source}"
            );
            copied.insert(source.to_owned());
        }
    }
    // What the sources include from outside of their folder.
    let include = Regex::new(r#"include_(?:str|bytes)!\("(?:\.\./)+([^"/]+)/"#).unwrap();
    for file in files("src", ".rs") {
        for found in include.captures_iter(&text(&file)) {
            assert!(copied.contains(&found[1]), "{file} includes {}", &found[1]);
        }
    }
}

#[test]
fn the_pages_commands_work() {
    let exec = Regex::new(r"docker compose exec -T (\S+) hooktide (.+)").unwrap();
    let mut seen = 0;
    for page in ["docs/operations.md", "README.md"] {
        for found in exec.captures_iter(&text(page)) {
            let service = Service::named(&found[1]);
            assert!(!service.content["build"].is_null(), "{}", service.name);
            parses(&shlex::split(&found[2]).unwrap());
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen}");
    let logs = Regex::new(r"docker compose logs [a-z-]+ (\S+)").unwrap();
    let operations = text("docs/operations.md");
    Service::named(&logs.captures(&operations).unwrap()[1]);
}
