//! The `hooktide` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hooktide::cli::main()
}
