//! What goes in comes out, whatever the objects are; what a stranger sends is an error at worst.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::model::{ObjectEvent, TraceTime};

/// Encodes all events as one chunk; each form and change as (is a form, bytes).
fn encoded(events: &[ObjectEvent]) -> Vec<(bool, Vec<u8>)> {
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    for event in events {
        let Some(encoded) = encoder.encode(event) else { continue };
        out.extend(encoded.forms.into_iter().map(|form| (true, form)));
        out.push((false, encoded.change));
    }
    out
}

fn decoded(records: &[(bool, Vec<u8>)]) -> Result<Vec<ObjectEvent>, String> {
    let mut decoder = Decoder::new(1 << 26);
    let mut events = Vec::new();
    for (is_form, bytes) in records {
        if *is_form { decoder.define(bytes)? } else { events.push(decoder.event(bytes)?) }
    }
    Ok(events)
}

fn pod(n: u64, phase: &str, labels: &Value) -> ObjectEvent {
    let object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{n}"), "namespace": "a", "uid": format!("uid-{n}"),
                     "resourceVersion": format!("{}", 100 + n), "labels": labels,
                     "creationTimestamp": "2026-11-24T10:00:05Z"},
        "spec": {"containers": [{"name": "c", "image": "registry.example/web:1", "args": ["-v", "2"]}]},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "False"}]}});
    ObjectEvent::new(TraceTime::from_millis(n), Verb::Modified, object).unwrap()
}

#[test]
fn a_thousand_like_pods_take_a_form_and_a_few_bytes_each() {
    let labels = json!({"app": "web"});
    let events: Vec<_> =
        (0..1_000).flat_map(|n| [pod(n, "Pending", &labels), pod(n, "Running", &labels)]).collect();
    let records = encoded(&events);
    let bytes: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes / events.len() < 20, "{bytes} bytes");
    assert!(records.iter().filter(|(is_form, _)| *is_form).count() < 6);
    assert_eq!(decoded(&records).unwrap(), events);
}

#[test]
fn pods_that_go_the_same_way_share_what_they_become() {
    let events: Vec<_> =
        (0..6).flat_map(|n| [pod(n, "Pending", &Value::Null), pod(n, "Running", &Value::Null)]).collect();
    let back = decoded(&encoded(&events)).unwrap();
    assert_eq!(back, events);
    let status = |n: usize| back[2 * n + 1].object["status"].as_object().unwrap();
    assert!(status(2).is_same(status(3)) && status(2).is_same(status(5)));
}

#[test]
fn a_deleted_object_is_forgotten_and_may_come_again() {
    let mut events = vec![
        pod(1, "Running", &Value::Null),
        pod(1, "Running", &Value::Null),
        pod(1, "Pending", &Value::Null),
    ];
    events[1].verb = Verb::Deleted;
    events[2].inferred = true;
    assert_eq!(decoded(&encoded(&events)).unwrap(), events);
}

#[test]
fn an_event_that_says_something_else_than_its_object_is_left_to_others() {
    let mut event = pod(1, "Running", &Value::Null);
    event.uid = "another".into();
    assert!(Encoder::default().encode(&event).is_none());
}

#[test]
fn a_version_that_is_no_plain_number_survives() {
    for version in ["", "007", "+7", "18446744073709551616", "opaque"] {
        let mut object = pod(1, "Running", &Value::Null).object;
        object.set(&["metadata", "resourceVersion"], version.into());
        let events: Vec<_> = [pod(1, "Pending", &Value::Null).object, object]
            .map(|object| ObjectEvent::new(TraceTime::ZERO, Verb::Added, object).unwrap())
            .into();
        assert_eq!(decoded(&encoded(&events)).unwrap(), events);
    }
}

#[test]
fn lines_of_forms_that_grow_are_stopped() {
    let mut records = encoded(&[pod(1, "Running", &Value::Null)]);
    let mut decoder = Decoder::new(u64::MAX);
    decoder.define(&records.remove(0).1).unwrap();
    let stacked = (1..100_u8).map(|parent| decoder.define(&[parent, 0x90, 0x90])).find_map(Result::err);
    assert!(stacked.unwrap().contains("stand on each other"));
    let itself = Decoder::new(u64::MAX).define(&[1, 0x90, 0x90]);
    assert!(itself.unwrap_err().contains("form 1 of 0"));
}

#[test]
fn a_small_change_cannot_unpack_to_more_than_the_limit() {
    let labels = Value::Object((0..1_000).map(|n| (format!("label-{n}"), json!("x".repeat(100)))).collect());
    let records = encoded(&[pod(1, "Running", &labels)]);
    let mut decoder = Decoder::new(1 << 22);
    decoder.define(&records[0].1).unwrap();
    // Always a new object of the same form: 5 bytes that become 160 KB.
    let made = (0..1_000).map(|_| decoder.event(&records[1].1)).find_map(Result::err);
    assert!(made.unwrap().contains("limit"));
}

/// JSON with few keys and values, so that objects share parts.
fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-c]{0,5}", "[ -~ü]{0,30}", Just("2026-11-24T10:00:05Z".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(Value::from),
        Just(Value::from(-0.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e]{1,2}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

prop_compose! {
    /// One of five objects of two kinds in any state.
    fn any_event()(
        at: u64, verb in 0..4_usize, inferred: bool, n in 0..5_u8, rv in prop_oneof!["[0-9]{0,3}", "[1-9][0-9]{8}"],
        spec in json_value(), status in json_value(), labels in json_value(), core: bool, extra in prop::option::of(json_value()),
    ) -> ObjectEvent {
        let mut object = json!({"apiVersion": if core { "v1" } else { "example.com/v1" }, "kind": "Thing",
            "metadata": {"name": format!("n{n}"), "uid": format!("u{n}"), "resourceVersion": rv, "labels": labels},
            "spec": spec, "status": status});
        if let Some(extra) = extra {
            object["zExtra"] = extra;
        }
        let mut event = ObjectEvent::new(TraceTime::from_nanos(at >> 1), VERBS[verb], object).unwrap();
        event.inferred = inferred;
        event
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(events in prop::collection::vec(any_event(), 0..40)) {
        let back = decoded(&encoded(&events)).unwrap();
        prop_assert_eq!(&back, &events);
        // Equality of floats forgets the sign of zero; the text does not.
        let text = |events: &[ObjectEvent]| events.iter().map(|e| e.object.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(text(&back), text(&events));
    }

    #[test]
    fn any_change_of_any_byte_is_survived(
        events in prop::collection::vec(any_event(), 1..6), at: prop::sample::Index, byte: u8,
    ) {
        let mut records = encoded(&events);
        let lengths: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut at = at.index(lengths);
        for (_, bytes) in &mut records {
            if at < bytes.len() {
                bytes[at] = byte;
                break;
            }
            at -= bytes.len();
        }
        let _ = decoded(&records);
    }
}
