//! Which telecom is the mobile one, what is done to it, and which Patients are not touched.

use super::*;

fn policy(previous: PreviousNumber) -> TelecomPolicy {
    TelecomPolicy { previous, zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(7)) }
}

fn edit(telecom: &Value, previous: PreviousNumber) -> (Option<Value>, bool) {
    let mut resource = patient_json("p1");
    resource["telecom"] = telecom.clone();
    let edit = whole(resource).edit(&number(), now(), &policy(previous));
    let telecom = edit.change.map(|change| {
        let mut body: Value = serde_json::from_slice(&change.body).unwrap();
        body["telecom"].take()
    });
    (telecom, edit.several_current_mobiles)
}

fn replaced(telecom: &Value) -> Value {
    edit(telecom, PreviousNumber::Replace).0.expect("a change")
}

fn mobile(value: &str) -> Value {
    json!({ "system": "phone", "value": value, "use": "mobile" })
}

fn ranked(value: &str, rank: Value) -> Value {
    json!({ "system": "phone", "value": value, "use": "mobile", "rank": rank })
}

#[test]
fn the_same_number_in_another_spelling_needs_no_write() {
    for spelling in [NUMBER, "0812-3456-7890", "+62 812 3456 7890", "6281234567890"] {
        assert_eq!(edit(&json!([mobile(spelling)]), PreviousNumber::Replace), (None, false), "{spelling}");
        assert_eq!(edit(&json!([mobile(spelling)]), PreviousNumber::Keep), (None, false), "{spelling}");
    }
}

#[test]
fn only_a_current_mobile_phone_is_replaced() {
    let others = [
        json!({ "system": "phone", "value": NUMBER, "use": "old" }),
        json!({ "system": "phone", "value": "021 555", "use": "home" }),
        json!({ "system": "phone", "value": "021 556" }),
        json!({ "system": "sms", "value": "0811", "use": "mobile" }),
        json!({ "value": "0811", "use": "mobile" }),
        json!({ "system": "phone", "value": NUMBER, "use": "mobile", "period": { "end": "2026-11-23" } }),
        json!({ "system": "phone", "value": NUMBER, "use": "mobile", "period": { "end": "2019" } }),
    ];
    let mut expected = others.to_vec();
    expected.push(mobile(NUMBER));
    assert_eq!(replaced(&json!(others)), json!(expected));

    let until_later =
        json!({ "use": "mobile", "period": { "end": "2026-11-24" }, "value": "1", "system": "phone" });
    let mut set = until_later.clone();
    set["value"] = NUMBER.into();
    let text = serde_json::to_string(&replaced(&json!([until_later]))).unwrap();
    assert_eq!(text, serde_json::to_string(&json!([set])).unwrap());
}

#[test]
fn of_several_the_best_rank_then_the_first_is_set() {
    let one = mobile("1");
    for (telecom, set) in [
        (json!([one, one]), 0),
        (json!([one, ranked("1", json!(9))]), 1),
        (json!([ranked("1", json!(2)), ranked("1", json!(1)), ranked("1", json!(1))]), 1),
        (json!([ranked("1", json!(0)), ranked("1", json!(-1)), ranked("1", json!("1")), one]), 0),
    ] {
        let mut expected = telecom.clone();
        expected[set]["value"] = NUMBER.into();
        let (result, several) = edit(&telecom, PreviousNumber::Replace);
        assert_eq!(result, Some(expected));
        assert!(several);
    }
    // The warning is due even where nothing is written.
    assert_eq!(edit(&json!([mobile(NUMBER), one]), PreviousNumber::Replace), (None, true));
}

#[test]
fn a_missing_value_is_filled_in_and_its_absence_no_longer_explained() {
    let absent = json!({ "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown" });
    let note = json!({ "url": "http://example.org/verified", "valueBoolean": true });
    let entry = |extras: Value| json!([{ "system": "phone", "_value": extras, "use": "mobile", "extension": [note] }]);
    for previous in [PreviousNumber::Replace, PreviousNumber::Keep] {
        let set = |extras: Value| edit(&entry(extras), previous).0.expect("a change")[0].clone();
        let only_reason = set(json!({ "extension": [absent] }));
        assert_eq!(
            only_reason,
            json!({ "system": "phone", "use": "mobile", "extension": [note], "value": NUMBER })
        );
        let both = set(json!({ "id": "v", "extension": [absent, note] }));
        assert_eq!(both["_value"], json!({ "id": "v", "extension": [note] }));
    }
    assert_eq!(replaced(&Value::Null), json!([mobile(NUMBER)]));
    assert_eq!(replaced(&json!([])), json!([mobile(NUMBER)]));
}

