//! A synthetic population: Patients made from a seed and a number, none of them stored here.
//!
//! Every fact about the i-th person is a function of (seed, i), so that a million of them cost nothing until they
//! are loaded, and two runs agree. No NIK, number or name belongs to anyone on purpose.

use std::fmt::Write;

use serde_json::Value;

use crate::dice::Dice;
use crate::fhir::{FhirStore, NIK_SYSTEM};

/// The system of the hospitals' own record numbers, which some Patients have besides.
pub(crate) const MRN_SYSTEM: &str = "https://rs-simulasi.example.org/id/mrn";

/// 2025-06-02T01:15:00.000Z, when all of them were registered.
const REGISTERED: (&str, i64) = ("2025-06-02T01:15:00.000Z", 1_748_826_900_000);

/// Serial numbers 0001 to 9999.
const SERIALS: u64 = 9999;
/// People of one block of serials share this remainder of their birth date, which keeps blocks apart.
const BLOCKS: u64 = 256;
/// Birth dates from 1946-01-01: two-digit years stay unambiguous.
const BIRTH_WINDOWS: u64 = 88;

const PURPOSE_NIK: u64 = 1;
const PURPOSE_PERSON: u64 = 2;
const PURPOSE_MOBILE: u64 = 3;

/// Codes of provinces (Kemendagri).
const PROVINCES: [u64; 34] = [
    11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 31, 32, 33, 34, 35, 36, 51, 52, 53, 61, 62, 63, 64, 65, 71, 72,
    73, 74, 75, 76, 81, 82, 91, 92,
];

/// Mobile prefixes of Indonesia's operators, without the leading 0.
const MOBILE_PREFIXES: [&str; 16] = [
    "811", "812", "813", "821", "822", "852", "853", "815", "816", "856", "857", "817", "818", "878", "895",
    "896",
];

const GIVEN_WOMEN: [&str; 10] =
    ["Siti", "Dewi", "Ayu", "Ratna", "Sri", "Fitri", "Indah", "Ni Luh", "Wulan", "Rini"];
const GIVEN_MEN: [&str; 10] =
    ["Budi", "Agus", "Ahmad", "Dedi", "Eko", "I Made", "Joko", "Rizky", "Yusuf", "Hendra"];
const FAMILY: [&str; 12] = [
    "Santoso",
    "Wijaya",
    "Nasution",
    "Siregar",
    "Pratama",
    "Kusuma",
    "Rahayu",
    "Lestari",
    "Hidayat",
    "Simanjuntak",
    "Putri",
    "Saputra",
];
const CITIES: [&str; 8] =
    ["Jakarta", "Bandung", "Surabaya", "Medan", "Makassar", "Denpasar", "Semarang", "Kupang"];

/// Which Patients there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    seed: u64,
    count: usize,
    doubled: usize,
    inactive: usize,
}

/// How the telecoms of a Patient are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telecom {
    /// Home phone, e-mail, a mobile of the past, the current mobile.
    Several,
    /// The current mobile only.
    MobileOnly,
    /// The current mobile, as people write it at home: `0812-3456-7890`.
    LocalSpelling,
    /// A mobile whose period has ended, and an e-mail.
    OnlyPast,
    /// An e-mail.
    EmailOnly,
    /// No telecom at all.
    None,
}

impl Population {
    /// The most people there can be; further indexes make NIKs that nobody has.
    pub const LARGEST: usize = (SERIALS * BLOCKS) as usize;

    /// This many active Patients with a NIK each.
    pub fn generate(seed: u64, count: usize) -> Self {
        Self { seed, count: count.min(Self::LARGEST), doubled: 0, inactive: 0 }
    }

    /// Lets the first `doubled` NIKs be held by two Patients each, and the next `inactive` Patients be
    /// `active=false`.
    #[must_use]
    pub fn with_irregular(mut self, doubled: usize, inactive: usize) -> Self {
        self.doubled = doubled.min(self.count);
        self.inactive = inactive.min(self.count - self.doubled);
        self
    }

