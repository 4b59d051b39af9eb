//! Who did what.

use askama::Template;
use axum::extract::{Query, State};
use shared::ledger::NotedAct;

use super::nights::Paging;
use super::{Shared, Shown, page, unread};
use crate::marks::moment;
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};

const PAGE: u32 = 50;

/// An act as a line of a list.
pub(crate) struct Line {
    pub(crate) at: String,
    pub(crate) who: String,
    pub(crate) act: String,
    pub(crate) detail: String,
}

pub(crate) fn line(noted: &NotedAct, dashboard: &Dashboard) -> Line {
    let detail = noted.act.detail.as_object().map(|fields| {
        let plain = fields.iter().filter(|(_, value)| {
            !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty())
        });
        plain
            .map(|(name, value)| format!("{name} {}", value.to_string().replace(['"', '{', '}'], "")))
            .collect::<Vec<_>>()
    });
    Line {
        at: moment(noted.at, &dashboard.zone),
        who: noted.act.who.clone(),
        act: noted.act.act.clone(),
        detail: detail.unwrap_or_default().join(", "),
    }
}

#[derive(Template)]
#[template(path = "acts.html")]
struct Page<'a> {
    shell: &'a Shell,
    acts: Vec<Line>,
    newer: Option<i64>,
    older: Option<i64>,
}

pub(crate) async fn list(State(dashboard): Shared, visitor: Visitor, Query(paging): Query<Paging>) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("Who did what", "Siapa melakukan apa"));
    let acts = dashboard.ledger.acts(None, paging.page(), PAGE).await;
    let acts = acts.map_err(|error| unread(&shell, &error))?;
    let full = acts.len() == PAGE as usize;
    let older = acts.last().map(|act| act.number).filter(|_| full || paging.is_before());
    let newer = acts.first().map(|act| act.number).filter(|_| !paging.is_first());
    page(&Page { shell: &shell, acts: acts.iter().map(|act| line(act, &dashboard)).collect(), newer, older })
}
