//! A short wait for a pin that was requested, so that a small one is held by the end of the run that requested it.

use std::time::Duration;

use tokio::time::Instant;

use crate::net::pinning::{RemoteError, RemoteState};

/// The first wait between two looks; each is twice as long as the one before, up to the last.
const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(5);

/// Looks until the state is another than at work, or for about as long as `patience`; once at least.
///
/// # Errors
/// That of a look.
pub(super) async fn until_held(
    patience: Duration,
    look: impl AsyncFn() -> Result<RemoteState, RemoteError>,
) -> Result<RemoteState, RemoteError> {
    let (until, mut wait) = (Instant::now() + patience, FIRST);
    loop {
        let state = look().await?;
        if state != RemoteState::AtWork || Instant::now() + wait > until {
            return Ok(state);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST);
    }
}
