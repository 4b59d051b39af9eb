//! What happened, whether it heals by itself, and what to press.

use jiff::Timestamp;
use shared::domain::Outcome;
use shared::ledger::{GateKind, RunState, RunSummary, ShutGate};

use crate::calendar::Day;
use crate::language::Lang;
use crate::marks::{Tone, moment, seconds};
use crate::server::Dashboard;

/// The answer to "what happened, does it heal, what do I press".
pub(crate) struct Verdict {
    tone: Tone,
    pub(crate) title: String,
    pub(crate) text: String,
    /// Where to go and what that is called; the first is what matters.
    pub(crate) press: Vec<(String, &'static str)>,
}

impl Verdict {
    pub(crate) fn class(&self) -> &'static str {
        self.tone.class()
    }
}

/// What it is made from.
pub(crate) struct Standing<'a> {
    /// The newest night.
    pub(crate) newest: Option<&'a RunSummary>,
    pub(crate) gate: Option<&'a ShutGate>,
    /// The latest date, if it was missed.
    pub(crate) missed: Option<&'a Day>,
    /// Open dead letters.
    pub(crate) dead: u64,
    /// Rows under replay.
    pub(crate) replaying: u64,
    /// Since when nobody works on the newest night.
    pub(crate) still_since: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

fn said(tone: Tone, title: String, text: &str, press: Vec<(String, &'static str)>) -> Verdict {
    Verdict { tone, title, text: text.to_owned(), press }
}

/// The worst first: a night that was missed since does not hide what the newest one left to do.
pub(crate) fn all(standing: &Standing<'_>, dashboard: &Dashboard, lang: Lang) -> Vec<Verdict> {
    let newest = of_newest(standing, dashboard, lang);
    match standing.missed {
        Some(day) if matches!(newest.tone, Tone::Good | Tone::Quiet) => vec![of_missed(day, lang)],
        Some(day) => vec![of_missed(day, lang), newest],
        None => vec![newest],
    }
}

fn of_missed(day: &Day, lang: Lang) -> Verdict {
    said(
            Tone::Bad,
            format!("{} {}", lang.t("Missed: the night of", "Terlewat: malam"), day.date),
            lang.t(
                "No run was started. It does not heal by itself: run the date now, and look at the scheduler.",
                "Tidak ada proses yang dimulai. Tidak pulih sendiri: jalankan tanggal ini, dan periksa penjadwal.",
            ),
            vec![(format!("/actions?date={}", day.date), lang.t("Run this date", "Jalankan tanggal ini"))],
    )
}

fn of_newest(standing: &Standing<'_>, dashboard: &Dashboard, lang: Lang) -> Verdict {
    let Standing { newest, gate, dead, replaying, still_since, now, .. } = *standing;
    let n = |number: u64| lang.number(&number);
    let resume = || vec![("/actions".to_owned(), lang.t("Go to Resume", "Ke Lanjutkan"))];
    let Some(run) = newest else {
        return said(
            Tone::Quiet,
            lang.t("No night has run yet", "Belum ada malam yang berjalan").to_owned(),
            lang.t("The first one will appear here.", "Malam pertama akan muncul di sini."),
            Vec::new(),
        );
    };
    let (date, tally) = (run.run.date, &run.tally);
    let done = tally.selected() - tally.open;
    if matches!(run.run.state, RunState::Seeding | RunState::Open) {
        let counts = format!(
            "{} / {} {}",
            n(done),
            n(tally.selected()),
            lang.t("rows have their outcome.", "baris sudah ada hasilnya.")
        );
        let is_late = seconds(run.run.started_at, now) > dashboard.deadline.as_secs();
        return match gate {
            Some(shut) if shut.gate.kind == GateKind::Guard => said(
                Tone::Bad,
                format!("{} {date}", lang.t("Stopped by a guard:", "Dihentikan pengaman:")),
                &counts,
                resume(),
            ),
            _ if still_since.is_some() => {
                let since = still_since.map(|since| moment(since, &dashboard.zone)).unwrap_or_default();
                let text = lang.t(
                    "The process was stopped or died. It does not heal by itself: press Resume. Nothing is done twice.",
                    "Prosesnya dihentikan atau mati. Tidak pulih sendiri: tekan Lanjutkan. Tidak ada yang dikerjakan dua kali.",
                );
                let nobody = lang.t("nobody works on it since", "tidak ada yang mengerjakan sejak");
                said(Tone::Bad, format!("{date}: {nobody} {since}"), &format!("{counts} {text}"), resume())
            }
            Some(_) => {
                said(Tone::Warn, format!("{} {date}", lang.t("Paused:", "Jeda:")), &counts, Vec::new())
            }
            None if is_late => {
                let text = lang.t(
                    "If the count stands still, nobody works on it: press Resume. Nothing is done twice.",
                    "Jika hitungan tidak bergerak, tidak ada yang mengerjakan: tekan Lanjutkan. Tidak ada yang dikerjakan dua kali.",
                );
                let title = format!(
                    "{} {date}",
                    lang.t("Unfinished past its deadline:", "Belum selesai, lewat batas:")
                );
                said(Tone::Bad, title, &format!("{counts} {text}"), resume())
            }
            None => said(
                Tone::Busy,
                format!("{} {date}", lang.t("Under way:", "Sedang berjalan:")),
                &counts,
                Vec::new(),
            ),
        };
    }
    let rejected = tally.count(Outcome::Rejected);
    let to_correct = (rejected > 0).then(|| {
        let path = format!("/runs/{}/rows?outcome=rejected", run.run.id);
        (path, lang.t("Rows for the field office", "Baris untuk petugas lapangan"))
    });
    let corrections = if rejected > 0 {
        format!(
            "{} {}",
            n(rejected),
            lang.t("rows are for the field office to correct.", "baris perlu diperbaiki petugas lapangan.")
        )
    } else {
        lang.t("Nothing to press.", "Tidak perlu menekan apa pun.").to_owned()
    };
    if dead > 0 {
        let dead_letters =
            std::iter::once(("/dead-letters".to_owned(), lang.t("See the dead letters", "Lihat yang gagal")));
        let text = lang.t(
            "rows could not be done. They are kept and do not heal by themselves: see why, then replay.",
            "baris tidak berhasil. Disimpan dan tidak pulih sendiri: lihat sebabnya, lalu ulangi.",
        );
        let title = if tally.count(Outcome::DeadLettered) > 0 {
            lang.t("Finished with failures:", "Selesai dengan kegagalan:")
        } else {
            lang.t(
                "Finished; failures of earlier nights are left:",
                "Selesai; kegagalan malam sebelumnya tersisa:",
            )
        };
        return said(
            Tone::Warn,
            format!("{title} {date}"),
            &format!("{} {text} {corrections}", n(dead)),
            dead_letters.chain(to_correct).collect(),
        );
    }
    if replaying > 0 {
        return of_replay(replaying, gate, resume(), lang);
    }
    let title = format!("{} {date}", lang.t("Finished:", "Selesai:"));
    let text =
        format!("{} {} {corrections}", n(done), lang.t("rows, no failures.", "baris, tanpa kegagalan."));
    said(Tone::Good, title, &text, to_correct.into_iter().collect())
}

fn of_replay(
    replaying: u64,
    gate: Option<&ShutGate>,
    resume: Vec<(String, &'static str)>,
    lang: Lang,
) -> Verdict {
    let (tone, title, press) = match gate.map(|shut| shut.gate.kind) {
        Some(GateKind::Guard) => {
            (Tone::Bad, lang.t("Stopped by a guard: a replay", "Dihentikan pengaman: pengulangan"), resume)
        }
        Some(_) => (Tone::Warn, lang.t("Paused: a replay", "Jeda: pengulangan"), Vec::new()),
        None => (Tone::Busy, lang.t("A replay is under way", "Pengulangan sedang berjalan"), Vec::new()),
    };
    let text = lang.t(
        "rows that could not be done are to be tried again.",
        "baris yang tidak berhasil akan dicoba lagi.",
    );
    said(tone, title.to_owned(), &format!("{} {text}", lang.number(&replaying)), press)
}
