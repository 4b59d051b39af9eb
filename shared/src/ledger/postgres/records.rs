//! How claims end, and how dead letters are completed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::types::Type;

use super::claims::LOCK_ROWS;
use super::convert::{Keys, count, get, int, micros, warning_codes};
use super::counts::{keep_counts, outcomes_of};
use super::history::exchanges_json;
use super::session::{Param, Session};
use crate::domain::{Outcome, Reason};
use crate::ledger::{Burial, LedgerError, Record, Recorded, RowKey, Settlement};

/// How long after its due time a retrying or failed row whose message got lost comes due for the sweep.
pub(super) const GRACE: Duration = Duration::from_secs(30);

const LOCK_LEASES: &str = "SELECT count(*) FROM (
    SELECT FROM nik_lease AS n JOIN row AS r
      ON r.nik_hash = n.nik_hash AND r.run_id = n.run_id AND r.sheet_row = n.sheet_row
    JOIN unnest($1, $2) AS asked (run_id, sheet_row) ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
    ORDER BY n.nik_hash FOR UPDATE OF n) AS locked";

// The end of the lease is not asked here: while the epoch stands, nobody else has touched the row, and while
// its NIK's lease is where the claim left it, nobody else the Patient. A dry run's findings change no record.
// An attempt that was given back tried nothing to the end: it is not kept.
const RECORD: &str = concat!(
    "WITH asked AS (
      SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) WITH ORDINALITY
        AS asked (run_id, sheet_row, generation, epoch, state, outcome, reason, found, warnings, sweep_after,
                  attempts, turns, requests, retries, took, exchanges, place)),
    clock AS MATERIALIZED (SELECT ledger_now() AS now),
    ours AS MATERIALIZED (
      SELECT asked.*, r.nik_hash, r.number_hash, r.digests, r.warnings AS had, run.run_date, run.snapshot_order, run.kind
      FROM asked
      JOIN row AS r ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
        AND r.generation = asked.generation AND r.epoch = asked.epoch AND r.state = 'claimed'
      JOIN run ON run.run_id = r.run_id
      JOIN nik_lease AS n ON n.nik_hash = r.nik_hash AND n.run_id = r.run_id AND n.sheet_row = r.sheet_row
        AND n.epoch = r.epoch),
    given_back AS (DELETE FROM nik_lease AS n USING ours WHERE n.nik_hash = ours.nik_hash),
    succeeded AS (SELECT * FROM ours, clock WHERE outcome IN ('updated', 'unchanged') AND kind = 'night'),
    noted AS (
      INSERT INTO success (run_date, nik_hash, number_hash, run_id, sheet_row, succeeded_at)
      SELECT run_date, nik_hash, number_hash, run_id, sheet_row, now FROM succeeded
      ON CONFLICT (run_date, nik_hash, number_hash) DO UPDATE SET run_id = excluded.run_id,
        sheet_row = excluded.sheet_row, succeeded_at = excluded.succeeded_at),
    newest AS (
      INSERT INTO newest_success AS newest
        (nik_hash, run_date, snapshot_order, number_hash, run_id, sheet_row, succeeded_at, digests)
      SELECT nik_hash, run_date, snapshot_order, number_hash, run_id, sheet_row, now, digests FROM succeeded
      ON CONFLICT (nik_hash) DO UPDATE SET run_date = excluded.run_date, snapshot_order = excluded.snapshot_order,
        number_hash = excluded.number_hash, run_id = excluded.run_id, sheet_row = excluded.sheet_row,
        succeeded_at = excluded.succeeded_at, digests = excluded.digests
      WHERE (excluded.run_date, excluded.snapshot_order) >= (newest.run_date, newest.snapshot_order)),
    attempted AS (
      INSERT INTO attempt (run_id, sheet_row, generation, epoch, ended_at, took, last, counted, error, exchanges)
      SELECT run_id, sheet_row, generation, epoch, now, took, state = 'failed', attempts > 0, coalesce(found, ''), exchanges
      FROM ours, clock WHERE state IN ('retrying', 'failed')
      ON CONFLICT (run_id, sheet_row, generation, epoch) DO NOTHING),
    ended AS (
      SELECT run_id, outcome, reason, btrim(had || ' ' || warnings) AS warnings FROM ours WHERE outcome IS NOT NULL),
    counted AS (",
    keep_counts!(
        "SELECT run_id, 'requests', '', requests FROM ours
         UNION ALL SELECT run_id, 'retries', '', retries FROM ours UNION ALL ",
        outcomes_of!("ended", "1")
    ),
    ")
    UPDATE row AS r SET state = ours.state, outcome = ours.outcome, reason = ours.reason, found = ours.found,
      warnings = btrim(r.warnings || ' ' || ours.warnings),
      sweep_at = coalesce(now + ours.sweep_after * interval '1 microsecond', 'epoch'),
      attempts = r.attempts + ours.attempts, turn = r.turn + ours.turns, requests = r.requests + ours.requests,
      retries = r.retries + ours.retries, published = FALSE, sweeps = 0, crashes = 0,
      ended_at = CASE WHEN ours.outcome IS NOT NULL THEN now END,
      took = CASE WHEN ours.outcome IS NOT NULL THEN ours.took END,
      exchanges = CASE WHEN ours.outcome IS NOT NULL THEN ours.exchanges END
    FROM ours, clock WHERE r.run_id = ours.run_id AND r.sheet_row = ours.sheet_row
    RETURNING ours.place, r.turn"
);

