//! Messages of the queue, and their headers.

use shared::fuzzing::amqp::{deaths, decode, encode, ours, trace};
use shared::fuzzing::lapin::BasicProperties;
use shared::fuzzing::lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};

use crate::input::Input;

/// A delivery: its headers, then its body.
pub fn message(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let properties = match input.byte() % 4 {
        0 => BasicProperties::default(),
        1 => BasicProperties::default().with_content_type(short(&mut input)),
        _ => ours(),
    };
    let mut headers = FieldTable::default();
    for _ in 0..input.byte() % 8 {
        let name = input.one_of(&["traceparent", "tracestate", "x-death", "x-delivery-count", "other"]);
        headers.insert(name.into(), value(&mut input, 0));
    }
    let properties = properties.with_headers(headers);

    for (name, value) in trace(&properties) {
        assert!(matches!(name.as_str(), "traceparent" | "tracestate"), "{name} is taken over");
        assert!(value.len() <= 512, "a value of {} bytes is taken over", value.len());
    }
    assert!(deaths(&properties).len() <= 16 * (2 * 512 + 64));
    if let Ok(message) = decode(&properties, input.rest()) {
        assert_eq!(decode(&ours(), &encode(&message)).expect("ours"), message, "encoded again");
    }
}

fn value(input: &mut Input<'_>, depth: u8) -> AMQPValue {
    match input.byte() % 8 {
        0 | 1 => AMQPValue::LongString(input.part().into()),
        2 => AMQPValue::LongLongInt(i64::from(input.byte()) - 128),
        3 => AMQPValue::Void,
        4 | 5 if depth < 4 => {
            let values = (0..input.byte() % 32).map(|_| value(input, depth + 1)).collect::<Vec<_>>();
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        _ if depth < 4 => {
            let mut table = FieldTable::default();
            for _ in 0..input.byte() % 8 {
                let name = input.one_of(&["reason", "queue", "count", "exchange"]);
                table.insert(name.into(), value(input, depth + 1));
            }
            AMQPValue::FieldTable(table)
        }
        _ => AMQPValue::ShortString(short(input)),
    }
}

/// At most 255 bytes, which is all that its length on the wire can say (AMQP 0-9-1, 4.2.5.3).
fn short(input: &mut Input<'_>) -> ShortString {
    input.text().chars().take(60).collect::<String>().as_str().into()
}
