//! The simulator's own pages beside the FHIR base: faults, statistics, keys. They need no API key and count in
//! no statistics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};

use crate::faults::FaultPlan;
use crate::stats::StatsSnapshot;

use super::Shared;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/_faults", get(faults).put(set_faults))
        .route("/_stats", get(stats))
        .route("/_stats/reset", post(reset))
        .route("/_stats/watch", put(watch))
        .route("/_api-keys", put(set_api_keys))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(shared.clone())
}

async fn faults(State(shared): State<Arc<Shared>>) -> Json<FaultPlan> {
    let active = shared.faults.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Json(active.plan.clone())
}

async fn set_faults(State(shared): State<Arc<Shared>>, Json(plan): Json<FaultPlan>) -> StatusCode {
    shared.set_faults(plan);
    StatusCode::NO_CONTENT
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<StatsSnapshot> {
    Json(shared.stats.snapshot())
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.stats.reset();
    StatusCode::NO_CONTENT
}

async fn watch(State(shared): State<Arc<Shared>>, Json(niks): Json<Vec<String>>) -> StatusCode {
    shared.stats.watch(niks);
    StatusCode::NO_CONTENT
}

async fn set_api_keys(State(shared): State<Arc<Shared>>, Json(keys): Json<Vec<String>>) -> StatusCode {
    shared.set_api_keys(keys);
    StatusCode::NO_CONTENT
}
