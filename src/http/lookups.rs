//! One look-up at a time for each name. The system's resolver holds a thread while it waits, for
//! many seconds if a name's servers are silent; shared, one dead name costs one thread and not
//! one for each of its requests, until none is left for the names of others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::system_resolver::LookupError;

/// The look-ups that are running, by name.
#[derive(Default)]
pub(super) struct Lookups {
    running: Mutex<HashMap<String, watch::Receiver<Option<Found>>>>,
}

/// What a look-up found.
type Found = Result<Vec<IpAddr>, LookupError>;

impl Lookups {
    /// Waits for the look-up of `name` that is running, or starts one by `look_up`. It runs to its
    /// end even if nobody waits any more, as the thread would, so that the next request joins it.
    pub(super) async fn join<F>(self: &Arc<Self>, name: &str, look_up: impl FnOnce() -> F) -> Found
    where
        F: Future<Output = Found> + Send + 'static,
    {
        let mut result = self.running_or_start(name, look_up);
        // An error means that the look-up's task ended without a word: the process is ending.
        let found = result.wait_for(Option::is_some).await;
        let found = found.ok().and_then(|found| found.clone());
        found.unwrap_or_else(|| Err(LookupError::Failed("the look-up was dropped".to_owned())))
    }

    fn running_or_start<F>(
        self: &Arc<Self>,
        name: &str,
        look_up: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<Found>>
    where
        F: Future<Output = Found> + Send + 'static,
    {
        let mut running = self.lock();
        if let Some(result) = running.get(name)
            && result.has_changed().is_ok()
        {
            return result.clone();
        }
        let (sender, result) = watch::channel(None);
        running.insert(name.to_owned(), result.clone());
        drop(running);
        let (lookups, name, look_up) = (Arc::clone(self), name.to_owned(), look_up());
        tokio::spawn(async move {
            let found = look_up.await;
            // Who asks from here on wants a fresh answer.
            lookups.lock().remove(&name);
            sender.send_replace(Some(found));
        });
        result
    }

    /// No code that could panic runs under the lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Found>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    /// Joins the look-up of a name by a resolver that counts its questions and waits for a permit
    /// before it answers that there is no such name.
    async fn join(
        lookups: Arc<Lookups>,
        name: &str,
        asked: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
    ) -> LookupError {
        let look_up = || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            permits.acquire().await.unwrap().forget();
            Err(LookupError::NoSuchName)
        };
        lookups.join(name, look_up).await.unwrap_err()
    }

    #[tokio::test]
    async fn requests_to_one_name_share_a_look_up_even_when_they_give_up() {
        let lookups = Arc::new(Lookups::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let permits = Arc::new(Semaphore::new(0));
        let start = |name| {
            let (lookups, asked, permits) = (lookups.clone(), asked.clone(), permits.clone());
            async move { join(lookups, name, asked, permits).await }
        };
        let mut impatient = JoinSet::new();
        for _ in 0..10 {
            impatient.spawn(start("a.example"));
        }
        yield_now().await;
        impatient.shutdown().await;
        let mut patient = JoinSet::new();
        for name in ["a.example", "a.example", "b.example"] {
            patient.spawn(start(name));
        }
        yield_now().await;
        permits.add_permits(2);
        assert_eq!(
            patient.join_all().await,
            [const { LookupError::NoSuchName }; 3]
        );
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // Nothing is kept: the next one asks again.
        permits.add_permits(1);
        start("a.example").await;
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert!(lookups.lock().is_empty());
    }
}
