//! What an evaluation does, counted. The library has no bound of its own; so each turn of `all`, `exists`,
//! `exists_one` and `filter` asks here whether it may be made, and comparing lists and objects counts too.
//!
//! The count is the thread's: an evaluation is made in one go.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};
use regex::{Regex, RegexBuilder};

/// How much one evaluation may do: turns, if the event holds no long texts.
pub(super) const MOST_WORK: u64 = 50_000;
/// Asks whether a turn may be made. No expression can say this name.
pub(super) const TURN: &str = "@turn";
/// `matches`, with a pattern that was compiled before.
pub(super) const MATCHES: &str = "@matches";
/// How large a compiled pattern may be, in bytes.
const LARGEST_PATTERN: usize = 256 * 1_024;
/// How many patterns a thread keeps.
const MOST_PATTERNS: usize = 1_000;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static TURN_COST: Cell<u64> = const { Cell::new(1) };
    static PATTERNS: RefCell<HashMap<Box<str>, Regex>> = RefCell::default();
}

/// Begins an evaluation whose turns cost so much each.
pub(super) fn start(turn_cost: u64) {
    LEFT.set(MOST_WORK);
    TURN_COST.set(turn_cost);
}

/// Counts work; false once there was too much. From then on it is always too much.
pub(super) fn charge(work: u64) -> bool {
    let left = LEFT.get().saturating_sub(work);
    LEFT.set(left);
    left > 0
}

/// Whether it was too much.
pub(super) fn is_used_up() -> bool {
    LEFT.get() == 0
}

/// A pattern, in linear time by construction.
pub(super) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build()
}

pub(super) fn declare(environment: &mut Env) -> Result<(), DeclarationError> {
    environment.add_overload(TURN, "turn", Vec::new(), turn)?;
    let texts = vec![STRING_TYPE, STRING_TYPE];
    environment.add_overload(MATCHES, "matches_known", texts, matches)
}

fn turn<'b, 'v>(_: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(CowVal::owned(CelBool::from(charge(TURN_COST.get()))))
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| {
        let argument = arguments.get(at);
        argument.and_then(|argument| argument.downcast_ref::<CelString<'_>>())
    };
    let (Some(text), Some(wanted)) = (text(0), text(1)) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (text, wanted) = (text.inner(), wanted.inner());
    charge(text.len() as u64 / 256);
    PATTERNS.with_borrow_mut(|known| {
        if !known.contains_key(wanted) {
            let compiled = pattern(wanted)
                .map_err(|error| ExecutionError::function_error("matches", error))?;
            if known.len() == MOST_PATTERNS {
                known.clear();
            }
            known.insert(wanted.into(), compiled);
        }
        let found = known.get(wanted).is_some_and(|known| known.is_match(text));
        Ok(CowVal::owned(CelBool::from(found)))
    })
}
