//! Subscriptions in files: a folder of YAML and JSON, each file with one subscription or several. All
//! that is wrong with them is found at once, with file and line.

mod tree;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::DEFAULT_TENANT;
use crate::cli::input::{Input, STDIN};
use crate::record::SubscriptionKey;
use crate::record::json_text::{self, Node};
use tree::{Lines, Tree, Value};

/// The longest file, in bytes.
const LONGEST: usize = 32 << 20;
/// How deep folders may nest.
const DEEPEST: usize = 32;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Place {
    /// As it was given or found.
    pub(super) file: Arc<str>,
    /// From 1.
    pub(super) line: usize,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Problem {
    #[serde(flatten)]
    pub(super) place: Place,
    /// The field and the rule.
    pub(super) problem: String,
}

/// A subscription as a file has it.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) key: SubscriptionKey,
    /// As JSON without white space.
    pub(super) value: String,
    file: Arc<str>,
    tree: Tree,
}

/// All that is found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Each key once, in the order of keys.
    pub(super) manifests: BTreeMap<SubscriptionKey, Manifest>,
    pub(super) problems: Vec<Problem>,
    /// How many files were read.
    pub(super) files: usize,
    /// What has no name of a manifest.
    pub(super) passed_over: Vec<String>,
}

/// A file to read, and what it says by where it is.
struct Source {
    path: PathBuf,
    name: Arc<str>,
    form: Form,
    /// The folder that it is in, below the one that was given.
    folder: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Yaml,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

impl Manifest {
    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        self.place_of("")
    }

    /// Where a field of it stands, by its path.
    pub(super) fn place_of(&self, path: &str) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: self.tree.line_of(path),
        }
    }

    /// That something is wrong with a field.
    pub(super) fn problem(&self, path: &str, problem: impl fmt::Display) -> Problem {
        Problem {
            place: self.place_of(path),
            problem: format!("{}: {problem}", self.key),
        }
    }
}

impl Form {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Reads all subscriptions of a folder with its folders, of a file, or of stdin. `seen` hears of each
/// file: how many are read, and how many there are.
///
/// # Errors
/// What cannot be read at all. What is wrong in a file is among [`Found::problems`].
pub(super) fn read(path: &Path, mut seen: impl FnMut(usize, usize)) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let sources = sources(path, &mut found.passed_over)?;
    for (index, source) in sources.iter().enumerate() {
        seen(index, sources.len());
        let bytes = Input::open(&source.path)?.bytes(LONGEST)?;
        found.read_source(source, &bytes);
    }
    found.files = sources.len();
    Ok(found)
}

/// The files, in the order of their names.
fn sources(path: &Path, passed_over: &mut Vec<String>) -> anyhow::Result<Vec<Source>> {
    let one = |name: &str, form| {
        vec![Source {
            path: path.to_owned(),
            name: name.into(),
            form,
            folder: None,
        }]
    };
    if path == Path::new(STDIN) {
        return Ok(one("stdin", Form::Yaml)); // which JSON is, too
    }
    let name = path.display().to_string();
    let kind = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
    if !kind.is_dir() {
        return Ok(one(&name, Form::of(path).unwrap_or(Form::Yaml)));
    }
    let mut sources = Vec::new();
    walk(path, None, 0, &mut sources, passed_over)?;
    Ok(sources)
}

fn walk(
    path: &Path,
    folder: Option<&str>,
    depth: usize,
    sources: &mut Vec<Source>,
    passed_over: &mut Vec<String>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    ensure!(
        depth <= DEEPEST,
        "{} is deeper than {DEEPEST} folders",
        path.display()
    );
    let entries: Result<Vec<_>, _> = fs::read_dir(path).with_context(cannot)?.collect();
    let mut entries = entries.with_context(cannot)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if file_name.starts_with('.') {
            continue; // `.git`, editors' files, the folders behind a ConfigMap's links
        }
        let path = entry.path();
        if entry.file_type().with_context(cannot)?.is_dir() {
            walk(&path, Some(&file_name), depth + 1, sources, passed_over)?;
            continue;
        }
        let name = path.display().to_string();
        match Form::of(&path) {
            // Links to files are followed, so that a ConfigMap can be a folder; links to folders are not.
            Some(form) if path.is_file() => sources.push(Source {
                name: name.into(),
                path,
                form,
                folder: folder.map(str::to_owned),
            }),
            Some(_) | None => passed_over.push(name),
        }
    }
    Ok(())
}

