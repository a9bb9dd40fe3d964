use serde::Deserialize;
use serde_json::{Value, json};

use super::{Json, Map};

#[derive(Debug, Deserialize, PartialEq)]
struct Typed {
    name: String,
    count: Option<u8>,
    #[serde(default)]
    kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Kind {
    Big,
}

fn sample() -> Value {
    json!({"z": [1, -2, 3.5, null, true], "a": {"text": "t", "long": "longer than what is kept in place"}, "m": {}})
}

#[test]
fn values_survive_the_way_through_json_and_text() {
    let json = Json::from(sample());
    assert_eq!(json.to_value(), sample());
    assert_eq!(json.to_string(), sample().to_string());
    assert_eq!(serde_json::from_str::<Json>(&json.to_string()).unwrap(), json);
    assert_eq!(rmp_serde::from_slice::<Json>(&rmp_serde::to_vec_named(&json).unwrap()).unwrap(), json);
}

#[test]
fn what_is_absent_reads_as_null() {
    let json = Json::from(sample());
    assert_eq!(json["a"]["text"], "t");
    assert_eq!(json["z"][1], -2);
    assert!(json["a"]["x"]["y"].is_null() && json["z"][9].is_null() && json["a"][0].is_null());
}

#[test]
fn typed_values_come_out() {
    let json = Json::from(json!({"name": "n", "count": null, "kinds": ["Big"], "other": {"deep": [1]}}));
    let typed = Typed::deserialize(&json).unwrap();
    assert_eq!(typed, Typed { name: "n".to_owned(), count: None, kinds: vec![Kind::Big] });
    assert!(Typed::deserialize(&Json::from(json!({"name": 1}))).is_err());
}

#[test]
fn changes_do_not_reach_other_holders() {
    let first = Json::from(sample());
    let mut second = first.clone();
    let map = second.as_object_mut().unwrap();
    map.get_mut("a").unwrap().as_object_mut().unwrap().insert("text", "changed".into());
    map.insert("b", Json::Bool(true));
    assert!(map.remove("m") && !map.remove("m"));
    assert_eq!(first, sample());
    assert_eq!(second["a"]["text"], "changed");
    assert_eq!(second.as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b", "z"]);
}

#[test]
fn a_path_is_made_where_it_is_missing() {
    let mut json = Json::from(json!({"metadata": {"name": "a"}}));
    json.set(&["metadata", "annotations", "k"], "v".into());
    json.set(&["metadata", "annotations", "k"], "w".into());
    assert_eq!(json, json!({"metadata": {"annotations": {"k": "w"}, "name": "a"}}));
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    let entries = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
    let map: Map = entries.into_iter().map(|(key, n)| (key.into(), Json::Number(n.into()))).collect();
    assert_eq!(Json::Object(map), json!({"a": 2, "b": 4}));
}
