//! What is written for people and tools, held against the code: schemas and their examples, the
//! reference, generated pages, the snippets of the receivers' guide.
#![allow(clippy::unwrap_used, reason = "all of this is tests")]

#[path = "../../docs/receivers/verify.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, for those who copy it"
)]
mod verify;

mod avro; // Avro schemas against JSON Schemas, examples and released ones
mod commands; // exit codes, and settings as the binary takes them
mod compose; // the compose file and the Dockerfile, read
mod dashboards; // queries of the dashboard and the alerts against the metrics
mod deployment; // the image and the compose file against the binary
mod examples; // what is in examples/ is valid, whole, and on its pages
mod frozen; // subscriptions of released versions, in JSON and in Avro
mod generated; // pages made from the schemas, the settings and the command line
mod mappings; // the recipes of the page on events, on records of theirs
mod members; // members that the code knows against those of the schemas
mod older_receivers; // the snippets of older forms verify and refuse
mod package; // files of this package
mod payloads; // the examples of the pages on filters and payloads
mod performance; // what the suite of benches/ makes of its runs, and the page that it writes to
mod receivers; // the snippets verify and refuse
mod reference; // every name in the reference is in the code and in a test, and back
mod retries; // the examples of the page on retries
mod schema_pages; // a JSON Schema as a page
mod schemas; // JSON Schemas against examples and the code
mod signatures; // the tables of the page on signatures
mod sources; // names that the code gives, read from its text
mod steps; // the counts of benches/steps: how they are judged, and that the page has them
mod written; // what the code writes against JSON Schemas
