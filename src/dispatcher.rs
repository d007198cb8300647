//! Loop 2: takes delivery tasks that are due, sends them, and records what followed.
