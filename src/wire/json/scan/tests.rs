//! Texts that are one value and texts that are not.

use super::*;
use crate::wire::splits::{config, corrupt, corruptions};
use proptest::prelude::*;

fn check(text: &[u8], expected: bool) {
    assert_eq!(is_valid(text), expected, "{}", text.escape_ascii());
}

#[test]
fn texts_that_are_one_value_are_valid() {
    for text in [
        "0",
        "-0",
        "1",
        "-10.25",
        "1e5",
        "1E+5",
        "1.0e-05",
        "0.0",
        "0e0",
        "123456789012345678901234567890",
        "1e400",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\u{7f}€\u{10ffff}\"",
        r#""\"\\\/\b\f\n\r\t\u00e9\uD834\udd1e""#,
        "\"\\ud834\"",
        "\"\\udd1e\"",
        "\"\\ud834\\u0041\"",
        "\"\\ud834x\"",
        "\"\\ud834\\n\"",
        "\"\\udd1e\\ud834\"",
        "[1e400,-1e400,1e-400]",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[[],[]]",
        "{\"\":{}}",
        " \t\r\n[ 1 , 2 ] \n",
        "{ \"a\" : [ ] , \"a\" : { } }",
        r#"{"a":{"b":[1,{"c":[]}],"d":"]}"},"e":null}"#,
        "\"exactly.8\"",
        "\"\u{1f600}\u{1f600}\u{1f600}\"",
    ] {
        check(text.as_bytes(), true);
    }
}

#[test]
fn texts_that_are_not_are_not() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "[}",
        "{]",
        "[1",
        "[1,",
        "[,1]",
        "[1,]",
        "[1 2]",
        "[1]]",
        "[1],",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\"1}",
        "{\"a\",1}",
        "{null:1}",
        "[\"a\":1]",
        "{\"a\":1]",
        "[1}",
        "[[1,2]",
        "01",
        "-",
        "+1",
        "-01",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "1.5.5",
        "0x1",
        "1_0",
        "Infinity",
        "NaN",
        "-Infinity",
        "1 2",
        "--1",
        "1-",
        "tru",
        "truE",
        "trueX",
        "nul",
        "nulll",
        "fals",
        "True",
        "t",
        "n",
        "\"",
        "\"a",
        "a\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\0\"",
        "\"1234567\u{1f}\"",
        "\u{feff}1",
        "\u{a0}1",
        "1\u{b}",
        "/**/1",
        "1//",
        "\"a\" \"b\"",
        "{\"a\":1}{\"b\":2}",
        "undefined",
        "'a'",
        "\0",
    ] {
        check(text.as_bytes(), false);
    }
    for bytes in [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\"", b"\xff", b"1\xff"] {
        check(bytes, false);
    }
}

#[test]
fn a_control_character_or_quote_is_found_at_every_place_of_a_long_string() {
    for place in 0..40 {
        for (byte, expected) in [
            (0x1f, false),
            (b'\n', false),
            (0, false),
            (b'\\', false),
            (b' ', true),
            (b'!', true),
            (b'#', true),
            (b'"', false),
        ] {
            let mut text = [&b"\""[..], &[b'x'; 40], b"\""].concat();
            text[1 + place] = byte;
            check(&text, expected);
        }
    }
}

#[test]
fn levels_are_bounded_and_cost_no_stack() {
    let arrays = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    for nest in [&arrays as &dyn Fn(usize) -> String, &objects] {
        check(nest(JSON_DEPTH_MAX).as_bytes(), true);
        check(nest(JSON_DEPTH_MAX + 1).as_bytes(), false);
    }
    assert_eq!(scan_value(&arrays(JSON_DEPTH_MAX + 1)), Err(JsonError::TooDeep));
    check(("[".repeat(1 << 20)).as_bytes(), false);
    check(arrays(JSON_DEPTH_MAX).replace("[]", "[[],[]]").as_bytes(), false);
    let wide = format!("[{}]", vec![arrays(JSON_DEPTH_MAX - 1); 50].join(","));
    check(wide.as_bytes(), true);
}

/// As serde_json judges what it passes through unread: like us, by the grammar alone.
fn judge(text: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok()
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn a_text_is_valid_if_serde_json_says_so(text in super::super::tests::json(), corruptions in corruptions()) {
        prop_assert!(is_valid(text.as_bytes()), "{}", text);
        prop_assert!(judge(text.as_bytes()), "{}", text);
        let mut bytes = text.into_bytes();
        corrupt(&mut bytes, &corruptions);
        prop_assert_eq!(is_valid(&bytes), judge(&bytes), "{}", bytes.escape_ascii());
    }

    #[test]
    fn short_texts_of_the_grammar_are_judged_as_serde_json_does(text in r#"[\[\]{}",:0-9.eE+\-tru\\ "]{0,12}"#) {
        prop_assert_eq!(is_valid(text.as_bytes()), judge(text.as_bytes()), "{}", text);
    }
}
