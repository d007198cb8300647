//! Every query of the dashboard and of the alerts against the metrics that there are: names, labels,
//! values, and whether a rate is one of something that only grows.

use std::collections::{BTreeMap, BTreeSet};

use hooktide::metrics::register_process;
use prometheus::Registry;
use prometheus::proto::MetricType;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use regex::Regex;
use serde_json::Value;

use crate::package::{files, json, path, text, yaml};
use crate::reference::{anchors, documented_metrics};

const DASHBOARD: &str = "deploy/grafana/dashboards/hooktide.json";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
/// What Prometheus adds to every series.
const ADDED: [&str; 2] = ["instance", "job"];

/// A query, and the labels that texts beside it use.
struct Query {
    place: String,
    text: String,
    used: BTreeSet<String>,
}

/// What is known of a metric.
struct Known {
    kind: String,
    labels: Vec<String>,
}

fn known() -> BTreeMap<String, Known> {
    let documented = documented_metrics().into_iter();
    let mut known: BTreeMap<_, _> = documented
        .map(|(name, (kind, labels))| (name, Known { kind, labels }))
        .collect();
    let registry = Registry::new();
    register_process(&registry).unwrap();
    for family in registry.gather() {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            _ => "gauge",
        };
        let labels = Vec::new();
        let process = Known {
            kind: kind.to_owned(),
            labels,
        };
        known.entry(family.name().to_owned()).or_insert(process);
    }
    let up = Known {
        kind: "gauge".to_owned(),
        labels: Vec::new(),
    };
    known.insert("up".to_owned(), up);
    known
}

fn panels() -> Vec<Value> {
    let dashboard = json(DASHBOARD);
    let panels = dashboard["panels"].as_array().unwrap().clone();
    assert!(!panels.is_empty());
    panels
}

fn captured(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let found = pattern.captures_iter(text);
    found.map(|found| found[1].to_owned()).collect()
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().unwrap();
            // Grafana puts the interval in before it asks.
            let text = target["expr"].as_str().unwrap();
            let text = text
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h");
            queries.push(Query {
                place: format!("{DASHBOARD}: {title}"),
                text,
                used: captured(r"\{\{(\w+)\}\}", legend),
            });
        }
    }
    let alerts = yaml(ALERTS);
    for group in alerts["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let summary = rule["annotations"]["summary"].as_str().unwrap();
            queries.push(Query {
                place: format!("{ALERTS}: {}", rule["alert"]),
                text: rule["expr"].as_str().unwrap().to_owned(),
                used: captured(r"\$labels\.(\w+)", summary),
            });
        }
    }
    queries
}

/// Looks at every part of a query.
struct Judge<'a> {
    known: &'a BTreeMap<String, Known>,
    /// Words in backquotes of the pages that name labels' values.
    values: BTreeSet<String>,
    jobs: BTreeSet<String>,
    /// Metrics that were met.
    met: BTreeSet<String>,
    /// Labels that a selected series has.
    labels: BTreeSet<String>,
    /// Labels that an aggregation keeps.
    kept: Option<BTreeSet<String>>,
}

impl Judge<'_> {
    /// The metric of a series, which a histogram has three of.
    fn metric(&self, selector: &VectorSelector) -> Result<(String, &Known, bool), String> {
        let series = selector.name.clone().ok_or("a selector has no name")?;
        if let Some(known) = self
            .known
            .get(&series)
            .filter(|one| one.kind != "histogram")
        {
            return Ok((series, known, false));
        }
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| series.strip_suffix(part));
        let found = base.and_then(|base| Some((base, self.known.get(base)?)));
        match found.filter(|(_, known)| known.kind == "histogram") {
            Some((base, known)) => Ok((base.to_owned(), known, series.ends_with("_bucket"))),
            None => Err(format!("there is no series {series}")),
        }
    }

    fn selector(&mut self, selector: &VectorSelector) -> Result<(), String> {
        let (metric, known, is_bucket) = self.metric(selector)?;
        let mut labels: BTreeSet<String> = known.labels.iter().cloned().collect();
        labels.extend(ADDED.map(str::to_owned));
        if is_bucket {
            labels.insert("le".to_owned());
        }
        for matcher in &selector.matchers.matchers {
            if !labels.contains(&matcher.name) {
                return Err(format!("{metric} has no label {}", matcher.name));
            }
            for value in matcher
                .value
                .split('|')
                .filter(|value| !value.starts_with('$'))
            {
                let is_known = match &*matcher.name {
                    "job" => self.jobs.contains(value),
                    _ => self.values.contains(value),
                };
                if !is_known {
                    return Err(format!(
                        "{metric}: no page has {}=\"{value}\"",
                        matcher.name
                    ));
                }
            }
        }
        self.met.insert(metric);
        self.labels.extend(labels);
        Ok(())
    }
}

