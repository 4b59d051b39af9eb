use jiff::civil::Time;
use jiff::{Timestamp, civil};

use super::*;
use crate::domain::{RunDate, date_cell};

fn date(cell: &Cell, order: DateOrder) -> Option<String> {
    date_cell::read(cell, order, &jakarta()).map(|date| date.to_string())
}

#[test]
fn the_run_date_in_every_spelling() {
    for written in [
        "2026-11-23",
        "2026/11/23",
        "2026.11.23",
        "2026-11-23 ",
        "'2026-11-23",
        "\u{feff}2026-11-23",
        "20261123",
        "23/11/2026",
        "23-11-2026",
        "23.11.2026",
        "23 11 2026",
        "23 / 11 / 2026",
        "23\u{2013}11\u{2013}2026",
        "23\u{2044}11\u{2044}2026",
        "２３／１１／２０２６",
        "٢٣/١١/٢٠٢٦",
        "२३-११-२०२६",
        "11/23/2026",
        "23 Nov 2026",
        "23-Nov-2026",
        "23/Nov/2026",
        "23 Nov. 2026",
        "23Nov2026",
        "23 NOV 2026",
        "23 November 2026",
        "23 november, 2026",
        "23 Nopember 2026",
        "Nov 23, 2026",
        "November 23rd, 2026",
        "23rd November 2026",
        "2026 Nov 23",
        "2026-Nov-23",
        "Senin, 23/11/2026",
        "Senin 23 November 2026",
        "Sen, 23 Nov 2026",
        "Monday, November 23, 2026",
        "Mon, 23 Nov 2026 14:05:00 +0700",
        "tgl 23/11/2026",
        "Tanggal: 23 November 2026",
        "Hari Senin, tanggal 23 November 2026",
        "23/11/2026 14:05",
        "23/11/2026 14:05:30",
        "23/11/2026 14.05",
        "23/11/2026, 14.05.30",
        "23/11/2026 2:05 PM",
        "23/11/2026 12:05 am",
        "23/11/2026 pukul 14.05 WIB",
        "23 Nov 2026 jam 14:05",
        "2026-11-23 14:05",
        "2026-11-23 23:59:59.999",
        "2026-11-23T14:05:00",
        "2026-11-23T14:05:00+07:00",
        "2026-11-23T14:05:00.123+07:00",
        "2026-11-23T14:05:00+0700",
        "2026-11-23T14:05:00 GMT+7",
        "2026-11-22T17:00:00Z",
        "2026-11-22T17:00:00.000Z",
        "2026-11-23T16:59:59Z",
        "2026-11-24T01:59:59+09:00",
        "2026-11-24 00:30 WITA",
        "2026-11-22T12:00:00-05:00",
        "46349",
        "46349.58",
    ] {
        assert_eq!(date(&text(written), DateOrder::Dmy).as_deref(), Some(DATE), "{written:?}");
    }
    for serial in [46_349.0, 46_349.5, 46_349.999_99] {
        assert_eq!(date(&Cell::Number(serial), DateOrder::Dmy).as_deref(), Some(DATE), "{serial}");
    }
}

#[test]
fn every_month_in_both_languages() {
    let months: [&[&str]; 12] = [
        &["Jan", "Januari", "January"],
        &["Feb", "Peb", "Februari", "Pebruari", "February"],
        &["Mar", "Maret", "March"],
        &["Apr", "April"],
        &["Mei", "May"],
        &["Jun", "Juni", "June"],
        &["Jul", "Juli", "July"],
        &["Agu", "Agt", "Ags", "Agustus", "Aug", "August"],
        &["Sep", "Sept", "September"],
        &["Okt", "Oktober", "Oct", "October"],
        &["Nov", "Nop", "November", "Nopember"],
        &["Des", "Desember", "Dec", "December"],
    ];
    for (index, names) in months.iter().enumerate() {
        for name in *names {
            let found = date(&text(&format!("5 {name} 2026")), DateOrder::Dmy);
            assert_eq!(found, Some(format!("2026-{:02}-05", index + 1)), "{name}");
        }
    }
}

#[test]
fn the_order_is_asked_only_where_it_is_open() {
    for (written, dmy, mdy) in [
        ("3/4/2026", "2026-04-03", "2026-03-04"),
        ("03-04-2026", "2026-04-03", "2026-03-04"),
        ("23/11/2026", DATE, DATE),
        ("11/23/2026", DATE, DATE),
        ("2026-03-04", "2026-03-04", "2026-03-04"),
        ("3 Apr 2026", "2026-04-03", "2026-04-03"),
        ("29/02/2028", "2028-02-29", "2028-02-29"),
    ] {
        assert_eq!(date(&text(written), DateOrder::Dmy).as_deref(), Some(dmy), "{written}");
        assert_eq!(date(&text(written), DateOrder::Mdy).as_deref(), Some(mdy), "{written}");
    }
}

