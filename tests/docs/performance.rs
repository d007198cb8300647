//! The page on performance: what the suite of benches/ makes of runs, and that the page has a place for it.

#[path = "../../benches/suite/chart.rs"]
#[allow(unreachable_pub, reason = "a program's own")]
mod chart;
#[path = "../../benches/suite/kept.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program's own")]
mod kept;
#[path = "../../benches/suite/marked.rs"]
#[allow(unreachable_pub, reason = "a program's own")]
pub(crate) mod marked;
#[path = "../../benches/suite/page.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program's own")]
mod page;
#[path = "../../benches/suite/scenario.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program's own")]
mod scenario;
#[path = "../../benches/suite/tables.rs"]
#[allow(unreachable_pub, reason = "a program's own")]
mod tables;
#[path = "../../benches/suite/target.rs"]
#[allow(unreachable_pub, reason = "a program's own")]
mod target;

use std::collections::BTreeSet;

use clap::Parser;
use hooktide::bench::Plan;
use hooktide::bench::plan::Wish;
use serde_json::{Value, json};

use crate::package::{path, text};
use kept::Kept;
use scenario::Scenario;
use target::Verdict;

/// Arguments of `hooktide bench`.
#[derive(Parser)]
struct Bench {
    #[command(flatten)]
    wish: Wish,
}

/// Lines as they are kept.
fn kept(reports: &[(&str, Value)]) -> Kept {
    let lines = reports.iter().map(|(scenario, report)| {
        let machine = json!({"CPU": "2 × abacus"});
        let at = "2026-11-29T10:00:00Z";
        json!({"scenario": scenario, "at": at, "machine": machine, "report": report}).to_string()
    });
    Kept::read(&lines.collect::<Vec<_>>().join("\n"))
}

fn speed(per_second: f64) -> Value {
    json!({"hooktide": {"per_second": per_second}})
}

#[test]
fn targets_are_met_or_missed_by_the_newest_figure() {
    fn check(reports: &[(&str, Value)], what: &str, expected: Verdict) {
        let kept = kept(reports);
        let all = target::all();
        let target = all.iter().find(|it| it.what == what).unwrap();
        assert_eq!(target.verdict(&kept), expected, "{what}: {reports:?}");
    }
    let one_to_one = |it: f64| ("one-to-one", speed(it));
    check(&[], "one to one", Verdict::Unknown);
    check(&[one_to_one(19_999.0)], "one to one", Verdict::Missed);
    check(&[one_to_one(20_000.0)], "one to one", Verdict::Met);
    check(&[one_to_one(28_000.0)], "one to one", Verdict::Stretch);
    let again = [one_to_one(28_000.0), one_to_one(5.0)];
    check(&again, "one to one", Verdict::Missed);
    let peers = [
        one_to_one(20_000.0),
        ("go-64", speed(10_000.0)),
        ("go-256", speed(40_000.0)),
    ];
    check(&peers, "one to one ÷ Go loop", Verdict::Met);
    check(
        &peers,
        "one to one ÷ Parallel Consumer, Vert.x",
        Verdict::Unknown,
    );
    let idle = |bytes: f64| ("idle", json!({"idle": {"memory_bytes": bytes}}));
    check(&[idle(30e6)], "memory, idle", Verdict::Stretch);
    check(&[idle(50e6)], "memory, idle", Verdict::Met);
    check(&[idle(51e6)], "memory, idle", Verdict::Missed);
}

#[test]
fn numbers_are_written_for_people() {
    fn check(number: Option<f64>, decimals: usize, expected: &str) {
        assert_eq!(tables::fixed(number, decimals), expected);
    }
    check(None, 1, "–");
    check(Some(f64::NAN), 1, "–");
    check(Some(0.0), 0, "0");
    check(Some(999.5), 0, "1,000");
    check(Some(1_234_567.891), 2, "1,234,567.89");
    check(Some(-123.0), 0, "-123");
    check(Some(-1_234.0), 1, "-1,234.0");
}

#[test]
fn a_page_says_what_is_kept_and_keeps_what_is_written_by_hand() {
    let report = json!({
        "hooktide": {"per_second": 21_234.5, "cpu_s_per_1000": 0.05, "peak_memory_bytes": 123_000_000},
        "bare_loop": {"per_second": 60_000.0, "cpu_s_per_1000": 0.02},
        "broker_cpu_s_per_1000": 0.011,
    });
    let part = page::part(&kept(&[("one-to-one", report)]));
    let row = "| one to one | 21,234 | 60,000 | 50 | 11 | 20 | 2.50 | 123 |";
    assert!(part.contains(row), "{part}");
    assert!(
        part.contains("| one to one | 21,234/s | ≥ 20,000/s | ≥ 28,000/s | **met** |"),
        "{part}"
    );
    assert!(part.contains("2 × abacus"), "{part}");
    let [start, end] = page::MARKERS;
    let old = format!("by hand\n{start}\nold\n{end}\nby hand too\n");
    let new = page::with_part(&old, "new").unwrap();
    assert_eq!(
        new,
        format!("by hand\n{start}\n\nnew\n\n{end}\nby hand too\n")
    );
    assert_eq!(page::with_part("no markers", "new"), None);
}

#[test]
fn the_page_has_a_place_for_it_and_every_plot() {
    let page = text("docs/performance.md");
    assert!(page::with_part(&page, "").is_some());
    for (name, svg) in page::plots(&Kept::default()) {
        assert!(page.contains(&format!("(performance/{name})")), "{name}");
        assert!(path(&format!("docs/performance/{name}")).exists(), "{name}");
        is_well_formed(&svg);
    }
    for Scenario { title, .. } in scenario::all() {
        assert!(page.contains(title), "no {title}: write the page anew");
    }
}

/// Every element that begins ends, and no number is missing.
fn is_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name: String = tag.chars().take_while(|it| it.is_alphanumeric()).collect();
        match tag {
            closing if closing.starts_with('/') => {
                assert_eq!(open.pop().as_deref(), Some(&tag[1..]))
            }
            _ if tag.ends_with('/') => {}
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn scenarios_have_names_of_their_own_and_are_understood() {
    let all = scenario::all();
    let names: BTreeSet<_> = all.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), all.len());
    for Scenario { arguments, .. } in all {
        let words = ["bench"].into_iter().chain(arguments.split(' '));
        let Bench { wish } = Bench::try_parse_from(words).unwrap();
        Plan::try_new(wish).unwrap();
    }
}
