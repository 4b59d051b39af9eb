//! Who looks at a page, and what surrounds each page.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use http::request::Parts;

use crate::access::Session;
use crate::headers::{cookie, names_loopback};
use crate::language::Lang;
use crate::server::Dashboard;

/// The cookie of a session.
pub(crate) const COOKIE: &str = "ns_session";

/// Whoever sent a request; not asked yet whether they may.
pub(crate) struct Anyone {
    pub(crate) lang: Lang,
    pub(crate) session: Option<Session>,
    pub(crate) address: IpAddr,
    /// The name that a trusted proxy vouches for.
    pub(crate) vouched: Option<String>,
    /// Whether the browser's side of the connection is encrypted.
    pub(crate) is_https: bool,
    pub(crate) path: String,
    is_foreign_name: bool,
}

impl FromRequestParts<Arc<Dashboard>> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, Infallible> {
        let address = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_trusted = dashboard.settings.trusted_proxies.iter().any(|network| network.contains(address));
        let vouched = dashboard.settings.user_header.as_deref().filter(|_| is_trusted).and_then(text);
        let vouched = vouched.map(tidy_name).filter(|name| !name.is_empty());
        let is_https = is_trusted && text("x-forwarded-proto") == Some("https");
        dashboard.access.refresh().await;
        let session = cookie(&parts.headers, COOKIE).and_then(|secret| dashboard.access.session(secret));
        Ok(Self {
            lang: Lang::of(&parts.headers),
            session,
            address,
            vouched,
            is_https,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            is_foreign_name: dashboard.is_open() && !is_trusted && !names_loopback(&parts.headers),
        })
    }
}

/// Somebody who may read.
pub(crate) struct Visitor(pub(crate) Anyone);

impl FromRequestParts<Arc<Dashboard>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, Response> {
        let Ok(anyone) = Anyone::from_request_parts(parts, dashboard).await;
        if anyone.is_foreign_name {
            let text = "this page answers to localhost only, until DASHBOARD_TRUSTED_PROXY names a proxy\n";
            return Err((StatusCode::MISDIRECTED_REQUEST, text).into_response());
        }
        if anyone.session.is_none() && !dashboard.is_open() {
            return Err(to_log_in(&anyone.path));
        }
        Ok(Self(anyone))
    }
}

/// Away to the log-in and back again.
pub(crate) fn to_log_in(path: &str) -> Response {
    let back: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    Redirect::to(&format!("/login?back={back}")).into_response()
}

impl Visitor {
    /// What surrounds a page.
    pub(crate) fn shell(&self, dashboard: &Dashboard, title: &str) -> Shell {
        self.0.shell(dashboard, title)
    }

    /// Who acts, for the ledger.
    pub(crate) fn who(&self) -> String {
        match (&self.0.vouched, &self.0.session) {
            (Some(name), _) => name.clone(),
            (None, Some(session)) => format!("{} (unverified)", session.name),
            (None, None) => "nobody".into(),
        }
    }
}

impl Anyone {
    /// What surrounds a page.
    pub(crate) fn shell(&self, dashboard: &Dashboard, title: &str) -> Shell {
        let name = self.vouched.clone().or_else(|| self.session.as_ref().map(|session| session.name.clone()));
        Shell {
            lang: self.lang,
            title: title.to_owned(),
            job: dashboard.job.clone(),
            back: form_urlencoded::byte_serialize(self.path.as_bytes()).collect(),
            name: self.session.as_ref().and(name),
            csrf: self.session.as_ref().map(|session| session.csrf.clone()).unwrap_or_default(),
            can_log_in: dashboard.access.has_token(),
        }
    }
}

/// What surrounds a page.
pub(crate) struct Shell {
    pub(crate) lang: Lang,
    pub(crate) title: String,
    pub(crate) job: String,
    /// This page's path, percent-encoded.
    pub(crate) back: String,
    /// Who is logged in.
    pub(crate) name: Option<String>,
    /// What a form must send back; empty where nobody is logged in.
    pub(crate) csrf: String,
    pub(crate) can_log_in: bool,
}

impl Shell {
    /// The text in the page's language.
    pub(crate) fn t<'a>(&self, english: &'a str, indonesian: &'a str) -> &'a str {
        self.lang.t(english, indonesian)
    }
}

/// A name as it may stand in the ledger: short, one line, and without the long digits that a NIK would be.
pub(crate) fn tidy_name(name: &str) -> String {
    let kept: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    let digits = kept.chars().filter(char::is_ascii_digit).count();
    if digits > 8 { kept.chars().filter(|c| !c.is_ascii_digit()).collect() } else { kept.trim().to_owned() }
}
