//! Secrets that subscriptions only refer to, read from the environment or from files that the
//! configuration allows.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::http::{ErrorClass, Failure};
use crate::record::Subscription;
use crate::record::subscription::{SecretSource, SignatureScheme, SigningSecret};
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
    #[error("`{0}` does not hold a secret for any signature of the subscription")]
    NotASecret(String),
    #[error("no secret of the subscription is live any more")]
    NoneLive,
    #[error("no live secret of the subscription is one for its signature `{0}`")]
    NoneFor(String),
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

    /// The secrets that sign at `now`, newest first as the subscription has them; none for one whose
    /// requests are not signed.
    ///
    /// # Errors
    /// A failure of class `internal`, which charges no attempt: a reference that cannot be read or is of
    /// no use, or a signature without a live secret.
    pub fn live(
        &mut self,
        subscription: &Subscription,
        now: Timestamp,
    ) -> Result<Vec<Secret>, Failure> {
        let secrets = self.live_for(subscription, now);
        secrets.map_err(|error| Failure::new(ErrorClass::Internal, error.to_string()))
    }

    fn live_for(
        &mut self,
        subscription: &Subscription,
        now: Timestamp,
    ) -> Result<Vec<Secret>, Unreadable> {
        let schemes = subscription.signatures();
        if schemes.is_empty() {
            return Ok(Vec::new());
        }
        let mut live = Vec::with_capacity(subscription.secrets().len());
        let secrets = subscription.secrets().iter();
        for source in secrets
            .filter(|secret| secret.is_live(now))
            .map(SigningSecret::source)
        {
            let secret = self.secret(source, now)?;
            let is_of_use = schemes.iter().any(|scheme| secret.key(scheme.key).is_ok());
            match source {
                SecretSource::Env(name) | SecretSource::File(name) if !is_of_use => {
                    return Err(Unreadable::NotASecret(name.clone()));
                }
                SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Key(_) => {
                    live.push(secret);
                }
            }
        }
        if live.is_empty() {
            return Err(Unreadable::NoneLive);
        }
        let has_none =
            |scheme: &&SignatureScheme| live.iter().all(|secret| secret.key(scheme.key).is_err());
        match schemes.iter().find(has_none) {
            Some(scheme) => Err(Unreadable::NoneFor(scheme.to_string())),
            None => Ok(live),
        }
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

    fn secret(&mut self, source: &SecretSource, now: Timestamp) -> Result<Secret, Unreadable> {
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
    use crate::record::subscription::Rules;
    use crate::secret::{Key, KeyForm};

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
            let secret = store.secret(&source, Timestamp::now())?;
            Ok(secret.key(KeyForm::Text).map(|key| match key {
                Key::Shared(bytes) => *bytes == *TEXT.as_bytes(),
                Key::Pair(_) => false,
            }))
        };
        assert_eq!(read(allowed.path().join("key")), Ok(Ok(true)));
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

    /// A subscription with these members, beside an URL and events.
    fn subscription(members: &str) -> Subscription {
        let value = format!(r#"{{"url":"https://a.example","events":["*"],{members}}}"#);
        let key = "acme/shop".parse().unwrap();
        Subscription::parse(&key, value.as_bytes(), &Rules::default()).unwrap()
    }

    #[test]
    fn reads_only_allowed_variables() {
        let mut store = SecretStore::new(vec!["PAT*".into(), "HOOK".into()], vec![]);
        let mut error = |name: &str| {
            let subscription = subscription(&format!(r#""secrets":[{{"env":"{name}"}}]"#));
            store.live_for(&subscription, Timestamp::now()).unwrap_err()
        };
        // `PATH` is set and no secret; its content is not in the error.
        assert_eq!(error("PATH"), Unreadable::NotASecret("PATH".into()));
        assert_eq!(error("HOOK"), Unreadable::EnvMissing("HOOK".into()));
        assert_eq!(error("HOME"), NotAllowed::Env("HOME".into()).into());
    }

    #[test]
    fn each_signature_needs_a_live_secret() {
        const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        fn check(signatures: &str, pair_until: u32, expected: Result<usize, Unreadable>) {
            let members = format!(
                r#""signatures":{signatures},"secrets":["{TEXT}",
                   {{"key":"{PRIVATE}","not_after":"2026-01-{pair_until:02}T00:00:00Z"}}]"#
            );
            let now = Timestamp::from_millis(1_767_657_600_000); // 2026-01-06
            let mut store = SecretStore::default();
            let live = store.live_for(&subscription(&members), now);
            assert_eq!(live.map(|live| live.len()), expected);
        }
        check(r#"["standard","v1a"]"#, 7, Ok(2));
        check(
            r#"["standard","v1a"]"#,
            5,
            Err(Unreadable::NoneFor("v1a".into())),
        );
        check("[]", 5, Ok(0));
        let expired =
            format!(r#""secrets":[{{"key":"{TEXT}","not_after":"2026-01-05T00:00:00Z"}}]"#);
        let live = SecretStore::default().live_for(&subscription(&expired), Timestamp::now());
        assert_eq!(live.unwrap_err(), Unreadable::NoneLive);
    }
}
