//! Ports for processes that must be told one, chosen so that nobody else of this machine takes them
//! between the choice and the use.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which Linux takes the ports of outgoing connections (32768).
const FIRST: u32 = 15_000;
const COUNT: u32 = 16_000;

/// A port on 127.0.0.1 that nobody listens on; each call of a run gives another one.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Runs side by side start in different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}
