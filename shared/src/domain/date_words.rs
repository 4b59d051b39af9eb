//! Months and weekdays in Indonesian and English, full and short, as they are typed; all in lower case.

use jiff::civil::Weekday;

/// The number of a month by its name.
pub(super) fn month(word: &str) -> Option<i8> {
    let month = match word {
        "januari" | "january" | "jan" => 1,
        "februari" | "february" | "pebruari" | "feb" | "peb" => 2,
        "maret" | "march" | "mar" | "mrt" => 3,
        "april" | "apr" => 4,
        "mei" | "may" => 5,
        "juni" | "june" | "jun" => 6,
        "juli" | "july" | "jul" => 7,
        "agustus" | "august" | "agu" | "agt" | "ags" | "agst" | "agus" | "aug" => 8,
        "september" | "sep" | "sept" => 9,
        "oktober" | "october" | "okt" | "oct" => 10,
        "november" | "nopember" | "nov" | "nop" => 11,
        "desember" | "december" | "des" | "dec" => 12,
        _ => return None,
    };
    Some(month)
}

/// A weekday by its name.
pub(super) fn weekday(word: &str) -> Option<Weekday> {
    let weekday = match word {
        "senin" | "sen" | "sn" | "monday" | "mon" => Weekday::Monday,
        "selasa" | "sel" | "sls" | "tuesday" | "tue" | "tues" => Weekday::Tuesday,
        "rabu" | "rab" | "rbu" | "wednesday" | "wed" => Weekday::Wednesday,
        "kamis" | "kam" | "kms" | "thursday" | "thu" | "thur" | "thurs" => Weekday::Thursday,
        "jumat" | "jum" | "jmt" | "friday" | "fri" => Weekday::Friday,
        "sabtu" | "sab" | "sbt" | "saturday" | "sat" => Weekday::Saturday,
        "minggu" | "min" | "mgg" | "ahad" | "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    };
    Some(weekday)
}

/// Whether a word in front of a date only says that a date follows.
pub(super) fn is_label(word: &str) -> bool {
    matches!(
        word,
        "tanggal" | "tgl" | "tg" | "hari" | "date" | "per" | "pada" | "update" | "updated" | "diupdate"
    )
}
