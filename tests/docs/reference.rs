//! The reference, walked: each name in its tables is in the code, and in a test; each name in the code
//! is in its tables.

use std::collections::{BTreeMap, BTreeSet};

use hooktide::record::subscription::SignatureScheme;
use hooktide::record::{DisabledReason, NoticeKind, Reason};
use hooktide::role::Role;
use hooktide::topic::Topic;
use regex::Regex;

use crate::package::{files, text};
use crate::sources::{literals, literals_of, shipped, tests, text_arms};

/// The names that the table of a section of the reference begins its rows with.
pub(crate) fn names(section: &str) -> BTreeSet<String> {
    rows("docs/reference.md", section)
        .into_iter()
        .flat_map(|row| quoted(&row[0]))
        .collect()
}

/// The cells of a section's table, without its head.
pub(crate) fn rows(file: &str, section: &str) -> Vec<Vec<String>> {
    let page = text(file);
    let head = format!("# {section}\n");
    let start = page
        .find(&head)
        .unwrap_or_else(|| panic!("{file} has no section {section}"));
    let of_section = page[start + head.len()..]
        .split("\n#")
        .next()
        .unwrap_or_default();
    let cells = |line: &str| {
        let inner = line.trim_start_matches("| ").trim_end_matches('|');
        inner
            .split(" |")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let table = of_section.lines().filter(|line| line.starts_with("| "));
    table.skip(1).map(cells).collect()
}

fn quoted(cell: &str) -> Vec<String> {
    let pattern = Regex::new("`([^`]+)`").unwrap();
    pattern
        .captures_iter(cell)
        .map(|found| found[1].to_owned())
        .collect()
}

fn owned<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Every section with names, and where the code has them.
fn sections() -> BTreeMap<&'static str, BTreeSet<String>> {
    let headers = |file| literals(file, "hooktide-[a-z0-9-]+");
    let mut topics: BTreeSet<_> = Topic::FIXED.map(|topic| topic.to_string()).into();
    topics.insert("retry.<delay>".to_owned());
    let request = shipped("src/dispatcher/request.rs");
    let mut requests = literals("src/dispatcher/request.rs", "webhook-[a-z]+");
    let standard = SignatureScheme::standard();
    requests.insert(standard.header.as_str().to_owned());
    let presets = SignatureScheme::presets().map(|preset| preset.to_string());
    for (name, constant) in [
        ("content-type", "CONTENT_TYPE"),
        ("user-agent", "USER_AGENT"),
    ] {
        assert!(request.contains(&format!("{constant},")), "{constant}");
        requests.insert(name.to_owned());
    }
    let mut tasks = headers("src/record/task.rs");
    tasks.extend(literals_of("src/router", "traceparent"));
    let mut rejects = BTreeSet::new();
    for (file, code) in [
        ("src/record/event.rs", "impl EventError"),
        ("src/record/json_object.rs", "impl JsonError"),
        ("src/record/avro.rs", "impl AvroError"),
        ("src/record/framing.rs", "impl FramingError"),
        ("src/record/cloud_event.rs", "impl CloudEventError"),
        ("src/router/event_form.rs", "impl FormError"),
        (
            "src/router/event_form/mapping/error.rs",
            "impl MappingError",
        ),
        ("src/router/conformance.rs", "impl Nonconformity"),
    ] {
        rejects.extend(text_arms(file, code, "fn reason"));
    }
    rejects.extend(literals_of("src/router", "too_large"));
    let deliveries = owned(["delivered", "dead", "cancelled"]);
    let counted = shipped("src/metrics/dispatcher.rs");
    let pattern = Regex::new(r#"deliveries\s*\.with_label_values\(&\["([a-z]+)"\]\)"#).unwrap();
    let counted: BTreeSet<_> = pattern
        .captures_iter(&counted)
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(counted, deliveries);
    BTreeMap::from([
        ("Roles", owned(Role::ALL.map(Role::as_str))),
        ("Topics", topics),
        ("Requests", requests),
        ("Signatures", presets.collect()),
        ("Task headers", tasks),
        ("Dead-letter headers", headers("src/record/dead_letter.rs")),
        (
            "Dead-letter reasons",
            owned(Reason::ALL.map(Reason::as_str)),
        ),
        (
            "Attempt outcomes",
            text_arms("src/record/attempt.rs", "impl AttemptOutcome", "fn as_str"),
        ),
        ("Delivery outcomes", counted),
        (
            "Error classes",
            text_arms("src/http/exchange.rs", "impl ErrorClass", "fn as_str"),
        ),
        ("Reject headers", headers("src/record/reject.rs")),
        ("Reject reasons", rejects),
        (
            "Park reasons",
            text_arms("src/record/parked.rs", "impl Parked", "fn as_str"),
        ),
        ("Notices", owned(NoticeKind::ALL.map(NoticeKind::as_str))),
        (
            "Disabled reasons",
            owned(DisabledReason::ALL.map(DisabledReason::as_str)),
        ),
        ("Paths", literals("src/telemetry/server.rs", "/[a-z]+")),
    ])
}

#[test]
fn the_reference_and_the_code_have_the_same_names() {
    for (section, in_code) in sections() {
        assert_eq!(
            names(section),
            in_code,
            "{section}: the reference, the code"
        );
    }
}

#[test]
fn every_name_of_the_reference_is_in_a_test() {
    let tests = tests();
    let examples: String = files("schemas/examples", ".json")
        .iter()
        .map(|file| text(file))
        .collect();
    let mut missing = Vec::new();
    for (section, names) in sections() {
        for name in names {
            let variant = format!("::{}", camel(&name));
            let quoted = format!("\"{name}\"");
            let is_variant = tests.match_indices(&variant).any(|(at, _)| {
                let next = tests[at + variant.len()..].chars().next();
                !next.is_some_and(char::is_alphanumeric)
            });
            // A header's line, a topic in a URL and the like stand in longer texts.
            let in_text =
                name.contains(['-', '/', '.']) && tests.contains(name.split('<').next().unwrap());
            if !is_variant && !in_text && !tests.contains(&quoted) && !examples.contains(&quoted) {
                missing.push(format!("{section}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "in no test: {missing:#?}");
}

fn camel(name: &str) -> String {
    let upper = |word: &str| {
        let (first, rest) = word.split_at(1.min(word.len()));
        first.to_uppercase() + rest
    };
    name.split(['_', '-']).map(upper).collect()
}

/// A metric as documented or as registered: its type and labels.
pub(crate) type Metrics = BTreeMap<String, (String, Vec<String>)>;

pub(crate) fn documented_metrics() -> Metrics {
    let rows = rows("docs/metrics.md", "Metrics");
    rows.into_iter()
        .map(|row| (quoted(&row[0]).remove(0), (row[1].clone(), quoted(&row[2]))))
        .collect()
}

/// What the code registers, read from its text: a family without a sample shows up nowhere else.
fn registered_metrics() -> Metrics {
    let name = Regex::new(r#""(hooktide_[a-z_]+)""#).unwrap();
    let labels = Regex::new(r#"&\[((?:\s*"[a-z_]+",?)+)\s*\]|const_label\(("[a-z_]+")"#).unwrap();
    let constructor =
        Regex::new("(?i)(counter|gauge|histogram)s?(?:_vec|vec)?(?:::new|::with_opts)?\\(")
            .unwrap();
    let mut found = Metrics::new();
    let mut sources = files("src/metrics", ".rs");
    sources.push("src/metrics.rs".to_owned());
    for file in sources {
        let text = shipped(&file);
        let places: Vec<_> = name
            .captures_iter(&text)
            .filter_map(|found| found.get(1))
            .collect();
        for (index, place) in places.iter().enumerate() {
            let before = &text[..place.start()];
            let kind = constructor.captures_iter(before).last();
            let kind = kind.or_else(|| constructor.captures(&text[place.end()..]));
            let behind = &text[place.end()
                ..places
                    .get(index + 1)
                    .map_or(text.len(), |next| next.start())];
            // What follows the registration is no label of it.
            let behind = behind.split("pub fn").next().unwrap_or_default();
            let behind = behind.split("?,\n            ").next().unwrap_or_default();
            let labels = labels.captures(behind).map_or_else(Vec::new, |found| {
                let list = found
                    .get(1)
                    .or_else(|| found.get(2))
                    .map_or("", |list| list.as_str());
                list.split(',')
                    .map(|label| label.trim().trim_matches('"').to_owned())
                    .filter(|label| !label.is_empty())
                    .collect()
            });
            let kind = kind.map_or_else(String::new, |kind| kind[1].to_lowercase());
            let repeated = found.insert(place.as_str().to_owned(), (kind, labels));
            assert_eq!(repeated, None, "{} stands twice", place.as_str());
        }
    }
    found
}

#[test]
fn metrics_are_documented_with_their_types_and_labels() {
    assert_eq!(documented_metrics(), registered_metrics());
}

#[test]
fn every_metric_is_in_a_test() {
    let tests = tests();
    let missing: Vec<_> = documented_metrics()
        .into_keys()
        .filter(|name| !tests.contains(name))
        .collect();
    assert!(missing.is_empty(), "in no test: {missing:#?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^):#]*)(?:#([a-z0-9-]+))?\)").unwrap();
    let mut broken = Vec::new();
    for page in files("docs", ".md") {
        let content = text(&page);
        for found in link.captures_iter(&content) {
            let target = match &found[1] {
                "" => page.clone(),
                relative => format!("docs/{relative}"),
            };
            let anchor = found.get(2).map(|anchor| anchor.as_str().to_owned());
            let is_there = crate::package::path(&target).exists()
                && anchor.is_none_or(|anchor| anchors(&text(&target)).contains(&anchor));
            if !is_there {
                broken.push(format!("{page}: {}", &found[0]));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The anchors of a page's headings, as those who render Markdown make them.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        kept.map(|char| if char == ' ' { '-' } else { char })
            .collect()
    };
    headings.map(anchor).collect()
}
