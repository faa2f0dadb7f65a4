//! What Python's strings do, where Rust's do something else.

/// `str.isspace` of one character: Unicode's white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.isupper()`: a cased character, and none that is lower or title case.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title(c))
}

/// `str.islower()`: a cased character, and none that is upper or title case.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title(c))
}

/// Unicode's title case letters (`Lt`), which are neither upper nor lower case.
fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}'
        | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}'
        | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of CPython 3.11.
    #[test]
    fn strings_are_cased_and_stripped_as_python_does() {
        assert_eq!(strip("\u{1c}\u{a0} a \u{200b}\x1f\n"), "a \u{200b}");
        for (text, upper, lower) in [
            ("ABC 1!", true, false),
            ("abc 1!", false, true),
            ("aB", false, false),
            ("12", false, false),
            ("\u{1c5}", false, false),
            ("A\u{1c5}", false, false),
            ("\u{2160}", true, false), // ROMAN NUMERAL ONE
            ("\u{aa}", false, true),   // FEMININE ORDINAL INDICATOR
            ("STRASSE \u{df}", false, false),
        ] {
            assert_eq!((is_upper(text), is_lower(text)), (upper, lower), "{text}");
        }
    }
}
