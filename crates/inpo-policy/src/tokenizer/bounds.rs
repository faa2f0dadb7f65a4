//! Limits of `tokenizer.json`, checked before the library reads it: it takes what a file says as memory, and panics on some
//! of what is no tokenizer. What no limit holds runs within [`inpo_data::caught`].

use serde_json::{Map, Value};

use super::charsmap;
use crate::error::excerpt;

/// The longest file in bytes; that of Gemma 3 has 33 million.
pub(super) const LONGEST_FILE: usize = 128 << 20;
/// The most values in a file, by its brackets, commas and colons.
const MOST_VALUES: usize = 8 << 20;
/// The largest id of a token: the library counts up to it.
pub(super) const LARGEST_ID: u64 = 1 << 22;
/// The longest token of a `Unigram` model in bytes: each byte is a level of a tree.
const LONGEST_PIECE: usize = 1024;
/// The text of all tokens of a `Unigram` model in bytes: each byte is a node of a tree.
const UNIGRAM_TEXT: usize = 8 << 20;
/// The most added tokens, and the text of all in bytes.
const MOST_ADDED: usize = 1 << 18;
const ADDED_TEXT: usize = 8 << 20;
/// The most normalisers, pre-tokenizers, processors or decoders, and how deep they are inside each other.
const MOST_STEPS: usize = 64;
const DEEPEST_STEP: usize = 8;
/// The regular expressions of a file in bytes together, and the product of their counts, as 3 in `\p{N}{1,3}`.
const LONGEST_PATTERNS: usize = 4096;
const LARGEST_REPEAT: u64 = 1000;
/// The longest text that is put before, behind or in place of another, in bytes.
const LONGEST_AFFIX: usize = 256;
/// The longest word that a `WordPiece` model cuts, in characters.
const LONGEST_WORD: u64 = 1000;
/// The most pieces of a processor's template.
const MOST_PIECES: usize = 64;
/// The longest text in bytes that normalisers may make of one that is encoded, or decoders of ids.
pub(super) const LONGEST_TEXT: u64 = 128 << 20;

/// How many times longer a text may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// On the way to ids.
    pub(super) encoded: u64,
    /// On the way to text.
    pub(super) decoded: u64,
}

impl Growth {
    /// That of the tokenizers that are rebuilt from a GGUF file.
    pub(super) const GGUF: Self = Self {
        encoded: 12,
        decoded: 3,
    };
}

/// A file's bytes as JSON.
pub(super) fn read(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > LONGEST_FILE {
        let length = bytes.len();
        return Err(format!(
            "it has {length} bytes, and at most {LONGEST_FILE} are read"
        ));
    }
    let marks = bytes.iter().filter(|byte| b"[{,:".contains(byte)).count();
    if marks > MOST_VALUES {
        return Err(format!(
            "it has {marks} values, and at most {MOST_VALUES} are read"
        ));
    }
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// Checks all of a file that the library takes as memory or time.
pub(super) fn check(file: &Value) -> Result<Growth, String> {
    let mut patterns = Patterns {
        bytes: 0,
        repeat: 1,
    };
    let mut growth = Growth {
        encoded: 1,
        decoded: 1,
    };
    if let Some(model) = file.get("model").and_then(Value::as_object) {
        growth.encoded = check_model(model)?;
    }
    let mut normalised = 1;
    for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
        let mut steps = Vec::new();
        collect(file.get(part).unwrap_or(&Value::Null), 0, &mut steps)
            .map_err(|e| format!("`{part}` {e}"))?;
        let growth = if part == "decoder" {
            &mut growth.decoded
        } else {
            &mut growth.encoded
        };
        for step in steps {
            let checked = check_step(step, &mut patterns);
            let factors = checked.map_err(|e| format!("`{part}`: {e}"))?;
            // Processors take ids, and what they do depends on their template alone.
            let factor = match part {
                "post_processor" => factors.texts,
                _ => factors.longer,
            };
            *growth = growth.saturating_mul(factor);
        }
        if part == "normalizer" {
            normalised = *growth;
        }
    }
    let added = file.get("added_tokens").and_then(Value::as_array);
    let contents = added
        .into_iter()
        .flatten()
        .filter_map(|t| t.get("content")?.as_str());
    check_added(contents.clone())?;
    for token in contents {
        check_length(token.len(), normalised)?;
    }
    Ok(growth)
}

