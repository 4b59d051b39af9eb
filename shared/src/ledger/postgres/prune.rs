//! Deleting what is old enough, a batch in a transaction.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::{get, micros, total};
use super::session::{Param, Session};
use crate::ledger::prune::EXPIRY;
use crate::ledger::{Expiring, LedgerError, PruneTerms, Pruned, RunId};

// The oldest run of which nothing is wanted any more: it ended before $2, none of its rows is being replayed, no
// dead letter of it is younger, and those that nobody replayed were announced before $3. One that another process
// is at is passed over.
const OLDEST: &str = "
    WITH ages AS (SELECT ledger_now() - $2 * interval '1 microsecond' AS before,
                         ledger_now() - $3 * interval '1 microsecond' AS announced)
    SELECT run_id FROM run, ages
    WHERE job = $1 AND state IN ('closed', 'abandoned') AND closed_at < before
      AND NOT (kind = 'night' AND EXISTS (SELECT FROM row AS r WHERE r.run_id = run.run_id AND r.state <> 'done'))
      AND NOT EXISTS (SELECT FROM dead_letter AS d WHERE d.run_id = run.run_id AND died_at >= before)
      AND (NOT EXISTS (SELECT FROM dead_letter AS d WHERE d.run_id = run.run_id AND replayed_at IS NULL)
           OR EXISTS (SELECT FROM notice WHERE key = $4 || replace(run.run_id::text, '-', '') AND noted_at <= announced))
    ORDER BY snapshot_order LIMIT 1 FOR UPDATE OF run SKIP LOCKED";

// A row that a replay has opened since stays, and with it the run.
const ROWS: &str = "
    WITH gone AS (
      DELETE FROM row AS r USING run
      WHERE run.run_id = $1 AND r.run_id = $1 AND (r.state = 'done' OR run.kind = 'dry_run')
        AND r.sheet_row IN (SELECT sheet_row FROM row WHERE run_id = $1 ORDER BY sheet_row LIMIT $2)
      RETURNING r.sheet_row, run.run_date, r.nik_hash, r.number_hash),
    successes AS (
      DELETE FROM success AS s USING gone
      WHERE s.run_date = gone.run_date AND s.nik_hash = gone.nik_hash AND s.number_hash = gone.number_hash
        AND s.run_id = $1),
    intents AS (DELETE FROM intent AS i USING gone WHERE i.run_id = $1 AND i.sheet_row = gone.sheet_row),
    history AS (DELETE FROM row_history AS h USING gone WHERE h.run_id = $1 AND h.sheet_row = gone.sheet_row),
    attempts AS (DELETE FROM attempt AS a USING gone WHERE a.run_id = $1 AND a.sheet_row = gone.sheet_row),
    letters AS (
      DELETE FROM dead_letter AS d USING gone WHERE d.run_id = $1 AND d.sheet_row = gone.sheet_row
      RETURNING replayed_at IS NULL AS open)
    SELECT (SELECT count(*) FROM gone) AS rows,
           (SELECT count(*) FROM letters WHERE NOT open) AS dead_letters,
           (SELECT count(*) FROM letters WHERE open) AS open_dead_letters";

const RUN: &str = "
    WITH gone AS (DELETE FROM run WHERE run_id = $1 AND NOT EXISTS (SELECT FROM row AS r WHERE r.run_id = $1)
                  RETURNING run_id),
    counts AS (DELETE FROM run_count AS c USING gone WHERE c.run_id = gone.run_id)
    SELECT count(*) AS runs FROM gone";

// Locks and leases of so long ago guard nothing: whoever held them writes no more.
const AGED: &str = "
    WITH ages AS (SELECT ledger_now() - $1 * interval '1 microsecond' AS before),
    notices AS (DELETE FROM notice WHERE number IN
      (SELECT number FROM notice, ages WHERE noted_at < before ORDER BY number LIMIT $2) RETURNING number),
    strays AS (DELETE FROM stray WHERE number IN
      (SELECT number FROM stray, ages WHERE kept_at < before ORDER BY number LIMIT $2) RETURNING number),
    acts AS (DELETE FROM act WHERE number IN
      (SELECT number FROM act, ages WHERE at < before ORDER BY number LIMIT $2) RETURNING number),
    locks AS (DELETE FROM run_lock USING ages WHERE lease_until < before AND run_date < before::date),
    niks AS (DELETE FROM nik_lease USING ages WHERE lease_until < before),
    duties AS (DELETE FROM duty USING ages WHERE lease_until < before)
    SELECT (SELECT count(*) FROM notices) AS notices, (SELECT count(*) FROM strays) AS strays,
           (SELECT count(*) FROM acts) AS acts";

pub(super) async fn prune(mut session: Session, terms: &PruneTerms) -> Result<Pruned, LedgerError> {
    let keep = micros(terms.keep);
    let limit = i64::from(terms.limit);
    let oldest = session
        .run(&[(
            OLDEST,
            &[
                (&terms.job, Type::TEXT),
                (&keep, Type::INT8),
                (&micros(terms.announce), Type::INT8),
                (&EXPIRY, Type::TEXT),
            ],
        )])
        .await?;
    let mut pruned = Pruned::default();
    if let Some(oldest) = oldest.first() {
        let id: Uuid = get(oldest, "run_id")?;
        let run: Param<'_> = (&id, Type::UUID);
        let answers = session.all(&[(ROWS, &[run.clone(), (&limit, Type::INT8)]), (RUN, &[run])]).await?;
        if let [rows, runs] = answers.as_slice()
            && let (Some(rows), Some(runs)) = (rows.first(), runs.first())
        {
            pruned.rows = total(rows, "rows")?;
            pruned.dead_letters = total(rows, "dead_letters")?;
            pruned.open_dead_letters = total(rows, "open_dead_letters")?;
            pruned.runs = total(runs, "runs")?;
        }
    }
    let aged = session.finish(&[(AGED, &[(&keep, Type::INT8), (&limit, Type::INT8)])]).await?;
    if let Some(aged) = aged.first() {
        pruned.notices = total(aged, "notices")?;
        pruned.strays = total(aged, "strays")?;
        pruned.acts = total(aged, "acts")?;
    }
    Ok(pruned)
}

const EXPIRING: &str = "
    SELECT run.run_id, run_date, count(*) AS dead_letters FROM dead_letter JOIN run USING (run_id)
    WHERE replayed_at IS NULL AND job = $1 AND closed_at < ledger_now() - $2 * interval '1 microsecond'
    GROUP BY run.run_id ORDER BY snapshot_order";

pub(super) async fn expiring(
    session: Session,
    job: &str,
    age: Duration,
) -> Result<Vec<Expiring>, LedgerError> {
    let runs = session.finish(&[(EXPIRING, &[(&job, Type::TEXT), (&micros(age), Type::INT8)])]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Expiring {
            run: RunId(get(row, "run_id")?),
            date: get(row, "run_date")?,
            dead_letters: total(row, "dead_letters")?,
        })
    };
    runs.iter().map(read).collect()
}
