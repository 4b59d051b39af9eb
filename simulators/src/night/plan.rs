//! Which rows a night has: how many of each kind, about whom, in which order. How they look is in `row`.

use crate::dice::Dice;
use crate::population::Population;

const PURPOSE_ORDER: u64 = 20;

/// How a night is mixed. Shares are of `rows_today`, rounded down; what they leave is updated.
#[derive(Clone, Debug, PartialEq)]
pub struct NightOptions {
    /// Rows below the header.
    pub rows_total: usize,
    /// Rows of the run date; the others are of earlier dates.
    pub rows_today: usize,
    /// Share of rows that are rejected for what is in them, all kinds alike.
    pub bad: f64,
    /// Share of rows whose NIK no Patient has.
    pub unknown: f64,
    /// Share of rows whose number the Patient already has.
    pub unchanged: f64,
    /// Share of rows that repeat an updated row's NIK and number.
    pub duplicated: f64,
    /// Pairs of rows with one NIK and different numbers.
    pub conflicting_pairs: usize,
    /// Rows whose NIK two Patients hold.
    pub ambiguous: usize,
    /// Rows whose Patient is `active=false`.
    pub inactive: usize,
    /// People in the FHIR server; as many as the rows need when absent.
    pub patients: Option<usize>,
}

impl Default for NightOptions {
    /// The demo: 60,000 rows of which 20,000 are today's.
    fn default() -> Self {
        Self {
            rows_total: 60_000,
            rows_today: 20_000,
            bad: 0.02,
            unknown: 0.03,
            unchanged: 0.15,
            duplicated: 0.01,
            conflicting_pairs: 5,
            ambiguous: 5,
            inactive: 5,
            patients: None,
        }
    }
}

impl NightOptions {
    /// This many rows, all of today, each of which must be written.
    pub fn all_need_write(rows: usize) -> Self {
        Self { rows_total: rows, rows_today: rows, ..Self::plain() }
    }

    /// A small night with the demo's mix.
    pub fn sized(rows_total: usize, rows_today: usize) -> Self {
        Self { rows_total, rows_today, ..Self::default() }
    }

    fn plain() -> Self {
        Self {
            bad: 0.0,
            unknown: 0.0,
            unchanged: 0.0,
            duplicated: 0.0,
            conflicting_pairs: 0,
            ambiguous: 0,
            inactive: 0,
            ..Self::default()
        }
    }
}

/// Why a night cannot be mixed like this.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NightError {
    /// The run date is not `YYYY-MM-DD`.
    #[error("the run date is not a date written as YYYY-MM-DD")]
    RunDate,
    /// There are more rows of one kind than there is room for.
    #[error("the parts of the night do not fit into its rows: {0}")]
    Mix(&'static str),
    /// The population is too small, or larger than there are NIKs.
    #[error("{needed} people are needed and {available} can be had")]
    People {
        /// How many the rows are about.
        needed: usize,
        /// How many there are.
        available: usize,
    },
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    Earlier,
    Updated,
    Unchanged,
    Unknown,
    Duplicate,
    /// The first or the second of a pair.
    Conflicting(bool),
    Ambiguous,
    Inactive,
    Bad(Bad),
}

/// What is wrong with a rejected row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    NikMissing,
    NikNot16Digits,
    NikLostPrecision,
    NikSeveral,
    PhoneMissing,
    PhoneInvalid,
    PhoneNotMobile,
    PhoneSeveral,
    PhoneNote,
    CellError,
    DateUnreadable,
}

impl Bad {
    const ALL: [Self; 11] = [
        Self::NikMissing,
        Self::NikNot16Digits,
        Self::NikLostPrecision,
        Self::NikSeveral,
        Self::PhoneMissing,
        Self::PhoneInvalid,
        Self::PhoneNotMobile,
        Self::PhoneSeveral,
        Self::PhoneNote,
        Self::CellError,
        Self::DateUnreadable,
    ];
}

/// A row's kind and the index of the person it is about: all that is kept of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPlan {
    pub(super) kind: RowKind,
    pub(super) person: u32,
}

/// Mixes a night: its population, and its rows in order.
pub(super) fn plan(seed: u64, options: &NightOptions) -> Result<(Population, Vec<RowPlan>), NightError> {
    let today = options.rows_today;
    if today > options.rows_total {
        return Err(NightError::Mix("more rows today than rows"));
    }
    let share = |share: f64| (share.clamp(0.0, 1.0) * today as f64).floor() as usize;
    let bad = share(options.bad);
    let (unknown, unchanged, duplicated) =
        (share(options.unknown), share(options.unchanged), share(options.duplicated));
    let others = bad + unknown + unchanged + duplicated;
    let others = others + 2 * options.conflicting_pairs + options.ambiguous + options.inactive;
    let updated = today.checked_sub(others).ok_or(NightError::Mix("the shares exceed today's rows"))?;
    if duplicated > updated {
        return Err(NightError::Mix("more duplicates than rows they could repeat"));
    }
    let irregular = options.ambiguous + options.inactive;
    let needed = irregular + updated + unchanged + bad + options.conflicting_pairs;
    // About four in five have a number that can be unchanged; the rest of what is searched is used otherwise.
    let people = options.patients.unwrap_or(needed + unchanged / 2 + 64).max(1);
    let available = Population::LARGEST.saturating_sub(unknown + 2 * bad);
    if people > available {
        return Err(NightError::People { needed: people, available });
    }
    let population = Population::generate(seed, people).with_irregular(options.ambiguous, options.inactive);

    let mut rows = Vec::with_capacity(options.rows_total);
    let mut add = |kind, person: usize| rows.push(RowPlan { kind, person: person as u32 });
    population.doubled().for_each(|person| add(RowKind::Ambiguous, person));
    population.inactive().for_each(|person| add(RowKind::Inactive, person));
    (0..unknown).for_each(|nobody| add(RowKind::Unknown, people + nobody));
    let mut regular = population.regular();
    let mut passed_over = Vec::new();
    let mut left = unchanged;
    while left > 0 {
        let person = regular.next().ok_or(NightError::People { needed, available: people })?;
        if population.current_mobile(person).is_some() {
            add(RowKind::Unchanged, person);
            left -= 1;
        } else {
            passed_over.push(person);
        }
    }
    let mut rest = passed_over.into_iter().chain(regular);
    let mut next = || rest.next().ok_or(NightError::People { needed, available: people });
    for at in 0..updated {
        let person = next()?;
        add(RowKind::Updated, person);
        if at < duplicated {
            add(RowKind::Duplicate, person);
        }
    }
    for _ in 0..options.conflicting_pairs {
        let person = next()?;
        add(RowKind::Conflicting(false), person);
        add(RowKind::Conflicting(true), person);
    }
    for at in 0..bad {
        add(RowKind::Bad(Bad::ALL[at % Bad::ALL.len()]), next()?);
    }
    let mut dice = Dice::keyed(seed, PURPOSE_ORDER, options.rows_total as u64);
    for _ in today..options.rows_total {
        add(RowKind::Earlier, dice.below(people as u64) as usize);
    }
    dice.shuffle(&mut rows);
    Ok((population, rows))
}
