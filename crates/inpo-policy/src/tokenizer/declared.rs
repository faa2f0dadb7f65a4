//! The tokens that the files beside `tokenizer.json` declare, added as transformers 5 adds them
//! (`PreTrainedTokenizerBase._from_pretrained` and `TokenizersBackend.__init__`).
//!
//! With `added_tokens_decoder` in `tokenizer_config.json` the two older files are not read; without it
//! `special_tokens_map.json` wins over the configuration and `added_tokens.json` has further tokens. An id that a
//! file gives is only an order: a token that the vocabulary lacks gets the next free id.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::PANICKED;
use super::bounds::check_added;
use crate::error::{PolicyError, excerpt};
use crate::template::SpecialTokens;
use inpo_data::caught;

const DECODER: &str = "added_tokens_decoder";
const ADDITIONAL: &str = "additional_special_tokens";
const EXTRA: &str = "extra_special_tokens";

/// The most keys of a configuration, and names of special tokens: each is compared with all others.
const MOST_KEYS: usize = 4096;

/// What the files beside `tokenizer.json` say.
pub(super) struct Files<'a> {
    /// `tokenizer_config.json`, its path, and the objects of the two older files.
    pub(super) path: &'a Path,
    pub(super) config: &'a Map<String, Value>,
    pub(super) special_tokens_map: Option<&'a Map<String, Value>>,
    pub(super) added_tokens: Option<&'a Map<String, Value>>,
}

/// The special tokens, in the order in which they are added.
#[derive(Default)]
struct Special {
    /// Those with a name, as `eos_token`.
    named: Vec<(String, AddedToken)>,
    /// Those without.
    extra: Vec<AddedToken>,
}

/// The tokens of a directory beside those of `tokenizer.json`.
pub(super) struct Declared {
    special: Special,
    /// Tokens with an id, in its order.
    numbered: BTreeMap<u32, AddedToken>,
    /// Whether special tokens in a text are cut into pieces.
    split: bool,
}

impl Declared {
    /// Reads what `files` declare for `tokenizer`; `padding` is the token that `tokenizer.json` pads with.
    pub(super) fn read(
        files: &Files<'_>,
        tokenizer: &Tokenizer,
        padding: Option<&str>,
    ) -> Result<Self, PolicyError> {
        let read = Reader { path: files.path };
        let mut keys = files.config.clone();
        if keys.contains_key(ADDITIONAL) && !keys.get(EXTRA).is_some_and(holds) {
            let list = keys.remove(ADDITIONAL).unwrap_or_default();
            keys.insert(EXTRA.to_owned(), list);
        }
        let mut numbered = BTreeMap::new();
        let mut flags: BTreeMap<String, AddedToken> = BTreeMap::new();
        if let Some(tokens) = keys.remove(DECODER).filter(|tokens| !tokens.is_null()) {
            for (id, token) in read.object(DECODER, &tokens)? {
                let token = read.token(DECODER, token, None)?;
                flags.insert(token.content.clone(), token.clone());
                numbered.insert(read.id(DECODER, id)?, token);
            }
        } else {
            for (key, value) in files.special_tokens_map.into_iter().flatten() {
                override_by(&mut keys, key, value);
            }
            let special: HashSet<String> = read.special_texts(&keys)?;
            for (text, id) in files.added_tokens.into_iter().flatten() {
                let token = AddedToken::from(text.as_str(), special.contains(text));
                flags.insert(text.clone(), token.clone());
                numbered.insert(read.id("added_tokens.json", &id.to_string())?, token);
            }
            for (id, token) in tokenizer.get_added_tokens_decoder() {
                flags.insert(token.content.clone(), token.clone());
                numbered.insert(id, token);
            }
        }
        if let Some(pad) = padding {
            let named = keys.get("pad_token").is_some_and(|pad| !pad.is_null());
            if !named {
                keys.insert("pad_token".to_owned(), Value::from(pad));
            }
        }
        Ok(Self {
            special: read.special(&keys, &flags)?,
            numbered,
            split: keys.get("split_special_tokens") == Some(&Value::Bool(true)),
        })
    }

    /// The named special tokens as templates see them.
    pub(super) fn special(&self) -> SpecialTokens {
        let text = |(name, token): &(String, AddedToken)| (name.clone(), token.content.clone());
        SpecialTokens::new(self.special.named.iter().map(text))
    }

    /// Adds to `tokenizer` what it lacks, and gives its tokens the flags that are declared.
    pub(super) fn add_to(self, tokenizer: &mut Tokenizer) -> Result<(), String> {
        tokenizer.set_encode_special_tokens(self.split);
        let present = tokenizer.get_added_tokens_decoder();
        let mut tokens: Vec<AddedToken> = self.numbered.into_values().collect();
        let named = self.special.named.iter().map(|(_, token)| token);
        let mut there: HashSet<&str> = present.values().map(|token| &*token.content).collect();
        let numbered: Vec<String> = tokens.iter().map(|token| token.content.clone()).collect();
        there.extend(numbered.iter().map(String::as_str));
        for token in named.clone().chain(&self.special.extra) {
            if there.insert(&token.content) {
                tokens.push(token.clone());
            }
        }
        let special: HashSet<&str> = named.map(|token| token.content.as_str()).collect();
        for token in &mut tokens {
            token.special |= special.contains(token.content.as_str());
        }
        if tokens.is_empty() {
            return Ok(());
        }
        check_added(tokens.iter().map(|token| token.content.as_str()))?;
        let added = caught(|| tokenizer.add_tokens(tokens)).ok_or(PANICKED)?;
        added.map(|_| ()).map_err(|e| e.to_string())
    }
}

