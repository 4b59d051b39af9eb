//! Claims: who may work on a row, and who is refused.
//!
//! A batch is claimed in three round trips: its rows are locked and read; then their NIKs' leases are locked,
//! and what stands against the rows is read; then what was decided is written. Rows before leases, each in the
//! order of their keys, in every verb: no two transactions can wait for each other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::convert::{Keys, count, get, left, micros, needed, order, row_key, texts, word};
use super::counts::{keep_counts, outcomes_of};
use super::records::GRACE;
use super::session::{Param, Session};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason};
use crate::ledger::crashes::{is_poison, is_suspect, poison_error};
use crate::ledger::{Claim, ClaimRequest, Claimed, LedgerError, Order, RowKey, RunId};

/// Locks rows in the order of their keys. Run before any statement that changes several rows.
pub(super) const LOCK_ROWS: &str = "SELECT count(*) FROM (
    SELECT FROM row AS r JOIN unnest($1, $2) AS asked (run_id, sheet_row)
      ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
    ORDER BY r.run_id, r.sheet_row FOR UPDATE OF r) AS locked";

const LOCK_AND_READ: &str = "
    SELECT r.run_id, r.sheet_row, r.generation, r.state, r.reason, r.turn, r.epoch, r.crashes, r.attempts, r.sealed,
           r.nik_hash, r.number_hash, run.run_date, run.snapshot_order, run.kind,
           (run.selection ->> 'reapply')::boolean IS TRUE AS reapply,
           (extract(epoch FROM r.sweep_at - ledger_now()) * 1000000)::bigint AS micros_left
    FROM row AS r JOIN run ON run.run_id = r.run_id
    JOIN unnest($1, $2) AS asked (run_id, sheet_row) ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
    WHERE run.state IN ('open', 'closed') AND r.nik_hash IS NOT NULL AND r.number_hash IS NOT NULL
    ORDER BY r.run_id, r.sheet_row FOR UPDATE OF r";

const LOCK_LEASES: &str = "
    SELECT nik_hash, run_id, sheet_row, (extract(epoch FROM lease_until - ledger_now()) * 1000000)::bigint AS micros_left
    FROM nik_lease WHERE nik_hash = ANY ($1) ORDER BY nik_hash FOR UPDATE";

const NEWEST: &str =
    "SELECT nik_hash, run_date, snapshot_order, number_hash FROM newest_success WHERE nik_hash = ANY ($1)";

const STANDING_INTENTS: &str = "
    SELECT intent.run_id, intent.sheet_row, intent.generation, patient_id, version_id
    FROM intent JOIN unnest($1, $2, $3) AS asked (run_id, sheet_row, generation)
      ON intent.run_id = asked.run_id AND intent.sheet_row = asked.sheet_row AND intent.generation = asked.generation";

// A later snapshot that says the same number again makes that the newest word: a replay of a snapshot in between,
// with another number, comes too late.
const SETTLE: &str = concat!(
    "WITH settled AS (
      UPDATE row AS r SET state = 'done', outcome = asked.outcome, found = NULL, crashes = 0, epoch = r.epoch + 1,
        ended_at = ledger_now()
      FROM unnest($1, $2, $3) AS asked (run_id, sheet_row, outcome)
      WHERE r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
      RETURNING r.run_id, r.sheet_row, r.outcome, r.reason, r.warnings, r.nik_hash),
    counted AS (",
    keep_counts!(outcomes_of!("settled", "1")),
    ")
    UPDATE newest_success AS newest
    SET snapshot_order = run.snapshot_order, run_id = settled.run_id, sheet_row = settled.sheet_row
    FROM settled JOIN run ON run.run_id = settled.run_id
    WHERE settled.outcome = 'skipped_already_applied' AND run.kind = 'night' AND newest.nik_hash = settled.nik_hash
      AND newest.run_date = run.run_date AND newest.snapshot_order < run.snapshot_order"
);

