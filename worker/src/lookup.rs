//! From a row's NIK to its Patient: search, read what was shown only in part, and what becomes of a row where
//! neither gives one Patient.

use shared::domain::{Nik, Reason};
use shared::error_chain;
use shared::ledger::RowKey;

use crate::fhir::{Failure, Found, Operation, Patient, PatientId, Reading};
use crate::row::{Rows, Work};
use crate::server::{Account, Stop};

/// What an operator reads of a Patient that was there a moment ago.
pub(crate) const DELETED: &str = "the Patient was deleted after it was found, and no other has this NIK";

/// What a search came to.
pub(crate) enum Sought {
    Found(Patient),
    Nobody,
    Failed(Reason, String),
}

impl Rows {
    /// Finds the Patient of a row, whole.
    pub(crate) async fn find(&self, work: &mut Work<'_>) -> Result<Sought, Stop> {
        let nik = &work.nik;
        let mut gone = false;
        // In doubt, the resource itself is read: a search index may lag behind it.
        if let Some(id) = work.doubtful.clone().or_else(|| self.intended(work)) {
            match self.read(&mut work.account, &id, nik).await {
                Ok(Reading::Whole(patient)) => return Ok(Sought::Found(patient)),
                Ok(Reading::Partial | Reading::Mismatch) => {}
                Err(Stop::Refused(Failure::Gone { .. })) => gone = true,
                // The write may have gone through: who only may not look is not given up at once.
                Err(Stop::Refused(failure)) => {
                    let error =
                        format!("a write is in doubt, and cannot be looked at: {}", error_chain(&failure));
                    return Err(Stop::Retry(error));
                }
                Err(stop) => return Err(stop),
            }
        }
        loop {
            let id = match self.server.search(&mut work.account, nik).await? {
                Found::None if gone => return Ok(Sought::Failed(Reason::PatientGone, DELETED.into())),
                Found::None => return Ok(Sought::Nobody),
                Found::One(patient) => {
                    self.server.matched();
                    return Ok(Sought::Found(patient));
                }
                Found::Several(count) => {
                    let error = format!(
                        "{count} or more Patients have this NIK; merge them, or correct the wrong one"
                    );
                    return Ok(Sought::Failed(Reason::AmbiguousPatient, error));
                }
                Found::Mismatch => return self.mismatch(work.claimed.key).await,
                Found::Partial(id) => id,
            };
            match self.read(&mut work.account, &id, nik).await {
                Ok(Reading::Whole(patient)) => {
                    self.server.matched();
                    return Ok(Sought::Found(patient));
                }
                Ok(Reading::Partial) => {
                    let error = format!(
                        "the server gives only a part of Patient/{}, which must not be written back",
                        id.shown()
                    );
                    return Ok(Sought::Failed(Reason::ResourceIncomplete, error));
                }
                Ok(Reading::Mismatch) => return self.mismatch(work.claimed.key).await,
                Err(Stop::Refused(Failure::Gone { .. })) if !gone => gone = true,
                Err(Stop::Refused(Failure::Gone { .. })) => {
                    let error = format!("Patient/{} is found by search but was deleted", id.shown());
                    return Ok(Sought::Failed(Reason::PatientGone, error));
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// The Patient that an earlier claim of this row meant to write.
    fn intended(&self, work: &Work<'_>) -> Option<PatientId> {
        let (sealed, _) = work.claimed.intent.as_ref()?;
        PatientId::new(self.keys.open_text(&work.claimed.key.place(), sealed).ok()?)
    }

    async fn mismatch(&self, row: RowKey) -> Result<Sought, Stop> {
        match self.server.mismatched(row).await {
            Some(stop) => Err(stop),
            None => Ok(Sought::Failed(
                Reason::RejectedByServer,
                "the search returned a Patient that does not hold this NIK".into(),
            )),
        }
    }

    /// Reads a Patient by its id.
    pub(crate) async fn read(
        &self,
        account: &mut Account,
        id: &PatientId,
        nik: &Nik,
    ) -> Result<Reading, Stop> {
        let client = &self.server.client;
        self.server.ask(account, Operation::Read, || async { (client.read(id, nik).await, 1) }).await
    }
}
