//! One question to the registry, put to each of its URLs in turn.

use std::collections::{HashMap, VecDeque};
use std::error::Error;

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_referenced_schema, get_schema_by_guid, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredReference, RegisteredSchema, SchemaType, SuppliedSchema,
};

use super::SchemaRegistryError;
use crate::config::SchemaRegistrySettings;
use crate::http;
use crate::record::avro::AvroSchema;
use crate::record::{Schema, SchemaId};

/// The most schemas that one schema may refer to, with those that they refer to.
const MOST_REFERENCES: usize = 100;
/// "Schema not found", in the registry's own numbers. A 404 without it may come from anybody on the way.
const NOT_FOUND: u32 = 40_403;
/// The same of a subject and of a version, which is how references name schemas.
const REFERENCE_NOT_FOUND: [u32; 3] = [40_401, 40_402, NOT_FOUND];

pub(super) struct Client {
    /// One for each URL: the library would take the last one's word for that of all.
    urls: Vec<SrSettings>,
}

/// A definite answer.
pub(super) enum Fetched {
    Schema(Schema),
    Unknown,
}

impl Client {
    pub(super) fn new(settings: &SchemaRegistrySettings) -> Result<Self, SchemaRegistryError> {
        let client = |error: &SRCError| SchemaRegistryError::Client(error.to_string());
        let tls = http::client_tls(settings.ca_file.as_deref(), settings.identity())?;
        let for_url = |url: &url::Url| {
            let mut builder =
                SrSettings::new_builder(url.as_str().trim_end_matches('/').to_owned());
            builder.set_timeout(settings.timeout).no_proxy();
            if let Some(token) = settings.bearer_token.expose() {
                builder.set_token_authorization(token);
            } else if !settings.username.is_empty() {
                builder.set_basic_authorization(&settings.username, settings.password.expose());
            }
            let http = reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("hooktide/", env!("CARGO_PKG_VERSION")));
            builder.build_with(http).map_err(|error| client(&error))
        };
        let urls = settings.urls.iter().map(for_url);
        Ok(Self {
            urls: urls.collect::<Result<_, _>>()?,
        })
    }

    /// A schema with all that it refers to. That there is none counts when one registry says so and
    /// no other has it.
    ///
    /// # Errors
    /// No registry has answered so that it can be believed; why, for the log.
    pub(super) async fn fetch(&self, id: SchemaId) -> Result<Fetched, String> {
        let (mut is_unknown, mut failure) = (false, None);
        for url in &self.urls {
            let found = match id {
                SchemaId::Id(id) => get_schema_by_id(id, url).await,
                SchemaId::Guid(_) => get_schema_by_guid(&id.to_string(), url).await,
            };
            match found {
                Ok(registered) => match usable(registered, url).await {
                    Ok(schema) => return Ok(Fetched::Schema(schema)),
                    Err(error) => failure = Some(error),
                },
                Err(error) if code(&error) == Some(NOT_FOUND) => is_unknown = true,
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            _ if is_unknown => Ok(Fetched::Unknown),
            Some(error) => Err(said(&error)),
            None => Err("there is no registry to ask".to_owned()),
        }
    }
}

impl Client {
    /// Registers an Avro schema, and gives its id. On failure whether a registry refuses it, and why.
    pub(super) async fn register(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<u32, (bool, String)> {
        let mut failure = (false, "there is no registry to ask".to_owned());
        for url in &self.urls {
            let schema = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
            match post_schema(url, subject.to_owned(), schema).await {
                Ok(registered) => return Ok(registered.id),
                // Without a number it is not the registry itself that says no.
                Err(error) => failure = (code(&error).is_some_and(|code| code > 0), said(&error)),
            }
            if failure.0 {
                break; // Others would say the same, or would take what this one must not have.
            }
        }
        Err(failure)
    }
}

/// The registry's own number for an error that it answered with.
fn code(error: &SRCError) -> Option<u32> {
    let answer = error.source()?.downcast_ref::<RawError>()?;
    Some(answer.error_code)
}

/// An error with all that caused it: reqwest keeps why a connection failed to the last.
fn said(error: &SRCError) -> String {
    let mut text = error.error.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

async fn usable(registered: RegisteredSchema, url: &SrSettings) -> Result<Schema, SRCError> {
    match &registered.schema_type {
        SchemaType::Json => Ok(Schema::Json),
        SchemaType::Protobuf => Ok(Schema::Protobuf),
        SchemaType::Avro => avro(registered, url).await,
        other => Ok(Schema::Unusable(format!("it is of the type {other:?}"))),
    }
}

async fn avro(registered: RegisteredSchema, url: &SrSettings) -> Result<Schema, SRCError> {
    let key = |reference: &RegisteredReference| (reference.subject.clone(), reference.version);
    let mut texts = HashMap::new();
    let mut order = Vec::new();
    let mut pending = VecDeque::from(registered.references);
    while let Some(reference) = pending.pop_front() {
        if texts.contains_key(&key(&reference)) {
            continue;
        }
        if texts.len() == MOST_REFERENCES {
            let why = format!("it refers to more than {MOST_REFERENCES} schemas");
            return Ok(Schema::Unusable(why));
        }
        let referenced = match get_referenced_schema(url, &reference).await {
            Ok(referenced) => referenced,
            Err(error) if code(&error).is_some_and(|code| REFERENCE_NOT_FOUND.contains(&code)) => {
                let (subject, version) = key(&reference);
                let why = format!("it refers to {subject}, version {version}, which is not there");
                return Ok(Schema::Unusable(why));
            }
            Err(error) => return Err(error),
        };
        pending.extend(referenced.references);
        order.push(key(&reference));
        texts.insert(key(&reference), referenced.schema);
    }
    let references: Vec<String> = order.iter().filter_map(|key| texts.remove(key)).collect();
    Ok(match AvroSchema::parse(&registered.schema, &references) {
        Ok(schema) => Schema::Avro(schema),
        Err(error) => Schema::Unusable(error.to_string()),
    })
}
