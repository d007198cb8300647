//! SIGTERM and SIGINT: the first asks to drain, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for signals for the rest of the process's life and returns the token that the first one
/// cancels; pass children of it along. The second ends the process with code 1: whatever was not
/// committed is done again by whoever takes over. Must be called inside of a tokio runtime.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "draining; a second signal ends at once");
        stop.cancel();
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "ending at once");
        // Not through main: what hangs may be the very thing that the signal is about.
        std::process::exit(1);
    });
    Ok(token)
}

/// Cancels `stop` when stdin ends, for a process whose parent holds the other end: however the parent
/// ends, this one is told.
pub fn on_end_of_stdin(stop: CancellationToken) -> io::Result<()> {
    let read = move || {
        // An error is an end too.
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        stop.cancel();
    };
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(read)
        .map(drop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
