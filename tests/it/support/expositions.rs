//! Reads Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

/// The series of one scrape by their full names (`hooktide_events_total{result="routed"}`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses `/metrics`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        samples
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').context("a sample has a value")?;
                Ok((series.to_owned(), value.parse()?))
            })
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// The sum over all series of this metric that have all these labels; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            // A comma before each label: `le` is not the end of `role`.
            let rest = format!(",{rest}");
            let has =
                |(label, value): &(&str, &str)| rest.contains(&format!(",{label}=\"{value}\""));
            found == name && labels.iter().all(has)
        };
        let of_name = self.0.iter().filter(|(series, _)| matches(series));
        of_name.map(|(_, value)| value).sum()
    }

    /// The names of the labels that series of this metric have.
    pub fn labels(&self, name: &str) -> BTreeSet<String> {
        let of_name = self.0.keys().filter_map(|series| {
            let (found, rest) = series.split_once('{')?;
            (found == name).then(|| rest.trim_end_matches('}'))
        });
        of_name
            .flat_map(|labels| labels.split("\","))
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .collect()
    }

    /// Whether there is any series of this metric.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .keys()
            .any(|series| series.split('{').next() == Some(name))
    }
}
