//! A mapping (lines of `left=right`) and an event: what is made is always an object.
#![no_main]

use hooktide::record::json_text::{Kind, Node};
use hooktide_fuzz::Case;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, json};

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::of(input) else { return };
    let pairs = case.program.lines().filter_map(|line| line.split_once('='));
    let mapping: Map<_, _> = pairs
        .map(|(left, right)| (left.to_owned(), right.into()))
        .collect();
    let Some(made) = case.body(&json!({"mapping": mapping})) else {
        return;
    };
    let body = made.expect("a mapping cannot fail");
    let node = Node::parse(&body).expect("JSON");
    assert_eq!(node.kind(), Kind::Object);
});
