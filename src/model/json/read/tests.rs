use proptest::prelude::*;
use serde::de::DeserializeSeed;
use serde_json::{Value, json};

use super::{Fate, Reading, Rule, Rules, Texts};
use crate::model::json::Json;

fn read(text: &str, like: &Json, rules: &dyn Rules) -> Json {
    Reading { like, rules, texts: None }.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap()
}

fn is_same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => a.is_same(b),
        (Json::Array(a), Json::Array(b)) => std::sync::Arc::ptr_eq(a, b),
        _ => false,
    }
}

#[test]
fn what_is_equal_is_shared_and_what_is_not_is_new() {
    let old = Json::from(
        json!({"spec": {"a": [1, {"b": "x"}]}, "status": {"l": [{"t": 1}, {"t": 2}], "p": "Pending"}}),
    );
    // Keys come in any order.
    let text = r#"{"status":{"p":"Running","l":[{"t":1},{"t":3}]},"spec":{"a":[1,{"b":"x"}]}}"#;
    let new = read(text, &old, &());
    assert_eq!(
        new,
        json!({"spec": {"a": [1, {"b": "x"}]}, "status": {"l": [{"t": 1}, {"t": 3}], "p": "Running"}})
    );
    assert!(is_same(&new["spec"], &old["spec"]));
    assert!(is_same(&new["status"]["l"][0], &old["status"]["l"][0]));
    assert!(!is_same(&new["status"]["l"][1], &old["status"]["l"][1]));
    assert!(is_same(&read(&old.to_string(), &old, &()), &old));
}

#[test]
fn a_field_of_the_same_text_is_taken_over_unread() {
    let texts = |before: Option<&str>| Texts::new("spec", before.map(Into::into));
    let read = |text: &str, like: &Json, rules: &dyn Rules, texts: &Texts| {
        Reading { like, rules, texts: Some(texts) }
            .deserialize(&mut serde_json::Deserializer::from_str(text))
            .unwrap()
    };
    let (spec, rules) = (r#"{"a": [1, {"b": "x"}], "env": [{"value": "s"}]}"#, Sample::new());
    let text = format!(r#"{{"spec":{spec},"in":{{"spec":1}},"gone":1}}"#);
    let first_texts = texts(None);
    let first = read(&text, &Json::Null, &rules, &first_texts);
    assert_eq!(first, json!({"spec": {"a": [1, {"b": "x"}], "env": [{}]}, "in": {"spec": 1}}));
    let known = first_texts.read();
    assert_eq!(known.as_deref(), Some(spec));
    let second = texts(known.as_deref());
    assert!(is_same(&read(&text, &first, &rules, &second), &first));
    assert_eq!(second.read(), known);
    let third = texts(known.as_deref());
    assert_eq!(read(r#"{"spec":{"a":2}}"#, &first, &rules, &third), json!({"spec": {"a": 2}}));
    assert_eq!(third.read().as_deref(), Some(r#"{"a":2}"#));
}

#[test]
fn a_field_that_is_left_out_does_not_come_back_by_its_text() {
    let texts = Texts::new("gone", Some("1".into()));
    let reading = Reading { like: &Json::Null, rules: &Sample::new(), texts: Some(&texts) };
    let read = reading.deserialize(&mut serde_json::Deserializer::from_str(r#"{"gone":1}"#)).unwrap();
    assert_eq!(read, json!({}));
}

#[test]
fn deep_nesting_is_an_error_in_a_field_whose_text_is_kept_too() {
    let nested = |levels: usize| format!(r#"{{"spec":{}"}}]"{}}}"#, "[".repeat(levels), "]".repeat(levels));
    for (levels, fits) in [(120, true), (121, false), (100_000, false)] {
        let texts = Texts::new("spec", None);
        let reading = Reading { like: &Json::Null, rules: &(), texts: Some(&texts) };
        let text = nested(levels);
        let read = reading.deserialize(&mut serde_json::Deserializer::from_str(&text));
        assert_eq!(read.is_ok(), fits, "{levels}");
    }
}

#[test]
fn a_key_that_comes_twice_does_not_stand_for_one_that_does_not_come() {
    let old = Json::from(json!({"a": 1, "b": 2}));
    assert_eq!(read(r#"{"a":1,"a":1}"#, &old, &()), json!({"a": 1}));
    assert_eq!(read(r#"{"a":1,"b":3,"b":2}"#, &old, &()), old);
}

#[test]
fn zeros_of_both_signs_and_both_types_are_told_apart() {
    for (old, new) in [("0.0", "-0.0"), ("1", "1.0"), ("-1", "18446744073709551615")] {
        let old = read(old, &Json::Null, &());
        assert_eq!(read(new, &old, &()).to_string(), new);
    }
}

#[test]
fn maps_of_many_entries_are_read_too() {
    let wide = |last: u32| {
        (0..300).map(|n| (format!("k{n}"), json!(n.min(last)))).collect::<serde_json::Map<_, _>>()
    };
    let (old, new) = (Json::from(Value::Object(wide(300))), Value::Object(wide(200)));
    assert_eq!(read(&new.to_string(), &old, &()), new);
    assert_eq!(read(&old.to_string(), &old, &()), old);
}

/// Rules of every sort.
struct Sample([Rule; 4]);

impl Sample {
    fn new() -> Sample {
        Sample([
            Rule::gone(),
            Rule { array: Fate::Without(&["value"]), map: Fate::Goes, ..Rule::default() },
            Rule { map: Fate::Becomes(json!({"command": ["none"]}).into()), ..Rule::default() },
            Rule { map: Fate::Without(&["secret"]), ..Rule::default() },
        ])
    }
}

impl Rules for Sample {
    fn rule(&self, key: &str) -> Option<&Rule> {
        ["gone", "env", "exec", "notes"].iter().position(|own| *own == key).map(|at| &self.0[at])
    }
}

#[test]
fn rules_say_what_is_left_out() {
    let text = json!({
        "gone": [{"a": 1}], "exec": {"command": ["x"]},
        "env": [{"name": "A", "value": "s", "gone": 1}, "text", [{"value": "stays"}]],
        "in": [{"gone": null, "env": {"A": "s"}, "exec": "text"}],
        "notes": {"secret": "s", "gone": 1, "in": {"secret": 2}},
    });
    let expected = json!({
        "exec": {"command": ["none"]},
        "env": [{"name": "A", "gone": 1}, "text", [{"value": "stays"}]],
        "in": [{"exec": "text"}],
        "notes": {"gone": 1, "in": {"secret": 2}},
    });
    let first = read(&text.to_string(), &Json::Null, &Sample::new());
    assert_eq!(first, expected);
    // What is left out does not keep the rest from being shared.
    assert!(is_same(&read(&text.to_string(), &first, &Sample::new()), &first));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.0)].prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e]", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_expected_does_not_show(value in any_json(), like in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(read(&text, &like.into(), &()).to_string(), Json::from(value).to_string());
    }

    #[test]
    fn a_value_beside_itself_is_itself(value in any_json()) {
        let json = Json::from(value);
        let back = read(&json.to_string(), &json, &());
        prop_assert!(is_same(&back, &json) || !matches!(json, Json::Object(_) | Json::Array(_)));
    }
}
