//! Live updates by server-sent events: the same piece of HTML that the page was made with, every second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};

use crate::pages::{Shown, actions, missing, nights, replays};
use crate::server::Dashboard;
use crate::shell::Visitor;

/// How often the ledger is looked at for a page that is watched.
const EVERY: Duration = Duration::from_secs(1);

/// Then the browser has to ask again, and to be logged in still.
const LOOKS: u32 = 300;

/// A piece of a page that changes while it is watched.
#[derive(Clone, Copy, Debug)]
enum Part {
    Tonight,
    Actions,
    Replays,
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tonight" => Self::Tonight,
            "actions" => Self::Actions,
            "replays" => Self::Replays,
            _ => return None,
        })
    }

    /// None: it cannot be read now. The page keeps what it shows, and the next look comes soon.
    async fn render(self, dashboard: &Dashboard, visitor: &Visitor) -> Option<String> {
        let (shell, lang) = (visitor.shell(dashboard, ""), visitor.0.lang);
        let shell = &shell;
        let html = match self {
            Self::Tonight => {
                let tonight = nights::tonight(dashboard, lang).await.ok()?;
                nights::Part { shell, tonight }.render()
            }
            Self::Actions => {
                let begun = actions::begun(dashboard, lang).await.ok()?;
                actions::Part { shell, begun }.render()
            }
            Self::Replays => {
                let replays = replays::of_shift(dashboard, lang).await.ok()?;
                replays::Part { shell, replays }.render()
            }
        };
        html.ok()
    }
}

pub(crate) async fn part(
    State(dashboard): State<Arc<Dashboard>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Shown {
    let Some(part) = Part::named(&name) else { return Err(missing(&visitor.shell(&dashboard, ""))) };
    Ok(Sse::new(events(part, dashboard, visitor)).keep_alive(KeepAlive::default()).into_response())
}

fn events(
    part: Part,
    dashboard: Arc<Dashboard>,
    visitor: Visitor,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    unfold((dashboard, visitor, ticks, LOOKS), move |(dashboard, visitor, mut ticks, mut left)| async move {
        loop {
            left = left.checked_sub(1)?;
            ticks.tick().await;
            if let Some(html) = part.render(&dashboard, &visitor).await {
                let event = Event::default().event("part").data(html);
                return Some((Ok(event), (dashboard, visitor, ticks, left)));
            }
        }
    })
}
