//! The programs that do the same work without Hooktide, as commands for `hooktide bench --instead`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Context;

use crate::java;
use crate::scenario::Subject;
use crate::support::broker::run;

/// The most memory of a Java peer.
const HEAP: &str = "-Xmx1g";

/// The command; none for hooktide itself. Builds what is not there yet.
pub fn command(subject: Subject) -> anyhow::Result<Option<String>> {
    let words = match subject {
        Subject::Hooktide => return Ok(None),
        Subject::Go(at_once) => go(at_once)?,
        Subject::Java(how, at_once) => java::command(how, at_once, HEAP)?,
        Subject::JavaByKey(how, at_once) => {
            let mut words = java::command(how, at_once, HEAP)?;
            words.push("key".into());
            words
        }
    };
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let words = words.context("a path that is no text")?;
    Ok(Some(shlex::try_join(words)?))
}

fn go(at_once: usize) -> anyhow::Result<Vec<OsString>> {
    let program = java::home()?.join("loop");
    // Go knows by itself whether there is anything to do.
    let mut build = Command::new("go");
    build
        .args(["build", "-C", java::SOURCES, "-o"])
        .arg(&program)
        .arg(".");
    run(&mut build).map_err(anyhow::Error::msg)?;
    Ok(vec![program.into(), at_once.to_string().into()])
}
