//! A template and an event: what is made is bounded, the same each time, and JSON where it should be.
#![no_main]

use hooktide::record::json_text::Node;
use hooktide_fuzz::Case;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// 64 bytes for each unit of `router.template_fuel`, and one piece that is counted after it is written: an
/// event's longest text, escaped.
const LONGEST: usize = 200_000 * 64;

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::of(input) else { return };
    for content_type in [
        "application/json",
        "text/html",
        "application/x-www-form-urlencoded",
    ] {
        let members = json!({"body": {"template": case.program}, "content_type": content_type});
        let Some(made) = case.body(&members) else {
            continue;
        };
        if let Ok(body) = &made {
            assert!(body.len() <= LONGEST + 6 * input.len(), "{}", body.len());
            if content_type == "application/json" {
                assert!(Node::parse(body).is_ok(), "{body:?}");
            }
        }
        assert_eq!(case.body(&members), Some(made));
    }
});
