//! How a process begins and ends, and what it refuses.

use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka: nothing,
}
async fn nothing(_bed: Bed) -> Outcome {
    Ok(())
}
