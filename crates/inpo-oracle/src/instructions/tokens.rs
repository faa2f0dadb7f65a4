//! Words as NLTK's `word_tokenize` cuts them: Treebank's rules, sentence by sentence.
//!
//! The rules are those of NLTK 3.10.4, in its order, each a search and a replacement. Its two pairs of quotes, `` and '',
//! come out as there.

use std::sync::LazyLock;

use super::pattern::Pattern;
use super::python::is_space;
use super::sentences::sentences;

/// The rules before the text is padded with a space on both sides, and those after.
const RULES: [&[(&str, &str)]; 2] = [
    &[
        // Opening quotes.
        (r"([«“‘„]|`+)", " ${1} "),
        (r#"^""#, "``"),
        (r"(``)", " ${1} "),
        (r#"([ (\[{<])("|'{2})"#, "${1} `` "),
        (r"(?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "${1} "),
        // Punctuation, the full stop at the end first.
        (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*$"#, "${1} ${2} ${3} "),
        (r"([:,])([^\d])", " ${1} ${2}"),
        (r"([:,])$", " ${1} "),
        (r"(\.{2,})", " ${1} "),
        (r"([;@#$%&])", " ${1} "),
        (r"([\u2012-\u2015])", " ${1} "),
        (r#"([^.])(\.)([\])}>"']*)\s*$"#, "${1} ${2}${3} "),
        (r"([?!])", " ${1} "),
        (r"([^'])' ", "${1} ' "),
        (r"([*])", " ${1} "),
        // Brackets and dashes.
        (r"([\]\[(){}<>])", " ${1} "),
        (r"--", " -- "),
    ],
    &[
        // Closing quotes and clitics.
        (r"([»”’])", " ${1} "),
        (r"''", " '' "),
        (r#"""#, " '' "),
        (r"\s+", " "),
        (r"([^' ])('[sS]|'[mM]|'[dD]|') ", "${1} ${2} "),
        (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "${1} ${2} "),
        // Contractions.
        (r"(?i)\b(can)(not)\b", " ${1} ${2} "),
        (r"(?i)\b(d)('ye)\b", " ${1} ${2} "),
        (r"(?i)\b(gim)(me)\b", " ${1} ${2} "),
        (r"(?i)\b(gon)(na)\b", " ${1} ${2} "),
        (r"(?i)\b(got)(ta)\b", " ${1} ${2} "),
        (r"(?i)\b(lem)(me)\b", " ${1} ${2} "),
        (r"(?i)\b(more)('n)\b", " ${1} ${2} "),
        (r"(?i)\b(wan)(na)(?=\s)", " ${1} ${2} "),
        (r"(?i) ('t)(is)\b", " ${1} ${2} "),
        (r"(?i) ('t)(was)\b", " ${1} ${2} "),
    ],
];

static COMPILED: LazyLock<[Vec<(Pattern, &str)>; 2]> = LazyLock::new(|| {
    RULES.map(|rules| {
        rules
            .iter()
            .map(|&(find, to)| (Pattern::new(find), to))
            .collect()
    })
});

/// The words and punctuation marks of a text.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let cut = |sentence: &str| {
        let mut text = sentence.to_owned();
        for rules in COMPILED.iter() {
            for (find, to) in rules {
                text = find.replace(&text, to);
            }
            text = format!(" {text} ");
        }
        let words = text.split(is_space).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    sentences(text).into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of NLTK 3.10.4.
    #[test]
    fn words_are_cut_as_nltk_cuts_them() {
        for (text, expected) in [
            (
                "He said “Hi.” Then left. Dr. A. Smith went!!! OK? (Yes.) Next.",
                "He|said|“|Hi|.|”|Then|left|.|Dr.|A.|Smith|went|!|!|!|OK|?|(|Yes|.|)|Next|.",
            ),
            (
                "\"I CAN'T,\" she said: 'TIS A.I. at 3:15, cost $3.88 -- gonna CANNOT.",
                "``|I|CA|N'T|,|''|she|said|:|'|TIS|A.I|.|at|3:15|,|cost|$|3.88|--|gon|na|CAN|NOT|.",
            ),
        ] {
            assert_eq!(tokens(text).join("|"), expected);
        }
    }
}
