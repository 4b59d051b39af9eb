//! Who did what.

use askama::Template;
use axum::extract::{Query, State};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use shared::ledger::{NotedAct, RunId};

use super::nights::Paging;
use super::{Shared, Shown, page, unread};
use crate::language::Lang;
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
    /// Where to look at what it was done to, and what that is called.
    pub(crate) on: Option<(String, String)>,
}

pub(crate) fn line(noted: &NotedAct, dashboard: &Dashboard, lang: Lang) -> Line {
    let (act, detail) = (noted.act.act.as_str(), &noted.act.detail);
    Line {
        at: moment(noted.at, &dashboard.zone),
        who: noted.act.who.clone(),
        act: name(act, lang).unwrap_or(act).to_owned(),
        detail: said(act, detail, &dashboard.zone, lang),
        on: on(act, detail, lang),
    }
}

fn name(act: &str, lang: Lang) -> Option<&'static str> {
    Some(match act {
        "start" => lang.t("started a run", "memulai proses"),
        "reapply" => lang.t("compared a date with FHIR anew", "membandingkan ulang tanggal dengan FHIR"),
        "resume" => lang.t("carried on a run", "melanjutkan proses"),
        "replay" => lang.t("replayed dead letters", "mengulang yang gagal"),
        "reveal" => lang.t("looked at a NIK and number", "melihat NIK dan nomor"),
        "export" => lang.t("exported NIKs and numbers in clear", "mengekspor NIK dan nomor tanpa samaran"),
        "prune" => lang.t("deleted what was old", "menghapus data lama"),
        _ => return None,
    })
}

fn said(act: &str, detail: &Value, zone: &TimeZone, lang: Lang) -> String {
    match act {
        "start" | "reapply" => selected(detail, lang),
        "resume" | "reveal" => String::new(),
        "replay" => replayed(detail, lang),
        "export" => exported(detail, zone, lang),
        "prune" => pruned(detail, lang),
        _ => plain(detail),
    }
}

/// Which rows of its date a run took.
fn selected(detail: &Value, lang: Lang) -> String {
    let mut parts = Vec::new();
    if detail["kind"] == "dry_run" {
        parts.push(lang.t("a dry run", "uji coba").to_owned());
    }
    if let Some(limit) = detail["selection"]["limit"].as_u64() {
        let rows = lang.number(&limit);
        parts.push(format!(
            "{} {rows} {}",
            lang.t("only the first", "hanya"),
            lang.t("rows", "baris pertama")
        ));
    }
    parts.extend(persons(&detail["selection"]["niks"], lang));
    parts.join(", ")
}

/// How many persons it was narrowed to; not who: a keyed hash helps nobody here.
fn persons(niks: &Value, lang: Lang) -> Option<String> {
    let count = niks.as_array().map_or(0, Vec::len) as u64;
    (count > 0).then(|| format!("{} {} NIK", lang.t("only", "hanya"), lang.number(&count)))
}

fn replayed(detail: &Value, lang: Lang) -> String {
    let filter = &detail["filter"];
    let mut parts =
        vec![format!("{} {}", lang.number(&detail["count"].as_u64().unwrap_or(0)), lang.t("rows", "baris"))];
    if let Some(reason) = filter["reason"].as_str() {
        parts.push(format!("{} {}", lang.t("because of", "sebab"), reason.replace('_', " ")));
    }
    for (bound, word) in [("from", lang.t("from", "dari")), ("to", lang.t("to", "sampai"))] {
        if let Some(date) = filter[bound].as_str() {
            parts.push(format!("{word} {date}"));
        }
    }
    parts.extend(persons(&filter["niks"], lang));
    parts.join(", ")
}

/// Of which time.
fn exported(detail: &Value, zone: &TimeZone, lang: Lang) -> String {
    let bound = |field: &str| {
        let at: Timestamp = detail[field].as_str()?.parse().ok()?;
        Some(moment(at, zone))
    };
    match (bound("from"), bound("to")) {
        (Some(from), Some(to)) => {
            format!("{} {from} {} {to}", lang.t("in hand from", "yang diproses dari"), lang.t("to", "sampai"))
        }
        _ => plain(detail),
    }
}

