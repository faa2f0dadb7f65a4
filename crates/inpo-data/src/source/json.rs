//! JSON as people write it: arrays of rows, and Python's NaN.

use serde_json::Value;

use super::unique::Unique;
use crate::Columns;
use crate::text::kind_of;

/// The columns of a row's text.
pub(super) fn columns(text: &str) -> Result<Columns, String> {
    let (value, not_finite) = match serde_json::from_str(text) {
        Ok(Unique(value)) => (value, Vec::new()),
        Err(error) => {
            let (plain, names) = without_not_finite(text);
            match serde_json::from_str(&plain) {
                Ok(Unique(plain)) => (plain, names),
                Err(twice) if twice.is_data() => return Err(without_place(&twice)),
                Err(_) => return Err(not_json(&error)),
            }
        }
    };
    match value {
        Value::Object(values) => Ok(Columns::new(values, not_finite)),
        other => Err(format!(
            "{} and not a JSON object: rows are one JSON object a line, or a JSON array of them",
            kind_of(&other)
        )),
    }
}

/// What is wrong with a row that is JSON: where is told by its place in the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let sentence = text
        .rsplit_once(" at line ")
        .map(|(sentence, _)| sentence.to_owned());
    sentence.unwrap_or(text)
}

fn not_json(error: &serde_json::Error) -> String {
    let hint = if error.is_eof() {
        ": a row that goes on over several lines is read from a JSON array only"
    } else {
        ""
    };
    // The line is the file's and not the library's.
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    let column = error.column();
    format!("not JSON: {words}, column {column}; rows are one JSON object a line{hint}")
}

/// The text with null in the place of NaN and the infinities, which Python writes, and the names of the columns that
/// held them.
fn without_not_finite(text: &str) -> (String, Vec<String>) {
    let (mut plain, mut names) = (String::with_capacity(text.len()), Vec::new());
    // The name of the column that is being read, and the last text outside of deeper values.
    let (mut column, mut last) = (String::new(), "");
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| rest.starts_with(word));
        match first {
            '"' => {
                taken = string_length(rest);
                last = if depth == 1 { &rest[..taken] } else { last };
            }
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ':' if depth == 1 => column = serde_json::from_str(last).unwrap_or_default(),
            _ => {}
        }
        match word {
            Some(word) => {
                plain.push_str("null");
                names.push(column.clone());
                taken = word.len();
            }
            None => plain.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    (plain, names)
}

/// The texts of a JSON array's elements.
///
/// # Errors
///
/// In words, an array that does not end, or that something follows.
pub(super) fn elements(text: &str) -> Result<Vec<&str>, String> {
    let inner = text.trim_start().strip_prefix('[').unwrap_or_default();
    let (mut found, mut depth, mut start, mut place) = (Vec::new(), 0_usize, 0, 0);
    let bytes = inner.as_bytes();
    while place < bytes.len() {
        match bytes[place] {
            b'"' => {
                place += string_length(&inner[place..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => {
                found.push(&inner[start..place]);
                start = place + 1;
            }
            b']' if depth == 0 => {
                let last = &inner[start..place];
                if !(found.is_empty() && last.trim().is_empty()) {
                    found.push(last);
                }
                if !inner[place + 1..].trim().is_empty() {
                    return Err(
                        "it begins with a JSON array, and more follows; write one array of all rows, or an \
                         object a line"
                            .to_owned(),
                    );
                }
                return Ok(found);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        place += 1;
    }
    Err("its JSON array does not end".to_owned())
}

/// The bytes of the JSON string that `text` begins with, quotes included; all of them where it does not end.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn python_s_numbers_are_no_values() {
        let text = r#"{"a": "NaN, \"b\": NaN", "b": NaN, "ä": [1, {"x": -Infinity}], "c": 1, "d": Infinity}"#;
        let columns = columns(text).unwrap();
        assert_eq!(columns["a"], "NaN, \"b\": NaN");
        assert_eq!(columns["ä"], json!([1, {"x": null}]));
        let number = |key: &str| columns.read::<f64>(key, "a number");
        assert_eq!(number("c"), Ok(Some(1.0)));
        for key in ["b", "ä", "d"] {
            let error = number(key).unwrap_err();
            assert!(error.starts_with(&format!("`{key}` holds NaN")), "{error}");
        }
    }

    /// Which of the two was meant is not known.
    #[test]
    fn a_key_occurs_once() {
        let expected = r#"the key "a" occurs twice; leave one of them out"#;
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"b": [{"c": {"a": 1, "a": null}}]}"#,
            r#"{"a": NaN, "\u0061": 2}"#,
        ] {
            assert_eq!(columns(text).unwrap_err(), expected, "{text}");
        }
        columns(r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}"#).unwrap();
    }

    #[test]
    fn other_words_are_no_json() {
        for text in [
            "{\"a\": nan}",
            "{\"a\": NaNa}",
            "NaN",
            "{\"a\": NaN",
            "{\"a\": \"NaN",
        ] {
            assert!(columns(text).is_err(), "{text}");
        }
        let error = columns("{\"a\": ").unwrap_err();
        assert!(error.ends_with("is read from a JSON array only"), "{error}");
    }

    #[test]
    fn an_array_is_cut_into_its_elements() {
        let all = |text| elements(text).unwrap();
        assert_eq!(all("[]"), [""; 0]);
        assert_eq!(all(" [ ] \n"), [""; 0]);
        assert_eq!(
            all("[{\"a\": \"],\\\"\"},\n 2]"),
            ["{\"a\": \"],\\\"\"}", "\n 2"]
        );
        assert_eq!(all("[[1, 2], {\"b\": [3]}]"), ["[1, 2]", " {\"b\": [3]}"]);
        // An element that is missing is for who reads it to refuse.
        assert_eq!(all("[1,]"), ["1", ""]);
        for text in ["[", "[1, {", "[\"]", "[1]]", "[1] [2]"] {
            assert!(elements(text).is_err(), "{text}");
        }
    }
}
