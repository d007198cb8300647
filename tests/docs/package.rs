//! Files of this package.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The absolute path of one.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Its text.
pub(crate) fn text(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Its JSON.
pub(crate) fn json(relative: &str) -> Value {
    serde_json::from_str(&text(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Its YAML, anchors and merge keys resolved.
pub(crate) fn yaml(relative: &str) -> Value {
    serde_saphyr::from_str(&text(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The files of a folder and those below it with this ending, in order, relative to the package.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            found.extend(files(&name, ending));
        } else if name.ends_with(ending) {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// The records that have schemas, named as in `src/record/`.
pub(crate) const RECORDS: [&str; 8] = [
    "event",
    "event_type",
    "subscription",
    "attempt",
    "dead_letter",
    "notice",
    "endpoint_state",
    "endpoint_wish",
];

/// The examples of a record: file name and content.
pub(crate) fn examples(record: &str) -> Vec<(String, Value)> {
    let of_record = |name: &String| {
        let file = name.rsplit('/').next().unwrap_or_default();
        file.split('.').next() == Some(record)
    };
    let found: Vec<_> = files("schemas/examples", ".json")
        .into_iter()
        .filter(of_record)
        .map(|name| (name.clone(), json(&name)))
        .collect();
    assert!(!found.is_empty(), "{record} has no example");
    found
}