    /// How many people there are; those whose NIK is doubled count once.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The indexes of people who are active and whose NIK is theirs alone.
    pub fn regular(&self) -> std::ops::Range<usize> {
        self.doubled + self.inactive..self.count
    }

    /// The indexes of people whose NIK two Patients hold.
    pub fn doubled(&self) -> std::ops::Range<usize> {
        0..self.doubled
    }

    /// The indexes of people whose Patient is `active=false`.
    pub fn inactive(&self) -> std::ops::Range<usize> {
        self.doubled..self.doubled + self.inactive
    }

    /// The NIK of a person; beyond the population (and below [`Population::LARGEST`]) one that nobody has.
    pub fn nik(&self, index: usize) -> String {
        let born = self.born(index);
        let mut dice = Dice::keyed(self.seed, PURPOSE_NIK, index as u64);
        let province = PROVINCES[dice.below(PROVINCES.len() as u64) as usize];
        let regency = if dice.chance(0.3) { 71 + dice.below(6) } else { 1 + dice.below(20) };
        let district = 1 + dice.below(20);
        let day = born.day() as u64 + if self.is_woman(index) { 40 } else { 0 };
        let (month, year) = (born.month(), born.year() % 100);
        // Unique: serial and block together are the index, and blocks differ in their birth dates.
        let serial = 1 + index as u64 % SERIALS;
        format!("{province:02}{regency:02}{district:02}{day:02}{month:02}{year:02}{serial:04}")
    }

    /// A person's name.
    pub fn name(&self, index: usize) -> String {
        let (given, family) = self.names(index);
        format!("{given} {family}")
    }

    /// A person's current mobile number in E.164; none for some.
    pub fn current_mobile(&self, index: usize) -> Option<String> {
        let has =
            matches!(self.telecom(index), Telecom::Several | Telecom::MobileOnly | Telecom::LocalSpelling);
        has.then(|| self.mobile(index, 0))
    }

    /// A mobile number in E.164 that the person does not have now; another one for each `which`.
    pub fn new_mobile(&self, index: usize, which: u64) -> String {
        let current = self.mobile(index, 0);
        let candidates = (0..).map(|attempt| self.mobile(index, 2 + which + (attempt << 32)));
        candidates.into_iter().find(|number| *number != current).unwrap_or(current)
    }