#[test]
fn a_kept_number_ends_now_and_gives_its_rank_away() {
    let old = json!({ "id": "t1", "system": "phone", "value": "0811", "use": "mobile", "rank": 1,
        "period": { "start": "2020", "end": "2030" } });
    let home = json!({ "system": "phone", "value": "021 555", "use": "home" });
    let (telecom, several) = edit(&json!([home, mobile("0811"), old]), PreviousNumber::Keep);
    let expected = json!([
        home,
        mobile("0811"),
        ranked(NUMBER, json!(1)),
        { "id": "t1", "system": "phone", "value": "0811", "use": "old",
          "period": { "start": "2020", "end": "2026-11-23T17:00:00Z" } },
    ]);
    assert_eq!((telecom.clone(), several), (Some(expected), true));
    assert_eq!(edit(&telecom.unwrap(), PreviousNumber::Keep), (None, true));

    // Without ranks the new entry must come before the other current one, or it would be set next time.
    let (telecom, _) = edit(&json!([mobile("0811"), mobile("0822")]), PreviousNumber::Keep);
    assert_eq!(edit(&telecom.unwrap(), PreviousNumber::Keep), (None, true));
}

#[test]
fn a_body_that_may_be_partial_is_never_edited() {
    let with = |pointer: &str, value: Value| {
        let mut resource = patient_json("p1");
        match pointer.rsplit_once('/') {
            Some((parent, key)) => resource.pointer_mut(parent).unwrap()[key] = value,
            None => unreachable!("a pointer starts with a slash"),
        }
        Patient::from_json(resource, None)
    };
    let observation = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
    for (pointer, value) in [
        ("/meta/tag", json!([{ "code": "HTEST" }, { "system": observation, "code": "SUBSETTED" }])),
        ("/meta/security", json!([{ "system": observation, "code": "REDACTED" }])),
        ("/meta/versionId", Value::Null),
        ("/meta/versionId", json!("")),
        ("/telecom/0/value", json!("08***90")),
        ("/name", json!([{ "family": "Bu***" }])),
        ("/address", json!([{ "line": ["Jl. ***"] }])),
        ("/telecom", json!({ "system": "phone" })),
        ("/telecom", json!([null])),
    ] {
        assert!(
            matches!(with(pointer, value.clone()), Body::Partial(id) if id.as_str() == "p1"),
            "{pointer} {value}"
        );
    }
    assert!(matches!(with("/text", json!({ "div": "<div>***</div>" })), Body::Whole(_)));
    assert!(matches!(with("/meta/tag", json!([{ "code": "HTEST" }])), Body::Whole(_)));
    for other in
        [json!([]), json!({ "resourceType": "Person", "id": "p" }), json!({ "resourceType": "Patient" })]
    {
        assert!(matches!(Patient::from_json(other, VersionId::new("1")), Body::Other));
    }
    for id in ["", ".", "..", "a/b", "a?b", "a%2fb", "a b", "é", "a\nb"] {
        assert!(PatientId::new(id).is_none(), "{id:?}");
    }
}

#[test]
fn an_inactive_patient_names_its_successor() {
    let inactive = |key: &str, value: Value| {
        let mut resource = patient_json("p1");
        resource[key] = value;
        whole(resource).inactive().map(|it| it.to_string())
    };
    let link = |kind: &str, other: Value| json!([{ "other": other, "type": kind }]);
    assert_eq!(inactive("active", json!(true)), None);
    assert_eq!(inactive("active", json!(false)), Some("not active".to_owned()));
    assert_eq!(inactive("link", link("replaces", json!({ "reference": "Patient/0" }))), None);
    assert_eq!(inactive("link", link("seealso", json!({ "reference": "Patient/0" }))), None);
    let to = |reference: &str| inactive("link", link("replaced-by", json!({ "reference": reference })));
    assert_eq!(to("Patient/P02478375538"), Some("replaced by Patient/P02478375538".to_owned()));
    assert_eq!(
        to("Patient/3174051212900001/_history/1"),
        Some("replaced by Patient/***/_history/1".to_owned())
    );
    assert_eq!(inactive("link", link("replaced-by", json!({}))), Some("not active".to_owned()));
}

#[test]
fn identity_is_system_and_value_exactly() {
    let patient = whole(patient_json("p1"));
    assert!(patient.holds(SYSTEM, nik().expose()));
    assert!(!patient.holds("https://fhir.kemkes.go.id/id/nik/", nik().expose()));
    assert!(!patient.holds(SYSTEM, "000000000000000"));
    assert!(!format!("{patient:?} {:?}", a_change()).contains("62"));
}
