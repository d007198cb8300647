//! Filters of a subscription, and an event: whatever they are, `not` is the opposite, and white space in the
//! event makes no difference.
#![no_main]

use hooktide::record::json_text::{Document, minify};
use hooktide::router::filter::FilterSet;
use hooktide_fuzz::Case;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fn parse(text: String) -> Option<FilterSet> {
    FilterSet::parse(&RawValue::from_string(text).ok()?).ok()
}

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::of(input) else { return };
    let Some(filters) = parse(case.program.to_owned()) else {
        return;
    };
    let holds = filters.matches(&case.document);
    // One level deeper, which may be one too many.
    if let Some(opposite) = parse(format!(r#"[{{"not":{{"all":{}}}}}]"#, case.program)) {
        assert_ne!(opposite.matches(&case.document), holds);
    }
    let minified = minify(case.event);
    let minified = Document::parse_str(&minified).expect("the same without white space");
    assert_eq!(filters.matches(&minified), holds);
});
