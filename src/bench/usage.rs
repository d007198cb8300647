//! What processes have used, as Linux counts it. Elsewhere it is not known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// CPU time and memory of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usage {
    /// User and system time of all their threads.
    pub(super) cpu: Duration,
    /// The most memory that was ever resident, in bytes.
    pub(super) peak_memory: u64,
    /// The memory that is resident now, in bytes.
    pub(super) memory: u64,
}

impl Usage {
    /// Of all of them together; none if one cannot be asked.
    pub(super) fn of_all(pids: &[u32]) -> Option<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(*pid)?;
            Some(Self {
                cpu: sum.cpu + one.cpu,
                peak_memory: sum.peak_memory + one.peak_memory,
                memory: sum.memory + one.memory,
            })
        })
    }

    /// Of one process.
    #[cfg(target_os = "linux")]
    pub(super) fn of(pid: u32) -> Option<Self> {
        let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        let status = process.status().ok()?;
        Some(Self {
            cpu: Duration::from_secs_f64(ticks),
            peak_memory: status.vmhwm.unwrap_or_default() * 1_024,
            memory: status.vmrss.unwrap_or_default() * 1_024,
        })
    }

    /// Of one process.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: u32) -> Option<Self> {
        None
    }
}

/// The CPU time between two looks.
pub(super) fn cpu_between(before: Option<Usage>, after: Option<Usage>) -> Option<Duration> {
    Some(after?.cpu.saturating_sub(before?.cpu))
}

/// The process that listens on the first of these servers' ports, if it runs on this machine.
#[cfg(target_os = "linux")]
pub(super) fn listening_on(bootstrap_servers: &str) -> Option<u32> {
    use procfs::net::{TcpState, tcp, tcp6};
    use procfs::process::{FDTarget, all_processes};

    let first = bootstrap_servers.split(',').next()?;
    let (host, port) = first.trim().rsplit_once(':')?;
    if !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return None;
    }
    let port: u16 = port.parse().ok()?;
    let sockets = tcp()
        .into_iter()
        .flatten()
        .chain(tcp6().into_iter().flatten());
    let inode = sockets
        .filter(|one| one.state == TcpState::Listen && one.local_address.port() == port)
        .map(|one| one.inode)
        .next()?;
    let has_it = |process: &procfs::process::Process| {
        let descriptors = process.fd().into_iter().flatten().flatten();
        descriptors
            .into_iter()
            .any(|one| matches!(one.target, FDTarget::Socket(found) if found == inode))
    };
    let process = all_processes().ok()?.flatten().find(has_it)?;
    u32::try_from(process.pid()).ok()
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn listening_on(_: &str) -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_port_and_has_used_something() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = format!("{},b:9092", listener.local_addr().unwrap());
        assert_eq!(listening_on(&servers), Some(std::process::id()));
        let usage = Usage::of_all(&[std::process::id()]).unwrap();
        assert!(usage.memory > 1 << 20, "{usage:?}");
        assert!(usage.peak_memory >= usage.memory, "{usage:?}");
        assert_eq!(listening_on("192.0.2.1:9092"), None);
        assert_eq!(Usage::of_all(&[std::process::id(), u32::MAX]), None);
    }
}
