//! The commands. Data goes to stdout, talk to stderr; exit codes are 0 for ok, 1 for failed and 2
//! for wrong usage or configuration.

mod bench;
mod config;
mod dev;
mod endpoints;
mod event_types;
mod events;
mod health;
mod input;
mod output;
mod progress;
mod receiver;
mod run;
mod secrets;
mod subscriptions;
mod topics;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::Config;
use crate::kafka::client_config;
use crate::role::Role;
use endpoints::EndpointsCommand;
use event_types::EventTypesCommand;
use events::EventsCommand;
use secrets::SecretsCommand;
use subscriptions::SubscriptionsCommand;

/// Delivers webhooks from Kafka: signed, retried over days, dead-lettered, and never lost.
#[derive(Debug, Parser)]
#[command(
    name = "hooktide",
    version,
    after_help = "\
Settings come from the defaults, the file of --config and HOOKTIDE__* variables, in this order;
`hooktide config show` says what holds and why.
Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration."
)]
pub struct Cli {
    #[command(flatten)]
    general: General,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct General {
    /// TOML file with settings that differ from the defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How data is written to stdout
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// How data is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// One JSON document
    Json,
    /// Lines for people
    Text,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what Hooktide does, in one process with nothing to install
    ///
    /// Router, dispatcher, a mock Kafka broker, five endpoints that behave well and badly, and sample
    /// events: everything is played and told. With --bootstrap it plays on a Kafka of yours, on topics
    /// of its own that are removed at the end.
    #[command(after_help = "\
Examples:
  hooktide dev
  hooktide dev --for 30s
  hooktide dev --bootstrap localhost:9092 --chaos --for 5m

Exit code 1: something failed; with --chaos also if a delivery was lost.")]
    Dev(dev::Arguments),
    /// Deliver until a signal ends it
    #[command(after_help = "\
Examples:
  hooktide run
  HOOKTIDE__KAFKA__BOOTSTRAP_SERVERS=kafka:9092 hooktide run --roles dispatcher

SIGTERM and SIGINT let running requests finish, for at most `shutdown.timeout`; a second one ends
it at once.")]
    Run {
        /// What this process does
        #[arg(long, value_delimiter = ',', default_value = "router,dispatcher")]
        roles: Vec<RoleName>,
        /// Drain also when stdin ends: for a parent that must not be outlived
        #[arg(long, hide = true)]
        until_stdin_ends: bool,
    },
    /// Measure what a delivery costs, on a given Kafka
    ///
    /// Load, receiver and hooktide run as processes of their own, on topics that are removed at the
    /// end; beside them, in the same run, the plainest loop that posts the same bytes to the same
    /// receiver.
    #[command(after_help = "\
Examples:
  hooktide bench --bootstrap localhost:9092
  hooktide bench --bootstrap localhost:9092 --events 2000 --rate 200
  hooktide bench --bootstrap localhost:9092 --events 6000 --rate 200 --beside slow
  hooktide bench --bootstrap localhost:9092 --events 200000 --instead ./my-consumer
  hooktide bench --bootstrap localhost:9092 --fan-out 10 --receivers 10 --output json

CPU time and memory are known on Linux, the broker's only if it runs on this machine.
Exit code 1: something failed, or a delivery did not arrive.")]
    Bench(bench::Arguments),
    /// What a run of `bench` consists of
    #[command(subcommand, hide = true)]
    BenchPart(bench::Part),
    /// Ask a running process how it is, as `/health` and `/ready` say
    #[command(after_help = "\
Examples:
  hooktide health
  hooktide health --ready --address dispatcher-0:9464

Without --address the process of this machine that has the same `telemetry.listen` is asked.
Exit code 1: it says no, or does not answer.")]
    Health(health::Arguments),
    /// Receive webhooks: an endpoint to try things out with
    ///
    /// Answers POSTs by their path and prints a line for each: what came, and what was answered. With
    /// --secret also whether the signature holds.
    #[command(after_help = "\
Examples:
  hooktide receiver
  hooktide receiver --listen 127.0.0.1:9000 --secret whsec_...

Paths, on the address that is printed:
  /good      answers 204 at once; so does /yours
  /flaky     answers 503 about every second time
  /slow      answers 204 after 2 s
  /limited   answers 429 to what is more than --limit requests a second

A subscription to it needs its address in `http.allow_networks`. Ctrl-C ends it.
Exit code 1: it cannot listen there.")]
    Receiver(receiver::Arguments),
    /// Hooktide's own topics
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Settings, from all layers
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who wants which events, and where
    #[command(subcommand)]
    Subscriptions(SubscriptionsCommand),
    /// What requests are signed with
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Say whether a request is signed as it should be, and if not, what is wrong
    ///
    /// Takes a request as a receiver got it: its headers, as lines of `Name: value` or as a JSON object, and
    /// the raw bytes of its body. Tries the scheme of --scheme, or all presets.
    #[command(after_help = "\
Examples:
  hooktide verify --headers headers.txt --body body.json --secret-file secret.txt
  HOOKTIDE_SECRET=whsec_... hooktide verify --headers headers.txt --body - < body.json
  hooktide verify --headers headers.txt --body body.json --secret-file secret.txt \\
    --scheme '{\"preset\":\"hex-body\",\"header\":\"X-Shop-Signature\"}'

A secret on the command line can be seen by everybody on the machine: prefer a file or the variable.
Exit code 1: the signature does not hold, or the files cannot be read.")]
    Verify(verify::Arguments),
    /// Endpoints that fail, are disabled, or are to pause
    #[command(subcommand)]
    Endpoints(EndpointsCommand),
    /// Events, as upstream systems produce them
    #[command(subcommand)]
    Events(EventsCommand),
    /// What events look like: the catalogue of types
    #[command(subcommand)]
    EventTypes(EventTypesCommand),
    /// Write a shell's completions to stdout
    #[command(after_help = "\
Examples:
  hooktide completions bash > ~/.local/share/bash-completion/completions/hooktide
  hooktide completions fish > ~/.config/fish/completions/hooktide.fish")]
    Completions {
        /// For which shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

/// A role, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Makes delivery tasks of events
    Router,
    /// Sends delivery tasks
    Dispatcher,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Create those that are missing, then check all
    #[command(after_help = "\
Examples:
  hooktide topics create
  HOOKTIDE__TOPICS__PARTITIONS=32 hooktide topics create

Topics of events are yours: without --events none is made.
Exit code 1: a rule does not hold, or Kafka does not answer.")]
    Create {
        /// Make the topics that `events.topics` names as well, with the broker's own settings
        #[arg(long)]
        events: bool,
    },
    /// Name every rule that does not hold
    #[command(after_help = "\
Example:
  hooktide topics check --output json

Exit code 1: a rule does not hold, or Kafka does not answer.")]
    Check,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum ConfigCommand {
    /// Every setting with its value and where it comes from; secrets are redacted
    #[command(after_help = "\
Example:
  hooktide config show --config hooktide.toml | grep kafka")]
    Show,
    /// Say what is wrong with the settings, if anything
    #[command(after_help = "\
Example:
  hooktide config check --config hooktide.toml

Exit code 2: a setting is unknown or wrong; the error names it and where it stands.")]
    Check,
}

/// Why a command did not succeed; decides the exit code.
#[derive(Debug)]
enum Failure {
    /// Wrong usage or configuration: 2.
    Refused(anyhow::Error),
    /// Anything else: 1.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs the command that the arguments of the process ask for. Wrong arguments end the process with
/// code 2 here.
pub fn main() -> ExitCode {
    let (code, error) = match Cli::parse().execute() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (1, error),
        Err(Failure::Refused(error)) => (2, error),
    };
    output::talk(&format!("error: {error:#}"));
    ExitCode::from(code)
}

impl Cli {
    fn execute(self) -> Result<(), Failure> {
        let General {
            config: file,
            output,
        } = self.general;
        let config = || load(file.as_deref()).map_err(Failure::Refused);
        match self.command {
            // Needs no settings, and must work where they are wrong.
            Command::Completions { shell } => completions(shell),
            // Have settings of their own.
            Command::Dev(arguments) => arguments.run(file),
            Command::Bench(arguments) => arguments.run(file, output),
            // Read none.
            Command::Receiver(arguments) => arguments.run(output),
            Command::Secrets(command) => command.run(output),
            Command::Verify(arguments) => arguments.run(output),
            Command::BenchPart(part) => part.run(&config()?),
            Command::Run {
                roles,
                until_stdin_ends,
            } => run::run(&config()?, &chosen(&roles), until_stdin_ends),
            Command::Health(arguments) => arguments.run(&config()?, output),
            Command::Topics(TopicsCommand::Create { events }) => {
                topics::create(&config()?, events, output)
            }
            Command::Topics(TopicsCommand::Check) => topics::check(&config()?, output),
            Command::Config(ConfigCommand::Show) => config::show(&config()?, output),
            Command::Config(ConfigCommand::Check) => {
                config()?;
                output::talk("the configuration is valid");
                Ok(())
            }
            Command::Subscriptions(command) => command.run(&config()?, output),
            Command::Endpoints(command) => command.run(&config()?, output),
            Command::Events(command) => command.run(&config()?, output),
            Command::EventTypes(command) => command.run(&config()?, output),
        }
    }
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hooktide", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(())
}

fn load(file: Option<&Path>) -> anyhow::Result<Config> {
    let config = Config::load(file, environment()?.into_iter())?;
    client_config::check_properties(&config.kafka.properties)?;
    Ok(config)
}

/// The variables that can be settings. `std::env::vars` would panic on a foreign one that is not UTF-8.
fn environment() -> anyhow::Result<Vec<(String, String)>> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("HOOKTIDE__"))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(anyhow!("environment {name} is not UTF-8")),
        })
        .collect()
}

