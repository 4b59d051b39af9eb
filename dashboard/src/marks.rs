//! What things are called on the page, in words an operator uses; the contract's own word stands beside.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::{Outcome, Warning};
use shared::ledger::{GateKind, RunKind, RunState, RunSummary, ShutGate};

use crate::language::Lang;

/// How something stands: its colour and sign; words always stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Warn,
    Bad,
    Quiet,
}

impl Tone {
    /// The class in the stylesheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// What an outcome is called in a run of this kind, and what it means.
pub(crate) fn outcome_in(kind: RunKind, of: Outcome, lang: Lang) -> (Tone, &'static str, &'static str) {
    match (kind, of) {
        (RunKind::DryRun, Outcome::Updated) => (
            Tone::Good,
            lang.t("Would be updated", "Akan diperbarui"),
            lang.t(
                "The number differs; a night would write it",
                "Nomornya berbeda; proses malam akan menulisnya",
            ),
        ),
        _ => outcome(of, lang),
    }
}

/// What an outcome is called, and what it means.
pub(crate) fn outcome(outcome: Outcome, lang: Lang) -> (Tone, &'static str, &'static str) {
    match outcome {
        Outcome::Updated => (
            Tone::Good,
            lang.t("Updated", "Diperbarui"),
            lang.t("the new number was written", "nomor baru sudah ditulis"),
        ),
        Outcome::Unchanged => (
            Tone::Good,
            lang.t("Already right", "Sudah benar"),
            lang.t("the Patient had this number", "Pasien sudah punya nomor ini"),
        ),
        Outcome::SkippedNotFound => (
            Tone::Quiet,
            lang.t("Not found", "Tidak ditemukan"),
            lang.t("no Patient has this NIK", "tidak ada Pasien dengan NIK ini"),
        ),
        Outcome::SkippedAlreadyApplied => (
            Tone::Quiet,
            lang.t("Applied before", "Sudah diterapkan"),
            lang.t("done by an earlier run of the date", "dikerjakan oleh proses sebelumnya"),
        ),
        Outcome::Superseded => (
            Tone::Quiet,
            lang.t("Superseded", "Digantikan"),
            lang.t("a newer number was already applied", "nomor yang lebih baru sudah diterapkan"),
        ),
        Outcome::DuplicateRow => (
            Tone::Quiet,
            lang.t("Duplicate row", "Baris ganda"),
            lang.t("another row with the same content stands for it", "diwakili baris lain yang sama"),
        ),
        Outcome::Rejected => (
            Tone::Warn,
            lang.t("To correct in the sheet", "Perlu diperbaiki di sheet"),
            lang.t(
                "the row is wrong; the field office mends it",
                "barisnya salah; diperbaiki petugas lapangan",
            ),
        ),
        Outcome::DeadLettered => (
            Tone::Bad,
            lang.t("Dead letter", "Gagal, disimpan"),
            lang.t("could not be done; kept, to be replayed", "tidak berhasil; disimpan untuk diulang"),
        ),
    }
}

/// What a warning says.
pub(crate) fn warning(warning: Warning, lang: Lang) -> &'static str {
    match warning {
        Warning::NikUnlikelyProvince => {
            lang.t("the NIK begins with no province's code", "awal NIK bukan kode provinsi")
        }
        Warning::NikUnlikelyBirthDate => {
            lang.t("the NIK holds no birth date", "NIK tidak memuat tanggal lahir yang mungkin")
        }
        Warning::NikRepeated => lang
            .t("the same NIK more than once in the cell", "NIK yang sama lebih dari sekali dalam satu sel"),
        Warning::PhoneRepeated => lang.t(
            "the same number more than once in the cell",
            "nomor yang sama lebih dari sekali dalam satu sel",
        ),
        Warning::PhoneUnlikelyPrefix => lang.t(
            "the number is of a range that no operator has",
            "nomor dari rentang yang tidak dipakai operator",
        ),
        Warning::SeveralCurrentMobiles => lang.t(
            "the Patient has several current mobile numbers; the best ranked was set",
            "Pasien punya beberapa nomor ponsel aktif; yang peringkatnya terbaik diperbarui",
        ),
    }
}

/// What kind of run it is.
pub(crate) fn kind(kind: RunKind, lang: Lang) -> &'static str {
    match kind {
        RunKind::Night => lang.t("Night", "Malam"),
        RunKind::DryRun => lang.t("Dry run, wrote nothing", "Uji coba, tidak menulis apa pun"),
    }
}

/// How a run stands.
pub(crate) fn state(run: &RunSummary, gate: Option<&ShutGate>, is_late: bool, lang: Lang) -> (Tone, String) {
    let dead = run.tally.count(Outcome::DeadLettered);
    let (tone, text) = match run.run.state {
        RunState::Abandoned => (Tone::Quiet, lang.t("Given up", "Dihentikan")),
        RunState::Closed if run.tally.open > 0 => (Tone::Busy, lang.t("Replay under way", "Sedang diulang")),
        RunState::Closed if dead > 0 => {
            let text = lang.t("Finished, dead letters:", "Selesai, yang gagal:");
            return (Tone::Warn, format!("{text} {}", lang.number(&dead)));
        }
        RunState::Closed => (Tone::Good, lang.t("Finished", "Selesai")),
        _ if gate.is_some_and(|shut| shut.gate.kind == GateKind::Guard) => {
            (Tone::Bad, lang.t("Stopped by a guard", "Dihentikan pengaman"))
        }
        _ if gate.is_some() => (Tone::Warn, lang.t("Paused", "Jeda")),
        _ if is_late => {
            (Tone::Bad, lang.t("Unfinished, past its deadline", "Belum selesai, lewat batas waktu"))
        }
        RunState::Seeding => (Tone::Busy, lang.t("Reading the sheet", "Membaca sheet")),
        RunState::Open => (Tone::Busy, lang.t("Under way", "Sedang berjalan")),
    };
    (tone, text.to_owned())
}

/// Local time with its date.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Local time of day.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%H:%M:%S").to_string()
}

/// Seconds between two moments; never less than none.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// `1 h 02 min`, `12 min 05 s`, `9 s`: written alike in both languages but for the words.
pub(crate) fn span(seconds: u64, lang: Lang) -> String {
    let (hour, minute, second) = (lang.t("h", "jam"), lang.t("min", "mnt"), lang.t("s", "dtk"));
    match seconds {
        0..60 => format!("{seconds} {second}"),
        60..3600 => format!("{} {minute} {:02} {second}", seconds / 60, seconds % 60),
        _ => format!("{} {hour} {:02} {minute}", seconds / 3600, seconds % 3600 / 60),
    }
}