impl ExprVisitor for Judge<'_> {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector)?,
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs)?,
            Expr::Call(call) if ["rate", "increase"].contains(&call.func.name) => {
                for argument in &call.args.args {
                    if let Expr::MatrixSelector(matrix) = &**argument {
                        let (metric, known, _) = self.metric(&matrix.vs)?;
                        if known.kind == "gauge" {
                            return Err(format!("{metric} is a gauge and has no rate"));
                        }
                    }
                }
            }
            Expr::Aggregate(aggregate) => {
                let kept = match &aggregate.modifier {
                    Some(LabelModifier::Include(labels)) => labels.labels.clone(),
                    Some(LabelModifier::Exclude(_)) => return Err("without: say by".to_owned()),
                    None => Vec::new(),
                };
                self.kept.get_or_insert_default().extend(kept);
            }
            Expr::Call(_)
            | Expr::Unary(_)
            | Expr::Binary(_)
            | Expr::Paren(_)
            | Expr::Subquery(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::Extension(_) => {}
        }
        Ok(true)
    }
}

/// What is wrong with a query, else the metrics that it asks for.
fn judge(query: &Query, known: &BTreeMap<String, Known>) -> Result<BTreeSet<String>, String> {
    let pages = text("docs/metrics.md") + &text("docs/reference.md");
    let jobs = yaml("deploy/prometheus/prometheus.yml")["scrape_configs"].clone();
    let jobs = jobs.as_array().into_iter().flatten();
    let mut judge = Judge {
        known,
        values: captured(r"`([a-z0-9_]+)`", &pages),
        jobs: jobs
            .map(|job| job["job_name"].as_str().unwrap().to_owned())
            .collect(),
        met: BTreeSet::new(),
        labels: BTreeSet::new(),
        kept: None,
    };
    let parsed = parser::parse(&query.text)?;
    walk_expr(&mut judge, &parsed)?;
    let kept = judge.kept.as_ref();
    let missing = kept.and_then(|kept| kept.difference(&judge.labels).next());
    if let Some(label) = missing {
        return Err(format!(
            "nothing has the label {label} that it is grouped by"
        ));
    }
    let left = kept.unwrap_or(&judge.labels);
    match query.used.difference(left).next() {
        Some(label) => Err(format!(
            "its text uses the label {label}, which is not left"
        )),
        None => Ok(judge.met),
    }
}

#[test]
fn queries_ask_for_what_there_is_and_leave_out_nothing() {
    let known = known();
    let mut met = BTreeSet::new();
    for query in queries() {
        match judge(&query, &known) {
            Ok(metrics) if query.place.starts_with(DASHBOARD) => met.extend(metrics),
            Ok(_) => {}
            Err(error) => panic!("{}: {error}\n{}", query.place, query.text),
        }
    }
    let unseen: Vec<_> = documented_metrics()
        .into_keys()
        .filter(|metric| !met.contains(metric))
        .collect();
    assert!(unseen.is_empty(), "not on the dashboard: {unseen:?}");
}

#[test]
fn wrong_queries_are_noticed() {
    let known = known();
    let check = |text: &str, used: &[&str], expected: &str| {
        let query = Query {
            place: String::new(),
            text: text.to_owned(),
            used: used.iter().map(|&label| label.to_owned()).collect(),
        };
        let error = judge(&query, &known).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("sum(", &[], "");
    check("sum(hooktide_no_such)", &[], "no series hooktide_no_such");
    check("hooktide_attempt_duration_seconds", &[], "no series");
    check(
        r#"hooktide_deliveries_total{tier="5s"}"#,
        &[],
        "no label tier",
    );
    check(
        r#"hooktide_deliveries_total{outcome="lost"}"#,
        &[],
        "no page has",
    );
    check("rate(hooktide_in_flight_requests[1m])", &[], "is a gauge");
    check(
        "sum by (tier) (rate(hooktide_deliveries_total[1m]))",
        &[],
        "grouped by",
    );
    check(
        "sum(hooktide_in_flight_requests)",
        &["instance"],
        "not left",
    );
    check(r#"up{job="other"}"#, &[], "no page has job");
}

#[test]
fn panels_are_told_apart_and_explained() {
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: its id is another's"
        );
        let position = &panel["gridPos"];
        let number = |member: &str| position[member].as_u64().unwrap();
        for x in number("x")..number("x") + number("w") {
            assert!(x < 24, "{title} is cut off");
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "{title} covers another");
            }
        }
        if panel["type"] != "row" {
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{title}: {description:?}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn alerts_lead_to_a_page_that_says_what_to_do() {
    let mut told = BTreeSet::new();
    for file in files("deploy/prometheus", ".yml") {
        for group in yaml(&file)["groups"].as_array().into_iter().flatten() {
            for rule in group["rules"].as_array().unwrap() {
                let url = rule["annotations"]["runbook_url"].as_str().unwrap();
                let (page, anchor) = url.split_once('#').unwrap();
                assert!(path(page).is_file(), "{url}");
                assert!(anchors(&text(page)).contains(anchor), "{url}");
                told.insert(anchor.to_owned());
            }
        }
    }
    let page = text("docs/operations.md");
    let (_, runbook) = page.split_once("## What to do when\n").unwrap();
    assert_eq!(anchors(runbook), told, "entries of the page, alerts");
}
