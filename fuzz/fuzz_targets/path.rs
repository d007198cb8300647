//! A path and an event: a path has one text, and leads where a naive walk over the parsed event does.
#![no_main]

use hooktide::record::json_text::{Path, Step};
use hooktide_fuzz::Case;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn walk<'v>(value: &'v Value, steps: &[Step], found: &mut Vec<&'v Value>) {
    let Some((step, rest)) = steps.split_first() else {
        return found.push(value);
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => {
            if let Some(value) = members.get(&**name) {
                walk(value, rest, found);
            }
        }
        (Step::Each, Value::Array(elements)) => {
            for value in elements {
                walk(value, rest, found);
            }
        }
        (Step::Element(index), Value::Array(elements)) => {
            if let Some(value) = elements.get(*index as usize) {
                walk(value, rest, found);
            }
        }
        _ => {}
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::of(input) else { return };
    let Ok(path) = case.program.parse::<Path>() else {
        return;
    };
    assert_eq!(path.to_string(), case.program);
    let mut found = Vec::new();
    case.document.any(&path, |node| {
        found.push(node.text());
        false
    });
    if path.lists() == 0 {
        let first = case.document.get(&path).map(|node| node.text());
        assert_eq!(first.as_slice(), found);
    }
    // Half a surrogate pair and numbers beyond a double are not for that library.
    let Ok(value) = serde_json::from_str(case.event) else {
        return;
    };
    let mut expected = Vec::new();
    walk(&value, path.steps(), &mut expected);
    let found: Vec<Value> = found
        .into_iter()
        .map(|text| serde_json::from_str(text).expect("a part of what was read"))
        .collect();
    assert!(found.iter().eq(expected));
});
