//! Live updates by server-sent events: the same piece of HTML that the page was made with, whenever it changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};

use crate::pages::nights::{Part, tonight};
use crate::server::Dashboard;
use crate::shell::Visitor;

/// How often the ledger is looked at for a page that is watched.
const EVERY: Duration = Duration::from_secs(1);

/// Then the browser has to ask again, and to be logged in still.
const LOOKS: u32 = 300;

pub(crate) async fn nights(
    State(dashboard): State<Arc<Dashboard>>,
    visitor: Visitor,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let events =
        unfold((dashboard, visitor, ticks, LOOKS), |(dashboard, visitor, mut ticks, mut left)| async move {
            loop {
                left = left.checked_sub(1)?;
                ticks.tick().await;
                let shell = visitor.shell(&dashboard, "");
                // What cannot be read now is there at the next look; the page keeps what it shows.
                let Ok(tonight) = tonight(&dashboard, visitor.0.lang).await else { continue };
                if let Ok(html) = (Part { shell: &shell, tonight }).render() {
                    let event = Event::default().event("tonight").data(html);
                    return Some((Ok(event), (dashboard, visitor, ticks, left)));
                }
            }
        });
    Sse::new(events).keep_alive(KeepAlive::default())
}
