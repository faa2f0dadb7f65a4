//! Words, stems and function words: the little language knowledge that the criteria share. English only. And the regular
//! expressions of files.

use std::collections::BTreeSet;

use fancy_regex::{Regex, RegexBuilder};

/// The longest regular expression of a file in bytes.
const LONGEST_PATTERN: usize = 4096;
/// The memory of each part of one that needs no going back, in bytes.
const PATTERN_MEMORY: usize = 4 << 20;

/// Compiles a regular expression of a file, which gives up after `patience` steps at a place of a text.
///
/// # Errors
///
/// In words, what is too long, too large or no expression.
pub(crate) fn foreign_regex(pattern: &str, patience: usize) -> Result<Regex, String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!(
            "the expression has {} bytes; allowed: up to {LONGEST_PATTERN}",
            pattern.len()
        ));
    }
    let mut builder = RegexBuilder::new(pattern);
    let builder = builder
        .backtrack_limit(patience)
        .delegate_size_limit(PATTERN_MEMORY);
    builder.build().map_err(|error| error.to_string())
}

/// Function words and other words that carry no topic. Sorted, for binary search.
const FUNCTION_WORDS: &[&str] = &[
    "a", "about", "above", "across", "after", "again", "against", "all", "along", "also",
    "although", "am", "among", "an", "and", "another", "any", "are", "aren't", "around", "as",
    "at", "away", "be", "because", "been", "before", "being", "below", "between", "both", "but",
    "by", "can", "can't", "cannot", "could", "did", "do", "does", "doesn't", "doing", "don't",
    "down", "during", "each", "either", "even", "every", "for", "from", "had", "has", "have",
    "having", "he", "her", "here", "hers", "him", "his", "how", "i", "i'd", "i'll", "i'm", "i've",
    "if", "in", "into", "is", "isn't", "it", "it's", "its", "itself", "just", "let", "many", "may",
    "me", "might", "more", "most", "much", "must", "my", "neither", "no", "nor", "not", "of",
    "off", "often", "on", "once", "one", "only", "onto", "or", "other", "our", "out", "over",
    "own", "per", "rather", "same", "shall", "she", "should", "since", "so", "some", "such",
    "than", "that", "that's", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "though", "through", "to", "too", "under", "until", "up", "upon", "us", "very", "was",
    "we", "were", "what", "what's", "when", "where", "whether", "which", "while", "who", "whom",
    "whose", "why", "will", "with", "within", "without", "would", "yet", "you", "you're", "your",
    "yours", "yourself",
];

/// Words that say what kind of answer is wanted, not what it is about. Sorted, for binary search.
const TASK_WORDS: &[&str] = &[
    "answer",
    "brief",
    "briefly",
    "compare",
    "define",
    "describe",
    "example",
    "examples",
    "explain",
    "few",
    "give",
    "list",
    "mention",
    "name",
    "please",
    "rewrite",
    "say",
    "sentence",
    "sentences",
    "short",
    "shortly",
    "state",
    "suggest",
    "summarise",
    "summarize",
    "tell",
    "three",
    "two",
    "word",
    "words",
    "write",
];

/// A word of a text, and whether anything but white space stands between it and the word before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word in lower case, typographic apostrophes made plain.
    pub(crate) text: String,
    /// True for the first word, and after punctuation or a line break.
    pub(crate) after_break: bool,
}

/// The words of `text`: longest runs of letters, digits and inner apostrophes, in lower case.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    let mut current = String::new();
    let mut broken = true;
    let mut after_break = true;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let character = if character == '\u{2019}' {
            '\''
        } else {
            character
        };
        let inner = character == '\''
            && !current.is_empty()
            && characters.peek().is_some_and(|c| c.is_alphanumeric());
        if character.is_alphanumeric() || inner {
            if current.is_empty() {
                after_break = broken;
            }
            current.extend(character.to_lowercase());
            continue;
        }
        if !current.is_empty() {
            out.push(Word {
                text: std::mem::take(&mut current),
                after_break,
            });
            broken = false;
        }
        broken |= !character.is_whitespace() || character == '\n';
    }
    if !current.is_empty() {
        out.push(Word {
            text: current,
            after_break,
        });
    }
    out
}

/// True for a word that carries no topic.
pub(crate) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

