//! Words for messages.

use serde_json::Value;

/// A short, printable form of text from outside: quoted, escaped, at most 60 characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut short: String = text.chars().take(LIMIT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// Characters of a server's or a program's own words that a message shows.
pub const FOREIGN_WORDS: usize = 300;

/// Text of a foreign program on one line and safe to print: control characters (line ends and the escape sequences of
/// terminals among them) and characters that turn the direction of text are escaped as in Rust, and what is longer than
/// `limit` characters is cut off and ends in `…`.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    let mut rest = text.trim().chars();
    for c in rest.by_ref().take(limit) {
        if is_safe(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Lines that are safe to print: as [`printable`], but line ends and tabs stay, and nothing is cut off.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_safe(c) || matches!(c, '\n' | '\t') {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// A character that neither moves a terminal's cursor nor turns the direction of text.
fn is_safe(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

/// What kind of JSON a value is, in a word.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Names in a sentence: `` `a`, `b` and `c` ``.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_escapes_and_shortens() {
        assert_eq!(excerpt("a\nb"), r#""a\nb""#);
        let long = excerpt(&"x".repeat(100));
        assert_eq!(
            long.chars().count(),
            63,
            "60 characters, the mark, two quotes"
        );
    }

    #[test]
    fn foreign_words_are_printable() {
        assert_eq!(printable(" né \"a\"\\ \n", 9), "né \"a\"\\");
        let hostile = "\u{1b}[2J\u{7}a\r\nb\u{9b}1m\u{202e}c";
        let shown = printable(hostile, 300);
        assert_eq!(shown, r"\u{1b}[2J\u{7}a\r\nb\u{9b}1m\u{202e}c");
        assert_eq!(
            printable(&"x".repeat(301), FOREIGN_WORDS).chars().count(),
            301
        );
        assert_eq!(
            printable_lines(" a\n\tb\u{1b}[1m\r"),
            " a\n\tb\\u{1b}[1m\\r"
        );
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("abcd", 3), "abc…");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted([]), "none");
        assert_eq!(quoted(["a"]), "`a`");
        assert_eq!(quoted(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
