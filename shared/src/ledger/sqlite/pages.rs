//! What pages are made of.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::convert::{instant, json, needed, word};
use super::runs::{RUN_COLUMNS, read_run};
use super::views::{LETTER_COLUMNS, ROW_COLUMNS, read_letter, read_row, summaries};
use super::{Sql as _, SqliteLedger, counts, handled, history};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason, RunDate, Warning};
use crate::ledger::pages::ReplayCount;
use crate::ledger::{
    Act, DeadLetterFilter, DeadLetterGroup, DeadLetterView, Handled, LedgerError, LedgerPages, NotedAct,
    Page, ReplayView, RowFilter, RowHistory, RowView, RunId, RunSummary, Tally, Window,
};

/// `WHERE` with its values, and the order and bound of a page.
#[derive(Default)]
struct Terms {
    sql: Vec<String>,
    values: Vec<Value>,
    backwards: bool,
}

impl Terms {
    fn term(&mut self, sql: impl Into<String>, value: impl Into<Value>) {
        self.sql.push(sql.into());
        self.values.push(value.into());
    }

    fn niks(&mut self, column: &str, niks: &[KeyedHash]) {
        if !niks.is_empty() {
            let niks: Vec<_> = niks.iter().map(KeyedHash::as_str).collect();
            let list = serde_json::to_string(&niks).expect("strings are JSON");
            self.term(format!("{column} IN (SELECT value FROM json_each(?))"), list);
        }
    }

    /// The terms with the page's bound and order. A page before a key is read backwards, and turned round by
    /// [`rows`](Self::rows).
    fn page<K: Into<i64>>(&mut self, key: &str, newest_first: bool, page: Page<K>, limit: u32) -> String {
        let (bound, backwards) = match page {
            Page::First => (None, false),
            Page::After(bound) => (Some(bound), false),
            Page::Before(bound) => (Some(bound), true),
        };
        self.backwards = backwards;
        let falls = newest_first != backwards;
        if let Some(bound) = bound {
            self.term(format!("{key} {} ?", if falls { "<" } else { ">" }), bound.into());
        }
        let order = if falls { "DESC" } else { "ASC" };
        let terms = if self.sql.is_empty() { "TRUE".to_owned() } else { self.sql.join(" AND ") };
        format!("{terms} ORDER BY {key} {order} LIMIT {limit}")
    }

    fn rows<T>(
        self,
        db: &Connection,
        doing: &'static str,
        sql: &str,
        read: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut rows: Vec<T> = db
            .prepare_cached(sql)
            .and_then(|mut rows| rows.query_map(params_from_iter(self.values), read)?.collect())
            .doing(doing)?;
        if self.backwards {
            rows.reverse();
        }
        Ok(rows)
    }
}

/// The combinations of warnings that rows of the run have, and that this one is in: from each to the next is one step in
/// the index.
fn combinations(db: &Connection, run: RunId, warning: Warning) -> Result<Vec<String>, LedgerError> {
    let found: Vec<String> = db
        .prepare_cached(
            "WITH RECURSIVE combination (codes) AS (
               SELECT (SELECT warnings FROM row INDEXED BY row_warned WHERE run_id = ?1 AND warnings <> ''
                       ORDER BY warnings LIMIT 1)
               UNION ALL
               SELECT (SELECT warnings FROM row INDEXED BY row_warned
                       WHERE run_id = ?1 AND warnings <> '' AND warnings > codes ORDER BY warnings LIMIT 1)
               FROM combination WHERE codes IS NOT NULL)
             SELECT codes FROM combination WHERE codes IS NOT NULL",
        )
        .and_then(|mut found| found.query_map([run], |row| row.get(0))?.collect())
        .doing("list rows")?;
    let has = |codes: &String| codes.split_whitespace().any(|code| code == Warning::as_str(warning));
    Ok(found.into_iter().filter(has).collect())
}

/// The page of each combination by the index alone, and of these together the rows.
fn warned_page(
    db: &Connection,
    run: RunId,
    warning: Warning,
    page: Page<u32>,
    limit: u32,
) -> Result<Vec<RowView>, LedgerError> {
    let mut terms = Terms::default();
    let mut parts = Vec::new();
    for codes in combinations(db, run, warning)? {
        terms.sql.clear();
        terms.term("run_id = ?", run.0.as_bytes().to_vec());
        terms.term("warnings = ?", codes);
        terms.sql.push("warnings <> ''".into());
        let page = terms.page("sheet_row", false, page, limit);
        parts.push(format!("SELECT * FROM (SELECT sheet_row FROM row INDEXED BY row_warned WHERE {page})"));
    }
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    terms.sql.clear();
    terms.sql.push(format!("sheet_row IN ({})", parts.join(" UNION ALL ")));
    terms.term("run_id = ?", run.0.as_bytes().to_vec());
    let page = terms.page("sheet_row", false, page, limit);
    terms.rows(db, "list rows", &format!("SELECT {ROW_COLUMNS} FROM row WHERE {page}"), read_row)
}

