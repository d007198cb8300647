//! The headers of a task: a line for each, `name=value`, or a name alone for null. What is read is written and read the
//! same, and what is not ours passes through.
#![no_main]

use hooktide::record::TaskHeaders;
use hooktide_fuzz::headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let given = headers(input);
    let Ok(task) = TaskHeaders::decode(&given) else {
        return;
    };
    let foreign = |(name, _): &(&str, Option<&[u8]>)| !name.starts_with("hooktide-");
    let written = task.encode();
    assert!(
        given
            .iter()
            .filter(foreign)
            .eq(written.iter().filter(foreign))
    );
    let again = TaskHeaders::decode(&written);
    assert_eq!(again.as_ref(), Ok(&task));
    assert_eq!(task.encode(), written);
});