fn pruned(detail: &Value, lang: Lang) -> String {
    let counts = [
        ("runs", lang.t("runs", "proses")),
        ("rows", lang.t("rows", "baris")),
        ("dead_letters", lang.t("replayed dead letters", "yang gagal dan sudah diulang")),
        ("open_dead_letters", lang.t("open dead letters", "yang gagal dan belum diulang")),
        ("notices", lang.t("notices", "pemberitahuan")),
        ("strays", lang.t("unreadable messages", "pesan tak terbaca")),
        ("acts", lang.t("notes of acts", "catatan tindakan")),
    ];
    let deleted = &detail["deleted"];
    let parts: Vec<_> = counts
        .iter()
        .filter_map(|(field, word)| {
            let count = deleted[field].as_u64().filter(|count| *count > 0)?;
            Some(format!("{} {word}", lang.number(&count)))
        })
        .collect();
    let days = detail["older_than_days"].as_u64().unwrap_or(0);
    if parts.is_empty() {
        return format!(
            "{} {days} {}",
            lang.t("nothing was older than", "tidak ada yang lebih lama dari"),
            lang.t("days", "hari")
        );
    }
    parts.join(", ")
}

/// What a version that is newer than this page noted.
fn plain(detail: &Value) -> String {
    let fields = detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let fields =
        fields.map(|(name, value)| format!("{name} {}", value.to_string().replace(['"', '{', '}'], "")));
    fields.collect::<Vec<_>>().join(", ")
}

fn on(act: &str, detail: &Value, lang: Lang) -> Option<(String, String)> {
    // Of an id, so that nothing else becomes a link.
    let run: RunId = detail["run_id"].as_str()?.parse().ok()?;
    if act == "reveal" {
        let row = detail["sheet_row"].as_u64()?;
        return Some((format!("/runs/{run}/rows/{row}"), format!("{} {row}", lang.t("row", "baris"))));
    }
    let date = detail["run_date"].as_str().unwrap_or_default();
    Some((format!("/runs/{run}"), format!("{} {date}", lang.t("run of", "proses tanggal"))))
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
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Who did what", "Siapa melakukan apa"));
    let acts = dashboard.ledger.acts(None, paging.page(), PAGE).await;
    let acts = acts.map_err(|error| unread(&shell, &error))?;
    let full = acts.len() == PAGE as usize;
    let older = acts.last().map(|act| act.number).filter(|_| full || paging.is_before());
    let newer = acts.first().map(|act| act.number).filter(|_| !paging.is_first());
    let acts = acts.iter().map(|act| line(act, &dashboard, lang)).collect();
    page(&Page { shell: &shell, acts, newer, older })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::domain::Language;

    use super::*;

    #[test]
    fn each_act_is_told_in_words() {
        let run = "01a213f9-3af4-72fc-af53-e0b7f867b5df";
        let start = json!({ "run_id": run, "run_date": "2026-11-23", "kind": "dry_run", "selection": { "limit": 1200 } });
        let replay = json!({ "filter": { "niks": ["ab"], "from": "2026-11-20", "to": null, "reason": "write_conflict" },
            "count": 3, "runs": [run] });
        let reveal = json!({ "run_id": run, "sheet_row": 7, "nik_hash": "ab" });
        let prune = json!({ "job": "j", "older_than_days": 30, "deleted": { "runs": 1, "rows": 20_000, "strays": 0 } });
        let nothing = json!({ "job": "j", "older_than_days": 30, "deleted": { "runs": 0 } });
        let export = json!({ "from": "2026-11-23T16:00:00Z", "to": "2026-11-23T18:00:00Z" });
        let (en, id) = (Lang(Language::En), Lang(Language::Id));
        for (act, detail, lang, words) in [
            ("start", &start, en, "a dry run, only the first 1,200 rows"),
            ("start", &start, id, "uji coba, hanya 1.200 baris pertama"),
            ("replay", &replay, en, "3 rows, because of write conflict, from 2026-11-20, only 1 NIK"),
            ("replay", &replay, id, "3 baris, sebab write conflict, dari 2026-11-20, hanya 1 NIK"),
            ("reveal", &reveal, en, ""),
            ("prune", &prune, en, "1 runs, 20,000 rows"),
            ("prune", &nothing, id, "tidak ada yang lebih lama dari 30 hari"),
            ("export", &export, en, "in hand from 2026-11-23 16:00:00 to 2026-11-23 18:00:00"),
            ("of_tomorrow", &json!({ "some": 1 }), en, "some 1"),
        ] {
            assert_eq!(said(act, detail, &TimeZone::UTC, lang), words, "{act}");
        }
        let row = (format!("/runs/{run}/rows/7"), "row 7".to_owned());
        assert_eq!(on("reveal", &reveal, en), Some(row));
        let night = (format!("/runs/{run}"), "run of 2026-11-23".to_owned());
        assert_eq!(on("start", &start, en), Some(night));
        assert_eq!(on("replay", &replay, en), None);
    }
}
