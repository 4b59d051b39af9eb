use super::*;
use crate::domain::PhoneNumber;

const E164: &str = "+6281234567890";

#[test]
fn dress_is_taken_off() {
    for dressed in [
        "081234567890",
        "+6281234567890",
        "6281234567890",
        "81234567890",
        "006281234567890",
        "+62 812-3456-7890",
        "+62 812 3456 7890",
        "62 812 3456 7890",
        "0812 3456 7890",
        "0812-3456-7890",
        "0812.3456.7890",
        "0812 - 3456 - 7890",
        "(0812) 3456 7890",
        "(0812)34567890",
        "(+62) 81234567890",
        "+(62) 812-3456-7890",
        "+62 (0)812 3456 7890",
        "+62 0812 3456 7890",
        "62 0812 3456 7890",
        "+62 (812) 3456-7890",
        "[0812] 34567890",
        "+ 62 812 3456 7890",
        "\u{ff0b}62 812 3456 7890",
        "0812\u{2013}3456\u{2011}7890",
        "0812\u{a0}3456\u{2007}7890",
        "\u{202a}+62 812-3456-7890\u{202c}",
        "\u{2068}+62\u{a0}812\u{2011}3456\u{2011}7890\u{2069}",
        "\u{feff}081234567890",
        "0812\u{200b}3456\u{ad}7890",
        "'081234567890",
        "'+6281234567890",
        "\"081234567890\"",
        "=\"081234567890\"",
        "*081234567890*",
        "_081234567890_",
        "~081234567890~",
        "wa.me/6281234567890",
        "https://wa.me/6281234567890",
        "http://wa.me/6281234567890/",
        "HTTPS://WA.ME/6281234567890",
        "https://wa.me/+6281234567890",
        "https://wa.me/6281234567890?text=Halo%20Ibu%2012345678901",
        "https://wa.me/081234567890",
        "https://api.whatsapp.com/send?phone=6281234567890",
        "https://api.whatsapp.com/send/?phone=%2B6281234567890&text&type=phone_number&app_absent=0",
        "https://web.whatsapp.com/send?text=Halo&phone=6281234567890",
        "whatsapp://send?phone=+6281234567890",
        "WA: https://wa.me/6281234567890",
        "tel:+6281234567890",
        "tel:+62-812-3456-7890",
        "sms:081234567890",
        "WA: 081234567890",
        "WA : 0812-3456-7890",
        "WA 081234567890",
        "wa081234567890",
        "W.A. 081234567890",
        "W.A: 081234567890",
        "WhatsApp: +62 812 3456 7890",
        "HP 081234567890",
        "HP: 081234567890",
        "H.P. 081234567890",
        "No HP: 081234567890",
        "No. HP 081234567890",
        "no.hp:081234567890",
        "Nomor WA = 081234567890",
        "No. Telp/WA: 081234567890",
        "Telp. 081234567890",
        "081234567890 (WA)",
        "081234567890 WA",
        "📱 081234567890",
        "☎ 081234567890",
        "\u{2022} 081234567890",
        "- 081234567890",
        "081234567890;",
        "081234567890.",
        "０８１２３４５６７８９０",
        "٠٨١٢٣٤٥٦٧٨٩٠",
        "०८१२३४५६७८९०",
        "𝟎𝟖𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗𝟎",
        "\u{ff0b}６２８１２３４５６７８９０",
        "081234567890 / 081234567890",
        "081234567890, +62 812-3456-7890",
        "081234567890 atau 6281234567890",
        "081234567890\n081234567890",
        "081234567890 081234567890",
        "0812-3456-7890 0812 3456 7890",
        "HP: 081234567890 WA: 081234567890",
    ] {
        assert_eq!(read_phone(text(dressed)).as_deref(), Ok(E164), "{dressed:?}");
    }
    for number in [81_234_567_890.0, 6_281_234_567_890.0, 62_081_234_567_890.0] {
        assert_eq!(read_phone(Cell::Number(number)).as_deref(), Ok(E164), "{number}");
    }
}

#[test]
fn every_indonesian_length_and_range() {
    for (typed, number) in [
        ("0812345678", Some("+62812345678")),
        ("08123456789", Some("+628123456789")),
        ("0812345678901", Some("+62812345678901")),
        ("08123456789012", None),
        ("081234567", None),
        ("085512345678", Some("+6285512345678")),
        ("086812345678", Some("+6286812345678")),
        ("089912345678", Some("+6289912345678")),
    ] {
        match number {
            None => assert_eq!(read_phone(text(typed)), Err(Reason::PhoneInvalid), "{typed}"),
            Some(number) => assert_eq!(read_phone(text(typed)).as_deref(), Ok(number), "{typed}"),
        }
    }
    let (_, number, warnings) = read(text(NIK), text("084412345678")).unwrap();
    assert_eq!((number.as_str(), warnings.contains(&Warning::PhoneUnlikelyPrefix)), ("+6284412345678", true));
}

