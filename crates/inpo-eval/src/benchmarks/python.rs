//! What Python's texts and numbers do otherwise than Rust's.

/// `str.isspace` of one character: Unicode's white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip`.
pub(super) fn rstrip(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.capitalize`: the first character in title case and the rest in lower case.
pub(super) fn capitalize(text: &str) -> String {
    let Some(first) = text.chars().next() else {
        return String::new();
    };
    // A character that becomes several (ß, ﬁ) has only the first of them in upper case.
    let mut upper = first.to_uppercase();
    let mut title: String = upper.next().into_iter().collect();
    title.extend(upper.flat_map(char::to_lowercase));
    // The end of a word decides about a sigma, and the word begins with the first character.
    let lower = text.to_lowercase();
    let first: usize = first.to_lowercase().map(char::len_utf8).sum();
    title + &lower[first..]
}

/// `numpy.argmax`: the first of the largest values, or the first NaN.
pub(super) fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (place, &value) in values.iter().enumerate() {
        if values[best].is_nan() {
            break;
        }
        if value.is_nan() || value > values[best] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of CPython 3.11 and numpy 2.
    #[test]
    fn texts_and_maxima_are_pythons() {
        assert_eq!(strip("\u{1c} \u{a0}a b\n\u{2003}"), "a b");
        assert_eq!(rstrip(" a\x1f\t"), " a");
        let capitalized = ["", "hELLO World", "ßA", "ÉTÉ", "ﬁN", "123 ABC", "ΑΣ"].map(capitalize);
        assert_eq!(
            capitalized,
            ["", "Hello world", "Ssa", "Été", "Fin", "123 abc", "Ας"]
        );
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(argmax(&[1.0, f64::NAN, 3.0, f64::NAN]), 1);
        assert_eq!(argmax(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0);
    }
}
