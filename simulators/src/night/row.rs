//! How a row looks: NIKs, numbers and dates dressed as people type them, and cells that are simply wrong.

use jiff::civil::Date;

use crate::dice::Dice;
use crate::population::Population;
use crate::sheet::{SheetCell, date_serial};

use super::plan::{Bad, RowKind, RowPlan};

const PURPOSE_ROW: u64 = 21;

const MONTHS: [&str; 12] = [
    "Januari",
    "Februari",
    "Maret",
    "April",
    "Mei",
    "Juni",
    "Juli",
    "Agustus",
    "September",
    "Oktober",
    "November",
    "Desember",
];

/// Where a row is written. A CSV file has no types, so that what a sheet keeps as a number is text there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Sheet,
    Csv,
}

/// NIK, name, number, date.
pub(super) type Row = [SheetCell; 4];

/// Writes the row with this index.
pub(super) fn row(
    seed: u64,
    index: usize,
    plan: RowPlan,
    population: &Population,
    run_date: Date,
    medium: Medium,
) -> Row {
    let mut dice = Dice::keyed(seed, PURPOSE_ROW, index as u64);
    let person = plan.person as usize;
    let nik = population.nik(person);
    let number = number_of(plan, population).unwrap_or_else(|| population.new_mobile(person, 0));
    let name = SheetCell::text(population.name(person));
    let mut day = run_date;
    if plan.kind == RowKind::Earlier {
        let back = 1 + i64::try_from(dice.below(400)).unwrap_or(0);
        day = run_date.checked_sub(jiff::Span::new().days(back)).unwrap_or(run_date);
    }
    let mut cells =
        [dressed_nik(&nik, &mut dice), name, dressed_number(&number, &mut dice), SheetCell::Empty];
    cells[3] = dressed_date(day, medium, &mut dice);
    if let RowKind::Bad(bad) = plan.kind {
        let other_nik = population.nik(Population::LARGEST - 1 - person);
        let other_number = population.new_mobile(person, 1);
        spoil(&mut cells, bad, [&nik, &other_nik, &number, &other_number], medium, &mut dice);
    }
    cells
}

/// The number a row asks for, in E.164.
pub(super) fn number_of(plan: RowPlan, population: &Population) -> Option<String> {
    let person = plan.person as usize;
    match plan.kind {
        RowKind::Unchanged => population.current_mobile(person),
        RowKind::Conflicting(second) => Some(population.new_mobile(person, u64::from(second))),
        RowKind::Earlier => Some(population.new_mobile(person, 2)),
        _ => Some(population.new_mobile(person, 0)),
    }
}

fn dressed_nik(nik: &str, dice: &mut Dice) -> SheetCell {
    let groups = |by: &str| [&nik[..4], &nik[4..8], &nik[8..12], &nik[12..]].join(by);
    SheetCell::text(match dice.below(20) {
        0 => groups(" "),
        1 => format!("{}.{}.{}", &nik[..6], &nik[6..12], &nik[12..]),
        2 => groups("-"),
        3 => format!("'{nik}"),
        4 => format!("NIK: {nik}"),
        5 => format!("\u{200b}{nik}\u{feff}"),
        6 => format!(" {nik}\u{a0}"),
        _ => nik.to_owned(),
    })
}

fn dressed_number(number: &str, dice: &mut Dice) -> SheetCell {
    let digits = number.trim_start_matches('+');
    let national = digits.strip_prefix("62").unwrap_or(digits);
    let (a, b, c) = (&national[..3], &national[3..7], &national[7..]);
    SheetCell::text(match dice.below(16) {
        0 => number.to_owned(),
        1 => format!("0{a}-{b}-{c}"),
        2 => format!("+62 {a}-{b}-{c}"),
        3 => digits.to_owned(),
        4 => return numeric(digits),
        5 => return numeric(national),
        6 => format!("wa.me/{digits}"),
        7 => format!("https://wa.me/{digits}"),
        8 => format!("tel:{number}"),
        9 => format!("WA: 0{national}"),
        10 => format!("HP 0{a} {b} {c}"),
        11 => format!("(0{a}) {b}.{c}"),
        12 => format!("\u{202a}+62 {a}-{b}-{c}\u{202c}"),
        13 => format!("0{national} / +62{national}"),
        _ => format!("0{national}"),
    })
}

