//! Partial Patients: what a server shows of a resource when it does not show all of it.

use serde_json::{Map, Value, json};

use crate::faults::ResourceView;

use super::store::Stored;

/// The Patient as this view shows it.
pub(crate) fn shown(stored: Stored, view: ResourceView) -> Stored {
    match view {
        ResourceView::Full => stored,
        ResourceView::IdOnly => rewritten(stored, |fields| {
            fields.retain(|name, _| name == "resourceType" || name == "id");
        }),
        ResourceView::Subsetted => elements(stored, &["identifier".to_owned()]),
        ResourceView::Masked => rewritten(stored, |fields| {
            for (list, hidden) in [("telecom", &["value"][..]), ("name", &["text", "family", "given"][..])] {
                let entries = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
                for entry in entries.filter_map(Value::as_object_mut) {
                    let masked = entry.iter_mut().filter(|(field, _)| hidden.contains(&field.as_str()));
                    for (_, value) in masked {
                        *value = if value.is_array() { json!(["***"]) } else { json!("***") };
                    }
                }
            }
        }),
    }
}

/// `_elements`: these, the mandatory ones, and the tag that says something is missing (FHIR R4,
/// search.html#elements).
pub(crate) fn elements(stored: Stored, wanted: &[String]) -> Stored {
    rewritten(stored, |fields| {
        fields.retain(|name, _| {
            let plain = name.strip_prefix('_').unwrap_or(name);
            ["resourceType", "id", "meta"].contains(&plain) || wanted.iter().any(|element| element == plain)
        });
        let subsetted = json!({
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "SUBSETTED",
        });
        let meta = fields.entry("meta").or_insert_with(|| json!({}));
        match meta.get_mut("tag").and_then(Value::as_array_mut) {
            Some(tags) => tags.push(subsetted),
            None => meta["tag"] = json!([subsetted]),
        }
    })
}

fn rewritten(stored: Stored, change: impl FnOnce(&mut Map<String, Value>)) -> Stored {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&stored.body) else { return stored };
    change(&mut fields);
    Stored { body: Value::Object(fields).to_string().into(), ..stored }
}
