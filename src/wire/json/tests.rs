//! The fields of an object against serde_json, and texts to try them on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::limits::{JSON_DEPTH_MAX, JSON_FIELDS_MAX};
use crate::wire::splits::{config, corrupt, corruptions};

/// Valid JSON texts in many spellings: white space, escapes, large numbers, nesting.
pub(super) fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        2 => prop::sample::select(vec![
            "null", "true", "false", "0", "-0", "1", "-1", "18446744073709551615", "18446744073709551616",
            "-9223372036854775808", "-9223372036854775809", "1.0", "0.1", "1e5", "1E-7", "-12.5e+3", "5e-324",
        ]).prop_map(str::to_owned),
        2 => string(),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let spaced = (space(), inner, space()).prop_map(|(before, value, after)| before + &value + &after).boxed();
        let member = (space(), string(), space(), spaced.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-d]{1,3}".prop_map(String::from),
        1 => "[ !#-\\[\\]-~]{1,20}".prop_map(String::from),
        1 => prop::sample::select(vec![
            "\\n", "\\\"", "\\\\", "\\/", "\\u0061", "\\u00E9", "\\ud83d\\uDE00", "\\u0000",
            "é", "😀", "\u{7f}", "\\t", "{", "]", ",",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\t ", "\r\n"]).prop_map(str::to_owned)
}

/// Parses, and turns the outcome into something that outlives the scratch: each field raw and as serde_json's value.
fn fields(scratch: &mut Scratch, text: &[u8]) -> Result<Vec<(String, String, serde_json::Value)>, JsonError> {
    let object = parse_object(scratch, text).map_err(|broken| broken.error)?;
    let field = |(name, value): (Option<Cow<'_, str>>, Value<'_>)| {
        let name = name.unwrap_or_else(|| "(no text)".into()).into_owned();
        let raw = object.raw(&name).unwrap_or_default().to_owned();
        (name, raw, tree(value))
    };
    Ok(object.members().map(field).collect())
}

fn tree(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Unsigned(value) => value.into(),
        Value::Number(value) => value.into(),
        Value::String(text) => text.into(),
        Value::NotText => "(no text)".into(),
        Value::Array(elements) => elements.map(tree).collect(),
        Value::Object(members) => members.map(|(name, value)| (name.unwrap_or_default(), tree(value))).collect(),
    }
}

/// Numbers with a sign as doubles, so that `-1` and `-1.0` compare equal, and every zero as 0: its sign is not kept.
fn doubles(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
        // serde_json reads some of them a little beside the nearest double.
        serde_json::Value::Number(number) if number.as_u64().is_none() => {
            number.as_f64().map(|number| format!("{number:.12e}")).into()
        }
        serde_json::Value::Array(elements) => elements.into_iter().map(doubles).collect(),
        serde_json::Value::Object(members) => members.into_iter().map(|(name, value)| (name, doubles(value))).collect(),
        other => other,
    }
}

fn check_refused(text: &str, error: JsonError) {
    assert_eq!(fields(&mut Scratch::default(), text.as_bytes()), Err(error), "{text:.80}");
}

