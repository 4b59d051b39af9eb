//! The pages, one file each; how they are rendered, and what is shown instead of one.
#![expect(clippy::result_large_err, reason = "what is shown instead of a page is as large as a page")]

pub(crate) mod actions;
pub(crate) mod acts;
pub(crate) mod assets;
pub(crate) mod dead_letters;
pub(crate) mod login;
pub(crate) mod nights;
pub(crate) mod replays;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod run;
mod verdict;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use shared::error_chain;
use shared::ledger::LedgerError;

use crate::hands::Refused;
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};

type Shared = State<Arc<Dashboard>>;

/// A page, or what went wrong with it.
pub(crate) type Shown = Result<Response, Response>;

/// Renders a page.
pub(crate) fn page(template: &impl Template) -> Shown {
    template.render().map(|html| Html(html).into_response()).map_err(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    shell: &'a Shell,
    text: &'a str,
    back: &'a str,
}

/// A page that only says something.
pub(crate) fn message(shell: &Shell, status: StatusCode, text: &str, back: &str) -> Response {
    match page(&Message { shell, text, back }) {
        Ok(shown) | Err(shown) => (status, shown).into_response(),
    }
}

/// The ledger cannot be read.
pub(crate) fn unread(shell: &Shell, error: &LedgerError) -> Response {
    tracing::warn!(error = error_chain(error), "the ledger cannot be read for a page");
    let text = shell.t(
        "The ledger cannot be read right now. The night itself goes on without this page. Reload in a minute; if it \
         stays so, look at the database.",
        "Catatan proses sedang tidak bisa dibaca. Proses malam tetap berjalan tanpa halaman ini. Muat ulang sebentar \
         lagi; jika tetap begini, periksa basis data.",
    );
    message(shell, StatusCode::SERVICE_UNAVAILABLE, text, "/")
}

/// There is no such thing.
pub(crate) fn missing(shell: &Shell) -> Response {
    let text = shell.t("There is nothing here.", "Tidak ada apa-apa di sini.");
    message(shell, StatusCode::NOT_FOUND, text, "/")
}

/// What was pressed was not done.
pub(crate) fn refused(shell: &Shell, refused: &Refused) -> Response {
    let status = match refused {
        Refused::Locked(_) => StatusCode::CONFLICT,
        Refused::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = format!("{} {refused}", shell.t("Nothing was done:", "Tidak ada yang dikerjakan:"));
    message(shell, status, &text, "/actions")
}

/// No page of ours.
pub(crate) async fn lost(State(dashboard): Shared, visitor: Visitor) -> Response {
    missing(&visitor.shell(&dashboard, visitor.0.lang.t("Not found", "Tidak ditemukan")))
}