// As a worker's record would. Its crashes stay, for whoever looks into it.
const GIVE_UP: &str = "
    WITH given_up AS (
      UPDATE row AS r SET state = 'failed', reason = $4, found = asked.error, attempts = attempts + 1,
        sweep_at = ledger_now() + $5 * interval '1 microsecond', epoch = r.epoch + 1, published = FALSE, sweeps = 0
      FROM unnest($1, $2, $3) AS asked (run_id, sheet_row, error)
      WHERE r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
      RETURNING r.run_id, r.sheet_row, r.nik_hash)
    DELETE FROM nik_lease AS n USING given_up
    WHERE n.nik_hash = given_up.nik_hash AND n.run_id = given_up.run_id AND n.sheet_row = given_up.sheet_row";

// Where a NIK had no lease there was nothing to lock: of two transactions that insert its first, one waits
// here, finds the other's, and leaves it. The crash is counted in advance, and taken back by whatever record
// ends the claim.
const TAKE: &str = "
    WITH asked AS (SELECT * FROM unnest($1, $2, $3, $4) AS asked (run_id, sheet_row, nik_hash, epoch)),
    lease AS MATERIALIZED (SELECT ledger_now() + $5 * interval '1 microsecond' AS until),
    leased AS (
      INSERT INTO nik_lease (nik_hash, run_id, sheet_row, epoch, lease_until)
      SELECT nik_hash, run_id, sheet_row, epoch, until FROM asked, lease ORDER BY nik_hash
      ON CONFLICT (nik_hash) DO UPDATE SET run_id = excluded.run_id, sheet_row = excluded.sheet_row,
        epoch = excluded.epoch, lease_until = excluded.lease_until
      WHERE nik_lease.lease_until <= ledger_now()
         OR (nik_lease.run_id = excluded.run_id AND nik_lease.sheet_row = excluded.sheet_row)
      RETURNING nik_hash)
    UPDATE row AS r SET state = 'claimed', epoch = asked.epoch, sweep_at = until, crashes = crashes + 1
    FROM asked JOIN leased ON leased.nik_hash = asked.nik_hash, lease
    WHERE r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
    RETURNING r.run_id, r.sheet_row";

/// A row's place: its key without the generation.
type Place = (RunId, u32);

fn place(key: RowKey) -> Place {
    (key.run, key.sheet_row)
}

fn key_of(&(run, sheet_row): &Place) -> RowKey {
    RowKey { run, sheet_row, generation: 0 }
}

struct Stored {
    state: String,
    reason: Option<Reason>,
    turn: u32,
    left: Option<Duration>,
    reapply: bool,
    crashes: u32,
    claimed: Claimed,
}

fn read(row: &Row) -> Result<Stored, LedgerError> {
    Ok(Stored {
        state: get(row, "state")?,
        reason: word(row, "reason")?,
        turn: count(row, "turn")?,
        left: left(row, "micros_left")?,
        reapply: get(row, "reapply")?,
        crashes: count(row, "crashes")?,
        claimed: Claimed {
            key: row_key(row)?,
            epoch: get(row, "epoch")?,
            lease: Duration::ZERO,
            attempts: count(row, "attempts")?,
            kind: needed(row, "kind")?,
            order: order(row)?,
            sealed: get(row, "sealed")?,
            nik: needed(row, "nik_hash")?,
            number: needed(row, "number_hash")?,
            intent: None,
            superseded: false,
        },
    })
}

/// What the row alone says to the request, if it says no.
fn refused(request: ClaimRequest, row: &Stored) -> Result<Option<Claim>, LedgerError> {
    if request.key.generation != row.claimed.key.generation || request.turn < row.turn {
        return Ok(Some(Claim::Stale));
    }
    Ok(match (row.state.as_str(), row.left) {
        ("done", _) => Some(Claim::Settled(None)),
        ("failed", _) => Some(Claim::Failed(row.reason.ok_or(LedgerError::Foreign { what: "reason" })?)),
        ("claimed", Some(left)) => Some(Claim::Leased { left }),
        _ => None,
    })
}

/// What stands against rows that may be claimed.
struct Standing {
    leases: HashMap<KeyedHash, (Place, Option<Duration>)>,
    newest: HashMap<KeyedHash, (Order, KeyedHash)>,
    intents: HashMap<RowKey, (String, String)>,
}

