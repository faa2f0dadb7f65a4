//! Texts as Python's `str` treats them.

use inpo_data::jinja;
use minijinja::Error;

/// Python's white space: Unicode's, and four separators that Unicode leaves out.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// What Python splits lines at, beside `\r\n`.
fn ends_line(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The ends that are stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
    Both,
}

/// `strip` and its relatives.
pub(super) fn strip<'a>(text: &'a str, characters: Option<&str>, side: Side) -> &'a str {
    let cut = |c: char| characters.map_or_else(|| is_space(c), |set| set.contains(c));
    match side {
        Side::Left => text.trim_start_matches(cut),
        Side::Right => text.trim_end_matches(cut),
        Side::Both => text.trim_matches(cut),
    }
}

/// `split` at white space.
pub(super) fn words(text: &str, most: Option<usize>) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = strip(text, None, Side::Left);
    while !rest.is_empty() {
        let end = rest
            .find(is_space)
            .filter(|_| most.is_none_or(|most| words.len() < most));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = strip(after, None, Side::Left);
    }
    words
}

/// `rsplit` at white space.
pub(super) fn words_from_the_right(text: &str, most: Option<usize>) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = strip(text, None, Side::Right);
    while !rest.is_empty() {
        let start = rest.char_indices().rev().find(|(_, c)| is_space(*c));
        let start = start.filter(|_| most.is_none_or(|most| words.len() < most));
        let at = start.map_or(0, |(at, c)| at + c.len_utf8());
        words.push(&rest[at..]);
        rest = strip(&rest[..at], None, Side::Right);
    }
    words.reverse();
    words
}

/// `splitlines`.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (end, next) = match rest.char_indices().find(|(_, c)| ends_line(*c)) {
            None => (rest.len(), rest.len()),
            Some((at, _)) if rest[at..].starts_with("\r\n") => (at, at + 2),
            Some((at, c)) => (at, at + c.len_utf8()),
        };
        lines.push(&rest[..if keep_ends { next } else { end }]);
        rest = &rest[next..];
    }
    lines
}

/// The method `title`: a capital behind whatever is no letter.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.push_str(&titled(c));
        }
        inside = is_cased(c);
    }
    out
}

/// A character that has a case.
fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || titled_digraph(c).is_some()
}

/// The letters that have a form of their own for titles.
fn titled_digraph(c: char) -> Option<char> {
    Some(match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        _ => return None,
    })
}

/// A character at the front of a title: capital, and of several letters only the first.
fn titled(c: char) -> String {
    if let Some(titled) = titled_digraph(c) {
        return titled.into();
    }
    let mut upper = c.to_uppercase();
    let first = upper.next().into_iter();
    first.chain(upper.flat_map(char::to_lowercase)).collect()
}

/// `capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(titled).unwrap_or_default();
    first + &characters.as_str().to_lowercase()
}

/// The filter `title` of Jinja, which begins words behind fewer characters than Python's method.
pub(super) fn title_of_words(text: &str) -> String {
    let separates = |c: char| is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = !separates(c);
    }
    out
}

/// `swapcase`.
pub(super) fn swapcase(text: &str) -> String {
    let swap = |c: char| -> String {
        if c.is_uppercase() {
            c.to_lowercase().collect()
        } else {
            c.to_uppercase().collect()
        }
    };
    text.chars().map(swap).collect()
}

/// `expandtabs`.
pub(super) fn expandtabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

/// Where a text stands in a wider one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Left,
    Right,
    Centre,
}

/// The widest text that is padded.
pub(super) const WIDEST: usize = 1 << 16;

/// `ljust`, `rjust` and `center`.
pub(super) fn pad(text: &str, width: usize, fill: char, place: Place) -> String {
    let width = width.min(WIDEST);
    let missing = width.saturating_sub(text.chars().count());
    let before = match place {
        Place::Left => 0,
        Place::Right => missing,
        // Python's own rounding: an odd space goes to the left where the width is odd.
        Place::Centre => missing / 2 + (missing & width & 1),
    };
    let fill = |count: usize| fill.to_string().repeat(count);
    format!("{}{text}{}", fill(before), fill(missing - before))
}

/// `replace`, at most `most` times.
pub(super) fn replace(
    text: &str,
    old: &str,
    new: &str,
    most: Option<usize>,
) -> Result<String, Error> {
    let most = most.unwrap_or(usize::MAX);
    let grown = new.len().saturating_sub(old.len());
    if grown > 0 {
        let count = text.matches(old).count().min(most);
        jinja::fits(text.len().saturating_add(grown.saturating_mul(count)))?;
    }
    Ok(text.replacen(old, new, most))
}

/// `zfill`.
pub(super) fn zfill(text: &str, width: usize) -> String {
    let missing = width.min(WIDEST).saturating_sub(text.chars().count());
    let sign = text.len() - text.strip_prefix(['+', '-']).unwrap_or(text).len();
    format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..])
}

/// `quote` of `urllib`, with a slash kept, or for the parts of a query.
pub(super) fn percent_encoded(text: &str, query: bool) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'.' | b'-' | b'~' => {
                out.push(byte.into());
            }
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            // Writing to a String cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The number that Python's `int` reads in a text.
pub(super) fn integer(text: &str, base: u32) -> Option<i128> {
    let text = strip(text, None, Side::Both);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let prefix = [("0x", 16), ("0o", 8), ("0b", 2)];
    let named = prefix
        .iter()
        .find(|(prefix, of)| lower.starts_with(prefix) && (base == 0 || base == *of));
    let (digits, base) = match named {
        Some((prefix, of)) => (digits[prefix.len()..].trim_start_matches('_'), *of),
        None => (digits, if base == 0 { 10 } else { base }),
    };
    let broken =
        digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__");
    if broken || !(2..=36).contains(&base) {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// The number that Python's `float` reads in a text.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = strip(text, None, Side::Both);
    let broken = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    let plain = text.replace('_', "");
    plain.parse().ok().filter(|_| !broken)
}
