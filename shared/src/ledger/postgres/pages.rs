//! What pages are made of. Statements are put together from the terms that are asked for: the planner sees only those,
//! and takes the index that has them in the page's order. Where it could take another it is not left the choice: a run
//! that came after the last ANALYZE looks empty to it, and any index as good as the next.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql, Type};

use super::convert::{get, instant, int, needed, texts, total, word};
use super::runs::{RUN_COLUMNS, read_run};
use super::session::{Param, Session};
use super::views::{LETTER_COLUMNS, ROW_COLUMNS, read_letter, read_row, summaries};
use super::{PostgresLedger, counts, handled, history};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason, RunDate, Warning};
use crate::ledger::pages::ReplayCount;
use crate::ledger::{
    Act, DeadLetterFilter, DeadLetterGroup, DeadLetterView, Handled, LedgerError, LedgerPages, NotedAct,
    Page, ReplayView, RowFilter, RowHistory, RowView, Run, RunId, RunSummary, Tally, Window,
};

/// `WHERE` with its parameters, and the order and bound of a page.
#[derive(Default)]
struct Terms {
    sql: Vec<String>,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
    backwards: bool,
}

impl Terms {
    /// One more parameter; the text with it in the place of `?`.
    fn given(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static, of: Type) -> String {
        self.params.push((Box::new(value), of));
        sql.replace('?', &format!("${}", self.params.len()))
    }

    /// One more term; `?` in it stands for the value.
    fn term(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static, of: Type) {
        let term = self.given(sql, value, of);
        self.sql.push(term);
    }

    fn niks(&mut self, column: &str, niks: &[KeyedHash]) {
        if !niks.is_empty() {
            let niks: Vec<String> = texts(niks).into_iter().map(str::to_owned).collect();
            self.term(&format!("{column} = ANY (?)"), niks, Type::TEXT_ARRAY);
        }
    }

    /// The terms with the page's bound and order. A page before a key is read backwards, and turned round by
    /// [`rows`](Self::rows).
    fn page<K>(&mut self, key: &str, of: Type, newest_first: bool, page: Page<K>, limit: u32) -> String
    where
        K: ToSql + Sync + Send + 'static,
    {
        let (bound, backwards) = match page {
            Page::First => (None, false),
            Page::After(bound) => (Some(bound), false),
            Page::Before(bound) => (Some(bound), true),
        };
        self.backwards = backwards;
        let falls = newest_first != backwards;
        if let Some(bound) = bound {
            self.term(&format!("{key} {} ?", if falls { "<" } else { ">" }), bound, of);
        }
        let order = if falls { "DESC" } else { "ASC" };
        let terms = if self.sql.is_empty() { "TRUE".to_owned() } else { self.sql.join(" AND ") };
        format!("{terms} ORDER BY {key} {order} LIMIT {limit}")
    }

    async fn rows(&self, session: &mut Session, sql: &str) -> Result<Vec<Row>, LedgerError> {
        let params: Vec<Param<'_>> = self
            .params
            .iter()
            .map(|(value, of)| (value.as_ref() as &(dyn ToSql + Sync), of.clone()))
            .collect();
        let mut rows = session.run(&[(sql, &params)]).await?;
        if self.backwards {
            rows.reverse();
        }
        Ok(rows)
    }

    async fn last_rows(&self, mut session: Session, sql: &str) -> Result<Vec<Row>, LedgerError> {
        let rows = self.rows(&mut session, sql).await?;
        session.finish(&[]).await?;
        Ok(rows)
    }
}

// A run has few combinations of warnings: from each to the next is one step in the index.
const COMBINATIONS: &str = "
    WITH RECURSIVE combination (warnings) AS (
      (SELECT warnings FROM row WHERE run_id = $1 AND warnings <> '' ORDER BY warnings LIMIT 1)
      UNION ALL
      SELECT (SELECT warnings FROM row WHERE run_id = $1 AND warnings <> '' AND warnings > combination.warnings
              ORDER BY warnings LIMIT 1)
      FROM combination WHERE combination.warnings IS NOT NULL)
    SELECT warnings FROM combination WHERE warnings IS NOT NULL";