/// What settlements make of their rows' columns.
#[derive(Default)]
struct After<'a> {
    states: Vec<&'static str>,
    outcomes: Vec<Option<&'static str>>,
    reasons: Vec<Option<&'static str>>,
    found: Vec<Option<&'a str>>,
    warnings: Vec<String>,
    /// From now; none is at once.
    sweep_after: Vec<Option<i64>>,
    attempts: Vec<i32>,
    turns: Vec<i32>,
}

impl<'a> After<'a> {
    fn push(&mut self, settlement: &'a Settlement) {
        let (state, sweep_after, attempts, turns) = match settlement {
            Settlement::Done { .. } => ("done", None, 1, 0),
            Settlement::Retry { after, counted, .. } => {
                ("retrying", Some(*after + GRACE), i32::from(*counted), 1)
            }
            Settlement::Failed { .. } => ("failed", Some(GRACE), 1, 0),
            Settlement::Returned => ("pending", None, 0, 1),
        };
        self.states.push(state);
        self.sweep_after.push(sweep_after.map(micros));
        self.attempts.push(attempts);
        self.turns.push(turns);
        let (outcome, warnings) = match settlement {
            Settlement::Done { outcome, warnings, .. } => (Some(outcome.as_str()), warning_codes(warnings)),
            _ => (None, String::new()),
        };
        self.outcomes.push(outcome);
        self.warnings.push(warnings);
        let (reason, found) = match settlement {
            Settlement::Failed { reason, error } => (Some(Reason::as_str(*reason)), Some(error.as_str())),
            Settlement::Retry { error, .. } => (None, Some(error.as_str())),
            Settlement::Done { previous, .. } => (None, previous.as_deref()),
            _ => (None, None),
        };
        self.reasons.push(reason);
        self.found.push(found);
    }
}

