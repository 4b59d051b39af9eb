use super::*;
use crate::domain::{Column, Language, explain};

#[test]
fn every_reason_in_both_languages() {
    for lang in Language::ALL {
        let mut texts: Vec<String> = Vec::new();
        for reason in Reason::ALL {
            let explained = explain(*reason, Some(Column::Nik), 12, "3171**********01", "NIK peserta", *lang);
            for part in ["12", "\"NIK peserta\"", "\"3171**********01\""] {
                assert!(explained.contains(part), "{explained}");
            }
            assert!(
                explained.ends_with('.') && !explained.contains('\n') && !explained.contains("  "),
                "{explained}"
            );
            texts.push(explained);
        }
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), Reason::ALL.len());
    }
}

#[test]
fn a_place_without_column_or_content() {
    let english = explain(Reason::PhoneMissing, Some(Column::Phone), 3, "", "wa", Language::En);
    assert!(english.starts_with("Row 3, column \"wa\": there is no WhatsApp number."), "{english}");
    let indonesian = explain(Reason::RetriesExhausted, None, 3, "", "", Language::Id);
    assert!(indonesian.starts_with("Baris 3: server FHIR"), "{indonesian}");
    assert_eq!(("en".parse().ok(), "id".parse().ok()), (Some(Language::En), Some(Language::Id)));
    assert_eq!("fr".parse::<Language>().unwrap_err().to_string(), "'fr' is not known; accepted: en, id");
}
