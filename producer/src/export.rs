//! What an auditor asks: who had one person's data in hand ([`access`]), and whose data was in hand between two instants
//! ([`breach`]). Both are made of the ledger and its record of acts; what is older than `RETENTION_DAYS` is in neither.

mod access;
mod breach;

use std::io::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use shared::caller;
use shared::data_key::{DataKeys, KeyedHash};
use shared::ledger::{
    Act, Ledger, LedgerError, LedgerPages, LedgerView, NotedAct, Page, Run, RunSummary, Window,
};
use shared::settings::Settings;
use shared::status::{Status, fail, refuse};

use crate::flags::Export;
use crate::niks;

/// Entries asked of the ledger at a time.
const PAGE: u32 = 1_000;

/// What both are made of.
struct Sources<'a, L> {
    ledger: &'a L,
    keys: &'a DataKeys,
    job: &'a str,
}

impl<L: LedgerView + LedgerPages> Sources<'_, L> {
    /// Every run of the job, oldest first.
    async fn runs(&self) -> Result<Vec<Run>, LedgerError> {
        let mut all: Vec<RunSummary> = Vec::new();
        loop {
            let page = all.last().map_or(Page::First, |last| Page::After(last.run.order));
            let runs = self.ledger.run_page(self.job, page, PAGE).await?;
            if runs.is_empty() {
                break;
            }
            all.extend(runs);
        }
        Ok(all.into_iter().rev().map(|summary| summary.run).collect())
    }

    /// Every act of one kind, oldest first.
    async fn acts(&self, act: &str) -> Result<Vec<NotedAct>, LedgerError> {
        let mut all = Vec::new();
        let mut page = Page::First;
        loop {
            let acts = self.ledger.acts(None, page, PAGE).await?;
            let Some(last) = acts.last() else { break };
            page = Page::After(last.number);
            all.extend(acts.into_iter().filter(|noted| noted.act.act == act));
        }
        all.reverse();
        Ok(all)
    }
}

/// An instant as it is given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its offset from UTC.
    At(Timestamp),
    /// On the clock of `RUN_TIMEZONE`.
    Local(DateTime),
}

impl std::str::FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The date alone would be midnight, which nobody means by the end of a window.
        let has_time = text.contains(['T', 't', ' ']);
        let at = text.parse().map(Self::At).or_else(|_| text.parse().map(Self::Local));
        at.ok().filter(|_| has_time).ok_or(
            "an instant is written as 2026-11-24T23:00 on the clock of RUN_TIMEZONE, or as 2026-11-24T16:00:00Z",
        )
    }
}

impl Moment {
    fn instant(self, zone: &TimeZone) -> Result<Timestamp, jiff::Error> {
        match self {
            Self::At(at) => Ok(at),
            Self::Local(local) => zone.to_timestamp(local),
        }
    }
}

/// Prints an export. `acting` takes the acting side of the ledger, and is asked only where numbers are shown in clear:
/// that is noted first.
pub async fn run<L: LedgerView + LedgerPages>(
    ledger: &L,
    acting: impl AsyncFnOnce() -> Result<Arc<dyn Ledger>, Status>,
    keys: &DataKeys,
    settings: &Settings,
    export: &Export,
) -> Status {
    let sources = Sources { ledger, keys, job: &settings.job };
    let mut out = io::BufWriter::new(io::stdout());
    let done = match export {
        Export::ExportAccess { nik, output } => match niks::from_stdin(nik) {
            Ok(people) => access::write(&sources, &niks::hashes(&people, keys), *output, &mut out).await,
            Err(problem) => return refuse([problem]),
        },
        Export::ExportBreach { from, to, in_clear, output } => {
            let (from, to) = match (from.instant(&settings.zone), to.instant(&settings.zone)) {
                (Ok(from), Ok(to)) if from <= to => (from, to),
                (Ok(_), Ok(_)) => return refuse(["--to is before --from"]),
                _ => return refuse(["--from or --to is no instant of RUN_TIMEZONE"]),
            };
            if *in_clear {
                let ledger = match acting().await {
                    Ok(ledger) => ledger,
                    Err(status) => return status,
                };
                let detail = json!({ "from": from, "to": to });
                let act = Act { who: caller::who(), act: "export".into(), detail };
                if let Err(error) = ledger.note_act(act).await {
                    return fail(&error);
                }
            }
            breach::write(&sources, Window { from, to }, *in_clear, *output, &mut out).await
        }
    };
    match done.and_then(|()| out.flush().map_err(ExportError::Output)) {
        Ok(()) => Status::Done,
        Err(error) => fail(&error),
    }
}

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the export could not be written")]
    Output(#[from] io::Error),
}

/// A window in which numbers were exported in clear, from the record of acts.
fn exported(noted: &NotedAct) -> Option<Window> {
    let instant = |field: &str| noted.act.detail[field].as_str()?.parse().ok();
    Some(Window { from: instant("from")?, to: instant("to")? })
}

fn hash(nik: Option<&KeyedHash>) -> Value {
    json!(nik.map(KeyedHash::as_str))
}

/// One line of an export.
fn line<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_a_time_and_perhaps_an_offset() {
        let jakarta = TimeZone::get("Asia/Jakarta").expect("a zone");
        for (text, expected) in [
            ("2026-11-24T23:00", "2026-11-24T16:00:00Z"),
            ("2026-11-24 23:00:05", "2026-11-24T16:00:05Z"),
            ("2026-11-24T16:00:00Z", "2026-11-24T16:00:00Z"),
            ("2026-11-24T23:00:00+07:00", "2026-11-24T16:00:00Z"),
        ] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!(moment.instant(&jakarta).expect(text).to_string(), expected, "{text}");
        }
        for wrong in ["2026-11-24", "23:00", "yesterday", "2026-11-31T23:00", ""] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
