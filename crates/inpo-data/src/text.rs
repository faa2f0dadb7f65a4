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
}
