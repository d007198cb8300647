//! An expression of `where`, and an event: it is refused, or holds, or does not, or cannot be told, the same
//! each time.
#![no_main]

use std::sync::Once;

use hooktide::router::filter::{EventValue, Expression};
use hooktide_fuzz::Case;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    static QUIET: Once = Once::new();
    // A panic of the library is caught where expressions are evaluated, and is a failure to tell; the
    // fuzzer's own hook would end the process before. What is not caught still ends it.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some(case) = Case::of(input) else { return };
    let Ok(expression) = Expression::compile(case.program) else {
        return;
    };
    let event = EventValue::of(&case.facts());
    assert_eq!(expression.holds(&event), expression.holds(&event));
});