#[test]
fn foreign_numbers_need_their_plus() {
    for (typed, number) in [
        ("+65 9123 4567", "+6591234567"),
        ("+60 12-345 6789", "+60123456789"),
        ("+1 650 253 0000", "+16502530000"),
        ("+44 7912 345678", "+447912345678"),
        ("+44 (0)7912 345678", "+447912345678"),
        ("006591234567", "+6591234567"),
        ("0060123456789", "+60123456789"),
        ("+81 90-1234-5678", "+819012345678"),
        ("+39 312 345 6789", "+393123456789"),
        ("+966 51 234 5678", "+966512345678"),
        ("https://wa.me/6591234567", "+6591234567"),
        ("https://wa.me/812345678901", "+62812345678901"),
        ("+65 9123 4567 / +6591234567", "+6591234567"),
    ] {
        assert_eq!(read_phone(text(typed)).as_deref(), Ok(number), "{typed:?}");
    }
    for typed in ["6591234567", "60123456789", "16502530000", "447912345678", "https://wa.me/819012345678"] {
        assert!(read_phone(text(typed)).is_err(), "{typed:?}");
    }
}

#[test]
fn content_is_never_guessed() {
    use Reason::*;
    for (found, reason) in [
        ("", PhoneMissing),
        (" \u{200b}\u{a0}", PhoneMissing),
        ("-", PhoneMissing),
        ("--", PhoneMissing),
        ("?", PhoneMissing),
        ("0", PhoneMissing),
        ("'", PhoneMissing),
        ("tidak ada", PhoneMissing),
        ("Tidak Ada.", PhoneMissing),
        ("TDK ADA", PhoneMissing),
        ("tdk punya HP", PhoneMissing),
        ("ga ada", PhoneMissing),
        ("belum ada", PhoneMissing),
        ("belum ada no. WA", PhoneMissing),
        ("n/a", PhoneMissing),
        ("N.A.", PhoneMissing),
        ("NA", PhoneMissing),
        ("kosong", PhoneMissing),
        ("none", PhoneMissing),
        ("NULL", PhoneMissing),
        ("nihil", PhoneMissing),
        ("WA:", PhoneMissing),
        ("x", PhoneMissing),
        ("081234567890 / 081234567891", PhoneSeveral),
        ("081234567890, 085512345678", PhoneSeveral),
        ("081234567890;085512345678", PhoneSeveral),
        ("081234567890\n085512345678", PhoneSeveral),
        ("081234567890 085512345678", PhoneSeveral),
        ("0812-3456-7890 0855-1234-5678", PhoneSeveral),
        ("081234567890 atau 085512345678", PhoneSeveral),
        ("081234567890 dan 085512345678", PhoneSeveral),
        ("081234567890 or 085512345678", PhoneSeveral),
        ("081234567890 & 085512345678", PhoneSeveral),
        ("HP 081234567890 WA 085512345678", PhoneSeveral),
        ("+6281234567890+6285512345678", PhoneSeveral),
        ("081234567890 / 021-5551234", PhoneSeveral),
        ("081234567890 / 08551234", PhoneSeveral),
        ("081234567890 (istri), 085512345678 (anak)", PhoneSeveral),
        ("https://wa.me/6281234567890 https://wa.me/6285512345678", PhoneSeveral),
        ("081234567890 (anaknya)", PhoneNote),
        ("istri 081234567890", PhoneNote),
        ("istri081234567890", PhoneNote),
        ("081234567890 a.n. Budi", PhoneNote),
        ("081234567890 tidak aktif", PhoneNote),
        ("HP suami: 0812-3456-7890", PhoneNote),
        ("081234567890 RT 02", PhoneNote),
        ("https://wa.me/6281234567890 (anak)", PhoneNote),
        ("021-5551234", PhoneNotMobile),
        ("(021) 5551234", PhoneNotMobile),
        ("+62 21 5551 2345", PhoneNotMobile),
        ("0274 512345", PhoneNotMobile),
        ("1500123", PhoneNotMobile),
        ("1500-123", PhoneNotMobile),
        ("14045", PhoneNotMobile),
        ("112", PhoneNotMobile),
        ("0800 1 234567", PhoneNotMobile),
        ("0804 1 234 567", PhoneNotMobile),
        ("08001234567", PhoneNotMobile),
        ("+65 6123 4567", PhoneNotMobile),
        ("+44 121 234 5678", PhoneNotMobile),
        ("+1 800 723 3456", PhoneNotMobile),
        ("08123", PhoneInvalid),
        ("0812345", PhoneInvalid),
        ("0812345678901234", PhoneInvalid),
        ("081234567890123", PhoneInvalid),
        ("O81234567890", PhoneInvalid),
        ("08I234567890", PhoneInvalid),
        ("0812E4567890", PhoneInvalid),
        ("081234567l90", PhoneInvalid),
        ("0812345678O", PhoneInvalid),
        ("0812****7890", PhoneInvalid),
        ("0812xxxx7890", PhoneInvalid),
        ("0812 xxxx 7890", PhoneInvalid),
        ("0812XXXX", PhoneInvalid),
        ("0812••••7890", PhoneInvalid),
        ("081234•567890", PhoneInvalid),
        ("0812....7890123", PhoneInvalid),
        ("0812----7890123", PhoneInvalid),
        ("0812____7890123", PhoneInvalid),
        ("0812345678…", PhoneInvalid),
        ("081234567890?", PhoneInvalid),
        ("0812?4567890", PhoneInvalid),
        ("081234567890*", PhoneInvalid),
        ("0812-3456-78##", PhoneInvalid),
        ("81234567890.0", PhoneInvalid),
        ("081234567890.0", PhoneInvalid),
        ("81234567890,0", PhoneInvalid),
        ("8.1234567890", PhoneInvalid),
        ("8.1234567890E+10", PhoneInvalid),
        ("8,1234567890E+10", PhoneInvalid),
        ("6.28123E+12", PhoneInvalid),
        ("1.711234567E9", PhoneInvalid),
        ("budi@gmail.com", PhoneInvalid),
        ("budi0812@gmail.com", PhoneInvalid),
        ("081234567890@s.whatsapp.net", PhoneInvalid),
        (NIK, PhoneInvalid),
        ("3171 2345 6789 0001", PhoneInvalid),
        ("+081234567890", PhoneInvalid),
        ("+81234567890", PhoneNotMobile),
        ("wa.me/81234567890", PhoneInvalid),
        ("++6281234567890", PhoneInvalid),
        ("+62 62 81234567890", PhoneInvalid),
        ("00162812345678", PhoneInvalid),
        ("081234567890/91", PhoneInvalid),
        ("Budi", PhoneInvalid),
        ("sama dengan istri", PhoneInvalid),
        ("wa.me/message/ABCDEF123", PhoneInvalid),
        ("https://wa.me/6281234567890/085512345678", PhoneInvalid),
        ("https://chat.whatsapp.com/AbC081234567890", PhoneInvalid),
        ("*********", PhoneInvalid),
        ("23/11/2026", PhoneInvalid),
        ("08-12-2026", PhoneInvalid),
        ("TRUE", PhoneInvalid),
        ("#REF!", CellError),
        ("#N/A", CellError),
        ("#REF", CellError),
        ("Loading...", CellError),
    ] {
        assert_eq!(read_phone(text(found)), Err(reason), "{found:?}");
    }
}

