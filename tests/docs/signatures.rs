//! The tables of the page on signatures: presets are what the page says, and its objects can be had.

use std::collections::BTreeSet;

use hooktide::record::subscription::SignatureScheme;

use crate::reference::{names, rows};
use crate::sources::text_arms;

pub(crate) const PAGE: &str = "docs/signatures.md";

/// What stands in backquotes, and nothing else.
fn code(cell: &str) -> Option<&str> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains('`')).then_some(inner)
}

/// A row of a table whose second column is an object.
pub(crate) fn scheme(section: &str, name: &str) -> SignatureScheme {
    let rows = rows(PAGE, section);
    let row = rows.iter().find(|row| code(&row[0]) == Some(name)).unwrap();
    SignatureScheme::parse(code(&row[1]).unwrap()).unwrap()
}

#[test]
fn presets_are_what_the_page_says() {
    let mut told = BTreeSet::new();
    for row in rows(PAGE, "Presets") {
        let name = code(&row[0]).unwrap().to_owned();
        let preset = SignatureScheme::preset(&name).unwrap();
        match code(&row[1]) {
            Some(object) => {
                let mut expected = (*preset).clone();
                expected.preset = None;
                let written = SignatureScheme::parse(object).unwrap();
                assert_eq!(*written, expected, "{name}");
            }
            None => assert!(preset.header.as_str().starts_with("webhook-"), "{name}"),
        }
        told.insert(name);
    }
    assert_eq!(told, names("Signatures"));
}

#[test]
fn every_object_on_the_page_can_be_had() {
    let receivers = rows(PAGE, "Objects");
    assert!(receivers.len() >= 5);
    for row in receivers {
        let (name, object) = (code(&row[0]).unwrap(), code(&row[1]).unwrap());
        let read = SignatureScheme::parse(object);
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}

#[test]
fn what_verify_finds_wrong_is_told() {
    let told: BTreeSet<_> = rows(PAGE, "When it does not hold")
        .iter()
        .map(|row| code(&row[0]).unwrap().to_owned())
        .collect();
    let found = text_arms("src/cli/verify/check.rs", "impl Problem", "fn name");
    assert_eq!(told, found);
}
