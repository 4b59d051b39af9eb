//! Replays: a new generation of a row that died, and the terms that narrow them.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::{Keys, get, row_key, texts};
use super::counts::{keep_counts, outcomes_of};
use super::keys;
use super::session::{Param, Session};
use crate::domain::{Reason, RunDate};
use crate::ledger::{LedgerError, Replay, RowKey};

/// `WHERE` over `dead_letter AS d JOIN run`, with [`Terms::params`] as the first parameters.
pub(super) const TERMS: &str = "run.kind = 'night'
      AND ($1 IS NULL OR run.run_date >= $1) AND ($2 IS NULL OR run.run_date <= $2) AND ($3 IS NULL OR d.reason = $3)
      AND ($4 IS NULL OR d.nik_hash = ANY ($4))
      AND ($5 IS NULL OR (d.run_id, d.sheet_row, d.generation) IN (SELECT * FROM unnest($5, $6, $7)))";

/// The terms of a replay as parameters; what is none does not narrow.
pub(super) struct Terms<'a> {
    from: Option<RunDate>,
    to: Option<RunDate>,
    reason: Option<&'static str>,
    niks: Option<Vec<&'a str>>,
    runs: Option<Vec<Uuid>>,
    rows: Vec<i32>,
    generations: Vec<i32>,
}

impl<'a> Terms<'a> {
    pub(super) fn new(replay: &'a Replay) -> Self {
        let Keys { runs, rows, generations } = replay.rows.iter().copied().collect();
        Self {
            from: replay.from,
            to: replay.to,
            reason: replay.reason.map(Reason::as_str),
            niks: (!replay.niks.is_empty()).then(|| texts(&replay.niks)),
            runs: (!runs.is_empty()).then_some(runs),
            rows,
            generations,
        }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        vec![
            (&self.from, Type::DATE),
            (&self.to, Type::DATE),
            (&self.reason, Type::TEXT),
            (&self.niks, Type::TEXT_ARRAY),
            (&self.runs, Type::UUID_ARRAY),
            (&self.rows, Type::INT4_ARRAY),
            (&self.generations, Type::INT4_ARRAY),
        ]
    }
}

// Of two replays at once the second waits here, and then finds the dead letters replayed.
const LOCK: &str = "
    SELECT r.run_id, r.sheet_row, r.generation
    FROM dead_letter AS d JOIN run ON run.run_id = d.run_id
    JOIN row AS r ON r.run_id = d.run_id AND r.sheet_row = d.sheet_row
    WHERE d.replayed_at IS NULL AND r.generation = d.generation AND r.state = 'done' AND ";

const OPEN: &str = concat!(
    "WITH letter AS MATERIALIZED (
      SELECT d.number, d.run_id, d.sheet_row, d.generation
      FROM unnest($1, $2, $3) AS asked (run_id, sheet_row, generation)
      JOIN dead_letter AS d ON d.run_id = asked.run_id AND d.sheet_row = asked.sheet_row
        AND d.generation = asked.generation AND d.replayed_at IS NULL
      JOIN row AS r ON r.run_id = d.run_id AND r.sheet_row = d.sheet_row AND r.generation = d.generation
        AND r.state = 'done'),
    kept AS (
      INSERT INTO row_history (run_id, sheet_row, generation, outcome, reason, found, attempts, ended_at)
      SELECT r.run_id, r.sheet_row, r.generation, r.outcome, r.reason, r.found, r.attempts, ledger_now()
      FROM letter JOIN row AS r ON r.run_id = letter.run_id AND r.sheet_row = letter.sheet_row),
    reopened AS (
      SELECT r.run_id, r.outcome, r.reason, r.warnings
      FROM letter JOIN row AS r ON r.run_id = letter.run_id AND r.sheet_row = letter.sheet_row),
    counted AS (",
    keep_counts!(outcomes_of!("reopened", "-1")),
    "),
    moment AS MATERIALIZED (SELECT ledger_now() AS at),
    noted AS (
      UPDATE dead_letter AS d SET replayed_at = moment.at FROM letter, moment WHERE d.number = letter.number)
    UPDATE row AS r SET generation = r.generation + 1, state = 'pending', outcome = NULL, reason = NULL, found = NULL,
      attempts = 0, turn = 0, crashes = 0, sweep_at = 'epoch', sweeps = 0, published = FALSE, ended_at = NULL
    FROM letter JOIN run ON run.run_id = letter.run_id
    WHERE r.run_id = letter.run_id AND r.sheet_row = letter.sheet_row
    RETURNING r.run_id, r.sheet_row, r.generation, run.run_date, run.snapshot_order"
);

pub(super) async fn replay(mut session: Session, replay: &Replay) -> Result<Vec<RowKey>, LedgerError> {
    keys::check_settled(&mut session).await?;
    let terms = Terms::new(replay);
    let lock = format!("{LOCK} {TERMS} ORDER BY r.run_id, r.sheet_row FOR UPDATE OF r");
    let locked = session.run(&[(&lock, &terms.params())]).await?;
    let keys = locked.iter().map(row_key).collect::<Result<Keys, _>>()?;
    let opened = session
        .finish(&[(
            OPEN,
            &[
                (&keys.runs, Type::UUID_ARRAY),
                (&keys.rows, Type::INT4_ARRAY),
                (&keys.generations, Type::INT4_ARRAY),
            ],
        )])
        .await?;
    let ordered = opened
        .iter()
        .map(|row| Ok((get::<RunDate>(row, "run_date")?, get::<i64>(row, "snapshot_order")?, row_key(row)?)));
    let mut ordered = ordered.collect::<Result<Vec<_>, LedgerError>>()?;
    ordered.sort_unstable_by_key(|(date, snapshot, key)| (*date, *snapshot, key.sheet_row));
    Ok(ordered.into_iter().map(|(.., key)| key).collect())
}
