//! The `hooktide` command.

fn main() {}
