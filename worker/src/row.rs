//! One row's way: claim, search, compare, intend, write, record, settle. The order is what makes a crash at
//! any point harmless; `docs/state-machine.md` draws it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::domain::{Nik, Outcome, PhoneNumber, Reason, Warning};
use shared::error_chain;
use shared::ledger::{
    Burial, Claim, ClaimRequest, Claimed, GateKind, Intent, Ledger, Record, Recorded, RowMessage, RunKind,
    Settlement,
};
use shared::payload::Payload;
use shared::queue::{Delivery, Settle};
use shared::retry::RetryPolicy;
use shared::testing::Failpoint;
use shared::traces;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::batches::{Batches, LedgerFailed};
use crate::company::Company;
use crate::fhir::{Change, Failure, PatientId, Reading, TelecomPolicy};
use crate::lookup::{DELETED, Sought};
use crate::sampled::BusyWith;
use crate::server::{Account, Server, Stop};

/// Writes that lose against somebody else's before the row gives up.
const CONFLICTS: u32 = 3;

/// How long a row waits before the ledger is asked again after it failed.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);

/// What every row of a worker needs.
pub struct Rows {
    /// The ledger, for the rare single questions.
    pub ledger: Arc<dyn Ledger>,
    /// The ledger, in batches.
    pub batches: Batches,
    /// The FHIR server.
    pub server: Server,
    /// Who else works in this process.
    pub company: Company,
    /// Which runs are worked on.
    pub busy_with: BusyWith,
    /// Opens payloads.
    pub keys: Arc<DataKeys>,
    /// What time it is.
    pub clock: Clock,
    /// How numbers are set.
    pub telecom: TelecomPolicy,
    /// Attempts on transient failures.
    pub retry: RetryPolicy,
    /// What a claim lasts.
    pub lease: Duration,
    /// The bound of one request: no write starts with less lease left.
    pub request_timeout: Duration,
}

/// How a claim went.
enum End {
    Settled(Settlement),
    /// The claim is no longer ours: record nothing.
    Lost,
}

/// A claim being worked on.
pub(crate) struct Work<'a> {
    pub(crate) claimed: &'a Claimed,
    pub(crate) nik: Nik,
    number: PhoneNumber,
    pub(crate) account: Account,
    /// Whether a write of this generation may have gone through, now or in an earlier claim.
    intended: bool,
    /// Whether a write went through or may have, in this claim.
    wrote: bool,
    /// The Patient of a write that went out together with others', and whose end was not told: it is read again,
    /// and from then on this row writes alone.
    pub(crate) doubtful: Option<PatientId>,
    warnings: Vec<Warning>,
    /// Of a dry run: the number that would be replaced, masked.
    previous: Option<String>,
}

impl Rows {
    /// Works on one delivery and settles it.
    pub async fn work(&self, delivery: Delivery) {
        let _counted = self.batches.count();
        let span = traces::attempt(&delivery);
        let work = async {
            let how = self.carry(&delivery.message).await;
            if let Err(error) = delivery.settle(how).await {
                // It comes again, and the ledger knows what is done.
                tracing::debug!(error = error_chain(&error), "a delivery could not be settled");
            }
            Failpoint::Settle.pass();
        };
        work.instrument(span).await;
    }

    async fn carry(&self, message: &RowMessage) -> Settle {
        let mut place = self.company.join().await;
        loop {
            let asked_at = Instant::now();
            let request = ClaimRequest { key: message.key, turn: message.turn, alone: place.is_alone() };
            return match self.batches.claims.ask(request).await {
                Ok(Claim::Ours(claimed)) => self.carry_out(message, &claimed, asked_at).await,
                Ok(Claim::Settled(_) | Claim::Stale) => Settle::Done,
                Ok(Claim::Failed(_)) => self.bury(message).await,
                Ok(Claim::Suspect) => {
                    // Given up before the other is waited for, which waits for all of these.
                    drop(place);
                    place = self.company.only().await;
                    continue;
                }
                Ok(Claim::Leased { left }) => {
                    Settle::RetryAfter(left + self.server.moment(Duration::from_secs(1)), message.turn)
                }
                Err(LedgerFailed) => Settle::RetryAfter(LEDGER_PAUSE, message.turn),
            };
        }
    }

