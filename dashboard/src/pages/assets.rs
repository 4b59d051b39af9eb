//! The stylesheet and the one script, embedded. They hold nothing of anybody, so they may be kept.

use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

const KEEP: (http::HeaderName, &str) = (CACHE_CONTROL, "public, max-age=300");

pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), KEEP], include_str!("../../assets/style.css"))
}

pub(crate) async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), KEEP], include_str!("../../assets/live.js"))
}

pub(crate) async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), KEEP], include_str!("../../assets/icon.svg"))
}