impl Standing {
    async fn read<'a>(
        session: &mut Session,
        candidates: impl Iterator<Item = &'a Claimed> + Clone,
    ) -> Result<Self, LedgerError> {
        let niks = texts(candidates.clone().map(|row| &row.nik));
        let keys: Keys = candidates.map(|row| row.key).collect();
        let mut found = session
            .all(&[
                (LOCK_LEASES, &[(&niks, Type::TEXT_ARRAY)]),
                (NEWEST, &[(&niks, Type::TEXT_ARRAY)]),
                (
                    STANDING_INTENTS,
                    &[
                        (&keys.runs, Type::UUID_ARRAY),
                        (&keys.rows, Type::INT4_ARRAY),
                        (&keys.generations, Type::INT4_ARRAY),
                    ],
                ),
            ])
            .await?
            .into_iter();
        let mut next = || found.next().unwrap_or_default();
        let lease = |row: &Row| {
            let holder = (RunId(get(row, "run_id")?), count(row, "sheet_row")?);
            Ok((needed(row, "nik_hash")?, (holder, left(row, "micros_left")?)))
        };
        let newest = |row: &Row| Ok((needed(row, "nik_hash")?, (order(row)?, needed(row, "number_hash")?)));
        let intent = |row: &Row| Ok((row_key(row)?, (get(row, "patient_id")?, get(row, "version_id")?)));
        Ok(Self {
            leases: next().iter().map(lease).collect::<Result<_, LedgerError>>()?,
            newest: next().iter().map(newest).collect::<Result<_, LedgerError>>()?,
            intents: next().iter().map(intent).collect::<Result<_, LedgerError>>()?,
        })
    }

    /// One writer per NIK: how much another row has left of it. Dry runs only read, but keep to it too, so that
    /// what they report is not a state in the middle of a write.
    fn nik_leased(&self, row: &Claimed) -> Option<Duration> {
        let (holder, left) = self.leases.get(&row.nik)?;
        left.filter(|_| *holder != place(row.key))
    }

    /// What the NIK's newest success leaves of this row, if anything stands against it. A dry run's row too: it
    /// tells what a night would do now.
    fn overtaken(&self, row: &Stored) -> Option<Outcome> {
        let (newest, number) = self.newest.get(&row.claimed.nik)?;
        let ours = row.claimed.order;
        // An intent of ours standing means that success may be our own, recorded by nobody: it has to be
        // looked at.
        let applied = newest.date == ours.date && *number == row.claimed.number;
        if applied && !row.reapply && row.claimed.intent.is_none() {
            return Some(Outcome::SkippedAlreadyApplied);
        }
        (*newest > ours).then_some(Outcome::Superseded)
    }
}

/// What was decided, to be written.
#[derive(Default)]
struct Decided {
    settled: HashMap<Place, Outcome>,
    /// With what an operator reads of it.
    given_up: HashMap<Place, String>,
    taken: Vec<Claimed>,
    taken_rows: HashSet<Place>,
    taken_niks: HashSet<KeyedHash>,
}

impl Decided {
    fn decide(&mut self, mut row: Stored, alone: bool, standing: &Standing, lease: Duration) -> Claim {
        let place = place(row.claimed.key);
        if self.settled.contains_key(&place) {
            return Claim::Settled(None);
        }
        if self.given_up.contains_key(&place) {
            return Claim::Failed(Reason::PoisonMessage);
        }
        // Asked twice in one batch, or for two rows of one NIK: the first has it.
        if self.taken_rows.contains(&place) || self.taken_niks.contains(&row.claimed.nik) {
            return Claim::Leased { left: lease };
        }
        if let Some(left) = standing.nik_leased(&row.claimed) {
            return Claim::Leased { left };
        }
        row.claimed.intent = standing.intents.get(&row.claimed.key).cloned();
        match standing.overtaken(&row) {
            // A write of ours may have gone through after the newer success: the worker has to look.
            Some(Outcome::Superseded) if row.claimed.intent.is_some() => row.claimed.superseded = true,
            Some(outcome) => {
                self.settled.insert(place, outcome);
                return Claim::Settled(Some(outcome));
            }
            None => {}
        }
        if is_poison(row.crashes) {
            self.given_up.insert(place, poison_error(row.crashes, row.claimed.intent.is_some()));
            return Claim::Failed(Reason::PoisonMessage);
        }
        if is_suspect(row.crashes) && !alone {
            return Claim::Suspect;
        }
        row.claimed.epoch += 1;
        row.claimed.lease = lease;
        self.taken_rows.insert(place);
        self.taken_niks.insert(row.claimed.nik.clone());
        self.taken.push(row.claimed.clone());
        Claim::Ours(Box::new(row.claimed))
    }

