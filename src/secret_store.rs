//! Secrets that subscriptions only refer to, read from the environment or from files that the
//! configuration allows.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::http::{ErrorClass, Failure};
use crate::record::Subscription;
use crate::record::subscription::SecretSource;
use crate::secret::Secret;

/// The longest text that is read for a secret, in bytes.
const LONGEST: u64 = 4 * 1024;
/// How long what was read is used before it is read again: a rotated file takes effect within this.
const FRESH: Duration = Duration::from_secs(60);

/// Reads references and remembers what it read for a while.
#[derive(Debug, Default)]
pub struct SecretStore {
    /// Names of variables, or prefixes of names that end in `*`.
    env: Vec<String>,
    /// Folders.
    dirs: Vec<PathBuf>,
    read: HashMap<String, (Timestamp, Secret)>,
}

/// A reference to what the configuration does not allow to be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAllowed {
    /// Another name than `subscriptions.secret_env` has.
    #[error("the environment variable `{0}` is not allowed by `subscriptions.secret_env`")]
    Env(String),
    /// Outside of all folders of `subscriptions.secret_dirs`.
    #[error("the file `{0}` is not in a folder of `subscriptions.secret_dirs`")]
    File(String),
}

/// Why a referenced secret cannot be used. Never says what is in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Unreadable {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error("the environment variable `{0}` is not set")]
    EnvMissing(String),
    #[error("the file `{0}` cannot be read")]
    FileMissing(String),
    #[error("`{0}` does not hold a secret of the form whsec_...")]
    NotASecret(String),
    #[error("no secret of the subscription is live any more")]
    NoneLive,
}

impl SecretStore {
    /// A store that reads no more than these names (a `*` ends a prefix) and folders.
    pub fn new(env: Vec<String>, dirs: Vec<PathBuf>) -> Self {
        Self {
            env,
            dirs,
            read: HashMap::new(),
        }
    }

    /// The keys that sign at `now`, newest first as the subscription has them; none for one whose
    /// requests are not signed.
    ///
    /// # Errors
    /// A failure of class `internal`, which charges no attempt: a reference that cannot be read, or
    /// no live secret at all.
    pub fn live(
        &mut self,
        subscription: &Subscription,
        now: Timestamp,
    ) -> Result<Vec<Secret>, Failure> {
        if subscription.signatures().is_empty() {
            return Ok(Vec::new());
        }
        let live = subscription
            .secrets()
            .iter()
            .filter(|secret| secret.is_live(now));
        let keys: Result<Vec<Secret>, Unreadable> =
            live.map(|secret| self.key(secret.source(), now)).collect();
        match keys {
            Ok(keys) if keys.is_empty() => Err(Unreadable::NoneLive),
            result => result,
        }
        .map_err(|error| Failure::new(ErrorClass::Internal, error.to_string()))
    }

    /// Whether the configuration allows a secret to be read from there; not whether it can be.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn check_allowed(&self, source: &SecretSource) -> Result<(), NotAllowed> {
        match source {
            SecretSource::Key(_) => Ok(()),
            SecretSource::Env(name) => {
                let mut env = self.env.iter();
                let is_allowed = env.any(|allowed| match allowed.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == allowed,
                });
                match is_allowed {
                    true => Ok(()),
                    false => Err(NotAllowed::Env(name.clone())),
                }
            }
            SecretSource::File(path) => {
                let wanted = Path::new(path);
                let is_plain = wanted.components().all(|part| part != Component::ParentDir);
                match is_plain && self.dirs.iter().any(|dir| wanted.starts_with(dir)) {
                    true => Ok(()),
                    false => Err(NotAllowed::File(path.clone())),
                }
            }
        }
    }

    fn key(&mut self, source: &SecretSource, now: Timestamp) -> Result<Secret, Unreadable> {
        let name = match source {
            SecretSource::Key(secret) => return Ok(secret.clone()),
            SecretSource::Env(name) | SecretSource::File(name) => name,
        };
        if let Some((at, secret)) = self.read.get(name)
            && now.since(*at) < FRESH
        {
            return Ok(secret.clone());
        }
        self.check_allowed(source)?;
        let text = match source {
            SecretSource::File(path) => self.read_file(path)?,
            SecretSource::Env(_) | SecretSource::Key(_) => {
                std::env::var(name).map_err(|_| Unreadable::EnvMissing(name.clone()))?
            }
        };
        let secret =
            Secret::parse(text.trim()).map_err(|_| Unreadable::NotASecret(name.clone()))?;
        self.read.insert(name.clone(), (now, secret.clone()));
        Ok(secret)
    }

    fn read_file(&self, path: &str) -> Result<String, Unreadable> {
        let wanted = Path::new(path);
        // A link inside may lead outside.
        let missing = || Unreadable::FileMissing(path.to_owned());
        let real = fs::canonicalize(wanted).map_err(|_| missing())?;
        let is_inside = self
            .dirs
            .iter()
            .filter_map(|dir| fs::canonicalize(dir).ok())
            .any(|dir| real.starts_with(dir));
        if !is_inside {
            return Err(NotAllowed::File(path.to_owned()).into());
        }
        let length = fs::metadata(&real).map_err(|_| missing())?.len();
        if length > LONGEST {
            return Err(Unreadable::NotASecret(path.to_owned()));
        }
        fs::read_to_string(&real).map_err(|_| missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn reads_only_files_in_allowed_folders_also_through_links() {
        let allowed = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        for dir in [&allowed, &outside] {
            fs::write(dir.path().join("key"), format!("{TEXT}\n")).unwrap();
        }
        let link = allowed.path().join("link");
        std::os::unix::fs::symlink(outside.path().join("key"), &link).unwrap();
        let mut store = SecretStore::new(vec![], vec![allowed.path().to_owned()]);
        let mut read = |path: PathBuf| {
            let source = SecretSource::File(path.to_str().unwrap().to_owned());
            store
                .key(&source, Timestamp::now())
                .map(|secret| secret.expose().to_vec())
        };
        assert_eq!(
            read(allowed.path().join("key")).unwrap(),
            Secret::parse(TEXT).unwrap().expose()
        );
        for refused in [
            outside.path().join("key"),
            allowed.path().join("../key"),
            link,
        ] {
            let error = read(refused.clone()).unwrap_err();
            assert_eq!(
                error,
                NotAllowed::File(refused.to_str().unwrap().to_owned()).into()
            );
        }
        assert!(matches!(
            read(allowed.path().join("none")),
            Err(Unreadable::FileMissing(_))
        ));
    }

    #[test]
    fn reads_only_allowed_variables() {
        let mut store = SecretStore::new(vec!["PAT*".into(), "HOOK".into()], vec![]);
        let mut error = |name: &str| {
            store
                .key(&SecretSource::Env(name.into()), Timestamp::now())
                .unwrap_err()
        };
        // `PATH` is set and no secret; its content is not in the error.
        assert_eq!(error("PATH"), Unreadable::NotASecret("PATH".into()));
        assert_eq!(error("HOOK"), Unreadable::EnvMissing("HOOK".into()));
        assert_eq!(error("HOME"), NotAllowed::Env("HOME".into()).into());
    }
}
