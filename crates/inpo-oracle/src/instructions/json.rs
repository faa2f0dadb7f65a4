//! Whether a text is JSON to Python.

use serde::de::IgnoredAny;

/// Whether Python's `json.loads` reads a text. It is stricter and laxer than others in one thing each: it takes no text
/// around the value, and the numbers `NaN`, `Infinity` and `-Infinity`.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(&without_special_numbers(text)).is_ok()
}

/// `text` with `null` for the numbers that are not finite, outside of strings.
fn without_special_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let (mut in_string, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        let special = ["NaN", "Infinity", "-Infinity"];
        let special = special.iter().find_map(|number| rest.strip_prefix(number));
        if let Some(after) = special.filter(|_| !in_string) {
            out.push_str("null");
            rest = after;
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of `json.loads` of CPython 3.11.
    #[test]
    fn python_decides_what_json_is() {
        for text in [
            "[NaN, -Infinity, Infinity]",
            r#"{"a": "NaN\"", "a": 1e999}"#,
            r#""\ud800""#,
            "12",
        ] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "", "01", "1.", "'a'", "[1,]", "1NaN", "-NaN", "NaNNaN", "\"a\nb\"", "{} {}",
        ] {
            assert!(!is_json(text), "{text}");
        }
        assert!(is_json(&("[".repeat(500) + &"]".repeat(500))));
    }
}
