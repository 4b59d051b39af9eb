//! The series of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::convert::instant;
use super::{Sql as _, SqliteLedger, micros};
use crate::ledger::samples::apart;
use crate::ledger::{LedgerError, LedgerSamples, LimiterSample, RunId, Sample, SamplePoint};

const DOING: &str = "keep a sample";

fn add_sample(db: &Connection, now: i64, run: RunId, sample: &Sample) -> Result<bool, LedgerError> {
    let last: Option<(u32, i64)> = db
        .prepare_cached("SELECT number, at FROM sample WHERE run_id = ? ORDER BY number DESC LIMIT 1")
        .and_then(|mut last| last.query_row([run], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .doing(DOING)?;
    if last.is_some_and(|(number, at)| now < at + micros(apart(number))) {
        return Ok(false);
    }
    let number = last.map_or(1, |(number, _)| number + 1);
    let added = db
        .prepare_cached(
            "INSERT INTO sample (run_id, number, at, updated, unwritten, dead_lettered, open, ready, waiting)
             SELECT run_id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM run WHERE run_id = ?1 AND state = 'open'",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                run,
                number,
                now,
                sample.updated,
                sample.unwritten,
                sample.dead_lettered,
                sample.open,
                sample.ready,
                sample.waiting
            ])
        })
        .doing(DOING)?;
    Ok(added > 0)
}

fn add_limiter(
    db: &Connection,
    run: RunId,
    after: u32,
    limiter: LimiterSample,
) -> Result<Option<u32>, LedgerError> {
    db.prepare_cached(
        "UPDATE sample SET workers = workers + 1, concurrency_limit = concurrency_limit + ?3, in_flight = in_flight + ?4
         WHERE run_id = ?1 AND number > ?2 AND number = (SELECT MAX(number) FROM sample WHERE run_id = ?1)
         RETURNING number",
    )
    .and_then(|mut update| {
        update.query_row(params![run, after, limiter.limit, limiter.in_flight], |row| row.get(0)).optional()
    })
    .doing(DOING)
}

// Rows that were never published come first in the index: where there is one, it is found at once.
fn note_all_published(db: &Connection, now: i64, run: RunId) -> Result<bool, LedgerError> {
    let noted = db
        .execute(
            "UPDATE run SET published_at = ?2 WHERE run_id = ?1 AND state = 'open' AND published_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM row INDEXED BY row_open
                             WHERE run_id = ?1 AND state <> 'done' AND state = 'pending' AND NOT published)",
            params![run, now],
        )
        .doing("note that a run is published")?;
    Ok(noted > 0)
}

fn writes(db: &Connection, run: RunId) -> Result<Option<(Timestamp, Timestamp)>, LedgerError> {
    let written = db
        .query_row(
            "SELECT MIN(ended_at) AS first, MAX(ended_at) AS last FROM row INDEXED BY row_by_outcome
             WHERE run_id = ? AND outcome = 'updated'",
            [run],
            |row| Ok((instant(row, "first")?, instant(row, "last")?)),
        )
        .doing("read when a run wrote")?;
    Ok(written.0.zip(written.1))
}

fn samples(db: &Connection, run: RunId) -> Result<Vec<SamplePoint>, LedgerError> {
    let read = |row: &Row<'_>| {
        Ok(SamplePoint {
            number: row.get("number")?,
            at: instant(row, "at")?.unwrap_or_default(),
            sample: Sample {
                updated: row.get("updated")?,
                unwritten: row.get("unwritten")?,
                dead_lettered: row.get("dead_lettered")?,
                open: row.get("open")?,
                ready: row.get("ready")?,
                waiting: row.get("waiting")?,
            },
            workers: row.get("workers")?,
            limiter: LimiterSample { limit: row.get("concurrency_limit")?, in_flight: row.get("in_flight")? },
        })
    };
    db.prepare_cached("SELECT * FROM sample WHERE run_id = ? ORDER BY number")
        .and_then(|mut samples| samples.query_map([run], read)?.collect())
        .doing("read a run's samples")
}

#[async_trait]
impl LedgerSamples for SqliteLedger {
    async fn add_sample(&self, run: RunId, sample: &Sample) -> Result<bool, LedgerError> {
        let sample = *sample;
        self.write(DOING, move |db, now| add_sample(db, now, run, &sample)).await
    }

    async fn add_limiter(
        &self,
        run: RunId,
        after: u32,
        limiter: LimiterSample,
    ) -> Result<Option<u32>, LedgerError> {
        self.write(DOING, move |db, _| add_limiter(db, run, after, limiter)).await
    }

    async fn note_all_published(&self, run: RunId) -> Result<bool, LedgerError> {
        self.write("note that a run is published", move |db, now| note_all_published(db, now, run)).await
    }

    async fn writes(&self, run: RunId) -> Result<Option<(Timestamp, Timestamp)>, LedgerError> {
        self.read("read when a run wrote", move |db| writes(db, run)).await
    }

    async fn samples(&self, run: RunId) -> Result<Vec<SamplePoint>, LedgerError> {
        self.read("read a run's samples", move |db| samples(db, run)).await
    }
}