    /// All Patients as JSON, in the order they are loaded.
    pub fn patients(&self) -> impl Iterator<Item = Value> + '_ {
        self.bodies().map(|(_, _, body)| serde_json::from_str(&body).expect("the bodies are written as JSON"))
    }

    /// Loads everybody, as version 1.
    pub fn load_into(&self, store: &FhirStore) {
        for (id, identifiers, body) in self.bodies() {
            if let Err(error) = store.insert_body(
                &id,
                body.into_bytes().into_boxed_slice().into(),
                REGISTERED.1,
                &identifiers,
            ) {
                tracing::warn!(%error, "a synthetic Patient is left out");
            }
        }
    }

    /// Ids, identifiers and bodies.
    fn bodies(&self) -> impl Iterator<Item = (String, Vec<(String, String)>, String)> + '_ {
        let twins = self.doubled().map(|index| (index, true));
        (0..self.count).map(|index| (index, false)).chain(twins).map(|(index, twin)| self.body(index, twin))
    }

    fn body(&self, index: usize, twin: bool) -> (String, Vec<(String, String)>, String) {
        let id = format!("P{}{index:010}", if twin { 3 } else { 2 });
        let nik = self.nik(index);
        let mut dice = Dice::keyed(self.seed, PURPOSE_PERSON, index as u64 + (u64::from(twin) << 40));
        let mut identifiers = vec![(NIK_SYSTEM.to_owned(), nik.clone())];
        let mut mrn = String::new();
        if dice.chance(0.3) {
            let value = format!("RM{index:08}{}", if twin { "B" } else { "" });
            mrn = format!(r#",{{"use":"secondary","system":"{MRN_SYSTEM}","value":"{value}"}}"#);
            identifiers.push((MRN_SYSTEM.to_owned(), value));
        }
        let (given, family) = self.names(index);
        let active = twin || !self.inactive().contains(&index);
        let (gender, born) = (if self.is_woman(index) { "female" } else { "male" }, self.born(index));
        let (hour, minute) = (dice.below(24), dice.below(60));
        // Trailing zeros on purpose: a client that reads decimals as floats loses them.
        let distance = format!("{}.{}0", 1 + dice.below(60), dice.below(10));
        let city = dice.pick(&CITIES);
        let registered = REGISTERED.0;
        let mut body = String::with_capacity(1200);
        let mut put =
            |part: std::fmt::Arguments<'_>| body.write_fmt(part).expect("a String takes everything");
        put(format_args!(
            r#"{{"resourceType":"Patient","id":"{id}","meta":{{"versionId":"1","lastUpdated":"{registered}"}},"#
        ));
        put(format_args!(
            r#""extension":[{{"url":"https://fhir.kemkes.go.id/r4/StructureDefinition/citizenshipStatus","valueCode":"WNI"}},{{"url":"https://example.org/StructureDefinition/km-to-clinic","valueDecimal":{distance}}}],"#
        ));
        put(format_args!(
            r#""identifier":[{{"use":"official","system":"{NIK_SYSTEM}","value":"{nik}"}}{mrn}],"active":{active},"#
        ));
        put(format_args!(
            r#""name":[{{"use":"official","text":"{given} {family}","family":"{family}","given":["{given}"]}}],"#
        ));
        self.write_telecom(&mut put, index, &mut dice);
        put(format_args!(
            r#""gender":"{gender}","birthDate":"{born}","_birthDate":{{"extension":[{{"url":"http://hl7.org/fhir/StructureDefinition/patient-birthTime","valueDateTime":"{born}T{hour:02}:{minute:02}:00+07:00"}}]}},"address":[{{"use":"home","city":"{city}","country":"ID"}}]}}"#
        ));
        (id, identifiers, body)
    }

    fn write_telecom(&self, put: &mut impl FnMut(std::fmt::Arguments<'_>), index: usize, dice: &mut Dice) {
        let mobile = self.mobile(index, 0);
        let past = self.mobile(index, 1);
        let home = format!("+62 21 5{:07}", dice.below(10_000_000));
        let email = format!("p{index}@example.org");
        match self.telecom(index) {
            Telecom::Several => put(format_args!(
                r#""telecom":[{{"system":"phone","value":"{home}","use":"home"}},{{"system":"email","value":"{email}"}},{{"system":"phone","value":"{past}","use":"old","period":{{"end":"2021-03-31"}}}},{{"system":"phone","value":"{mobile}","use":"mobile","rank":1}}],"#
            )),
            Telecom::MobileOnly => put(format_args!(
                r#""telecom":[{{"system":"phone","value":"{mobile}","use":"mobile","period":{{"start":"2022-01-05"}}}}],"#
            )),
            Telecom::LocalSpelling => put(format_args!(
                r#""telecom":[{{"system":"email","value":"{email}","use":"work"}},{{"system":"phone","value":"0{}-{}-{}","use":"mobile"}}],"#,
                &mobile[3..6],
                &mobile[6..10],
                &mobile[10..]
            )),
            Telecom::OnlyPast => put(format_args!(
                r#""telecom":[{{"system":"phone","value":"{past}","use":"mobile","period":{{"start":"2015-02-01","end":"2020-12-31"}}}},{{"system":"email","value":"{email}"}}],"#
            )),
            Telecom::EmailOnly => {
                put(format_args!(r#""telecom":[{{"system":"email","value":"{email}"}}],"#));
            }
            Telecom::None => {}
        }
    }

    fn telecom(&self, index: usize) -> Telecom {
        match Dice::keyed(self.seed, PURPOSE_MOBILE, index as u64).below(100) {
            0..45 => Telecom::Several,
            45..65 => Telecom::MobileOnly,
            65..80 => Telecom::LocalSpelling,
            80..88 => Telecom::OnlyPast,
            88..94 => Telecom::EmailOnly,
            _ => Telecom::None,
        }
    }

    fn mobile(&self, index: usize, which: u64) -> String {
        let mut dice =
            Dice::keyed(self.seed ^ which.rotate_left(24), PURPOSE_MOBILE, index as u64 + (1 << 41));
        let prefix = dice.pick(&MOBILE_PREFIXES);
        format!("+62{prefix}{}{:07}", 1 + dice.below(9), dice.below(10_000_000))
    }

    fn is_woman(&self, index: usize) -> bool {
        Dice::keyed(self.seed, PURPOSE_NIK, index as u64 + (1 << 42)).chance(0.51)
    }

    fn names(&self, index: usize) -> (&'static str, &'static str) {
        let mut dice = Dice::keyed(self.seed, PURPOSE_PERSON, index as u64 + (1 << 43));
        let given = dice.pick(if self.is_woman(index) { &GIVEN_WOMEN } else { &GIVEN_MEN });
        (given, dice.pick(&FAMILY))
    }

    fn born(&self, index: usize) -> jiff::civil::Date {
        let block = index as u64 / SERIALS % BLOCKS;
        let window = Dice::keyed(self.seed, PURPOSE_NIK, index as u64 + (1 << 44)).below(BIRTH_WINDOWS);
        let days = i64::try_from(window * BLOCKS + block).unwrap_or(0);
        let first = jiff::civil::date(1946, 1, 1);
        first.checked_add(jiff::Span::new().days(days)).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WallClock;
    use std::collections::HashSet;

    #[test]
    fn niks_are_unique_and_the_seed_decides() {
        let population = Population::generate(5, 30_000);
        let niks = (0..60_000).map(|index| population.nik(index)).collect::<HashSet<_>>();
        assert_eq!(niks.len(), 60_000);
        assert!(niks.iter().all(|nik| nik.len() == 16 && !nik.ends_with("0000")));
        let bodies = |seed| Population::generate(seed, 50).bodies().map(|all| all.2).collect::<Vec<_>>();
        assert_eq!(bodies(5), bodies(5));
        assert_ne!(bodies(5), bodies(6));
        let last = Population::LARGEST - 1;
        assert!(population.nik(last).len() == 16 && population.born(last).year() < 2046 - 30);
    }

    #[test]
    fn numbers_are_indonesian_mobiles_and_new_ones_are_new() {
        let population = Population::generate(9, 400);
        for index in 0..400 {
            let new = population.new_mobile(index, 0);
            for number in population.current_mobile(index).iter().chain([&new]) {
                let parsed = phonenumber::parse(None, number).expect("a number");
                assert!(phonenumber::is_valid(&parsed), "{number}");
            }
            assert_ne!(Some(new), population.current_mobile(index));
        }
    }

    #[test]
    fn what_is_loaded_is_what_the_population_says() {
        let population = Population::generate(3, 300).with_irregular(4, 5);
        let store = FhirStore::new(NIK_SYSTEM, WallClock::default());
        population.load_into(&store);
        assert_eq!(store.len(), 304);
        assert!(population.doubled().all(|index| store.patient_by_nik(&population.nik(index)).len() == 2));
        for index in population.inactive().chain(population.regular()) {
            let nik = population.nik(index);
            let patients = store.patient_by_nik(&nik);
            assert_eq!(patients.len(), 1);
            assert_eq!(patients[0]["active"], !population.inactive().contains(&index));
            let stored = store.current_mobile(&nik).map(|number| {
                let digits = number.chars().filter(char::is_ascii_digit).collect::<String>();
                digits.strip_prefix('0').map_or_else(|| format!("+{digits}"), |rest| format!("+62{rest}"))
            });
            assert_eq!(stored, population.current_mobile(index));
        }
        assert_eq!(population.patients().count(), 304);
        let text = population.bodies().map(|all| all.2).collect::<String>();
        let decimals = text.matches("valueDecimal").count();
        assert_eq!(decimals, 304);
    }
}