pub(super) fn row_page(
    db: &Connection,
    run: RunId,
    filter: &RowFilter,
    page: Page<u32>,
    limit: u32,
) -> Result<Vec<RowView>, LedgerError> {
    if let Some(warning) = filter.warning
        && *filter == (RowFilter { warning: Some(warning), ..RowFilter::default() })
    {
        return warned_page(db, run, warning, page, limit);
    }
    let mut terms = Terms::default();
    terms.term("run_id = ?", run.0.as_bytes().to_vec());
    // The planner knows nothing of how rare an outcome is, so it is told which index has the page's order.
    let mut index = "";
    if let Some(warning) = filter.warning {
        index = "INDEXED BY row_warned";
        terms.sql.push("warnings <> ''".into());
        terms.term("instr(' ' || warnings || ' ', ?) > 0", format!(" {} ", Warning::as_str(warning)));
    }
    if let Some(outcome) = filter.outcome {
        index = "INDEXED BY row_by_outcome";
        terms.term("outcome = ?", Outcome::as_str(outcome).to_owned());
    }
    if filter.unfinished {
        index = "INDEXED BY row_by_outcome";
        terms.sql.push("outcome IS NULL".into());
    }
    if let Some(reason) = filter.reason {
        index = "INDEXED BY row_by_reason";
        terms.term("reason = ?", Reason::as_str(reason).to_owned());
    }
    if !filter.niks.is_empty() {
        index = "INDEXED BY row_by_nik";
        terms.niks("nik_hash", &filter.niks);
    }
    if let Some(sheet_row) = filter.sheet_row {
        index = "";
        terms.term("sheet_row = ?", i64::from(sheet_row));
    }
    let page = terms.page("sheet_row", false, page, limit);
    terms.rows(db, "list rows", &format!("SELECT {ROW_COLUMNS} FROM row {index} WHERE {page}"), read_row)
}

fn run_page(db: &Connection, job: &str, page: Page<i64>, limit: u32) -> Result<Vec<RunSummary>, LedgerError> {
    let mut terms = Terms::default();
    terms.term("job = ?", job.to_owned());
    let page = terms.page("snapshot_order", true, page, limit);
    let sql = format!("SELECT {RUN_COLUMNS} FROM run WHERE {page}");
    summaries(db, terms.rows(db, "list runs", &sql, read_run)?)
}

fn runs_between(
    db: &Connection,
    job: &str,
    from: RunDate,
    to: RunDate,
) -> Result<Vec<RunSummary>, LedgerError> {
    let runs = db
        .prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE job = ? AND run_date BETWEEN ? AND ? ORDER BY run_date, snapshot_order"
        ))
        .and_then(|mut runs| runs.query_map(params![job, from, to], read_run)?.collect())
        .doing("list runs")?;
    summaries(db, runs)
}

fn started_by(db: &Connection, run: RunId) -> Result<Option<String>, LedgerError> {
    db.query_row("SELECT started_by FROM run WHERE run_id = ?", [run], |row| row.get(0))
        .optional()
        .doing("read a run")
}

fn dead_letter_groups(db: &Connection, run: Option<RunId>) -> Result<Vec<DeadLetterGroup>, LedgerError> {
    db.prepare_cached(
        "SELECT reason, COUNT(*) AS open, MIN(died_at) AS oldest, MAX(died_at) AS newest FROM dead_letter
         WHERE replayed_at IS NULL AND (?1 IS NULL OR run_id = ?1) GROUP BY reason ORDER BY open DESC, reason",
    )
    .and_then(|mut groups| {
        groups
            .query_map([run], |row| {
                Ok(DeadLetterGroup {
                    reason: needed(row, "reason")?,
                    open: row.get("open")?,
                    oldest: instant(row, "oldest")?.unwrap_or_default(),
                    newest: instant(row, "newest")?.unwrap_or_default(),
                })
            })?
            .collect()
    })
    .doing("count dead letters")
}

fn dead_letter_page(
    db: &Connection,
    filter: &DeadLetterFilter,
    page: Page<i64>,
    limit: u32,
) -> Result<Vec<DeadLetterView>, LedgerError> {
    let mut terms = Terms::default();
    let mut index = "";
    if filter.open {
        index = if filter.reason.is_some() {
            "INDEXED BY dead_letter_open"
        } else {
            "INDEXED BY dead_letter_waiting"
        };
        terms.sql.push("d.replayed_at IS NULL".into());
    }
    if let Some(reason) = filter.reason {
        terms.term("d.reason = ?", Reason::as_str(reason).to_owned());
    }
    if let Some(run) = filter.run {
        index = "INDEXED BY dead_letter_of_run";
        terms.term("d.run_id = ?", run.0.as_bytes().to_vec());
    }
    if !filter.niks.is_empty() {
        index = "INDEXED BY dead_letter_of_nik";
        terms.niks("d.nik_hash", &filter.niks);
    }
    let page = terms.page("d.number", false, page, limit);
    let sql = format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letter d {index} CROSS JOIN run USING (run_id) WHERE {page}"
    );
    terms.rows(db, "list dead letters", &sql, read_letter)
}