/// Checks that a text of `length` bytes does not grow beyond what fits into memory.
pub(super) fn check_length(length: usize, growth: u64) -> Result<(), String> {
    let longest = (length as u64).saturating_mul(growth);
    if longest > LONGEST_TEXT {
        return Err(format!(
            "a text of {length} bytes may become one of {longest}, and at most {LONGEST_TEXT} are allowed"
        ));
    }
    Ok(())
}

/// Checks the number of added tokens and their text.
pub(super) fn check_added<'a>(tokens: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let (mut count, mut bytes) = (0usize, 0usize);
    for token in tokens {
        count += 1;
        bytes = bytes.saturating_add(token.len());
    }
    if count > MOST_ADDED || bytes > ADDED_TEXT {
        return Err(format!(
            "{count} tokens of {bytes} bytes are added to the vocabulary; allowed: {MOST_ADDED} tokens of {ADDED_TEXT} bytes"
        ));
    }
    Ok(())
}

/// Checks a model, and returns how many times more ids a text may get.
fn check_model(model: &Map<String, Value>) -> Result<u64, String> {
    let affix = |key: &str| short(model, key, LONGEST_AFFIX);
    let prefix = affix("continuing_subword_prefix")?;
    let affixes = prefix.len() + affix("end_of_word_suffix")?.len();
    affix("unk_token")?;
    if let Some(longest) = model
        .get("max_input_chars_per_word")
        .and_then(Value::as_u64)
        && longest > LONGEST_WORD
    {
        return Err(format!(
            "`max_input_chars_per_word` is {longest}; allowed: up to {LONGEST_WORD}"
        ));
    }
    match model.get("vocab") {
        Some(Value::Object(vocab)) => {
            for (token, id) in vocab {
                if id.as_u64().is_some_and(|id| id > LARGEST_ID) {
                    return Err(format!(
                        "the token {} has the id {id}; allowed: up to {LARGEST_ID}",
                        excerpt(token)
                    ));
                }
            }
            check_merges(model, vocab, prefix)?;
        }
        Some(Value::Array(pieces)) => {
            let mut bytes = 0;
            for piece in pieces.iter().filter_map(|piece| piece.get(0)?.as_str()) {
                if piece.len() > LONGEST_PIECE {
                    return Err(format!(
                        "the token {} has {} bytes; allowed: up to {LONGEST_PIECE}",
                        excerpt(piece),
                        piece.len()
                    ));
                }
                bytes += piece.len();
            }
            if bytes > UNIGRAM_TEXT || pieces.len() as u64 > LARGEST_ID {
                return Err(format!(
                    "the vocabulary has {} tokens of {bytes} bytes; allowed: {LARGEST_ID} tokens of {UNIGRAM_TEXT} bytes",
                    pieces.len()
                ));
            }
        }
        _ => {}
    }
    Ok(1 + affixes as u64)
}

/// Checks that each merge joins to a text that could be a token: the library copies it into a buffer of the longest token's
/// length, without the prefix of the second token.
fn check_merges(
    model: &Map<String, Value>,
    vocab: &Map<String, Value>,
    prefix: &str,
) -> Result<(), String> {
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    let merges = model.get("merges").and_then(Value::as_array);
    for merge in merges.into_iter().flatten() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            other => other
                .get(0)
                .and_then(Value::as_str)
                .zip(other.get(1).and_then(Value::as_str)),
        };
        let Some((left, right)) = pair else { continue };
        if !vocab.contains_key(left) || !vocab.contains_key(right) {
            continue;
        }
        let fits = right
            .strip_prefix(prefix)
            .is_some_and(|right| left.len() + right.len() <= longest);
        if !fits {
            return Err(format!(
                "the merge of {} and {} is no token",
                excerpt(left),
                excerpt(right)
            ));
        }
    }
    Ok(())
}

