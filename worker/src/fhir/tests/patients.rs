//! Lossless read-modify-write over every Patient among the FHIR specification's examples.

use std::path::Path;

use serde_json::{Map, Value};

use super::*;

fn examples() -> Vec<(String, Map<String, Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/patients");
    let mut examples: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let resource = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), resource)
        })
        .collect();
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(examples.len(), 67);
    examples
}

fn read(resource: &Map<String, Value>) -> Patient {
    let mut resource = resource.clone();
    // Some examples are meant to be created, so they have no id yet.
    resource.entry("id").or_insert_with(|| "example".into());
    match Patient::from_json(Value::Object(resource), VersionId::new("1")) {
        Body::Whole(patient) => patient,
        other => panic!("{other:?}"),
    }
}

fn operations(change: &Change) -> json_patch::Patch {
    serde_json::from_slice(&change.patch).unwrap()
}

fn without_telecom(resource: &Map<String, Value>) -> String {
    let mut resource = resource.clone();
    resource.shift_remove("telecom");
    serde_json::to_string(&resource).unwrap()
}

fn entries(resource: &Map<String, Value>) -> Vec<Value> {
    resource.get("telecom").and_then(Value::as_array).cloned().unwrap_or_default()
}

#[test]
fn an_edit_changes_one_telecom_and_nothing_else() {
    for previous in [PreviousNumber::Replace, PreviousNumber::Keep] {
        let policy = TelecomPolicy { previous, zone: jiff::tz::TimeZone::UTC };
        for (name, resource) in examples() {
            let original = read(&resource);
            let change = original.edit(&number(), now(), &policy).change.expect(&name);
            let edited: Map<String, Value> = serde_json::from_slice(&change.body).unwrap();
            assert_eq!(without_telecom(original.resource()), without_telecom(&edited), "{name}");

            let old = entries(original.resource());
            let new = entries(&edited);
            let text = |entry: &Value| serde_json::to_string(entry).unwrap();
            let gone: Vec<_> = old.iter().filter(|it| !new.iter().any(|n| text(n) == text(it))).collect();
            let come: Vec<_> = new.iter().filter(|it| !old.iter().any(|o| text(o) == text(it))).collect();
            match gone.as_slice() {
                [] => assert_eq!((come.len(), new.len()), (1, old.len() + 1), "{name}"),
                [mobile] if previous == PreviousNumber::Replace => {
                    assert_eq!((come.len(), new.len()), (1, old.len()), "{name}");
                    let mut expected = (*mobile).clone();
                    expected["value"] = NUMBER.into();
                    assert_eq!(text(come[0]), text(&expected), "{name}");
                }
                [mobile] => {
                    assert_eq!((come.len(), new.len()), (2, old.len() + 1), "{name}");
                    assert_eq!(come[0]["value"], NUMBER, "{name}");
                    assert_eq!((&come[1]["value"], &come[1]["use"]), (&mobile["value"], &"old".into()));
                }
                _ => panic!("{name}: {gone:?}"),
            }
            let mut patched = Value::Object(original.resource().clone());
            json_patch::patch(&mut patched, &operations(&change)).expect(&name);
            let (patched, edited_text) = (patched.to_string(), Value::Object(edited.clone()).to_string());
            assert_eq!(patched, edited_text, "{name}: a patch and a put come to the same");
            assert_eq!(change.before, original.resource().get("telecom").cloned().unwrap_or_default());

            let again = read(&edited).edit(&number(), now(), &policy);
            assert!(again.change.is_none(), "{name}");
        }
    }
}

#[test]
fn the_key_order_and_the_digits_of_a_resource_survive() {
    let text = r#"{"resourceType":"Patient","x":1.10,"id":"a","y":-0.0,"telecom":[{"use":"home","rank":1}],"z":100000000000000000000000.5,"_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]},"unknown":[null,{}],"meta":{"versionId":"1"}}"#;
    let patient = whole(serde_json::from_str(text).unwrap());
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: jiff::tz::TimeZone::UTC };
    let change = patient.edit(&number(), now(), &policy).change.unwrap();
    let expected = text
        .replace(r#""rank":1}]"#, r#""rank":1},{"system":"phone","value":"+6281234567890","use":"mobile"}]"#);
    assert_eq!(std::str::from_utf8(&change.body).unwrap(), expected);
}

#[test]
fn a_patch_fails_where_somebody_else_changed_the_telecom_or_gave_one() {
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: jiff::tz::TimeZone::UTC };
    for (name, resource) in examples() {
        let original = read(&resource);
        let change = original.edit(&number(), now(), &policy).change.expect(&name);
        assert!(original.is_what_was_changed(&change), "{name}");
        let mut theirs = Value::Object(resource);
        theirs["id"] = original.id().as_str().into();
        theirs["meta"]["versionId"] = "theirs".into();
        match theirs.get_mut("telecom").and_then(Value::as_array_mut) {
            Some(entries) => entries.push(json!({ "system": "email", "value": "a@example.org" })),
            None => theirs["telecom"] = json!([{ "system": "email", "value": "a@example.org" }]),
        }
        let before = theirs.clone();
        // Without a version in its body the test of an absence is left to `If-Match`.
        let tests_something = original.resource().contains_key("telecom")
            || original.resource().get("meta").is_some_and(|meta| meta.get("versionId").is_some());
        if tests_something {
            let failed = json_patch::patch(&mut theirs, &operations(&change)).unwrap_err();
            assert_eq!(failed.operation, 0, "{name}");
            assert_eq!(theirs, before, "{name}");
        }
        assert!(!whole(theirs).is_what_was_changed(&change), "{name}");
    }
}
