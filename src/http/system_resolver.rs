//! Names by the system's resolver, which knows hosts files, search lists and whatever else an
//! operator has set up. Asked without the standard library, because that keeps the code to itself
//! which tells a name that does not exist from a resolver that does not answer.

use std::io;
use std::net::IpAddr;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use thiserror::Error;

/// Why the system gave no address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum LookupError {
    /// The name does not exist, or has no address: whoever owns it must see to that.
    #[error("no such name")]
    NoSuchName,
    /// Nobody could say. The resolver is away, or it could not reach the name's own servers; from
    /// here the two look the same.
    #[error("the resolver does not answer: {0}")]
    Failed(String),
    /// This process has no file or memory left to ask with.
    #[error("nothing left to ask the resolver with: {0}")]
    Exhausted(String),
}

/// Looks a name up. Holds a thread while it waits.
pub(super) async fn look_up(name: String) -> Result<Vec<IpAddr>, LookupError> {
    let asked = tokio::task::spawn_blocking(move || ask(&name)).await;
    asked.unwrap_or_else(|error| Err(LookupError::Failed(error.to_string())))
}

fn ask(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let hints = AddrInfoHints {
        socktype: SockType::Stream.into(), // or every address comes once for each kind
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|error| {
        let kind = error.kind();
        judge(kind, &io::Error::from(error))
    })?;
    // Of what cannot be read (a family that is not IP) nothing can be dialled.
    Ok(found.flatten().map(|info| info.sockaddr.ip()).collect())
}

fn judge(kind: LookupErrorKind, error: &io::Error) -> LookupError {
    match kind {
        LookupErrorKind::NoName | LookupErrorKind::NoData => LookupError::NoSuchName,
        LookupErrorKind::Memory => LookupError::Exhausted(error.to_string()),
        LookupErrorKind::System | LookupErrorKind::IO if super::failure::is_exhausted(error) => {
            LookupError::Exhausted(error.to_string())
        }
        // A name that cannot be put into a question.
        LookupErrorKind::IO if error.kind() == io::ErrorKind::InvalidInput => {
            LookupError::NoSuchName
        }
        LookupErrorKind::Again
        | LookupErrorKind::Fail
        | LookupErrorKind::Badflags
        | LookupErrorKind::Family
        | LookupErrorKind::Socktype
        | LookupErrorKind::Service
        | LookupErrorKind::System
        | LookupErrorKind::Unknown
        | LookupErrorKind::IO => LookupError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_resolver_that_does_not_answer() {
        fn check(kind: LookupErrorKind, os_error: i32, expected: &str) {
            let found = judge(kind, &io::Error::from_raw_os_error(os_error));
            let found = match found {
                LookupError::NoSuchName => "no such name",
                LookupError::Failed(_) => "failed",
                LookupError::Exhausted(_) => "exhausted",
            };
            assert_eq!(found, expected, "{kind:?} {os_error}");
        }
        const NO_ENTRY: i32 = 2;
        const TOO_MANY_FILES: i32 = 24;
        check(LookupErrorKind::NoName, NO_ENTRY, "no such name");
        check(LookupErrorKind::NoData, NO_ENTRY, "no such name");
        check(LookupErrorKind::Again, NO_ENTRY, "failed");
        check(LookupErrorKind::Fail, NO_ENTRY, "failed");
        check(LookupErrorKind::System, NO_ENTRY, "failed");
        check(LookupErrorKind::System, TOO_MANY_FILES, "exhausted");
        check(LookupErrorKind::Memory, NO_ENTRY, "exhausted");
        check(LookupErrorKind::Unknown, NO_ENTRY, "failed");
    }

    #[tokio::test]
    async fn the_hosts_file_is_heard_and_odd_names_have_no_address() {
        assert!(
            look_up("localhost".to_owned())
                .await
                .unwrap()
                .iter()
                .all(IpAddr::is_loopback)
        );
        let odd = look_up("a\0b".to_owned()).await;
        assert_eq!(odd, Err(LookupError::NoSuchName));
    }
}