    /// The verdict stands in the ledger, and what was to bring it to its burial came to nothing: not to the queue again,
    /// where whatever swallowed it may swallow it once more.
    async fn bury(&self, message: &RowMessage) -> Settle {
        match self.batches.burials.ask(Burial { key: message.key, deaths: None }).await {
            Ok(()) => Settle::Done,
            Err(LedgerFailed) => Settle::RetryAfter(LEDGER_PAUSE, message.turn),
        }
    }

    async fn carry_out(&self, message: &RowMessage, claimed: &Claimed, asked_at: Instant) -> Settle {
        Failpoint::Claimed.pass();
        self.busy_with.note(claimed.key.run);
        let lease_ends = asked_at + claimed.lease;
        // Counted from before the claim was asked for, so that ours ends no later than the ledger's.
        let deadline = asked_at + claimed.lease.saturating_sub(self.request_timeout + Duration::from_secs(1));
        let account = Account::new(claimed.key, claimed.attempts, deadline);
        let Some((nik, number)) = self.open(claimed) else {
            let record = Record {
                key: claimed.key,
                epoch: claimed.epoch,
                settlement: Settlement::Returned,
                requests: 0,
                retries: 0,
                took: asked_at.elapsed(),
                exchanges: Vec::new(),
            };
            let _ = self.record(record, lease_ends).await;
            return Settle::Done;
        };
        let intended = claimed.intent.is_some();
        let mut work = Work {
            claimed,
            nik,
            number,
            account,
            intended,
            wrote: false,
            doubtful: None,
            warnings: Vec::new(),
            previous: None,
        };
        let end = match self.decide(&mut work).await {
            Ok(end) => end,
            Err(stop) => End::Settled(self.settlement(claimed, stop).await),
        };
        let End::Settled(settlement) = end else { return Settle::Done };
        tracing::debug!(run_id = %claimed.key.run, sheet_row = claimed.key.sheet_row, nik = %work.nik,
            nik_hash = claimed.nik.short(), settlement = settlement.as_str(), "row");
        traces::note(&settlement);
        let record = Record {
            key: claimed.key,
            epoch: claimed.epoch,
            settlement: settlement.clone(),
            requests: work.account.requests,
            retries: work.account.retries + u32::from(matches!(settlement, Settlement::Retry { .. })),
            took: asked_at.elapsed(),
            exchanges: std::mem::take(&mut work.account.exchanges),
        };
        let recorded = self.record(record, lease_ends).await;
        match &settlement {
            Settlement::Failed { .. } => Failpoint::Failed.pass(),
            _ => Failpoint::Recorded.pass(),
        }
        match recorded {
            Ok(Recorded::Yes { turn }) => match settlement {
                Settlement::Done { .. } | Settlement::Returned => Settle::Done,
                Settlement::Retry { after, .. } => Settle::RetryAfter(after, turn),
                Settlement::Failed { reason, .. } => Settle::DeadLetter(reason),
            },
            Ok(Recorded::Refused) => {
                // Somebody took the row over after our lease ended. If our write went through all the same, it
                // may have covered a newer one.
                if work.wrote {
                    work.account.deadline = Instant::now() + self.lease;
                    if let Err(stop) = self.restore_newest(&mut work).await {
                        tracing::warn!(row = claimed.key.sheet_row, run_id = %claimed.key.run, stop = ?stop,
                            "the newest number could not be checked after a late write");
                    }
                }
                Settle::Done
            }
            // The claim stands until its lease ends; then the sweep or this message finds what was done.
            Err(LedgerFailed) => Settle::RetryAfter(self.lease, message.turn),
        }
    }