#[test]
fn fields_are_read_as_values_and_as_they_stand() {
    let text = br#" { "op" : "p\u0075b", "d":{"z":1.50,"a":[1e2, -0, 12345678901234567890123]} , "\u0069d": 7,"neg":-3,
        "t":true,"n":null,"list":["a",2,["b"],{"c":"d"}],"":"" } "#;
    let mut scratch = Scratch::default();
    let object = parse_object(&mut scratch, text).unwrap();
    assert_eq!(object.get("op").as_ref().and_then(Value::as_str), Some("pub"));
    assert_eq!(object.raw("op"), Some(r#""p\u0075b""#));
    assert_eq!(object.raw("d"), Some(r#"{"z":1.50,"a":[1e2, -0, 12345678901234567890123]}"#));
    assert_eq!((object.get("id").and_then(|value| value.as_u64()), object.raw("id")), (Some(7), Some("7")));
    assert!(matches!(object.get("neg"), Some(Value::Number(-3.0))));
    assert_eq!(object.get("t").and_then(|value| value.as_bool()), Some(true));
    assert!(matches!(object.get("n"), Some(Value::Null)));
    assert_eq!((object.get("").as_ref().and_then(Value::as_str), object.raw("")), (Some(""), Some("\"\"")));
    assert!(object.get("c").is_none() && object.raw("z").is_none() && object.get("OP").is_none());
    let Some(Value::Array(elements)) = object.get("list") else { panic!("an array") };
    assert_eq!(
        elements.map(tree).collect::<Vec<_>>(),
        serde_json::json!(["a", 2, ["b"], {"c": "d"}]).as_array().unwrap()[..]
    );
    assert_eq!(
        object.members().filter_map(|(name, _)| name).collect::<Vec<_>>(),
        ["op", "d", "id", "neg", "t", "n", "list", ""]
    );
}

#[test]
fn strings_outlive_the_object_they_were_read_from() {
    fn topic<'a>(scratch: &'a mut Scratch, text: &'a [u8]) -> Option<Cow<'a, str>> {
        let object = parse_object(scratch, text).ok()?;
        let topics = object.get("topics")?;
        let Value::Array(mut elements) = topics else { return None };
        match elements.next()? {
            Value::String(topic) => Some(topic),
            _ => None,
        }
    }
    assert_eq!(topic(&mut Scratch::default(), br#"{"topics":["px.\u002a"]}"#).as_deref(), Some("px.*"));
    assert!(matches!(topic(&mut Scratch::default(), br#"{"topics":["px"]}"#), Some(Cow::Borrowed("px"))));
}

#[test]
fn what_is_no_object_of_ours_is_refused_by_name() {
    for text in ["[]", "1", "\"a\"", "null", " [{}] "] {
        check_refused(text, JsonError::NotAnObject);
    }
    for text in ["", "{", "{}}", "{} x", "{\"a\":1,}", "{\"a\":01}", "{\"a\":\"\\ud80\"}", "[", "nul", "{\"a\":1}\0"] {
        check_refused(text, JsonError::Syntax);
    }
    assert_eq!(fields(&mut Scratch::default(), b"{\"a\":\"\xff\"}"), Err(JsonError::NotUtf8));
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#, r#"{"\u0061":1,"a":2}"#, r#"{"":1,"":2}"#] {
        check_refused(text, JsonError::DuplicateField);
    }
}

#[test]
fn numbers_of_any_range_and_halves_of_surrogate_pairs_are_json() {
    let mut scratch = Scratch::default();
    let text =
        br#"{"a":1e400,"b":-1e400,"c":"cut \ud83d","d":["\ude00\ud83d"],"\ud83d":1,"e":"\ud83d\ude00","f":1e-400}"#;
    let object = parse_object(&mut scratch, text).expect("an object");
    assert!(matches!(object.get("a"), Some(Value::Number(number)) if number == f64::INFINITY));
    assert!(matches!(object.get("b"), Some(Value::Number(number)) if number == f64::NEG_INFINITY));
    assert!(matches!(object.get("f"), Some(Value::Number(0.0))));
    assert!(matches!(object.get("c"), Some(Value::NotText)) && object.raw("c") == Some(r#""cut \ud83d""#));
    let Some(Value::Array(mut list)) = object.get("d") else { panic!("an array") };
    assert!(matches!(list.next(), Some(Value::NotText)) && list.next().is_none());
    assert_eq!(object.get("e").as_ref().and_then(Value::as_str), Some("\u{1f600}"));
    assert_eq!(object.members().filter(|(name, _)| name.is_none()).count(), 1);
}

#[test]
fn fields_and_levels_are_bounded() {
    let many = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":{index}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(
        fields(&mut Scratch::default(), many(JSON_FIELDS_MAX).as_bytes()).map(|all| all.len()),
        Ok(JSON_FIELDS_MAX)
    );
    check_refused(&many(JSON_FIELDS_MAX + 1), JsonError::TooManyFields);
    assert!(fields(&mut Scratch::default(), format!("{{\"a\":{}}}", many(1000)).as_bytes()).is_ok(), "inside it may");

    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let deep = |depth: usize| format!("{{\"a\":{}}}", nested(depth));
    assert!(fields(&mut Scratch::default(), deep(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert!(is_valid(nested(JSON_DEPTH_MAX).as_bytes()), "as a text that stands for itself");
    check_refused(&deep(JSON_DEPTH_MAX + 1), JsonError::TooDeep);
    assert!(!is_valid(nested(JSON_DEPTH_MAX + 1).as_bytes()));
    check_refused(&("{\"a\":".to_owned() + &"[".repeat(1 << 20)), JsonError::Syntax);
}

#[test]
fn what_can_be_read_of_a_text_that_is_refused_is() {
    let many: String = (0..=JSON_FIELDS_MAX).map(|index| format!("\"{index}\":{index},")).collect();
    let deep = "[{\"b\":".repeat(JSON_DEPTH_MAX) + "1" + &"}]".repeat(JSON_DEPTH_MAX);
    for (text, error, id) in [
        (r#"{"id":7,"a":1,"a":2}"#.to_owned(), JsonError::DuplicateField, Some("7")),
        (r#"{"a":1,"a":2,"id":7}"#.to_owned(), JsonError::DuplicateField, Some("7")),
        (format!("{{{many}\"id\":7}}"), JsonError::TooManyFields, Some("7")),
        (format!("{{\"id\":7,{many}\"z\":1}}"), JsonError::TooManyFields, Some("7")),
        (format!("{{{many}\"z\":1}}"), JsonError::TooManyFields, None),
        (format!("{{\"a\":{deep},\"id\":7}}"), JsonError::TooDeep, Some("7")),
        (format!("{{\"id\":7,\"a\":{deep}}}"), JsonError::TooDeep, Some("7")),
        (format!("{{\"a\":{deep}x,\"id\":7}}"), JsonError::Syntax, None),
        (r#"{"id":7,"a":[}"#.to_owned(), JsonError::Syntax, Some("7")),
        (r#"{"a":[},"id":7"#.to_owned(), JsonError::Syntax, None),
        (r#"[{"id":7}]"#.to_owned(), JsonError::NotAnObject, None),
    ] {
        let mut scratch = Scratch::default();
        let broken = parse_object(&mut scratch, text.as_bytes()).expect_err(&text);
        assert_eq!((broken.error, broken.object.raw("id")), (error, id), "{text:.80}");
    }
    let twice = format!("{{{many}\"id\":7,\"\\u0069d\":8}}");
    let mut scratch = Scratch::default();
    assert_eq!(parse_object(&mut scratch, twice.as_bytes()).expect_err("many").object.count("id"), 2);
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn fields_are_those_that_serde_json_reads(
        members in prop::collection::vec((space(), string(), space(), json(), space()), 0..8),
        corruptions in corruptions(),
    ) {
        let members = members.iter().map(|(a, name, b, value, c)| format!("{a}{name}{b}:{b}{value}{c}"));
        let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        let mut bytes = text.into_bytes();
        let mut scratch = Scratch::default();
        for corruptions in [&[][..], &corruptions] {
            corrupt(&mut bytes, corruptions);
            let ours = fields(&mut scratch, &bytes);
            // What serde_json passes through it judges by the grammar alone; what it reads it may refuse for a number or
            // half of a surrogate pair.
            let is_json = serde_json::from_slice::<&RawValue>(&bytes).is_ok();
            let values = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(&bytes);
            match ours {
                Ok(ours) => {
                    prop_assert!(is_json);
                    let Ok(values) = values else { continue };
                    let raws = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&bytes).unwrap();
                    prop_assert_eq!(ours.len(), raws.len());
                    for (name, raw, value) in ours {
                        prop_assert_eq!(raw, raws[&name].get());
                        prop_assert_eq!(doubles(value), doubles(values[&name].clone()));
                    }
                }
                // The last of two fields of one name is what serde_json sees.
                Err(JsonError::DuplicateField) => prop_assert!(is_json),
                Err(error) => prop_assert!(!is_json || values.is_err(), "{}: {}", error, bytes.escape_ascii()),
            }
        }
    }
}
