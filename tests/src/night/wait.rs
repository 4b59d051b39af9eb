//! Waiting for a condition, instead of for a while.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything a test waits for takes, also on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(5);

/// Looks until `enough` holds for what is seen, and gives that.
///
/// # Panics
/// It does not in time; the message has what was seen last.
pub async fn until<T: Debug, F: Future<Output = T>>(
    what: &str,
    mut look: impl FnMut() -> F,
    enough: impl Fn(&T) -> bool,
) -> T {
    until_within(PATIENCE, what, &mut look, enough).await
}

/// [`until`] with another patience.
///
/// # Panics
/// As [`until`].
pub async fn until_within<T: Debug, F: Future<Output = T>>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
    enough: impl Fn(&T) -> bool,
) -> T {
    let gives_up = Instant::now() + patience;
    loop {
        let seen = look().await;
        if enough(&seen) {
            return seen;
        }
        assert!(Instant::now() < gives_up, "waited {patience:?} for {what}; seen last: {seen:?}");
        sleep(EVERY).await;
    }
}