    /// Records the end of a claim. A ledger that fails is asked again while the lease lasts: a claim that ends
    /// without a record counts as a crash, and a database that is started again is none. A record that was taken
    /// and whose answer got lost comes back refused.
    async fn record(&self, record: Record, lease_ends: Instant) -> Result<Recorded, LedgerFailed> {
        loop {
            match self.batches.records.ask(record.clone()).await {
                Err(LedgerFailed) if Instant::now() + LEDGER_PAUSE < lease_ends => {
                    tokio::time::sleep(LEDGER_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    fn open(&self, claimed: &Claimed) -> Option<(Nik, PhoneNumber)> {
        match Payload::open(&self.keys, &claimed.key, &claimed.sealed) {
            Ok(Payload { nik: Some(nik), number: Some(number) }) => Some((nik, number)),
            Ok(_) => {
                self.server.systemic(
                    GateKind::Guard,
                    "a row to work on holds no NIK or number; the ledger was edited".into(),
                );
                None
            }
            // Not the row's fault: a key is missing for all that were sealed with it.
            Err(error) => {
                self.server.systemic(GateKind::Guard, format!("a row's payload cannot be opened: {error}"));
                None
            }
        }
    }

    /// What a stop means for the row.
    async fn settlement(&self, claimed: &Claimed, stop: Stop) -> Settlement {
        match stop {
            Stop::Paused => Settlement::Returned,
            // Rows ask again by themselves where others' company told them nothing.
            Stop::Unsaid => Settlement::Returned,
            Stop::Later(after, error) => Settlement::Retry { after, counted: false, error },
            Stop::Refused(failure) => {
                let reason = match failure {
                    Failure::TooLarge(_) => Reason::ResourceTooLarge,
                    _ => Reason::RejectedByServer,
                };
                Settlement::Failed { reason, error: error_chain(&failure) }
            }
            Stop::Retry(error) => {
                let attempts = claimed.attempts + 1;
                if !self.retry.is_exhausted(attempts) {
                    let after = self.server.delay(&self.retry, attempts);
                    return Settlement::Retry { after, counted: true, error };
                }
                // The last look before a dead letter: if not even an impossible NIK can be searched, it is not
                // the row.
                match tokio::time::timeout(self.request_timeout, self.server.probe()).await {
                    Ok(Ok(())) => Settlement::Failed { reason: Reason::RetriesExhausted, error },
                    // No turn came for the question: ask again with the row's next claim.
                    Err(_) => Settlement::Returned,
                    Ok(Err(found)) => {
                        self.server.pause_for(found);
                        Settlement::Returned
                    }
                }
            }
        }
    }

    async fn decide(&self, work: &mut Work<'_>) -> Result<End, Stop> {
        let done = |work: &mut Work<'_>, outcome| {
            let (warnings, previous) = (std::mem::take(&mut work.warnings), work.previous.take());
            Ok(End::Settled(Settlement::Done { outcome, warnings, previous }))
        };
        let failed = |reason, error: String| Ok(End::Settled(Settlement::Failed { reason, error }));
        if work.claimed.superseded {
            self.restore_newest(work).await?;
            return done(work, Outcome::Superseded);
        }
        let (mut conflicts, mut gone) = (0, 0);
        while conflicts < CONFLICTS {
            let patient = match self.find(work).await? {
                Sought::Found(patient) => patient,
                Sought::Nobody if gone > 0 => return failed(Reason::PatientGone, DELETED.into()),
                Sought::Nobody => return done(work, Outcome::SkippedNotFound),
                Sought::Failed(reason, error) => return failed(reason, error),
            };
            if let Some(inactive) = patient.inactive() {
                return failed(
                    Reason::PatientInactive,
                    format!("Patient/{} is {inactive}", patient.id().shown()),
                );
            }
            let edit = patient.edit(&work.number, self.clock.now(), &self.telecom);
            // What is written is in the change; thousands of rows may wait from here on, and a Patient's tree is several
            // times its text.
            drop(patient);
            if edit.several_current_mobiles && !work.warnings.contains(&Warning::SeveralCurrentMobiles) {
                work.warnings.push(Warning::SeveralCurrentMobiles);
            }
            let Some(change) = edit.change else {
                // Our own write of an earlier attempt, whose reply was lost, is there: that is an update.
                return done(work, if work.intended { Outcome::Updated } else { Outcome::Unchanged });
            };
            if work.claimed.kind == RunKind::DryRun {
                work.previous = change.previous.clone();
                return done(work, Outcome::Updated);
            }
            let again = conflicts + gone > 0 || work.doubtful.is_some();
            if again && self.is_overtaken(work).await? {
                return done(work, Outcome::Superseded);
            }
            if !self.intend(work, &change).await? {
                return Ok(End::Lost);
            }
            match self.write(work, &change).await {
                Ok(()) => return done(work, Outcome::Updated),
                // This write did not go through: if the number is there next time, somebody else set it.
                Err(Stop::Refused(Failure::Conflict { .. })) => {
                    conflicts += 1;
                    work.intended = work.claimed.intent.is_some() || work.doubtful.is_some();
                }
                Err(Stop::Unsaid) if work.doubtful.is_none() => work.doubtful = Some(change.id.clone()),
                Err(Stop::Refused(Failure::Gone { .. })) if gone == 0 => gone += 1,
                Err(Stop::Refused(Failure::Gone { .. })) => {
                    return failed(
                        Reason::PatientGone,
                        format!("Patient/{} was deleted before the write", change.id.shown()),
                    );
                }
                Err(stop) => return Err(stop),
            }
        }
        failed(Reason::WriteConflict, format!("the Patient changed under each of {CONFLICTS} writes"))
    }

    /// Whether a newer number was applied while we tried. Asked of the ledger, because whoever changed the
    /// Patient under us may have been one of us.
    async fn is_overtaken(&self, work: &Work<'_>) -> Result<bool, Stop> {
        let newest = self.ledger.newest_success(&work.claimed.nik).await;
        let newest = newest.map_err(|error| Stop::Later(LEDGER_PAUSE, error.to_string()))?;
        Ok(newest.is_some_and(|(order, ..)| order > work.claimed.order))
    }

    async fn intend(&self, work: &mut Work<'_>, change: &Change) -> Result<bool, Stop> {
        let before = serde_json::to_vec(&change.before).expect("a JSON value can be written");
        let intent = Intent {
            key: work.claimed.key,
            epoch: work.claimed.epoch,
            patient: self.keys.seal_text(&work.claimed.key.place(), change.id.as_str()),
            version: change.version.as_str().to_owned(),
            sealed_before: self.keys.seal(&work.claimed.key.place(), &before),
        };
        let ours = self.batches.intents.ask(intent).await;
        let ours = ours.map_err(|failed| Stop::Later(LEDGER_PAUSE, failed.to_string()))?;
        work.intended |= ours;
        Failpoint::Intended.pass();
        Ok(ours)
    }

    async fn write(&self, work: &mut Work<'_>, change: &Change) -> Result<(), Stop> {
        let wrote = AtomicBool::new(false);
        let alone = work.doubtful.is_some();
        let written = self.server.update(&mut work.account, change, alone, &wrote).await;
        work.wrote |= wrote.into_inner();
        match written {
            Ok(_) => {
                Failpoint::Written.pass();
                Ok(())
            }
            Err(Stop::Refused(failure))
                if self.server.client.writes_by_patch() && failure.may_be_failed_test() =>
            {
                Err(self.told_from_conflict(work, change, failure).await?)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Reads again after a refused patch: if the Patient is not what the patch was made for, its test failed.
    async fn told_from_conflict(
        &self,
        work: &mut Work<'_>,
        change: &Change,
        failure: Failure,
    ) -> Result<Stop, Stop> {
        let reading = self.read(&mut work.account, &change.id, &work.nik).await?;
        let is_as_it_was = match &reading {
            Reading::Whole(patient) => patient.is_what_was_changed(change),
            // Whether it changed cannot be seen.
            Reading::Partial | Reading::Mismatch => true,
        };
        Ok(Stop::Refused(if is_as_it_was { failure } else { failure.as_conflict() }))
    }

    /// After a late write: if FHIR does not hold the NIK's newest number, sets it.
    async fn restore_newest(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let newest = self.ledger.newest_success(&work.claimed.nik).await;
        let newest = newest.map_err(|error| Stop::Later(LEDGER_PAUSE, error.to_string()))?;
        let Some((order, _, Some(source))) = newest else { return Ok(()) };
        if order <= work.claimed.order {
            return Ok(());
        }
        let Ok(Payload { number: Some(newest), .. }) = Payload::open(&self.keys, &source.key, &source.sealed)
        else {
            return Ok(());
        };
        for _ in 0..CONFLICTS {
            let Sought::Found(patient) = self.find(work).await? else { return Ok(()) };
            // Only our own late number is put right; what somebody else set since is theirs.
            if patient.edit(&work.number, self.clock.now(), &self.telecom).change.is_some() {
                return Ok(());
            }
            let Some(change) = patient.edit(&newest, self.clock.now(), &self.telecom).change else {
                return Ok(());
            };
            match self.write(work, &change).await {
                Err(Stop::Refused(Failure::Conflict { .. })) => {}
                Err(Stop::Unsaid) if work.doubtful.is_none() => work.doubtful = Some(change.id.clone()),
                written => return written,
            }
        }
        Ok(())
    }
}
