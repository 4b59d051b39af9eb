use super::*;
use crate::domain::{IMPOSSIBLE_NIK, Nik};

#[test]
fn dress_is_taken_off() {
    for dressed in [
        "3171234567890001",
        " 3171234567890001 ",
        "3171 2345 6789 0001",
        "317123 456789 0001",
        "31.71.23.456789.0001",
        "3171-2345-6789-0001",
        "31.71.23-456789-0001",
        "3171\u{2013}2345\u{2014}6789\u{2212}0001",
        "3171_2345_6789_0001",
        "(3171234567890001)",
        "3171\u{a0}2345\u{202f}6789\u{2009}0001",
        "31712345\n67890001",
        "3171234567890001\r\n",
        "\t3171234567890001",
        "\u{feff}3171234567890001",
        "\u{200e}3171234567890001\u{200f}",
        "\u{202a}3171234567890001\u{202c}",
        "\u{2066}3171234567890001\u{2069}",
        "3171\u{200b}2345\u{200c}6789\u{200d}0001",
        "3171\u{ad}23456789\u{2060}0001",
        "'3171234567890001",
        "\u{2019}3171234567890001",
        "`3171234567890001",
        "\"3171234567890001\"",
        "=\"3171234567890001\"",
        "\u{201c}3171234567890001\u{201d}",
        "NIK: 3171234567890001",
        "nik 3171234567890001",
        "NIK.3171234567890001",
        "NIK3171234567890001",
        "NIK = 3171234567890001",
        "NIK\u{ff1a}3171234567890001",
        "No. KTP: 3171 2345 6789 0001",
        "No KTP 3171234567890001",
        "Nomor KTP/NIK : 3171234567890001",
        "e-KTP: 3171234567890001",
        "No. 3171234567890001",
        "# 3171234567890001",
        "\u{2022} 3171234567890001",
        "- 3171234567890001",
        "3171234567890001,",
        "３１７１２３４５６７８９０００１",
        "٣١٧١٢٣٤٥٦٧٨٩٠٠٠١",
        "۳۱۷۱۲۳۴۵۶۷۸۹۰۰۰۱",
        "३१७१२३४५६७८९०००१",
        "𝟑𝟏𝟕𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗𝟎𝟎𝟎𝟏",
        "𝟛𝟙𝟟𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡𝟘𝟘𝟘𝟙",
        "ＮＩＫ：３１７１２３４５６７８９０００１",
        "3️⃣1️⃣7️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣9️⃣0️⃣0️⃣0️⃣1️⃣",
        "*3171234567890001*",
        "3171234567890001 / 3171234567890001",
        "3171234567890001 3171 2345 6789 0001",
        "3171234567890001\n3171234567890001",
    ] {
        assert_eq!(read_nik(text(dressed)).as_deref(), Ok(NIK), "{dressed:?}");
    }
}

