//! What libraries say of configurations and rows, in the words of their users.

use std::ops::Range;

use crate::text::{FOREIGN_WORDS, printable};

/// The message of serde about a value, without the names of Rust's types: `invalid type: string "a", expected usize` becomes
/// `the text "a" is given, and a whole number of at least 0 is expected`.
#[must_use]
pub fn in_words(message: &str) -> String {
    let message = printable(message, FOREIGN_WORDS);
    if let Some((before, _)) = message.split_once("data did not match any variant of untagged enum")
    {
        return format!("{before}the value has none of the forms that are allowed");
    }
    let found = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| message.split_once(start));
    let parts = found.and_then(|(before, rest)| {
        let (got, expected) = rest.rsplit_once(", expected ")?;
        Some((before, got, expected))
    });
    let Some((before, got, expected)) = parts else {
        return message;
    };
    // serde_json's place.
    let (expected, place) = match expected.split_once(" at line ") {
        Some((expected, place)) => (
            expected,
            format!(" (line {})", place.replace(" column ", ", column ")),
        ),
        None => (expected, String::new()),
    };
    format!(
        "{before}{} is given, and {} is expected{place}",
        given(got),
        wanted(expected)
    )
}

/// A value that is given.
fn given(value: &str) -> String {
    let named = [
        ("boolean ", ""),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("string ", "the text "),
        ("character ", "the text "),
    ];
    for (start, name) in named {
        if let Some(value) = value.strip_prefix(start) {
            return format!("{name}{}", value.trim_matches('`'));
        }
    }
    match value {
        "map" | "newtype struct" => "a table",
        "sequence" | "tuple" => "a list",
        "null" | "unit value" | "Option value" => "nothing",
        other => other,
    }
    .to_owned()
}

/// What is expected.
fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" | "a boolean" => "true or false",
        "str"
        | "string"
        | "a string"
        | "path string"
        | "string or map"
        | "string or table"
        | "variant identifier"
        | "wanted string or table" => "a text",
        "a sequence" => "a list",
        "map" | "a map" => "a table",
        "unit" => "nothing",
        other if other.starts_with("a nonzero ") => "a whole number of at least 1",
        other if other.starts_with("struct ") || other.starts_with("internally tagged ") => {
            "a table"
        }
        other if other.starts_with("tuple ") || other.starts_with("a tuple ") => "a list",
        other if other.starts_with("enum ") => "a text",
        other => other,
    }
}

/// What is wrong with a TOML text, on one line: its line and key, and `message` in words. `span` are the bytes that it is
/// about.
#[must_use]
pub fn in_toml(text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let message = in_words(message);
    let Some(part) = span.clone().and_then(|span| text.get(span)) else {
        return message;
    };
    let start = span.map_or(0, |span| span.start);
    let before = &text[..start];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let whole = text[line_start..].lines().next().unwrap_or_default();
    let header = |line: &str| -> Option<String> {
        let name = line.trim().strip_prefix('[')?.trim_start_matches('[');
        Some(name.split(']').next()?.trim().to_owned())
    };
    let at_start = before[line_start..].trim().is_empty();
    let key = if let Some(section) = header(whole) {
        section
    } else if at_start && part.contains(['=', '\n']) {
        // The whole text, or a section without a header: something is missing in it.
        return message;
    } else if let Some((key, _)) = whole.split_once('=') {
        let section = before.lines().rev().find_map(header);
        let section = section.map_or(String::new(), |section| format!("{section}."));
        format!("{section}{}", key.trim())
    } else {
        return format!("line {line}: {message}");
    };
    format!(
        "line {line}, `{}`: {message}",
        printable(&key, FOREIGN_WORDS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_rust_are_not_named() {
        for (said, words) in [
            (
                "invalid type: string \"two\", expected usize",
                "the text \"two\" is given, and a whole number of at least 0 is expected",
            ),
            (
                "all_pairs: invalid type: integer `3`, expected a boolean",
                "all_pairs: the number 3 is given, and true or false is expected",
            ),
            (
                "invalid type: map, expected a sequence at line 2 column 7",
                "a table is given, and a list is expected (line 2, column 7)",
            ),
            (
                "invalid type: boolean `true`, expected struct LoraConfig",
                "true is given, and a table is expected",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "the number -1 is given, and a whole number of at least 0 is expected",
            ),
            (
                "data did not match any variant of untagged enum Written",
                "the value has none of the forms that are allowed",
            ),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "the text \"a, expected b\" is given, and a number is expected",
            ),
            (
                "unknown field `a`, expected `b`",
                "unknown field `a`, expected `b`",
            ),
        ] {
            assert_eq!(in_words(said), words);
        }
    }

    #[test]
    fn a_place_in_toml_is_a_line_and_a_key() {
        let text =
            "seed = 1\n[train]\n# steps\nmax_steps = 'x'\ncolour = 1\n[policy.lora]\nrank = 2\n";
        let at = |part: &str| {
            let start = text.find(part).unwrap();
            in_toml(text, Some(start..start + part.len()), "no")
        };
        assert_eq!(at("1"), "line 1, `seed`: no");
        assert_eq!(at("'x'"), "line 4, `train.max_steps`: no");
        assert_eq!(at("colour"), "line 5, `train.colour`: no");
        assert_eq!(at("2"), "line 7, `policy.lora.rank`: no");
        assert_eq!(at("[policy.lora]"), "line 6, `policy.lora`: no");
        assert_eq!(at(text), "no", "missing in the whole");
        assert_eq!(at("# steps"), "line 3: no");
        assert_eq!(in_toml(text, None, "no"), "no");
    }
}