/// The stems of the words that carry a topic.
pub(crate) fn content_stems(text: &str) -> BTreeSet<String> {
    words(text)
        .iter()
        .filter(|word| !is_function_word(&word.text))
        .map(|word| stem(&word.text))
        .collect()
}

/// The stems of an instruction's topic: its content words without those that only name the kind of answer.
pub(crate) fn topic_stems(instruction: &str) -> BTreeSet<String> {
    words(instruction)
        .iter()
        .filter(|word| {
            !is_function_word(&word.text) && TASK_WORDS.binary_search(&word.text.as_str()).is_err()
        })
        .map(|word| stem(&word.text))
        .collect()
}

/// A light English stemmer: possessive, plural, -ing, -ed, -ly, doubled final consonant, final e; y becomes i.
/// It maps inflections of a word to one string; the string need not be a word.
pub(crate) fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word);
    if !word.is_ascii() || word.len() <= 3 {
        return word.to_owned();
    }
    let mut base = plural(word);
    for suffix in ["ing", "ed", "ly"] {
        let Some(rest) = base.strip_suffix(suffix) else {
            continue;
        };
        if rest.len() >= 3 && rest.contains(['a', 'e', 'i', 'o', 'u', 'y']) {
            base = undouble(rest).to_owned();
            break;
        }
    }
    let base = base
        .strip_suffix('e')
        .filter(|rest| rest.len() >= 3)
        .unwrap_or(&base);
    match base.strip_suffix('y') {
        Some(rest) => format!("{rest}i"),
        None => base.to_owned(),
    }
}

fn plural(word: &str) -> String {
    if let Some(rest) = word.strip_suffix("ies").filter(|rest| rest.len() >= 2) {
        return format!("{rest}y");
    }
    for ending in ["sses", "xes", "zes", "ches", "shes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    if word.ends_with('s')
        && !["ss", "us", "is"]
            .iter()
            .any(|ending| word.ends_with(ending))
    {
        return word[..word.len() - 1].to_owned();
    }
    word.to_owned()
}

/// `runn` to `run`, but `fall` stays: English keeps a double l, s or z in its base forms.
fn undouble(word: &str) -> &str {
    let bytes = word.as_bytes();
    match bytes {
        [.., a, b] if a == b && !b"aeioulsz".contains(b) => &word[..word.len() - 1],
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn lists_are_sorted_for_binary_search() {
        for list in [FUNCTION_WORDS, TASK_WORDS] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }

    #[test]
    fn words_are_lower_case_runs_with_inner_apostrophes() {
        assert_eq!(
            texts("Don't stop, it\u{2019}s 3.5 km!"),
            ["don't", "stop", "it's", "3", "5", "km"]
        );
        assert_eq!(texts("'quoted' well-known"), ["quoted", "well", "known"]);
        assert_eq!(texts(" \n"), Vec::<String>::new());
    }

    #[test]
    fn breaks_are_punctuation_and_line_ends_not_spaces() {
        let breaks: Vec<bool> = words("Red  apples, pears\n- figs (dry)")
            .iter()
            .map(|word| word.after_break)
            .collect();
        // Red | apples | pears | figs | dry
        assert_eq!(breaks, [true, false, true, true, true]);
    }

    #[test]
    fn inflections_share_a_stem() {
        for group in [
            &["change", "changes", "changing", "changed"][..],
            &["run", "runs", "running"],
            &["berry", "berries"],
            &["fall", "falling", "falls"],
            &["box", "boxes"],
            &["class", "classes"],
            &["quick", "quickly"],
            &["make", "making", "makes"],
            &["dog", "dogs", "dog's"],
        ] {
            let first = stem(group[0]);
            assert!(
                group.iter().all(|word| stem(word) == first),
                "{group:?} -> {first}"
            );
        }
    }

    #[test]
    fn stems_do_not_eat_short_words() {
        // "bus", "this" and "bed" keep their letters: no plural s, no past tense.
        assert_eq!(stem("bus"), "bus");
        assert_eq!(stem("virus"), "virus");
        assert_eq!(stem("bed"), "bed");
        assert_eq!(stem("bring"), "bring");
    }

    #[test]
    fn topic_drops_task_words_and_function_words() {
        let topic: Vec<String> = topic_stems("List three benefits of drinking water.")
            .into_iter()
            .collect();
        assert_eq!(topic, ["benefit", "drink", "water"]);
    }
}