#[test]
fn content_is_never_guessed() {
    use Reason::*;
    for (found, reason) in [
        ("", NikMissing),
        ("   ", NikMissing),
        ("\u{200b}\u{feff}\u{a0}\n", NikMissing),
        ("'", NikMissing),
        ("-", NikMissing),
        ("tidak ada", NikMissing),
        ("NIK:", NikMissing),
        ("n/a", NikMissing),
        ("317123456789001", NikNot16Digits),
        ("31712345678900011", NikNot16Digits),
        ("0", NikNot16Digits),
        ("3171 2345 6789 001", NikNot16Digits),
        ("317I234567890001", NikNot16Digits),
        ("31712345678900O1", NikNot16Digits),
        ("A1234567", NikNot16Digits),
        ("3171234567890001A", NikNot16Digits),
        ("3171234567890001 (ibu)", NikNot16Digits),
        ("3171234567890001?", NikNot16Digits),
        ("3171********0001", NikNot16Digits),
        ("31712345678900*1", NikNot16Digits),
        ("KK 3171234567890001", NikNot16Digits),
        ("+3171234567890001", NikNot16Digits),
        ("3171234567890001 / 317123456789000", NikNot16Digits),
        ("31712345/67890001", NikNot16Digits),
        ("①②③④⑤⑥⑦⑧⑨⓪①②③④⑤⑥", NikNot16Digits),
        ("³171234567890001", NikNot16Digits),
        ("31712345678900013171234567890001", NikNot16Digits),
        ("3.17123456789E+15", NikLostPrecision),
        ("3,17123456789E+15", NikLostPrecision),
        ("3.17e15", NikLostPrecision),
        ("NIK: 3.17E+15", NikLostPrecision),
        ("3171234567890001.0", NikLostPrecision),
        ("3171234567890001,0", NikLostPrecision),
        ("3171234567890001,00", NikLostPrecision),
        ("3171234567890001.000", NikLostPrecision),
        ("317123456789001.0", NikLostPrecision),
        ("317123456789001.5", NikLostPrecision),
        ("3.171.234.567.890.001", NikLostPrecision),
        ("3,171,234,567,890,001", NikLostPrecision),
        ("3.171.234.567.890.001,00", NikLostPrecision),
        ("3171234567890000", NikLostPrecision),
        ("3171 2345 6789 0000", NikLostPrecision),
        (IMPOSSIBLE_NIK, NikLostPrecision),
        ("3171234567890001 3171234567890002", NikSeveral),
        ("3171234567890001/3171234567890002", NikSeveral),
        ("3171234567890001, 3171234567890002", NikSeveral),
        ("3171234567890001\n3171234567890002", NikSeveral),
        ("3171234567890001 dan 3171234567890002", NikSeveral),
        ("3171 2345 6789 0001 3171 2345 6789 0002", NikSeveral),
        ("3171234567890001 (lama 3171234567890002)", NikSeveral),
        ("#REF!", CellError),
        ("#N/A", CellError),
        ("#VALUE!", CellError),
        ("#NAME?", CellError),
        ("#DIV/0!", CellError),
        ("#NULL!", CellError),
        ("#NUM!", CellError),
        ("#ERROR!", CellError),
        (" #ref! ", CellError),
        ("#BEZUG!", CellError),
        ("#¡REF!", CellError),
    ] {
        assert_eq!(read_nik(text(found)), Err(reason), "{found:?}");
    }
}

#[test]
fn a_number_is_never_a_nik() {
    for number in [3_171_234_567_890_001.0, 317.0, 0.0, -1.0, 3.17e15, f64::NAN, f64::INFINITY] {
        assert_eq!(read_nik(Cell::Number(number)), Err(Reason::NikLostPrecision), "{number}");
    }
    assert_eq!(read_nik(Cell::Empty), Err(Reason::NikMissing));
    assert_eq!(read_nik(Cell::Boolean(true)), Err(Reason::NikNot16Digits));
    assert_eq!(read_nik(Cell::Error("#REF!".to_owned())), Err(Reason::CellError));
}

#[test]
fn odd_niks_are_accepted_with_a_warning() {
    use Warning::*;
    let plain: &[Warning] = &[];
    for (nik, warnings) in [
        ("3171230101900001", plain),
        ("3171234101900001", plain),
        ("3171237112900001", plain),
        ("3171232902000001", plain),
        ("3171232902960001", plain),
        ("0071230101900001", &[NikUnlikelyProvince]),
        ("9971230101900001", &[NikUnlikelyProvince]),
        ("3171233201900001", &[NikUnlikelyBirthDate]),
        ("3171230013900001", &[NikUnlikelyBirthDate]),
        ("3171230113900001", &[NikUnlikelyBirthDate]),
        ("3171237201900001", &[NikUnlikelyBirthDate]),
        ("3171233104900001", &[NikUnlikelyBirthDate]),
        ("3171232902950001", &[NikUnlikelyBirthDate]),
        ("3171234000900001", &[NikUnlikelyBirthDate]),
        ("9971239999999999", &[NikUnlikelyProvince, NikUnlikelyBirthDate]),
        ("3171230101900001/3171230101900001", &[NikRepeated]),
    ] {
        let (_, _, found) = read(text(nik), text(PHONE)).unwrap();
        assert_eq!(found, warnings, "{nik}");
    }
}

#[test]
fn the_type_is_strict_and_masks() {
    let nik: Nik = NIK.parse().unwrap();
    assert_eq!(nik.expose(), NIK);
    assert_eq!(nik.masked(), "3171**********01");
    assert_eq!(format!("{nik} {nik:?}"), "3171**********01 Nik(3171**********01)");
    assert_eq!(Nik::impossible().expose(), IMPOSSIBLE_NIK);
    for wrong in
        ["", "317123456789000", "31712345678900011", " 3171234567890001", "317123456789000A", "３１７１"]
    {
        assert!(wrong.parse::<Nik>().is_err(), "{wrong:?}");
    }
}