fn replays(db: &Connection, since: Timestamp, limit: u32) -> Result<Vec<ReplayView>, LedgerError> {
    let counted: Vec<ReplayCount> = db
        .prepare_cached(
            // Only what died again is replayed again.
            "WITH newest AS (SELECT DISTINCT replayed_at FROM dead_letter WHERE replayed_at >= ?
                             ORDER BY replayed_at DESC LIMIT ?)
             SELECT replayed_at, run_id, run_date, outcome, amount FROM (
               SELECT d.replayed_at, d.run_id,
                      CASE WHEN row.generation = d.generation + 1 THEN row.outcome ELSE 'dead_lettered' END AS outcome,
                      COUNT(*) AS amount
               FROM newest CROSS JOIN dead_letter d INDEXED BY dead_letter_replayed
                 ON d.replayed_at = newest.replayed_at
               CROSS JOIN row ON row.run_id = d.run_id AND row.sheet_row = d.sheet_row
               GROUP BY 1, 2, 3)
             JOIN run USING (run_id) ORDER BY replayed_at DESC, run_date, run_id",
        )
        .and_then(|mut counted| {
            counted
                .query_map(params![since.as_microsecond(), limit], |row| {
                    Ok(ReplayCount {
                        at: instant(row, "replayed_at")?.unwrap_or_default(),
                        run: (row.get("run_id")?, needed(row, "run_date")?),
                        outcome: word(row, "outcome")?,
                        rows: row.get("amount")?,
                    })
                })?
                .collect()
        })
        .doing("look at replays")?;
    Ok(ReplayView::of(counted))
}

fn acts(
    db: &Connection,
    run: Option<RunId>,
    page: Page<i64>,
    limit: u32,
) -> Result<Vec<NotedAct>, LedgerError> {
    let mut terms = Terms::default();
    if let Some(run) = run {
        terms.term(
            "? IN (SELECT detail ->> '$.run_id' UNION ALL SELECT value FROM json_each(detail, '$.runs'))",
            run.to_string(),
        );
    }
    let page = terms.page("number", true, page, limit);
    let sql = format!("SELECT number, at, who, act, detail FROM act WHERE {page}");
    terms.rows(db, "list acts", &sql, |row| {
        Ok(NotedAct {
            number: row.get("number")?,
            at: instant(row, "at")?.unwrap_or_default(),
            act: Act {
                who: row.get("who")?,
                act: row.get("act")?,
                detail: json(row, "detail")?.unwrap_or_default(),
            },
        })
    })
}

#[async_trait]
impl LedgerPages for SqliteLedger {
    async fn counted(&self, run: RunId) -> Result<Tally, LedgerError> {
        self.read("read the counts", move |db| counts::counted(db, run)).await
    }

    async fn run_page(&self, job: &str, page: Page<i64>, limit: u32) -> Result<Vec<RunSummary>, LedgerError> {
        let job = job.to_owned();
        self.read("list runs", move |db| run_page(db, &job, page, limit)).await
    }

    async fn runs_between(
        &self,
        job: &str,
        from: RunDate,
        to: RunDate,
    ) -> Result<Vec<RunSummary>, LedgerError> {
        let job = job.to_owned();
        self.read("list runs", move |db| runs_between(db, &job, from, to)).await
    }

    async fn started_by(&self, run: RunId) -> Result<Option<String>, LedgerError> {
        self.read("read a run", move |db| started_by(db, run)).await
    }

    async fn row_page(
        &self,
        run: RunId,
        filter: &RowFilter,
        page: Page<u32>,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError> {
        let filter = filter.clone();
        self.read("list rows", move |db| row_page(db, run, &filter, page, limit)).await
    }

    async fn history(&self, run: RunId, sheet_row: u32) -> Result<Option<RowHistory>, LedgerError> {
        self.read("read a row's history", move |db| history::history(db, run, sheet_row)).await
    }

    async fn handled(
        &self,
        run: RunId,
        window: Window,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Handled>, LedgerError> {
        self.read("list whose data was in hand", move |db| handled::handled(db, run, window, after, limit))
            .await
    }

    async fn dead_letter_groups(&self, run: Option<RunId>) -> Result<Vec<DeadLetterGroup>, LedgerError> {
        self.read("count dead letters", move |db| dead_letter_groups(db, run)).await
    }

    async fn dead_letter_page(
        &self,
        filter: &DeadLetterFilter,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError> {
        let filter = filter.clone();
        self.read("list dead letters", move |db| dead_letter_page(db, &filter, page, limit)).await
    }

    async fn replays(&self, since: Timestamp, limit: u32) -> Result<Vec<ReplayView>, LedgerError> {
        self.read("look at replays", move |db| replays(db, since, limit)).await
    }

    async fn acts(
        &self,
        run: Option<RunId>,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<NotedAct>, LedgerError> {
        self.read("list acts", move |db| acts(db, run, page, limit)).await
    }
}
