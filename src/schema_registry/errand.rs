//! A command's short dealings with the registry: each question is put once, and an error says what to do.

use std::collections::HashMap;
use std::sync::Arc;

use super::client::{Client, Fetched};
use super::{SchemaRegistryError, WriterSchema};
use crate::config::SchemaRegistrySettings;
use crate::record::SchemaId;

/// Asks and registers; answers are kept.
pub struct RegistryErrand {
    /// None: no registry is configured.
    client: Option<Client>,
    known: HashMap<SchemaId, WriterSchema>,
}

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryErrandError {
    /// There is no client.
    #[error(transparent)]
    Client(#[from] SchemaRegistryError),
    /// No registry gives a definite answer.
    #[error(
        "the schema registry does not answer ({0}): is it running, and is `schema_registry.urls` right?"
    )]
    Silent(String),
    /// The registry does not take a schema.
    #[error("the schema registry does not take the schema of `{subject}`: {why}")]
    Refused {
        /// What it was to be registered under.
        subject: String,
        /// What the registry said.
        why: String,
    },
}

impl RegistryErrand {
    /// Makes the client; asks nothing yet.
    ///
    /// # Errors
    /// [`SchemaRegistryError`].
    pub fn new(settings: &SchemaRegistrySettings) -> Result<Self, SchemaRegistryError> {
        let client = match settings.urls.is_empty() {
            true => None,
            false => Some(Client::new(settings)?),
        };
        let known = HashMap::new();
        Ok(Self { client, known })
    }

    /// Whether a registry is configured.
    pub fn is_configured(&self) -> bool {
        self.client.is_some()
    }

    /// A schema by its id.
    ///
    /// # Errors
    /// [`RegistryErrandError::Silent`].
    pub async fn schema(&mut self, id: SchemaId) -> Result<WriterSchema, RegistryErrandError> {
        let Some(client) = &self.client else {
            return Ok(WriterSchema::NoRegistry);
        };
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let fetched = client.fetch(id).await;
        let schema = match fetched.map_err(RegistryErrandError::Silent)? {
            Fetched::Schema(schema) => WriterSchema::Known(Arc::new(schema)),
            Fetched::Unknown => WriterSchema::Unknown,
        };
        self.known.insert(id, schema.clone());
        Ok(schema)
    }

    /// Registers an Avro schema under a subject, and gives its id. One that is there already keeps its
    /// id; a further version must get along with the last one by the subject's rules.
    ///
    /// # Errors
    /// No registry takes it.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryErrandError> {
        let Some(client) = &self.client else {
            return Err(RegistryErrandError::Silent("none is configured".to_owned()));
        };
        let registered = client.register(subject, schema).await;
        registered.map_err(|(is_refusal, why)| match is_refusal {
            true => RegistryErrandError::Refused {
                subject: subject.to_owned(),
                why,
            },
            false => RegistryErrandError::Silent(why),
        })
    }
}