/// Each role once, in the order in which work flows.
fn chosen(names: &[RoleName]) -> Vec<Role> {
    let is_named = |role: &Role| {
        names.iter().any(|name| match name {
            RoleName::Router => *role == Role::Router,
            RoleName::Dispatcher => *role == Role::Dispatcher,
        })
    };
    Role::ALL.into_iter().filter(is_named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
                return;
            }
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.starts_with("Example"), "{name}: {help}");
            assert!(help.contains(&format!(" {name}")), "{name}: {help}");
            let is_short = |line: &str| line.chars().count() <= 100;
            assert!(help.lines().all(is_short), "{name}: {help}");
        }
        check(&Cli::command());
    }

    #[test]
    fn roles_are_chosen_once_and_in_order() {
        fn check(arguments: &[&str], expected: &[Role]) {
            let all = ["hooktide", "run"].iter().chain(arguments);
            let Command::Run { roles, .. } = Cli::try_parse_from(all).unwrap().command else {
                panic!("not run");
            };
            assert_eq!(chosen(&roles), expected);
        }
        check(&[], &Role::ALL);
        check(&["--roles", "dispatcher,router,router"], &Role::ALL);
        check(&["--roles", "dispatcher"], &[Role::Dispatcher]);
    }

    #[test]
    fn wrong_usage_is_refused_with_code_2() {
        for arguments in [
            &["run", "--roles", "gateway"][..],
            &["run", "--roles", ""],
            &["topics"],
            &["config", "show", "--output", "xml"],
            &["subscriptions", "put"],
            &["subscriptions", "put", "-", "--id", "a/b"],
            &["subscriptions", "get", ".hidden"],
            &["subscriptions", "delete"],
            &["subscriptions", "apply"],
            &["subscriptions", "apply", "a", "--exit-code"],
            &["subscriptions", "apply", "a", "--prune", "--allow-empty"],
            &["subscriptions", "export", "--format", "toml"],
            &["subscriptions", "list", "--tenant", ""],
            &["endpoints", "pause"],
            &["endpoints", "pause", "--host", "a", "--tenant", "acme"],
            &["endpoints", "pause", "--host", "https://a"],
            &["endpoints", "resume", "--subscription", "a/b"],
            &["endpoints", "enable"],
            &["events", "produce", "file"],
            &["event-types", "put"],
            &["event-types", "show", ""],
            &["subscriptions", "test"],
            &["subscriptions", "test", "a", "--timeout", "6m"],
            &["events", "produce", "--topic", "a b"],
            &["completions", "tcsh"],
            &["dev", "--for", "5"],
            &["dev", "--chaos"],
            &["health", "--address", "nowhere"],
            &["receiver", "--listen", "8080"],
            &["topics", "create", "--event"],
            &["secrets", "generate", "--scheme", "md5"],
            &["secrets", "generate", "--bytes", "23"],
            &["secrets", "generate", "--bytes", "65"],
            &["verify", "--body", "file"],
            &["verify", "--headers", "file"],
            &["verify", "--headers", "a", "--body", "b", "--at", "soon"],
            &[
                "verify",
                "--headers",
                "a",
                "--body",
                "b",
                "--tolerance",
                "5",
            ],
            &[],
        ] {
            let all = ["hooktide"].iter().chain(arguments);
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2);
        }
    }
}