/// A numeric cell; all of these have fewer than 15 digits.
fn numeric(digits: &str) -> SheetCell {
    digits.parse::<u64>().map_or_else(|_| SheetCell::text(digits), SheetCell::number)
}

fn dressed_date(day: Date, medium: Medium, dice: &mut Dice) -> SheetCell {
    let serial = date_serial(day) as f64;
    let month = MONTHS[(day.month() - 1) as usize];
    let text = match dice.below(10) {
        0..4 if medium == Medium::Sheet => return SheetCell::Date(serial),
        4 if medium == Medium::Sheet => {
            let (hour, minute) = (dice.below(24) as f64, dice.below(4) as f64 * 15.0);
            return SheetCell::Date(serial + (hour * 60.0 + minute) / 1440.0);
        }
        5 => day.strftime("%d/%m/%Y").to_string(),
        6 => day.strftime("%d-%m-%Y").to_string(),
        7 => format!("{} {} {}", day.day(), &month[..3], day.year()),
        8 => format!("{} {month} {}", day.day(), day.year()),
        9 => format!("{day}T{:02}:30:00+07:00", 6 + dice.below(12)),
        _ => day.to_string(),
    };
    SheetCell::text(text)
}

fn spoil(cells: &mut Row, bad: Bad, said: [&str; 4], medium: Medium, dice: &mut Dice) {
    let [nik, other_nik, number, other_number] = said;
    let national = number.trim_start_matches("+62");
    match bad {
        Bad::NikMissing => {
            let blank = ["\u{200b}", " ", "\u{a0}\u{feff}"];
            cells[0] = if dice.chance(0.5) { SheetCell::Empty } else { SheetCell::text(dice.pick(&blank)) };
        }
        Bad::NikNot16Digits => {
            cells[0] = SheetCell::text(match dice.below(4) {
                0 => nik[..15].to_owned(),
                1 => format!("{nik}7"),
                2 => format!("{}O{}", &nik[..9], &nik[10..]),
                _ => "B1234567".to_owned(),
            });
        }
        Bad::NikLostPrecision => {
            cells[0] = match dice.below(3) {
                0 if medium == Medium::Sheet => numeric(&format!("{}0", &nik[..15])),
                1 => SheetCell::text(format!("{}0000", &nik[..12])),
                _ => SheetCell::text(format!("{}.{}E+15", &nik[..1], &nik[1..6])),
            };
        }
        Bad::NikSeveral => cells[0] = SheetCell::text(format!("{nik} / {other_nik}")),
        Bad::PhoneMissing => {
            let none = ["-", "tidak ada", "\u{200b}"];
            cells[2] = if dice.chance(0.4) { SheetCell::Empty } else { SheetCell::text(dice.pick(&none)) };
        }
        Bad::PhoneInvalid => {
            cells[2] = SheetCell::text(match dice.below(5) {
                0 => format!("0{}", &national[..6]),
                1 => format!("0{}O{}", &national[..5], &national[6..]),
                2 => format!("0{}****{}", &national[..3], &national[7..]),
                3 => format!("{}.0", number.trim_start_matches('+')),
                _ => "warga@example.org".to_owned(),
            });
        }
        Bad::PhoneNotMobile => {
            cells[2] = SheetCell::text(format!("021-5{}-{}", &national[4..7], &national[7..]));
        }
        Bad::PhoneSeveral => cells[2] = SheetCell::text(format!("0{national} / {other_number}")),
        Bad::PhoneNote => {
            let whose = ["(istri)", "punya anaknya", "nomor tetangga"];
            cells[2] = SheetCell::text(format!("0{national} {}", dice.pick(&whose)));
        }
        Bad::CellError => {
            let column = if dice.chance(0.5) { 0 } else { 2 };
            cells[column] = SheetCell::error(dice.pick(&["#REF!", "#N/A", "#VALUE!"]));
        }
        Bad::DateUnreadable => {
            cells[3] = match dice.below(4) {
                0 => SheetCell::Empty,
                1 => SheetCell::text("kemarin"),
                2 => SheetCell::text("31/02/2026"),
                _ => SheetCell::text("minggu lalu"),
            };
        }
    }
}