impl Found {
    /// Which subscriptions each file holds.
    pub(super) fn files(&self) -> BTreeMap<&str, Vec<&SubscriptionKey>> {
        let mut files: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for manifest in self.manifests.values() {
            files.entry(&manifest.file).or_default().push(&manifest.key);
        }
        files
    }

    fn read_source(&mut self, source: &Source, bytes: &[u8]) {
        let documents = match documents(source.form, bytes) {
            Ok(documents) => documents,
            Err((line, problem)) => {
                let file = Arc::clone(&source.name);
                let place = Place { file, line };
                self.problems.push(Problem { place, problem });
                return;
            }
        };
        let trees: Vec<Tree> = documents
            .into_iter()
            .flat_map(|document| match document.value {
                Value::List(entries) => entries,
                Value::Plain(_) | Value::Text(_) | Value::Object(_) => vec![document],
            })
            .collect();
        let is_alone = trees.len() == 1;
        for tree in trees {
            let line = tree.line;
            match key(&tree, source, is_alone) {
                Ok(key) => self.add(Manifest {
                    key,
                    value: tree.json(),
                    file: Arc::clone(&source.name),
                    tree,
                }),
                Err((path, problem)) => {
                    let line = if path.is_empty() {
                        line
                    } else {
                        tree.line_of(path)
                    };
                    let file = Arc::clone(&source.name);
                    let place = Place { file, line };
                    self.problems.push(Problem { place, problem });
                }
            }
        }
    }

    fn add(&mut self, manifest: Manifest) {
        match self.manifests.get(&manifest.key) {
            None => drop(self.manifests.insert(manifest.key.clone(), manifest)),
            Some(first) => {
                let also = first.place();
                self.problems
                    .push(manifest.problem("", format_args!("is also in {also}")));
            }
        }
    }
}

/// The documents of a file, or the line and what is wrong there.
fn documents(form: Form, bytes: &[u8]) -> Result<Vec<Tree>, (usize, String)> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        (line, "is not UTF-8".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match form {
        Form::Yaml => yaml::documents(text).map_err(|error| (error.line, error.message)),
        Form::Json if text.trim().is_empty() => Ok(Vec::new()),
        Form::Json => match Node::parse(text.as_bytes()) {
            Ok(node) => Ok(vec![Tree::of_json(node, &Lines::of(text))]),
            Err(json_text::Error::Syntax(error)) => {
                let column = error.column();
                Err((
                    error.line().max(1),
                    format!("is not JSON (column {column})"),
                ))
            }
            Err(error @ (json_text::Error::TooDeep | json_text::Error::NotAnObject)) => {
                Err((1, error.to_string()))
            }
        },
    }
}

/// Whose it is: by `tenant` and `id`, else by the folder and the name of the file. On failure the field
/// that is to blame, and why.
fn key(
    tree: &Tree,
    source: &Source,
    is_alone: bool,
) -> Result<SubscriptionKey, (&'static str, String)> {
    if !matches!(tree.value, Value::Object(_)) {
        return Err(("", "is no subscription: it must be an object".to_owned()));
    }
    let member = |name| match tree.member(name).map(|member| &member.value) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(Value::Plain(_) | Value::List(_) | Value::Object(_)) => {
            Err((name, format!("`{name}`: must be a string: quote it")))
        }
    };
    let tenant = member("tenant")?
        .or_else(|| source.folder.clone())
        .unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    let id = match member("id")? {
        Some(id) => id,
        None if source.path == Path::new(STDIN) => {
            return Err(("", "`id`: is missing".to_owned()));
        }
        None if !is_alone => {
            let problem = "`id`: is missing, and the file holds more than one subscription";
            return Err(("", problem.to_owned()));
        }
        None => {
            let stem = source.path.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        }
    };
    SubscriptionKey::try_new(&tenant, &id).map_err(|error| {
        let problem = format!("cannot be `{}/{}`: {error}", shown(&tenant), shown(&id));
        let is_tenant = SubscriptionKey::try_new(&tenant, "any").is_err();
        (if is_tenant { "tenant" } else { "id" }, problem)
    })
}

/// The start of a name that may be anything.
fn shown(name: &str) -> String {
    crate::cli::output::plain(&name.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests;
