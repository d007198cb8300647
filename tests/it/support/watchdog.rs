//! Ends what a test run has started, however the run itself ends.
//!
//! A shell reads from a pipe whose other end this process holds. When that closes, be it because the
//! run is done or because it was killed with -9, the shell kills every process it was told of and
//! removes the run's folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Ignores the terminal's signals: it must outlive a Ctrl-C to clean up after it.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
pids= containers=
while read -r verb what; do
  case $verb in
    guard) pids="$pids $what" ;;
    release)
      left=
      for pid in $pids; do [ "$pid" = "$what" ] || left="$left $pid"; done
      pids=$left ;;
    container) containers="$containers $what" ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids
[ -z "$containers" ] || docker rm --force $containers
rm -rf -- "$1"
"#;

/// The argument that makes the test binary only rehearse being killed.
pub const REHEARSAL: &str = "--rehearse-being-killed";

struct Watchdog {
    shell: Mutex<Option<Child>>,
    folder: PathBuf,
}

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

/// The run's folder, which is removed at its end.
pub fn folder() -> &'static Path {
    &watchdog().folder
}

/// From now on the process does not outlive the run.
pub fn guard(pid: u32) {
    say("guard", &pid.to_string());
}

/// The process has ended and its id may be given to another.
pub fn release(pid: u32) {
    say("release", &pid.to_string());
}

/// From now on the Docker container does not outlive the run.
pub fn guard_container(name: &str) {
    say("container", name);
}

/// Has everything ended and the folder removed, and waits for that.
pub fn end() {
    let Some(watchdog) = WATCHDOG.get() else {
        return;
    };
    let mut shell = watchdog
        .shell
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(mut shell) = shell.take() {
        drop(shell.stdin.take());
        // It has nothing to answer: what it could not end, nobody can.
        drop(shell.wait());
    }
}

/// Starts a process that would never end, has it guarded, says its id and the run's folder on stdout
/// and waits to be killed.
#[expect(clippy::print_stdout, reason = "read by the test that started this")]
pub fn rehearse() -> std::io::Result<()> {
    let mut child = Command::new("tail").args(["-f", "/dev/null"]).spawn()?;
    guard(child.id());
    println!("{} {}", child.id(), folder().display());
    child.wait().map(drop)
}

fn watchdog() -> &'static Watchdog {
    WATCHDOG.get_or_init(|| {
        let folder = tempfile::Builder::new()
            .prefix("hooktide-it-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("`sh` can be started");
        Watchdog {
            shell: Mutex::new(Some(shell)),
            folder,
        }
    })
}

fn say(verb: &str, what: &str) {
    let mut shell = watchdog()
        .shell
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(pipe) = shell.as_mut().and_then(|shell| shell.stdin.as_mut()) {
        writeln!(pipe, "{verb} {what}").expect("the watchdog reads until this process ends");
    }
}
