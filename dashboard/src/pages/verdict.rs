//! What happened, whether it heals by itself, and what to press.

use shared::domain::Outcome;
use shared::ledger::{GateKind, RunState, RunSummary, ShutGate};

use crate::calendar::Day;
use crate::language::Lang;
use crate::marks::{Tone, seconds};
use crate::server::Dashboard;

/// The answer to "what happened, does it heal, what do I press".
pub(crate) struct Verdict {
    tone: Tone,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) press: Option<(String, &'static str)>,
}

impl Verdict {
    pub(crate) fn class(&self) -> &'static str {
        self.tone.class()
    }
}

fn said(tone: Tone, title: String, text: &str, press: Option<(String, &'static str)>) -> Verdict {
    Verdict { tone, title, text: text.to_owned(), press }
}

/// The worst first. `left`: open dead letters, and rows under replay. A night that was missed since does not hide what
/// the newest one left to do.
pub(crate) fn all(
    newest: Option<&RunSummary>,
    gate: Option<&ShutGate>,
    missed: Option<&Day>,
    left: (u64, u64),
    now: jiff::Timestamp,
    dashboard: &Dashboard,
    lang: Lang,
) -> Vec<Verdict> {
    let newest = of_newest(newest, gate, left, now, dashboard, lang);
    match missed {
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
            Some((format!("/actions?date={}", day.date), lang.t("Run this date", "Jalankan tanggal ini"))),
    )
}

fn of_newest(
    newest: Option<&RunSummary>,
    gate: Option<&ShutGate>,
    left: (u64, u64),
    now: jiff::Timestamp,
    dashboard: &Dashboard,
    lang: Lang,
) -> Verdict {
    let (dead, replaying) = left;
    let n = |number: u64| lang.number(&number);
    let resume = || Some(("/actions".to_owned(), lang.t("Go to Resume", "Ke Lanjutkan")));
    let Some(run) = newest else {
        return said(
            Tone::Quiet,
            lang.t("No night has run yet", "Belum ada malam yang berjalan").to_owned(),
            lang.t("The first one will appear here.", "Malam pertama akan muncul di sini."),
            None,
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
            Some(_) => said(Tone::Warn, format!("{} {date}", lang.t("Paused:", "Jeda:")), &counts, None),
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
                None,
            ),
        };
    }
    let rejected = tally.count(Outcome::Rejected);
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
        let text = lang.t(
            "rows could not be done. They are kept and do not heal by themselves: see why, then replay.",
            "baris tidak berhasil. Disimpan dan tidak pulih sendiri: lihat sebabnya, lalu ulangi.",
        );
        return said(
            Tone::Warn,
            format!("{} {date}", lang.t("Finished with failures:", "Selesai dengan kegagalan:")),
            &format!("{} {text} {corrections}", n(dead)),
            Some(("/dead-letters".into(), lang.t("See the dead letters", "Lihat yang gagal"))),
        );
    }
    if replaying > 0 {
        return of_replay(replaying, gate, resume(), lang);
    }
    let title = format!("{} {date}", lang.t("Finished:", "Selesai:"));
    let text =
        format!("{} {} {corrections}", n(done), lang.t("rows, no failures.", "baris, tanpa kegagalan."));
    said(Tone::Good, title, &text, None)
}

fn of_replay(
    replaying: u64,
    gate: Option<&ShutGate>,
    resume: Option<(String, &'static str)>,
    lang: Lang,
) -> Verdict {
    let (tone, title, press) = match gate.map(|shut| shut.gate.kind) {
        Some(GateKind::Guard) => {
            (Tone::Bad, lang.t("Stopped by a guard: a replay", "Dihentikan pengaman: pengulangan"), resume)
        }
        Some(_) => (Tone::Warn, lang.t("Paused: a replay", "Jeda: pengulangan"), None),
        None => (Tone::Busy, lang.t("A replay is under way", "Pengulangan sedang berjalan"), None),
    };
    let text = lang.t(
        "rows that could not be done are to be tried again.",
        "baris yang tidak berhasil akan dicoba lagi.",
    );
    said(tone, title.to_owned(), &format!("{} {text}", lang.number(&replaying)), press)
}