#[test]
fn serial_numbers() {
    for (serial, written) in [
        (43_831.0, Some("2020-01-01")),
        (36_526.0, Some("2000-01-01")),
        (2_958_465.9, Some("9999-12-31")),
        (2_958_466.0, None),
        (36_525.9, None),
        (2026.0, None),
        (23.0, None),
        (0.58, None),
        (-1.0, None),
        (20_261_123.0, None),
        (23_112_026.0, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(date(&Cell::Number(serial), DateOrder::Dmy).as_deref(), written, "{serial}");
    }
}

#[test]
fn what_cannot_be_read_without_guessing() {
    for written in [
        "",
        " ",
        "-",
        "kemarin",
        "today",
        "23/11",
        "23/11/26",
        "26-11-23",
        "2026-13-23",
        "31/02/2026",
        "30/02/2026",
        "29/02/2026",
        "00/11/2026",
        "23/11/0026",
        "23/11/20266",
        "23/11-2026",
        "23112026",
        "2026-1123",
        "2026",
        "23 Foo 2026",
        "Selasa, 23/11/2026",
        "23/11/2026 25:00",
        "23/11/2026 14:60",
        "23/11/2026 14:05 foo",
        "23/11/2026 13:05 PM",
        "23/11/2026 atau 24/11/2026",
        "23/11/2026 24/11/2026",
        "2026-11-23T14:05:00+25:00",
        "2026-11-23T14:05:00+07:99",
        "#REF!",
        "081234567890",
        "12345",
        "1234567",
        "November 2026",
        "?23/11/2026",
        "2026-11-23T",
        "23/11/2026 14",
        "23/1l/2026",
    ] {
        assert_eq!(date(&text(written), DateOrder::Dmy), None, "{written:?}");
    }
    for cell in [Cell::Empty, Cell::Boolean(true), Cell::Error("#N/A".to_owned())] {
        assert_eq!(date(&cell, DateOrder::Dmy), None, "{cell:?}");
    }
}

fn at(instant: &str) -> Timestamp {
    instant.parse().unwrap()
}

#[test]
fn today_is_the_zones() {
    assert_eq!(RunDate::today(at("2026-11-22T17:00:00Z"), &jakarta()).to_string(), DATE);
    assert_eq!(RunDate::today(at("2026-11-22T16:59:59Z"), &jakarta()).to_string(), "2026-11-22");
}

#[test]
fn due_takes_the_latest_night_with_five_minutes_grace() {
    let due = |instant: &str, time: Time| RunDate::due(at(instant), &jakarta(), time).to_string();
    let late = civil::time(23, 0, 0, 0);
    assert_eq!(due("2026-11-23T23:00:00+07:00", late), "2026-11-23");
    assert_eq!(due("2026-11-23T22:55:00+07:00", late), "2026-11-23");
    assert_eq!(due("2026-11-23T22:54:59+07:00", late), "2026-11-22");
    assert_eq!(due("2026-11-24T00:10:00+07:00", late), "2026-11-23");
    assert_eq!(due("2026-11-24T22:00:00+07:00", late), "2026-11-23");
    let midnight = civil::time(0, 0, 0, 0);
    assert_eq!(due("2026-11-23T23:56:00+07:00", midnight), "2026-11-24");
    assert_eq!(due("2026-11-23T23:54:00+07:00", midnight), "2026-11-23");
    assert_eq!(due("2026-11-23T00:00:00+07:00", civil::time(0, 3, 0, 0)), "2026-11-23");
}

#[test]
fn a_scheduled_start_takes_its_own_night_early_in_time_and_past_midnight() {
    let eleven = civil::time(23, 0, 0, 0);
    for start in ["2026-11-23T22:56:00", "2026-11-23T23:59:00", "2026-11-24T00:01:00", "2026-11-24T02:00:00"]
    {
        let start = at(&format!("{start}+07:00"));
        assert_eq!(RunDate::due(start, &jakarta(), eleven).to_string(), "2026-11-23", "at {start}");
    }
}

#[test]
fn due_survives_clocks_that_change() {
    let zone = TimeZone::get("America/New_York").unwrap();
    // 01:30 happens twice on 2026-11-01; at 01:10 of the second hour it has passed once.
    let night = RunDate::due(at("2026-11-01T06:10:00Z"), &zone, civil::time(1, 30, 0, 0));
    assert_eq!(night.to_string(), "2026-11-01");
    // 02:30 does not happen on 2026-03-08; it counts from 03:30.
    let time = civil::time(2, 30, 0, 0);
    assert_eq!(RunDate::due(at("2026-03-08T07:05:00Z"), &zone, time).to_string(), "2026-03-07");
    assert_eq!(RunDate::due(at("2026-03-08T07:30:00Z"), &zone, time).to_string(), "2026-03-08");
}

#[test]
fn run_dates_count_and_print() {
    let first: RunDate = "2026-02-27".parse().unwrap();
    let last: RunDate = "2026-03-01".parse().unwrap();
    let dates: Vec<String> = first.through(last).map(|date| date.to_string()).collect();
    assert_eq!(dates, ["2026-02-27", "2026-02-28", "2026-03-01"]);
    assert_eq!(first.through(first).count(), 1);
    assert_eq!(last.through(first).count(), 0);
    assert_eq!((first.tomorrow().yesterday(), last.date()), (first, civil::date(2026, 3, 1)));
    let end: RunDate = "9999-12-31".parse().unwrap();
    assert_eq!((end.tomorrow(), end.through(end).count()), (end, 1));
    assert_eq!(serde_json::to_string(&first).unwrap(), "\"2026-02-27\"");
    assert_eq!(serde_json::from_str::<RunDate>("\"2026-02-27\"").unwrap(), first);
    assert!(serde_json::from_str::<RunDate>("\"27/02/2026\"").is_err());
    for wrong in ["", "2026-2-27", "2026-02-30", "2026-02-27T00:00", "20260227", "+026-02-27", "２０２６-02"]
    {
        assert!(wrong.parse::<RunDate>().is_err(), "{wrong:?}");
    }
}
