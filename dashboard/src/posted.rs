//! A form that was sent.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use crate::headers::is_same_origin;
use crate::pages::message;
use crate::server::Dashboard;
use crate::shell::{Anyone, Visitor, to_log_in};

/// The largest form: a few hundred ticked rows.
const LARGEST: usize = 64 * 1024;

/// The fields of a form; names may repeat.
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first of this name, without space around it; a blank one counts as not there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty())
    }

    /// All of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A form from a page of ours, by somebody who may read.
pub(crate) struct Asked(pub(crate) Visitor, pub(crate) Fields);

/// A form from a page of ours, by somebody who is logged in, made for their session.
pub(crate) struct Ordered(pub(crate) Visitor, pub(crate) Fields);

async fn fields(request: Request) -> Result<Fields, Response> {
    if !is_same_origin(request.headers()) {
        return Err((StatusCode::FORBIDDEN, "this form was not sent from this page\n").into_response());
    }
    let body = axum::body::to_bytes(request.into_body(), LARGEST).await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    Ok(Fields(form_urlencoded::parse(&body).into_owned().collect()))
}

/// The fields of the log-in's form, from anyone.
pub(crate) struct Knocked(pub(crate) Anyone, pub(crate) Fields);

impl FromRequest<Arc<Dashboard>> for Knocked {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Arc<Dashboard>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(anyone) = Anyone::from_request_parts(&mut parts, dashboard).await;
        Ok(Self(anyone, fields(Request::from_parts(parts, body)).await?))
    }
}

impl FromRequest<Arc<Dashboard>> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Arc<Dashboard>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, dashboard).await?;
        Ok(Self(visitor, fields(Request::from_parts(parts, body)).await?))
    }
}

impl FromRequest<Arc<Dashboard>> for Ordered {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Arc<Dashboard>) -> Result<Self, Response> {
        let Asked(visitor, fields) = Asked::from_request(request, dashboard).await?;
        let Some(session) = &visitor.0.session else { return Err(to_log_in("/actions")) };
        if !session.made(fields.get("csrf").unwrap_or_default()) {
            let shell =
                visitor.shell(dashboard, visitor.0.lang.t("Nothing was done", "Tidak ada yang dikerjakan"));
            let text = shell.t(
                "This form is too old, or was not made for you. Go back, reload the page and try again.",
                "Formulir ini terlalu lama, atau bukan dibuat untuk Anda. Kembali, muat ulang halaman, lalu coba lagi.",
            );
            return Err(message(&shell, StatusCode::FORBIDDEN, text, "/actions"));
        }
        Ok(Self(visitor, fields))
    }
}
