//! `docker-compose.yml` and the `Dockerfile`, read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Parser;
use hooktide::cli::Cli;
use hooktide::config::Config;
use hooktide::kafka::client_config::check_properties;
use serde_json::Value;

use crate::package::{text, yaml};

pub(crate) const COMPOSE: &str = "docker-compose.yml";

/// A service of the compose file.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) content: Value,
}

impl Service {
    pub(crate) fn all() -> Vec<Self> {
        let compose = yaml(COMPOSE);
        let services = compose["services"].as_object().unwrap();
        let service = |(name, content): (&String, &Value)| Self {
            name: name.clone(),
            content: content.clone(),
        };
        services.iter().map(service).collect()
    }

    /// Those that run this package's binary.
    pub(crate) fn ours() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|service| !service.content["build"].is_null());
        assert!(!all.is_empty());
        all
    }

    /// Those that run roles.
    pub(crate) fn roles() -> Vec<Self> {
        let mut ours = Self::ours();
        ours.retain(|service| service.command()[0] == "run");
        ours
    }

    pub(crate) fn named(name: &str) -> Self {
        let found = Self::all().into_iter().find(|service| service.name == name);
        found.unwrap_or_else(|| panic!("no service {name}"))
    }

    pub(crate) fn command(&self) -> Vec<String> {
        strings(&self.content["command"])
    }

    /// The arguments of its health check, if that asks the binary.
    pub(crate) fn health_check(&self) -> Option<Vec<String>> {
        let test = strings(&self.content["healthcheck"]["test"]);
        match &test[..] {
            [kind, program, arguments @ ..] if kind == "CMD" && *program == program_path() => {
                Some(arguments.to_vec())
            }
            _ => None,
        }
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let variables = self.content["environment"].as_object();
        let variables = variables.into_iter().flatten();
        variables
            // Numbers and booleans would be written as YAML has them, not as they stand there.
            .map(|(name, value)| match value.as_str() {
                Some(value) => (name.clone(), value.to_owned()),
                None => panic!("{}: {name} is no text", self.name),
            })
            .collect()
    }

    pub(crate) fn config(&self) -> Config {
        let environment = self.environment();
        let strays = environment
            .keys()
            .find(|name| !name.starts_with("HOOKTIDE__"));
        assert_eq!(strays, None, "{}: no setting", self.name);
        let config = Config::load(None, environment.into_iter())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        check_properties(&config.kafka.properties).unwrap();
        config
    }

    pub(crate) fn networks(&self) -> BTreeSet<String> {
        strings(&self.content["networks"]).into_iter().collect()
    }

    pub(crate) fn duration(&self, member: &str) -> Duration {
        let text = self.content[member].as_str().unwrap_or_default();
        let parsed = hooktide::duration_text::parse(text);
        parsed.unwrap_or_else(|error| panic!("{}: {member}: {error}", self.name))
    }
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    entries
        .map(|entry| {
            entry
                .as_str()
                .unwrap_or_else(|| panic!("{entry}"))
                .to_owned()
        })
        .collect()
}

/// The value of an option.
pub(crate) fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

/// Whether the real command line takes it.
#[track_caller]
pub(crate) fn parses(arguments: &[String]) {
    let all = std::iter::once("hooktide").chain(arguments.iter().map(String::as_str));
    if let Err(error) = Cli::try_parse_from(all) {
        panic!("{arguments:?}: {error}");
    }
}

/// The instructions of the Dockerfile: keyword and rest, continued lines joined.
pub(crate) fn dockerfile() -> Vec<(String, String)> {
    let joined = text("Dockerfile").replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
            (keyword.to_owned(), rest)
        })
        .collect()
}

/// What the last instruction of this kind says.
pub(crate) fn instruction(keyword: &str) -> String {
    let last = dockerfile()
        .into_iter()
        .rfind(|(found, _)| found == keyword);
    last.unwrap_or_else(|| panic!("no {keyword}")).1
}

/// The list in the form that needs no shell.
pub(crate) fn exec_form(instruction: &str) -> Vec<String> {
    let list = instruction.find('[').map_or("", |at| &instruction[at..]);
    strings(&serde_json::from_str(list).unwrap_or_else(|_| panic!("{instruction}: no list")))
}

/// Where the binary lies in the image.
pub(crate) fn program_path() -> String {
    let entrypoint = exec_form(&instruction("ENTRYPOINT"));
    let [program] = &entrypoint[..] else {
        panic!("{entrypoint:?}");
    };
    program.clone()
}