/// The combinations of warnings that rows of the run have, and that this one is in.
async fn combinations(
    session: &mut Session,
    run: RunId,
    warning: Warning,
) -> Result<Vec<String>, LedgerError> {
    let found = session.run(&[(COMBINATIONS, &[(&run.0, Type::UUID)])]).await?;
    let found = found.iter().map(|row| get::<String>(row, "warnings")).collect::<Result<Vec<_>, _>>()?;
    let has = |codes: &String| codes.split_whitespace().any(|code| code == Warning::as_str(warning));
    Ok(found.into_iter().filter(has).collect())
}

pub(super) async fn row_page(
    mut session: Session,
    run: RunId,
    filter: &RowFilter,
    page: Page<u32>,
    limit: u32,
) -> Result<Vec<RowView>, LedgerError> {
    let mut terms = Terms::default();
    let mut from = String::new();
    terms.term("run_id = ?", run.0, Type::UUID);
    if let Some(outcome) = filter.outcome {
        terms.term("outcome = ?", Outcome::as_str(outcome), Type::TEXT);
    }
    if let Some(reason) = filter.reason {
        terms.term("reason = ?", Reason::as_str(reason), Type::TEXT);
    }
    if let Some(warning) = filter.warning {
        terms.sql.push("warnings <> ''".into());
        terms.sql.push("warnings = combination".into());
        let found = combinations(&mut session, run, warning).await?;
        from = terms.given("unnest(?) AS combination CROSS JOIN LATERAL", found, Type::TEXT_ARRAY);
    }
    if let Some(sheet_row) = filter.sheet_row {
        terms.term("sheet_row = ?", int(sheet_row), Type::INT4);
    }
    if filter.unfinished {
        terms.sql.push("outcome IS NULL".into());
    }
    let mut rows = "row".to_owned();
    if !filter.niks.is_empty() {
        let niks: Vec<String> = texts(&filter.niks).into_iter().map(str::to_owned).collect();
        // Found by the person, whatever the run: OFFSET keeps the two apart.
        rows = terms.given(
            "(SELECT * FROM row WHERE nik_hash = ANY (?) OFFSET 0) AS row",
            niks,
            Type::TEXT_ARRAY,
        );
    }
    let page = match page {
        Page::First => Page::First,
        Page::After(row) => Page::After(int(row)),
        Page::Before(row) => Page::Before(int(row)),
    };
    let page = terms.page("sheet_row", Type::INT4, false, page, limit);
    let mut sql = format!("SELECT {ROW_COLUMNS} FROM {rows} WHERE {page}");
    if !from.is_empty() {
        // The page of each combination, and of these together.
        let order = if terms.backwards { "DESC" } else { "ASC" };
        sql = format!(
            "SELECT {ROW_COLUMNS} FROM {from} ({sql}) AS row ORDER BY sheet_row {order} LIMIT {limit}"
        );
    }
    let rows = terms.last_rows(session, &sql).await?;
    rows.iter().map(read_row).collect()
}

async fn run_page(
    mut session: Session,
    job: &str,
    page: Page<i64>,
    limit: u32,
) -> Result<Vec<RunSummary>, LedgerError> {
    let mut terms = Terms::default();
    terms.term("job = ?", job.to_owned(), Type::TEXT);
    let page = terms.page("snapshot_order", Type::INT8, true, page, limit);
    let runs = terms.rows(&mut session, &format!("SELECT {RUN_COLUMNS} FROM run WHERE {page}")).await?;
    summaries(session, runs.iter().map(read_run).collect::<Result<Vec<Run>, _>>()?).await
}

