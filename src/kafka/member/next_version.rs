//! Stands for the next version in tests of upgrades: in a debug build that is asked to by the environment,
//! commits and records carry what a later version might add. A release build has none of it.

/// What asks for it.
#[cfg(debug_assertions)]
const ASKED_BY: &str = "HOOKTIDE_TEST_NEXT_VERSION";

/// Whether this process stands for the next version.
#[cfg(debug_assertions)]
fn is_asked_for() -> bool {
    use std::sync::OnceLock;
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| std::env::var_os(ASKED_BY).is_some())
}

#[cfg(not(debug_assertions))]
fn is_asked_for() -> bool {
    false
}

/// What it adds to the metadata of commits, under a tag that this version does not know.
pub(super) fn additions() -> Vec<(u64, Vec<u8>)> {
    match is_asked_for() {
        true => vec![(1_000, b"of the next version".to_vec())],
        false => Vec::new(),
    }
}

/// A header that it adds to every record.
pub(super) fn header() -> Option<(&'static str, &'static [u8])> {
    is_asked_for().then_some(("hooktide-next", b"1"))
}
