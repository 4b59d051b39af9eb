//! Classes of rows that nobody listed: the principle decides them. What is only dress comes off; content is never
//! guessed.

use super::*;

/// What becomes of a cell.
type Outcome = Result<&'static str, Reason>;

/// A class: its name, and cells with what becomes of each.
type Class = (&'static str, &'static [(&'static str, Outcome)]);

const N: Outcome = Ok(NIK);
const P: Outcome = Ok("+6281234567890");
const NOT_16: Outcome = Err(Reason::NikNot16Digits);
const SEVERAL_NIKS: Outcome = Err(Reason::NikSeveral);
const NO_NUMBER: Outcome = Err(Reason::PhoneInvalid);
const NOTE: Outcome = Err(Reason::PhoneNote);
const SEVERAL: Outcome = Err(Reason::PhoneSeveral);
const NOT_MOBILE: Outcome = Err(Reason::PhoneNotMobile);
const MISSING: Outcome = Err(Reason::PhoneMissing);

const NIKS: &[Class] = &[
    (
        "digits of other scripts",
        &[("٣١٧١٢٣٤٥٦٧٨٩٠٠٠١", N), ("३१७१२३४५६७८९०००१", N), ("３１７１２３４５６７８９０００１", N)],
    ),
    (
        "characters that only look like digits",
        &[
            ("①②③④⑤⑥⑦⑧⑨⓪①②③④⑤⑥", NOT_16),
            ("³171234567890001", NOT_16),
            ("三一七一二三四五六七八九〇〇〇一", NOT_16),
        ],
    ),
    (
        "a number of a list in front",
        &[("1. 3171234567890001", NOT_16), ("1) 3171234567890001", NOT_16), ("2 3171234567890001", NOT_16)],
    ),
    (
        "a bracket among the digits",
        &[
            ("317123456789000 (1)", NOT_16),
            ("3171234567890001 (1)", NOT_16),
            ("317123456789000(1)", NOT_16),
            ("(3171234567890001)", N),
        ],
    ),
    (
        "the person's name beside it",
        &[("Budi 3171234567890001", NOT_16), ("3171234567890001 - Budi", NOT_16)],
    ),
    (
        "a word of doubt or denial",
        &[
            ("bukan 3171234567890001", NOT_16),
            ("3171234567890001 (lama)", NOT_16),
            ("3171234567890001?", NOT_16),
        ],
    ),
    ("the family card's number", &[("KK 3171234567890001", NOT_16), ("No. KK: 3171234567890001", NOT_16)]),
    (
        "NIK and number pasted into one cell",
        &[("3171234567890001\t081234567890", NOT_16), ("NIK 3171234567890001 No HP 081234567890", NOT_16)],
    ),
    (
        "the number's or the date's column",
        &[("081234567890", NOT_16), ("+6281234567890", NOT_16), ("23/11/2026", NOT_16)],
    ),
    ("same as above", &[("sda", NOT_16), ("idem", NOT_16), ("s.d.a", NOT_16), ("sama", NOT_16)]),
    (
        "struck through",
        &[(
            "3\u{336}1\u{336}7\u{336}1\u{336}2\u{336}3\u{336}4\u{336}5\u{336}6\u{336}7\u{336}8\u{336}9\u{336}0\u{336}0\u{336}0\u{336}1\u{336}",
            NOT_16,
        )],
    ),
    (
        "shown in another order than stored",
        &[("\u{202e}3171234567890001", NOT_16), ("\u{202e}1000987654321713\u{202c}", NOT_16)],
    ),
    ("forced into the order it is stored in", &[("\u{202d}3171234567890001\u{202c}", N)]),
    (
        "money, percent, signs",
        &[
            ("$3171234567890001", NOT_16),
            ("3171234567890001%", NOT_16),
            ("±3171234567890001", NOT_16),
            ("3171+2345+6789+0001", NOT_16),
        ],
    ),
    (
        "computers' writing",
        &[
            ("0x3171234567890001", NOT_16),
            ("&nbsp;3171234567890001", NOT_16),
            ("3171234567890001.jpg", NOT_16),
            ("https://example.org/3171234567890001", NOT_16),
        ],
    ),
    ("numbers in words", &[("tiga satu tujuh satu", NOT_16), ("MMXXVI", NOT_16)]),
    ("a picture or a pointer to one", &[("📷", NOT_16), ("lihat foto", NOT_16)]),
    ("a line of the sheet that is no person", &[("TOTAL", NOT_16), ("jumlah 25", NOT_16)]),
    ("two NIKs without a space", &[("31712345678900013171234567890002", NOT_16)]),
    ("husband and wife", &[("suami 3171234567890001 istri 3171234567890002", SEVERAL_NIKS)]),
];

const NUMBERS: &[Class] = &[
    ("digits of other scripts", &[("٠٨١٢٣٤٥٦٧٨٩٠", P), ("०८१२३४५६७८९०", P), ("08１２34567890", P)]),
    (
        "characters that only look like digits",
        &[("²081234567890", NOTE), ("0812 3456 789½", NOTE), ("八", NO_NUMBER)],
    ),
    (
        "a number of a list in front",
        &[("1. 081234567890", NO_NUMBER), ("1) 081234567890", NO_NUMBER), ("(1) 081234567890", NO_NUMBER)],
    ),
    (
        "a bracket behind the digits",
        &[
            ("081234567890 (1)", NO_NUMBER),
            ("081234567890[2]", NO_NUMBER),
            ("0812345678 (9)", NO_NUMBER),
            ("081234567890 (081234567890)", P),
            ("081234567890 (085512345678)", SEVERAL),
            ("(0812) 3456 7890", P),
            ("+62 (812) 3456-7890", P),
        ],
    ),
    (
        "an extension",
        &[
            ("081234567890 ext 3", NOTE),
            ("081234567890 pes. 12", NOTE),
            ("0812-3456-7890 x12", NO_NUMBER),
            ("tel:+6281234567890;ext=3", NOTE),
        ],
    ),
    (
        "links that hold the number",
        &[
            ("https://api.whatsapp.com/send?phone=6281234567890", P),
            ("whatsapp://send?phone=+6281234567890", P),
            ("[081234567890](tel:081234567890)", P),
        ],
    ),
    (
        "links that do not",
        &[
            ("wa.me/qr/ABC", NO_NUMBER),
            ("https://wa.link/abc", NO_NUMBER),
            ("https://chat.whatsapp.com/AbC081234567890", NO_NUMBER),
            ("https://example.org/081234567890", NO_NUMBER),
        ],
    ),
    (
        "another messenger's",
        &[
            ("Telegram: 081234567890", NOTE),
            ("https://t.me/+6281234567890", NO_NUMBER),
            ("line: budi", NO_NUMBER),
            ("@budi", NO_NUMBER),
        ],
    ),
    (
        "a contact card or a web page's source",
        &[
            ("TEL;TYPE=CELL:+6281234567890", NOTE),
            ("<a href=\"https://wa.me/6281234567890\">", NOTE),
            ("&nbsp;081234567890", NOTE),
            ("%2B6281234567890", NO_NUMBER),
        ],
    ),
    (
        "when to call",
        &[
            ("081234567890 jam 8", NOTE),
            ("081234567890 20.00 WIB", NO_NUMBER),
            ("hubungi 081234567890", NOTE),
        ],
    ),
    (
        "ticks, crosses and faces",
        &[("081234567890 ✅", NOTE), ("❌ 081234567890", NOTE), ("📱 081234567890", P)],
    ),
    (
        "old and new",
        &[
            ("lama: 081234567890", NOTE),
            ("081234567890 (baru)", NOTE),
            ("081234567890 -> 085512345678", SEVERAL),
            ("085512345678 (sebelumnya 081234567890)", SEVERAL),
        ],
    ),
    ("same as above", &[("sda", NO_NUMBER), ("idem", NO_NUMBER), ("sama", NO_NUMBER), ("\"", MISSING)]),
    ("two ends of one number", &[("081234567890/91", NO_NUMBER), ("081234567890 - 92", NO_NUMBER)]),
    ("the same number glued to itself", &[("081234567890081234567890", NO_NUMBER)]),
    (
        "a wrong divider among the digits",
        &[
            ("0812/3456/7890", NO_NUMBER),
            ("0812,3456,7890", NO_NUMBER),
            ("0812:3456:7890", NO_NUMBER),
            ("0812+3456+7890", NO_NUMBER),
        ],
    ),
    (
        "a country code twice or mixed up",
        &[
            ("+62 62 81234567890", NO_NUMBER),
            ("+0062 812 3456 7890", NO_NUMBER),
            ("62+81234567890", NOT_MOBILE),
        ],
    ),
    ("the trunk zero kept", &[("+62 (0)812 3456 7890", P), ("62-0812-3456-7890", P)]),
    (
        "fillers",
        &[("000000000000", NO_NUMBER), ("0000", NO_NUMBER), ("Foto", NO_NUMBER), ("TRUE", NO_NUMBER)],
    ),
    (
        "emergency and toll-free",
        &[
            ("911", NOT_MOBILE),
            ("119", NOT_MOBILE),
            ("+800 1234 5678", NOT_MOBILE),
            ("+979 123 456 789", NOT_MOBILE),
        ],
    ),
    ("numbers in words", &[("nol delapan satu dua tiga", NO_NUMBER)]),
    ("money", &[("Rp81234567890", NO_NUMBER), ("$081234567890", NOTE)]),
    (
        "struck through or reversed",
        &[
            (
                "0\u{336}8\u{336}1\u{336}2\u{336}3\u{336}4\u{336}5\u{336}6\u{336}7\u{336}8\u{336}9\u{336}0\u{336}",
                NO_NUMBER,
            ),
            ("\u{202e}081234567890", NO_NUMBER),
        ],
    ),
    ("NIK and number pasted into one cell", &[("3171234567890001 081234567890", NO_NUMBER)]),
];

/// A class of dates: its name, and cells with the date each is.
type DateClass = (&'static str, &'static [(&'static str, Option<&'static str>)]);

const UNREADABLE: Option<&str> = None;
const TODAY: Option<&str> = Some(DATE);

const DATES: &[DateClass] = &[
    (
        "a year of two digits",
        &[("23/11/26", UNREADABLE), ("26/11/23", UNREADABLE), ("23-Nop-26", UNREADABLE)],
    ),
    (
        "a part of a date",
        &[
            ("2026", UNREADABLE),
            ("2026-11", UNREADABLE),
            ("23/11", UNREADABLE),
            ("November", UNREADABLE),
            ("14:05", UNREADABLE),
        ],
    ),
    (
        "days that are not named",
        &[("hari ini", UNREADABLE), ("kemarin", UNREADABLE), ("today", UNREADABLE), ("Senin", UNREADABLE)],
    ),
    (
        "weeks, quarters, days of the year",
        &[("2026-W48-1", UNREADABLE), ("W48", UNREADABLE), ("2026-327", UNREADABLE), ("Q4 2026", UNREADABLE)],
    ),
    (
        "several days",
        &[
            ("22-23 Nov 2026", UNREADABLE),
            ("23/11/2026 - 24/11/2026", UNREADABLE),
            ("22/11/2026, 23/11/2026", UNREADABLE),
        ],
    ),
    (
        "days there are not",
        &[
            ("31/11/2026", UNREADABLE),
            ("29/02/2027", UNREADABLE),
            ("0/11/2026", UNREADABLE),
            ("2026-13-01", UNREADABLE),
        ],
    ),
    ("a weekday that is not that day's", &[("Selasa, 23/11/2026", UNREADABLE)]),
    ("other calendars", &[("8 Jumadil Akhir 1448", UNREADABLE), ("2026年11月23日", UNREADABLE)]),
    ("times of machines", &[("1732320000", UNREADABLE), ("1732320000000", UNREADABLE)]),
    ("serial numbers out of reach", &[("-5", UNREADABLE), ("0", UNREADABLE), ("2958466", UNREADABLE)]),
    (
        "doubt and remarks",
        &[("23/11/2026?", UNREADABLE), ("23/11/2026 (revisi)", UNREADABLE), ("±23/11/2026", UNREADABLE)],
    ),
    (
        "times there are not",
        &[("2026-11-23 24:00", UNREADABLE), ("23/11/2026 25:61", UNREADABLE), ("23/11/2026 00:00:00", TODAY)],
    ),
    ("a month misspelt", &[("23 Nopmber 2026", UNREADABLE), ("23 XI 2026", UNREADABLE)]),
    ("same as above", &[("sda", UNREADABLE), ("\"", UNREADABLE)]),
    ("a full stop behind it", &[("23.11.2026.", TODAY)]),
];

fn check(class: &Class, read: impl Fn(Cell) -> Result<String, Reason>) {
    let (name, cells) = class;
    for (found, expected) in *cells {
        assert_eq!(read(text(found)), expected.map(str::to_owned), "{name}: {found:?}");
    }
}

#[test]
fn niks_of_classes_nobody_listed() {
    NIKS.iter().for_each(|class| check(class, read_nik));
}

#[test]
fn numbers_of_classes_nobody_listed() {
    NUMBERS.iter().for_each(|class| check(class, read_phone));
}

#[test]
fn dates_of_classes_nobody_listed() {
    for (name, cells) in DATES {
        for (found, expected) in *cells {
            let read = match rules().read(&row(text(NIK), text(PHONE), text(found))) {
                Reading::Valid(_) => TODAY,
                Reading::Rejected(rejection) if rejection.reason == Reason::DateUnreadable => UNREADABLE,
                other => panic!("{name}: {found:?} is {other:?}"),
            };
            assert_eq!(read, *expected, "{name}: {found:?}");
        }
    }
}

#[test]
fn columns_exchanged_harm_nobody() {
    let exchanged = row(text(PHONE), text(NIK), text(DATE));
    let Reading::Rejected(rejection) = rules().read(&exchanged) else { panic!("rejected") };
    assert_eq!(rejection.reason, Reason::NikNot16Digits);
    let header = row(text("nik"), text("whatsapp_number"), text("last_updated_date"));
    let Reading::Rejected(rejection) = rules().read(&header) else {
        panic!("a header in the middle of the sheet")
    };
    assert_eq!(rejection.reason, Reason::DateUnreadable);
}
