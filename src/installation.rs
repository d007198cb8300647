//! An installation of our own making, for trying out (`hooktide dev`) and measuring (`hooktide bench`):
//! settings that no other installation shares, under which parts of it also run as processes of their
//! own.
//!
//! The settings are environment variables, because children and second terminals need them as such.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::config::{Config, ConfigError};
use crate::kafka::client_config::{self, PropertyError};
use crate::kafka::topic_admin::{TopicAdmin, TopicAdminError};
use crate::role::Role;

/// Settings by the name that follows `HOOKTIDE__`.
pub type Settings = Vec<(&'static str, String)>;

/// See the module.
pub struct Installation {
    /// What its roles run under.
    pub config: Config,
    /// The topic that events come in on.
    pub events: String,
    /// What children and second terminals must be told.
    pub variables: BTreeMap<String, String>,
    /// `--config`, for children.
    pub config_file: Option<PathBuf>,
}

/// The user's own layers of settings, for a Kafka that is given.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Variables that begin with `HOOKTIDE__`.
    pub environment: Vec<(String, String)>,
}

/// Why there is no such installation, or why it stays.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// Settings, the user's or ours.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user's `kafka.properties`.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// Topics cannot be made or removed.
    #[error(transparent)]
    Topics(#[from] TopicAdminError),
}

impl InstallationError {
    /// Whether settings are to blame rather than the course of things.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) | Self::Property(_) | Self::Topics(TopicAdminError::Client(_)) => true,
            Self::Topics(_) => false,
        }
    }
}

impl Installation {
    /// Under nothing but `settings`.
    pub fn alone(settings: Settings, events: &str) -> Result<Self, InstallationError> {
        let variables = variables(settings);
        Ok(Self {
            config: Config::load(None, variables.clone().into_iter())?,
            events: events.to_owned(),
            variables,
            config_file: None,
        })
    }

    /// On a Kafka that is given (none: that of `layers`), under `settings` and then what `layers` have
    /// beside them. Its topics are named after `purpose` and `id`, which tells them from those of others; none is made yet.
    pub fn given(
        purpose: &str,
        id: u32,
        bootstrap_servers: Option<&str>,
        mut settings: Settings,
        layers: Layers,
    ) -> Result<Self, InstallationError> {
        let application_id = format!("hooktide-{purpose}-{id:08x}");
        let events = format!("{application_id}-events");
        settings.push(("APPLICATION_ID", application_id));
        settings.push(("TOPICS__PREFIX", "<application_id>.".to_owned()));
        settings.push(("EVENTS__TOPICS", format!("[\"{events}\"]")));
        // Theirs are for topics of theirs.
        settings.push(("EVENTS__MAPPINGS", "[]".to_owned()));
        if let Some(servers) = bootstrap_servers {
            settings.push(("KAFKA__BOOTSTRAP_SERVERS", servers.to_owned()));
        }
        let variables = variables(settings);
        let is_ours = |name: &String| {
            let plain = name.strip_suffix("__FILE").unwrap_or(name);
            variables.contains_key(plain)
        };
        let theirs = layers.environment.into_iter();
        let environment = theirs
            .filter(|(name, _)| !is_ours(name))
            .chain(variables.clone());
        let config = Config::load(layers.file.as_deref(), environment)?;
        client_config::check_properties(&config.kafka.properties)?;
        Ok(Self {
            config,
            events,
            variables,
            config_file: layers.file,
        })
    }

    /// Makes all topics, that of events with `partitions`.
    pub async fn create_topics(
        &self,
        admin: &TopicAdmin,
        partitions: i32,
    ) -> Result<(), InstallationError> {
        admin.create().await?;
        admin.create_events(partitions).await?;
        Ok(())
    }

    /// Removes all topics, and the groups that read them.
    pub async fn remove(&self, admin: &TopicAdmin) -> Result<(), InstallationError> {
        Ok(admin.remove_all(&self.config, &self.events).await?)
    }

    /// This program as a child under these settings, without arguments yet; its stdin is a pipe whose
    /// other end only this process has.
    pub fn child(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(file) = &self.config_file {
            command.arg("--config").arg(file);
        }
        for name in self.variables.keys() {
            command.env_remove(format!("{name}__FILE"));
        }
        command
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C is for this process, which then ends the child in its own time.
            .process_group(0);
        Ok(command)
    }

    /// `hooktide run` as a child. It ends with its stdin: however this process ends, it ends too.
    pub fn run_child(&self, roles: &[Role]) -> io::Result<Command> {
        let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let mut command = self.child()?;
        command.args(["run", "--until-stdin-ends", "--roles", &roles.join(",")]);
        Ok(command)
    }
}

fn variables(settings: Settings) -> BTreeMap<String, String> {
    settings
        .into_iter()
        .map(|(name, value)| (format!("HOOKTIDE__{name}"), value))
        .collect()
}