async fn runs_between(
    mut session: Session,
    job: &str,
    from: RunDate,
    to: RunDate,
) -> Result<Vec<RunSummary>, LedgerError> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM run WHERE job = $1 AND run_date BETWEEN $2 AND $3 ORDER BY run_date, snapshot_order"
    );
    let runs = session.run(&[(&sql, &[(&job, Type::TEXT), (&from, Type::DATE), (&to, Type::DATE)])]).await?;
    summaries(session, runs.iter().map(read_run).collect::<Result<Vec<Run>, _>>()?).await
}

async fn started_by(session: Session, run: RunId) -> Result<Option<String>, LedgerError> {
    let found =
        session.finish(&[("SELECT started_by FROM run WHERE run_id = $1", &[(&run.0, Type::UUID)])]).await?;
    found.first().map(|row| get(row, "started_by")).transpose()
}

async fn dead_letter_groups(
    session: Session,
    run: Option<RunId>,
) -> Result<Vec<DeadLetterGroup>, LedgerError> {
    let mut terms = Terms::default();
    terms.sql.push("replayed_at IS NULL".into());
    if let Some(run) = run {
        terms.term("run_id = ?", run.0, Type::UUID);
    }
    let sql = format!(
        "SELECT reason, count(*) AS open, min(died_at) AS oldest, max(died_at) AS newest FROM dead_letter
         WHERE {} GROUP BY reason ORDER BY count(*) DESC, reason",
        terms.sql.join(" AND ")
    );
    let groups = terms.last_rows(session, &sql).await?;
    let read = |row: &Row| {
        Ok(DeadLetterGroup {
            reason: needed(row, "reason")?,
            open: total(row, "open")?,
            oldest: instant(row, "oldest")?.unwrap_or_default(),
            newest: instant(row, "newest")?.unwrap_or_default(),
        })
    };
    groups.iter().map(read).collect()
}

async fn dead_letter_page(
    session: Session,
    filter: &DeadLetterFilter,
    page: Page<i64>,
    limit: u32,
) -> Result<Vec<DeadLetterView>, LedgerError> {
    let mut terms = Terms::default();
    if filter.open {
        terms.sql.push("d.replayed_at IS NULL".into());
    }
    if let Some(run) = filter.run {
        terms.term("d.run_id = ?", run.0, Type::UUID);
    }
    if let Some(reason) = filter.reason {
        terms.term("d.reason = ?", Reason::as_str(reason), Type::TEXT);
    }
    terms.niks("d.nik_hash", &filter.niks);
    let page = terms.page("d.number", Type::INT8, false, page, limit);
    let sql = format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letter AS d JOIN run ON run.run_id = d.run_id WHERE {page}"
    );
    let letters = terms.last_rows(session, &sql).await?;
    letters.iter().map(read_letter).collect()
}

// Only what died again is replayed again.
const REPLAYS: &str = "
    WITH newest AS (
      SELECT DISTINCT replayed_at FROM dead_letter WHERE replayed_at >= 'epoch'::timestamptz + $1 * interval '1 microsecond'
      ORDER BY replayed_at DESC LIMIT $2)
    SELECT replayed_at, run_id, run_date, outcome, amount
    FROM (SELECT d.replayed_at, d.run_id,
                 CASE WHEN r.generation = d.generation + 1 THEN r.outcome ELSE 'dead_lettered' END AS outcome,
                 count(*) AS amount
          FROM newest JOIN dead_letter AS d ON d.replayed_at = newest.replayed_at
          JOIN row AS r ON r.run_id = d.run_id AND r.sheet_row = d.sheet_row
          GROUP BY 1, 2, 3) AS counted
    JOIN run USING (run_id) ORDER BY replayed_at DESC, run_date, run_id";