#[test]
fn cells_that_are_no_text() {
    use Reason::*;
    assert_eq!(read_phone(Cell::Empty), Err(PhoneMissing));
    assert_eq!(read_phone(Cell::Boolean(false)), Err(PhoneInvalid));
    assert_eq!(read_phone(Cell::Error("#N/A".to_owned())), Err(CellError));
    for (number, reason) in [
        (0.0, PhoneMissing),
        (81_234_567_890.5, PhoneInvalid),
        (-81_234_567_890.0, PhoneInvalid),
        (3_171_234_567_890_001.0, PhoneInvalid),
        (8.1e20, PhoneInvalid),
        (f64::NAN, PhoneInvalid),
        (f64::INFINITY, PhoneInvalid),
        (2_155_512_345.0, PhoneNotMobile),
        (112.0, PhoneNotMobile),
    ] {
        assert_eq!(read_phone(Cell::Number(number)), Err(reason), "{number}");
    }
}

#[test]
fn a_number_twice_is_warned_about() {
    let (_, _, warnings) = read(text("3171230101900001"), text("081234567890 / +6281234567890")).unwrap();
    assert_eq!(warnings, [Warning::PhoneRepeated]);
}

#[test]
fn telecoms_are_compared_in_any_spelling() {
    for (value, number) in [
        ("+6281234567890", Some(E164)),
        ("081234567890", Some(E164)),
        ("0812-3456-7890", Some(E164)),
        ("+62 (0)812 3456 7890", Some(E164)),
        ("tel:+62-812-3456-7890", Some(E164)),
        ("wa.me/6281234567890", Some(E164)),
        ("(021) 5551 2345", Some("+622155512345")),
        ("+65 6123 4567", Some("+6561234567")),
        ("+65 9123 4567", Some("+6591234567")),
        ("0812****7890", None),
        ("081234567890 ext 3", None),
        ("081234567890 / 085512345678", None),
        ("081234567890 / 021 55512345", None),
        ("112", None),
        ("", None),
        ("budi@gmail.com", None),
    ] {
        let found = PhoneNumber::from_telecom(value);
        assert_eq!(found.as_ref().map(PhoneNumber::expose), number, "{value:?}");
    }
}

#[test]
fn the_type_is_strict_and_masks() {
    let number: PhoneNumber = E164.parse().unwrap();
    assert_eq!(number.expose(), E164);
    assert_eq!(format!("{number} {number:?}"), "+62812******90 PhoneNumber(+62812******90)");
    assert_eq!("+6834000".parse::<PhoneNumber>().unwrap().masked(), "+*****00");
    let wrong =
        ["", "+", "081234567890", "6281234567890", "+081234567890", "+62 812", "+62812345678901234", "+628x"];
    for wrong in wrong {
        assert!(wrong.parse::<PhoneNumber>().is_err(), "{wrong:?}");
    }
    assert!("+62812345678".parse::<PhoneNumber>().unwrap() < "+628123456789".parse().unwrap());
}