    /// Writes it and commits; the rows that were taken.
    async fn write(&self, session: Session, lease: Duration) -> Result<HashSet<Place>, LedgerError> {
        let settled: Keys = self.settled.keys().map(key_of).collect();
        let outcomes: Vec<_> = self.settled.values().map(|outcome| outcome.as_str()).collect();
        let given_up: Keys = self.given_up.keys().map(key_of).collect();
        let errors: Vec<_> = self.given_up.values().map(String::as_str).collect();
        let taken: Keys = self.taken.iter().map(|row| row.key).collect();
        let niks = texts(self.taken.iter().map(|row| &row.nik));
        let epochs: Vec<_> = self.taken.iter().map(|row| row.epoch).collect();
        let lease = micros(lease);
        let settle: &[Param<'_>] = &[
            (&settled.runs, Type::UUID_ARRAY),
            (&settled.rows, Type::INT4_ARRAY),
            (&outcomes, Type::TEXT_ARRAY),
        ];
        let give_up: &[Param<'_>] = &[
            (&given_up.runs, Type::UUID_ARRAY),
            (&given_up.rows, Type::INT4_ARRAY),
            (&errors, Type::TEXT_ARRAY),
            (&Reason::PoisonMessage.as_str(), Type::TEXT),
            (&micros(GRACE), Type::INT8),
        ];
        let take: &[Param<'_>] = &[
            (&taken.runs, Type::UUID_ARRAY),
            (&taken.rows, Type::INT4_ARRAY),
            (&niks, Type::TEXT_ARRAY),
            (&epochs, Type::INT8_ARRAY),
            (&lease, Type::INT8),
        ];
        let mut statements = Vec::new();
        if !self.settled.is_empty() {
            statements.push((SETTLE, settle));
        }
        if !self.given_up.is_empty() {
            statements.push((GIVE_UP, give_up));
        }
        if !self.taken.is_empty() {
            statements.push((TAKE, take));
        }
        let rows = session.finish(&statements).await?;
        if self.taken.is_empty() {
            return Ok(HashSet::new());
        }
        rows.iter().map(|row| Ok((RunId(get(row, "run_id")?), count(row, "sheet_row")?))).collect()
    }
}

pub(super) async fn claim(
    mut session: Session,
    requests: &[ClaimRequest],
    lease: Duration,
) -> Result<Vec<Claim>, LedgerError> {
    let asked: HashSet<RowKey> = requests.iter().map(|request| key_of(&place(request.key))).collect();
    let keys: Keys = asked.into_iter().collect();
    let found = session
        .run(&[(LOCK_AND_READ, &[(&keys.runs, Type::UUID_ARRAY), (&keys.rows, Type::INT4_ARRAY)])])
        .await?;
    let mut rows = HashMap::with_capacity(found.len());
    for row in &found {
        let row = read(row)?;
        rows.insert(place(row.claimed.key), row);
    }
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(match rows.get(&place(request.key)) {
            Some(row) => refused(*request, row)?,
            None => Some(Claim::Stale),
        });
    }
    let candidates = requests.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
    let candidates: Vec<_> =
        candidates.map(|(request, _)| (&rows[&place(request.key)], request.alone)).collect();
    let mut decided = Decided::default();
    let mut decisions = Vec::new();
    if !candidates.is_empty() {
        let standing = Standing::read(&mut session, candidates.iter().map(|(row, _)| &row.claimed)).await?;
        for (row, alone) in candidates {
            let row = Stored { state: String::new(), claimed: row.claimed.clone(), ..*row };
            decisions.push(decided.decide(row, alone, &standing, lease));
        }
    }
    let taken = decided.write(session, lease).await?;
    let mut decisions = decisions.into_iter().map(|claim| match claim {
        // Somebody was quicker with this NIK's first lease. It began just now, and leases are alike.
        Claim::Ours(row) if !taken.contains(&place(row.key)) => Claim::Leased { left: lease },
        claim => claim,
    });
    let answer = |answer: Option<Claim>| answer.or_else(|| decisions.next()).unwrap_or(Claim::Stale);
    Ok(answers.into_iter().map(answer).collect())
}
