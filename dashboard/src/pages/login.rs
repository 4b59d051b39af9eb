//! Log-in, log-out, and the language's switch.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use http::header::{RETRY_AFTER, SET_COOKIE};
use serde::Deserialize;
use shared::domain::Language;

use super::{Shared, Shown, page};
use crate::access::{LogIn, SESSION};
use crate::language;
use crate::posted::{Knocked, Ordered};
use crate::shell::{Anyone, COOKIE, Shell, tidy_name};

#[derive(Deserialize)]
pub(crate) struct Back {
    back: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    shell: &'a Shell,
    back: String,
    wrong: &'a str,
    /// The proxy says who it is; else a name is asked for.
    asks_name: bool,
}

/// A path of ours, and nothing else: never a way to another host.
fn ours(back: Option<&str>) -> &str {
    let is_ours =
        |path: &&str| path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']);
    back.filter(is_ours).unwrap_or("/")
}

pub(crate) async fn show(State(dashboard): Shared, anyone: Anyone, Query(query): Query<Back>) -> Shown {
    let shell = anyone.shell(&dashboard, anyone.lang.t("Log in", "Masuk"));
    let back = ours(query.back.as_deref()).to_owned();
    page(&Page { shell: &shell, back, wrong: "", asks_name: anyone.vouched.is_none() })
}

pub(crate) async fn enter(State(dashboard): Shared, Knocked(anyone, fields): Knocked) -> Response {
    let back = ours(fields.get("back")).to_owned();
    let given = tidy_name(fields.get("name").unwrap_or_default());
    let name = anyone.vouched.clone().unwrap_or(given);
    let shell = anyone.shell(&dashboard, anyone.lang.t("Log in", "Masuk"));
    let again = |status: StatusCode, wrong: &str| match page(&Page {
        shell: &shell,
        back: back.clone(),
        wrong,
        asks_name: anyone.vouched.is_none(),
    }) {
        Ok(shown) | Err(shown) => (status, shown).into_response(),
    };
    if name.is_empty() {
        let text = shell.t(
            "Give your name: it is noted beside what you do.",
            "Isi nama Anda: dicatat pada tindakan Anda.",
        );
        return again(StatusCode::BAD_REQUEST, text);
    }
    match dashboard.access.log_in(anyone.address, fields.get("token").unwrap_or_default(), &name) {
        LogIn::In(secret) => {
            tracing::info!(from = %anyone.address, "somebody logged in to the page");
            let secure = if anyone.is_https { "; Secure" } else { "" };
            let cookie = format!(
                "{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
                SESSION.as_secs()
            );
            ([(SET_COOKIE, cookie)], Redirect::to(&back)).into_response()
        }
        LogIn::Wrong => {
            tracing::warn!(from = %anyone.address, "a log-in to the page was refused");
            again(StatusCode::UNAUTHORIZED, shell.t("This token is not right.", "Token ini tidak benar."))
        }
        LogIn::Later(wait) => {
            tracing::warn!(from = %anyone.address, "log-ins to the page are held back: too many were refused");
            let text = shell.t(
                "Too many wrong tokens. Wait five minutes, then try again.",
                "Terlalu banyak token salah. Tunggu lima menit, lalu coba lagi.",
            );
            let response = again(StatusCode::TOO_MANY_REQUESTS, text);
            ([(RETRY_AFTER, wait.as_secs().max(1).to_string())], response).into_response()
        }
    }
}

pub(crate) async fn leave(
    State(dashboard): Shared,
    headers: http::HeaderMap,
    Ordered(_, _): Ordered,
) -> Response {
    if let Some(secret) = crate::headers::cookie(&headers, COOKIE) {
        dashboard.access.log_out(secret);
    }
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, gone)], Redirect::to("/")).into_response()
}

pub(crate) async fn language(Path(wanted): Path<String>, Query(query): Query<Back>) -> Response {
    let Ok(wanted) = wanted.parse::<Language>() else { return StatusCode::NOT_FOUND.into_response() };
    let cookie = format!("{}={wanted}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000", language::COOKIE);
    ([(SET_COOKIE, cookie)], Redirect::to(ours(query.back.as_deref()))).into_response()
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn the_way_back_never_leads_to_another_host() {
        assert_eq!(ours(Some("/runs?before=5")), "/runs?before=5");
        for foreign in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nSet-Cookie: b", ""]
        {
            assert_eq!(ours(Some(foreign)), "/", "{foreign}");
        }
    }
}
