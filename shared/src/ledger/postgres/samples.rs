//! The series of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresLedger;
use super::convert::{count, get, instant, int, micros, total};
use crate::ledger::samples::apart;
use crate::ledger::{LedgerError, LedgerSamples, LimiterSample, RunId, Sample, SamplePoint};

const DOING: &str = "keep a sample";

const LAST: &str = "
    SELECT number, (extract(epoch FROM ledger_now() - at) * 1000000)::bigint AS age
    FROM sample WHERE run_id = $1 ORDER BY number DESC LIMIT 1";

// Of two that take the same point at once the first counts.
const ADD: &str = "
    INSERT INTO sample (run_id, number, at, updated, unwritten, dead_lettered, open, ready, waiting)
    SELECT run_id, $2, ledger_now(), $3, $4, $5, $6, $7, $8 FROM run WHERE run_id = $1 AND state = 'open'
    ON CONFLICT (run_id, number) DO NOTHING RETURNING number";

const ADD_LIMITER: &str = "
    UPDATE sample SET workers = workers + 1, concurrency_limit = concurrency_limit + $3, in_flight = in_flight + $4
    WHERE run_id = $1 AND number > $2 AND number = (SELECT max(number) FROM sample WHERE run_id = $1)
    RETURNING number";

// Rows that were never published come first in the index: where there is one, it is found at once.
const NOTE_ALL_PUBLISHED: &str = "
    UPDATE run SET published_at = ledger_now() WHERE run_id = $1 AND state = 'open' AND published_at IS NULL
      AND NOT EXISTS (SELECT FROM row
                      WHERE row.run_id = $1 AND row.state <> 'done' AND row.state = 'pending' AND NOT row.published)
    RETURNING run_id";

const WRITES: &str = "
    SELECT min(ended_at) AS first, max(ended_at) AS last FROM row WHERE run_id = $1 AND outcome = 'updated'";

const SAMPLES: &str = "SELECT * FROM sample WHERE run_id = $1 ORDER BY number";

fn long(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<SamplePoint, LedgerError> {
    let maybe = |column| {
        let count: Option<i64> = get(row, column)?;
        Ok::<_, LedgerError>(count.and_then(|count| u64::try_from(count).ok()))
    };
    Ok(SamplePoint {
        number: count(row, "number")?,
        at: instant(row, "at")?.unwrap_or_default(),
        sample: Sample {
            updated: total(row, "updated")?,
            unwritten: total(row, "unwritten")?,
            dead_lettered: total(row, "dead_lettered")?,
            open: total(row, "open")?,
            ready: maybe("ready")?,
            waiting: maybe("waiting")?,
        },
        workers: count(row, "workers")?,
        limiter: LimiterSample { limit: get(row, "concurrency_limit")?, in_flight: total(row, "in_flight")? },
    })
}

#[async_trait]
impl LedgerSamples for PostgresLedger {
    async fn add_sample(&self, run: RunId, sample: &Sample) -> Result<bool, LedgerError> {
        let mut session = self.session(DOING).await?;
        let last = session.run(&[(LAST, &[(&run.0, Type::UUID)])]).await?;
        let mut next = 1;
        if let Some(last) = last.first() {
            let number = count(last, "number")?;
            if get::<i64>(last, "age")? < micros(apart(number)) {
                session.finish(&[]).await?;
                return Ok(false);
            }
            next = number + 1;
        }
        let added = session
            .finish(&[(
                ADD,
                &[
                    (&run.0, Type::UUID),
                    (&int(next), Type::INT4),
                    (&long(sample.updated), Type::INT8),
                    (&long(sample.unwritten), Type::INT8),
                    (&long(sample.dead_lettered), Type::INT8),
                    (&long(sample.open), Type::INT8),
                    (&sample.ready.map(long), Type::INT8),
                    (&sample.waiting.map(long), Type::INT8),
                ],
            )])
            .await?;
        Ok(!added.is_empty())
    }

    async fn add_limiter(
        &self,
        run: RunId,
        after: u32,
        limiter: LimiterSample,
    ) -> Result<Option<u32>, LedgerError> {
        let added = self
            .session(DOING)
            .await?
            .finish(&[(
                ADD_LIMITER,
                &[
                    (&run.0, Type::UUID),
                    (&int(after), Type::INT4),
                    (&limiter.limit, Type::FLOAT8),
                    (&long(limiter.in_flight), Type::INT8),
                ],
            )])
            .await?;
        added.first().map(|row| count(row, "number")).transpose()
    }

    async fn note_all_published(&self, run: RunId) -> Result<bool, LedgerError> {
        let session = self.session("note that a run is published").await?;
        Ok(!session.finish(&[(NOTE_ALL_PUBLISHED, &[(&run.0, Type::UUID)])]).await?.is_empty())
    }

    async fn writes(&self, run: RunId) -> Result<Option<(Timestamp, Timestamp)>, LedgerError> {
        let session = self.long_session("read when a run wrote").await?;
        let found = session.finish(&[(WRITES, &[(&run.0, Type::UUID)])]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        Ok(instant(row, "first")?.zip(instant(row, "last")?))
    }

    async fn samples(&self, run: RunId) -> Result<Vec<SamplePoint>, LedgerError> {
        let session = self.session("read a run's samples").await?;
        session.finish(&[(SAMPLES, &[(&run.0, Type::UUID)])]).await?.iter().map(read).collect()
    }
}