/// The steps of a part of the file, those inside others too.
fn collect<'a>(
    step: &'a Value,
    depth: usize,
    steps: &mut Vec<&'a Map<String, Value>>,
) -> Result<(), String> {
    let Value::Object(fields) = step else {
        return Ok(());
    };
    steps.push(fields);
    if steps.len() > MOST_STEPS || depth > DEEPEST_STEP {
        return Err(format!(
            "has more than {MOST_STEPS} steps, or steps more than {DEEPEST_STEP} deep inside each other"
        ));
    }
    for key in ["normalizers", "pretokenizers", "processors", "decoders"] {
        let inner = fields.get(key).and_then(Value::as_array);
        for step in inner.into_iter().flatten() {
            collect(step, depth + 1, steps)?;
        }
    }
    Ok(())
}

/// The regular expressions of a file so far.
struct Patterns {
    bytes: usize,
    repeat: u64,
}

impl Patterns {
    fn add(&mut self, pattern: &str) -> Result<(), String> {
        self.bytes += pattern.len();
        for brace in pattern.split('{').skip(1) {
            let counts = brace.split('}').next().unwrap_or_default();
            let counts = counts
                .split(',')
                .filter_map(|count| count.trim().parse::<u64>().ok());
            self.repeat = self.repeat.saturating_mul(counts.max().unwrap_or(1).max(1));
        }
        if self.bytes > LONGEST_PATTERNS || self.repeat > LARGEST_REPEAT {
            return Err(format!(
                "the regular expressions have more than {LONGEST_PATTERNS} bytes, or counts whose product is more than {LARGEST_REPEAT}"
            ));
        }
        Ok(())
    }
}

/// What a step may make of a text.
struct Factors {
    /// How many times longer it gets.
    longer: u64,
    /// How often the template of a processor writes it.
    texts: u64,
}

/// Checks a step, and returns what it may make of a text.
fn check_step(step: &Map<String, Value>, patterns: &mut Patterns) -> Result<Factors, String> {
    for key in ["prefix", "suffix", "pad_token", "word_delimiter_token"] {
        short(step, key, LONGEST_AFFIX)?;
    }
    if step.get("length").and_then(Value::as_u64) == Some(0) {
        return Err("`length` is 0; allowed: 1 and more".to_owned());
    }
    let content = short(step, "content", LONGEST_AFFIX)?.len();
    let mut longer = match step.get("type").and_then(Value::as_str) {
        Some("ByteLevel") => 3,
        Some("NFC" | "NFD" | "Lowercase" | "Bert" | "BertNormalizer") => 4,
        Some("NFKC" | "NFKD") => 12,
        Some("BPEDecoder" | "CTC" | "WordPiece") => 2,
        Some("Metaspace") | None => 8,
        Some(_) => 1,
    };
    if let Some(pattern) = step.get("pattern") {
        let plain = pattern.get("String").and_then(Value::as_str);
        let regex = pattern.get("Regex").and_then(Value::as_str);
        patterns.add(plain.or(regex).unwrap_or_default())?;
        let shortest = plain.map_or(0, str::len);
        // What matches nothing matches at each place.
        longer = match shortest {
            0 => content + 1,
            shortest => content.div_ceil(shortest).max(1),
        } as u64;
    }
    longer *= 1 + short(step, "prepend", LONGEST_AFFIX)?.len() as u64;
    if let Some(map) = step.get("precompiled_charsmap") {
        let map = map.as_str().ok_or("`precompiled_charsmap` is no text")?;
        longer *= charsmap::check(map)?.max(1) as u64;
    }
    let mut texts = 1;
    for key in ["single", "pair"] {
        let Some(pieces) = step.get(key).and_then(Value::as_array) else {
            continue;
        };
        if pieces.len() > MOST_PIECES {
            return Err(format!(
                "`{key}` has {} pieces; allowed: up to {MOST_PIECES}",
                pieces.len()
            ));
        }
        if key == "single" {
            let written = pieces.iter().filter(|p| p.get("Sequence").is_some());
            texts = (written.count() as u64).max(1);
        }
    }
    Ok(Factors { longer, texts })
}

/// A text, empty where there is none.
fn short<'a>(fields: &'a Map<String, Value>, key: &str, longest: usize) -> Result<&'a str, String> {
    let text = fields.get(key).and_then(Value::as_str).unwrap_or_default();
    if text.len() > longest {
        return Err(format!(
            "`{key}` has {} bytes; allowed: up to {longest}",
            text.len()
        ));
    }
    Ok(text)
}
