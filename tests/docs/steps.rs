//! Instructions of the hot steps: how a count is judged, and that the page has what is kept of them.

#[path = "../../benches/steps/baseline.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program's own")]
mod baseline;

use crate::package::text;
use crate::performance::marked::with_part;
use baseline::{Baseline, Count, Verdict};

const PAGE: &str = "docs/performance.md";

fn count(step: &str, instructions: u64) -> Count {
    let step = step.to_owned();
    Count { step, instructions }
}

#[test]
fn a_count_is_judged_by_what_it_was() {
    fn check(was: Option<u64>, is: u64, expected: Verdict, shown: &str) {
        let counts = was.map(|was| count("signing v1", was)).into_iter();
        let baseline = Baseline {
            made_by: String::new(),
            counts: counts.collect(),
        };
        let verdict = baseline.verdict(&count("signing v1", is));
        assert_eq!(verdict, expected, "{was:?} {is}");
        assert_eq!(verdict.to_string(), shown);
    }
    check(None, 7, Verdict::New, "no baseline");
    check(Some(8_000), 8_000, Verdict::Same(0.0), "+0.0 %");
    check(Some(8_000), 8_500, Verdict::Same(6.25), "+6.2 %");
    check(Some(8_000), 7_500, Verdict::Same(-6.25), "-6.2 %");
    let slower = Verdict::Slower(12.5, 8_000);
    check(Some(8_000), 9_000, slower, "12.5 % more than 8,000");
    let faster = Verdict::Faster(12.5, 8_000);
    check(Some(8_000), 7_000, faster, "12.5 % less than 8,000");
    check(Some(0), 1, Verdict::Same(0.0), "+0.0 %");
}

#[test]
fn what_is_measured_takes_the_place_of_what_was_kept() {
    let kept = Baseline {
        made_by: "rustc 1".to_owned(),
        counts: vec![count("a of_1", 1), count("b 2", 1_234_567)],
    };
    assert_eq!(Baseline::read(&kept.text()), Ok(kept.clone()));
    assert!(Baseline::read("# by rustc\na of_1\t1\nb 2 2\n").is_err());
    let measured = [count("b 2", 2), count("c 3", 3)];
    assert_eq!(kept.missing(&measured).collect::<Vec<_>>(), ["a of_1"]);
    let table = "| step | instructions |\n|---|---:|\n| `a` of 1 | 1 |\n| `b` 2 | 1,234,567 |\n";
    assert_eq!(kept.table(), table);
    let with = kept.with(measured.to_vec());
    let [a, b, c] = [count("a of_1", 1), count("b 2", 2), count("c 3", 3)];
    assert_eq!(with.counts, [a, b, c]);
}

#[test]
fn the_page_has_what_is_kept() {
    let kept = Baseline::read(&text("benches/steps/baseline.tsv")).unwrap();
    assert!(!kept.made_by.is_empty() && !kept.counts.is_empty());
    let page = text(PAGE);
    let with = with_part(&page, baseline::MARKERS, &kept.table()).unwrap();
    assert!(
        with == page,
        "{PAGE} is stale: HOOKTIDE_BLESS=1 cargo bench --bench steps"
    );
}