pub(super) async fn record(session: Session, records: &[Record]) -> Result<Vec<Recorded>, LedgerError> {
    // Of several for one claim the first counts; of several epochs of one row at most one stands.
    let mut seen = HashSet::new();
    let first: Vec<(usize, &Record)> =
        records.iter().enumerate().filter(|(_, record)| seen.insert((record.key, record.epoch))).collect();
    let keys: Keys = first.iter().map(|(_, record)| record.key).collect();
    let epochs: Vec<_> = first.iter().map(|(_, record)| record.epoch).collect();
    let requests: Vec<_> = first.iter().map(|(_, record)| int(record.requests)).collect();
    let retries: Vec<_> = first.iter().map(|(_, record)| int(record.retries)).collect();
    let took: Vec<_> = first.iter().map(|(_, record)| micros(record.took)).collect();
    let exchanges: Vec<_> = first.iter().map(|(_, record)| exchanges_json(&record.exchanges)).collect();
    let mut after = After::default();
    first.iter().for_each(|(_, record)| after.push(&record.settlement));
    let rows: &[Param<'_>] = &[(&keys.runs, Type::UUID_ARRAY), (&keys.rows, Type::INT4_ARRAY)];
    let recorded = session
        .finish(&[
            (LOCK_ROWS, rows),
            (LOCK_LEASES, rows),
            (
                RECORD,
                &[
                    (&keys.runs, Type::UUID_ARRAY),
                    (&keys.rows, Type::INT4_ARRAY),
                    (&keys.generations, Type::INT4_ARRAY),
                    (&epochs, Type::INT8_ARRAY),
                    (&after.states, Type::TEXT_ARRAY),
                    (&after.outcomes, Type::TEXT_ARRAY),
                    (&after.reasons, Type::TEXT_ARRAY),
                    (&after.found, Type::TEXT_ARRAY),
                    (&after.warnings, Type::TEXT_ARRAY),
                    (&after.sweep_after, Type::INT8_ARRAY),
                    (&after.attempts, Type::INT4_ARRAY),
                    (&after.turns, Type::INT4_ARRAY),
                    (&requests, Type::INT4_ARRAY),
                    (&retries, Type::INT4_ARRAY),
                    (&took, Type::INT8_ARRAY),
                    (&exchanges, Type::TEXT_ARRAY),
                ],
            ),
        ])
        .await?;
    let mut answers = vec![Recorded::Refused; records.len()];
    for row in &recorded {
        let place = usize::try_from(get::<i64>(row, "place")? - 1).ok().and_then(|place| first.get(place));
        let (index, _) = place.ok_or(LedgerError::Foreign { what: "place" })?;
        answers[*index] = Recorded::Yes { turn: count(row, "turn")? };
    }
    Ok(answers)
}

// A row whose message died alone is published again by the sweep.
const BURY: &str = concat!(
    "WITH asked AS (SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY
                   AS asked (run_id, sheet_row, generation, deaths, place)),
    found AS MATERIALIZED (
      SELECT asked.*, r.state, r.reason, coalesce(r.found, '') AS error, r.attempts, r.nik_hash, r.sealed, r.warnings, run.kind
      FROM asked JOIN row AS r ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
        AND r.generation = asked.generation AND r.state IN ('failed', 'pending', 'retrying')
      JOIN run ON run.run_id = r.run_id),
    buried AS (
      INSERT INTO dead_letter (run_id, sheet_row, generation, reason, error, attempts, deaths, nik_hash, sealed, died_at)
      SELECT run_id, sheet_row, generation, reason, error, attempts, deaths, nik_hash, sealed, ledger_now()
      FROM found WHERE state = 'failed' AND kind = 'night' ORDER BY place
      ON CONFLICT (run_id, sheet_row, generation) DO NOTHING),
    ended AS (SELECT run_id, $5 AS outcome, reason, warnings FROM found WHERE state = 'failed'),
    counted AS (",
    keep_counts!(outcomes_of!("ended", "1")),
    ")
    UPDATE row AS r SET
      state = CASE WHEN found.state = 'failed' THEN 'done' ELSE r.state END,
      outcome = CASE WHEN found.state = 'failed' THEN $5 ELSE r.outcome END,
      published = CASE WHEN found.state = 'failed' THEN r.published ELSE FALSE END,
      sweep_at = CASE WHEN found.state = 'failed' THEN r.sweep_at ELSE 'epoch' END,
      sweeps = CASE WHEN found.state = 'failed' THEN r.sweeps ELSE 0 END,
      ended_at = CASE WHEN found.state = 'failed' THEN ledger_now() END
    FROM found WHERE r.run_id = found.run_id AND r.sheet_row = found.sheet_row"
);

pub(super) async fn bury(session: Session, burials: &[Burial]) -> Result<(), LedgerError> {
    let mut places: HashMap<RowKey, usize> = HashMap::new();
    for (place, burial) in burials.iter().enumerate() {
        places.entry(burial.key).or_insert(place);
    }
    let mut places: Vec<_> = places.into_values().collect();
    places.sort_unstable();
    let keys: Keys = places.iter().map(|place| burials[*place].key).collect();
    let deaths: Vec<_> = places.iter().map(|place| burials[*place].deaths.as_deref()).collect();
    session
        .finish(&[
            (LOCK_ROWS, &[(&keys.runs, Type::UUID_ARRAY), (&keys.rows, Type::INT4_ARRAY)]),
            (
                BURY,
                &[
                    (&keys.runs, Type::UUID_ARRAY),
                    (&keys.rows, Type::INT4_ARRAY),
                    (&keys.generations, Type::INT4_ARRAY),
                    (&deaths, Type::TEXT_ARRAY),
                    (&Outcome::DeadLettered.as_str(), Type::TEXT),
                ],
            ),
        ])
        .await?;
    Ok(())
}