async fn replays(session: Session, since: Timestamp, limit: u32) -> Result<Vec<ReplayView>, LedgerError> {
    let since = since.as_microsecond();
    let params: [Param<'_>; 2] = [(&since, Type::INT8), (&i64::from(limit), Type::INT8)];
    let counted = session.finish(&[(REPLAYS, &params)]).await?;
    let read = |row: &Row| {
        Ok(ReplayCount {
            at: instant(row, "replayed_at")?.unwrap_or_default(),
            run: (get(row, "run_id").map(RunId)?, get(row, "run_date")?),
            outcome: word(row, "outcome")?,
            rows: total(row, "amount")?,
        })
    };
    Ok(ReplayView::of(counted.iter().map(read).collect::<Result<Vec<_>, LedgerError>>()?))
}

async fn acts(
    session: Session,
    run: Option<RunId>,
    page: Page<i64>,
    limit: u32,
) -> Result<Vec<NotedAct>, LedgerError> {
    let mut terms = Terms::default();
    if let Some(run) = run {
        let named = "? IN (SELECT detail ->> 'run_id' UNION ALL
                           SELECT jsonb_array_elements_text(coalesce(detail -> 'runs', '[]')))";
        terms.term(named, run.to_string(), Type::TEXT);
    }
    let page = terms.page("number", Type::INT8, true, page, limit);
    let sql = format!("SELECT number, at, who, act, detail FROM act WHERE {page}");
    let acts = terms.last_rows(session, &sql).await?;
    let read = |row: &Row| {
        let Json(detail) = get::<Json<serde_json::Value>>(row, "detail")?;
        Ok(NotedAct {
            number: get(row, "number")?,
            at: instant(row, "at")?.unwrap_or_default(),
            act: Act { who: get(row, "who")?, act: get(row, "act")?, detail },
        })
    };
    acts.iter().map(read).collect()
}

#[async_trait]
impl LedgerPages for PostgresLedger {
    async fn counted(&self, run: RunId) -> Result<Tally, LedgerError> {
        counts::counted_of(self.session("read the counts").await?, run).await
    }

    async fn run_page(&self, job: &str, page: Page<i64>, limit: u32) -> Result<Vec<RunSummary>, LedgerError> {
        run_page(self.session("list runs").await?, job, page, limit).await
    }

    async fn runs_between(
        &self,
        job: &str,
        from: RunDate,
        to: RunDate,
    ) -> Result<Vec<RunSummary>, LedgerError> {
        runs_between(self.session("list runs").await?, job, from, to).await
    }

    async fn started_by(&self, run: RunId) -> Result<Option<String>, LedgerError> {
        started_by(self.session("read a run").await?, run).await
    }

    async fn row_page(
        &self,
        run: RunId,
        filter: &RowFilter,
        page: Page<u32>,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError> {
        row_page(self.session("list rows").await?, run, filter, page, limit).await
    }

    async fn history(&self, run: RunId, sheet_row: u32) -> Result<Option<RowHistory>, LedgerError> {
        history::history(self.session("read a row's history").await?, run, sheet_row).await
    }

    async fn handled(
        &self,
        run: RunId,
        window: Window,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Handled>, LedgerError> {
        let session = self.session("list whose data was in hand").await?;
        handled::handled(session, run, window, after, limit).await
    }

    async fn dead_letter_groups(&self, run: Option<RunId>) -> Result<Vec<DeadLetterGroup>, LedgerError> {
        dead_letter_groups(self.session("count dead letters").await?, run).await
    }

    async fn dead_letter_page(
        &self,
        filter: &DeadLetterFilter,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError> {
        dead_letter_page(self.session("list dead letters").await?, filter, page, limit).await
    }

    async fn replays(&self, since: Timestamp, limit: u32) -> Result<Vec<ReplayView>, LedgerError> {
        replays(self.session("look at replays").await?, since, limit).await
    }

    async fn acts(
        &self,
        run: Option<RunId>,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<NotedAct>, LedgerError> {
        acts(self.session("list acts").await?, run, page, limit).await
    }
}