/// The error messages' file.
struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn refuse(&self, key: &str, value: &str, allowed: &str) -> PolicyError {
        PolicyError::Tokenizer {
            path: self.path.to_path_buf(),
            reason: format!("`{key}` has {}; allowed: {allowed}", excerpt(value)),
        }
    }

    fn object<'v>(
        &self,
        key: &str,
        value: &'v Value,
    ) -> Result<&'v Map<String, Value>, PolicyError> {
        let allowed = "an object of ids and tokens";
        let object = value.as_object();
        object.ok_or_else(|| self.refuse(key, &value.to_string(), allowed))
    }

    fn id(&self, key: &str, id: &str) -> Result<u32, PolicyError> {
        let allowed = "ids from 0 to 4294967295";
        id.parse().map_err(|_| self.refuse(key, id, allowed))
    }

    /// A token: its text, or an object with it and its flags. `special` is the flag of a text, and of an object
    /// that has none.
    fn token(
        &self,
        key: &str,
        value: &Value,
        special: Option<bool>,
    ) -> Result<AddedToken, PolicyError> {
        let allowed = "a text, or an object with `content` and flags";
        if let Some(text) = value.as_str() {
            return Ok(AddedToken::from(text, special.unwrap_or(false)));
        }
        let content = value.get("content").and_then(Value::as_str);
        let content = content.ok_or_else(|| self.refuse(key, &value.to_string(), allowed))?;
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        let special = flag("special").or(special).unwrap_or(false);
        let set = |name: &str| flag(name) == Some(true);
        let token = AddedToken::from(content, special)
            .single_word(set("single_word"))
            .lstrip(set("lstrip"))
            .rstrip(set("rstrip"))
            .normalized(flag("normalized").unwrap_or(!special));
        Ok(token)
    }

    /// The texts of all special tokens that `keys` name, for the flags of `added_tokens.json`.
    fn special_texts(&self, keys: &Map<String, Value>) -> Result<HashSet<String>, PolicyError> {
        let Special { named, extra } = self.special(keys, &BTreeMap::new())?;
        let named = named.into_iter().filter(|(name, _)| is_standard(name));
        let tokens = named.map(|(_, token)| token).chain(extra);
        Ok(tokens.map(|token| token.content).collect())
    }

    /// The special tokens of `keys`, named ones and others; `flags` are those that tokens have elsewhere.
    fn special(
        &self,
        keys: &Map<String, Value>,
        flags: &BTreeMap<String, AddedToken>,
    ) -> Result<Special, PolicyError> {
        let Special {
            mut named,
            mut extra,
        } = Special::default();
        let objects = [EXTRA, ADDITIONAL].map(|key| keys.get(key).and_then(Value::as_object));
        let count = keys.len()
            + objects
                .iter()
                .flatten()
                .map(|object| object.len())
                .sum::<usize>();
        if count > MOST_KEYS {
            let got = format!("{count} names");
            return Err(self.refuse(EXTRA, &got, &format!("up to {MOST_KEYS}")));
        }
        let mut name = |key: &str, value: &Value| -> Result<(), PolicyError> {
            let token = self.token(key, value, Some(true))?;
            let known = flags.get(&token.content).filter(|_| is_standard(key));
            let token = known.cloned().unwrap_or(token);
            named.retain(|(name, _)| name != key);
            named.push((key.to_owned(), token));
            Ok(())
        };
        for key in SpecialTokens::STANDARD {
            if let Some(value) = keys.get(key).filter(|value| !value.is_null()) {
                name(key, value)?;
            }
        }
        // A model's own, as `image_token`: those with flags first.
        let own = |(key, _): &(&String, &Value)| key.ends_with("_token") && !is_standard(key);
        let own: Vec<_> = keys.iter().filter(own).collect();
        for &(key, value) in own
            .iter()
            .filter(|(_, value)| value.get("content").is_some())
        {
            name(key, value)?;
        }
        for &(key, value) in own.iter().filter(|(_, value)| value.is_string()) {
            name(key, value)?;
        }
        match keys.get(EXTRA).or_else(|| keys.get(ADDITIONAL)) {
            None | Some(Value::Null) => {}
            Some(Value::Object(tokens)) => {
                for (key, value) in tokens {
                    name(key, value)?;
                }
            }
            Some(Value::Array(tokens)) => {
                for value in tokens {
                    extra.push(self.token(EXTRA, value, Some(true))?);
                }
            }
            Some(other) => {
                let allowed = "a list of tokens, or an object of names and tokens";
                return Err(self.refuse(EXTRA, &other.to_string(), allowed));
            }
        }
        Ok(Special { named, extra })
    }
}

fn is_standard(key: &str) -> bool {
    SpecialTokens::STANDARD.contains(&key)
}

/// Whether Python takes a value as true.
fn holds(value: &Value) -> bool {
    match value {
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        other => !other.is_null(),
    }
}

/// What a key of `special_tokens_map.json` does to the keys of the configuration.
fn override_by(keys: &mut Map<String, Value>, key: &str, value: &Value) {
    let value = match (value, keys.get(key)) {
        (Value::Array(more), Some(Value::Array(list))) if key == EXTRA => {
            let known: HashSet<String> = list.iter().map(Value::to_string).collect();
            let new = more
                .iter()
                .filter(|token| !known.contains(&token.to_string()));
            Value::from([list.as_slice(), &new.cloned().collect::<Vec<_>>()].concat())
        }
        (Value::Object(token), _) if token.contains_key("content") => {
            let mut token = token.clone();
            token.insert("special".to_owned(), Value::Bool(true));
            Value::Object(token)
        }
        _ => value.clone(),
    };
    keys.insert(key.to_owned(), value);
}
