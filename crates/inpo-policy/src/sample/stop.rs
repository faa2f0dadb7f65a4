//! What ends a response.

use super::GenerationConfig;
use crate::error::PolicyError;
use crate::tokenizer::{TextCodec, TextStream};

/// The ids and texts that end a response.
#[derive(Debug)]
pub(super) struct Stops<'a> {
    /// The model's end tokens and those of the settings.
    pub(super) ids: Vec<u32>,
    strings: &'a [String],
    codec: Option<&'a TextCodec>,
}

impl<'a> Stops<'a> {
    /// `codec` is there when the settings have stop strings.
    pub(super) fn new(
        eos_token_ids: &[u32],
        config: &'a GenerationConfig,
        codec: Option<&'a TextCodec>,
    ) -> Self {
        Self {
            ids: [eos_token_ids, &config.stop_token_ids].concat(),
            strings: &config.stop_strings,
            codec,
        }
    }

    /// The watch over one response's text, where there are stop strings.
    pub(super) fn watch(&self) -> Option<StopWatch<'a>> {
        let codec = self.codec.filter(|_| !self.strings.is_empty())?;
        Some(StopWatch {
            strings: self.strings,
            stream: codec.stream(),
            tail: String::new(),
        })
    }
}

/// Looks for the stop strings in a response that grows.
#[derive(Debug)]
pub(super) struct StopWatch<'a> {
    strings: &'a [String],
    stream: TextStream<'a>,
    /// The end of the text, long enough for the start of any stop string.
    tail: String,
}

impl StopWatch<'_> {
    /// Whether a stop string is complete now that `id` follows.
    pub(super) fn completes(&mut self, id: u32) -> Result<bool, PolicyError> {
        self.tail += &self.stream.push(id)?;
        let found = self.strings.iter().any(|stop| self.tail.contains(stop));
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let mut cut = self.tail.len().saturating_sub(longest);
        while !self.tail.is_char_boundary(cut) {
            cut -= 1;
        }
        self.tail.drain(..cut);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::vocabularies::smollm;

    #[derive(serde::Deserialize)]
    struct Cases {
        ends: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        ids: Vec<u32>,
        stop_strings: Vec<String>,
        tokens: Option<usize>,
    }

    /// Against the ends that transformers finds (`fixtures/sampler_cases.py`), characters of several tokens
    /// included.
    #[test]
    fn the_token_that_completes_a_text_ends_the_response() {
        let cases = include_str!("../../tests/fixtures/sampler_cases.json");
        let cases: Cases = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.ends.len(), 19);
        let codec = smollm();
        for case in cases.ends {
            let config = GenerationConfig {
                stop_strings: case.stop_strings.clone(),
                ..GenerationConfig::default()
            };
            let mut watch = Stops::new(&[], &config, Some(&codec)).watch().unwrap();
            let end = case.ids.iter().position(|&id| watch.completes(id).unwrap());
            assert_eq!(
                end.map(|end| end + 1),
                case.tokens,
                "{:?}",
                case.stop_strings
            );
        }
    }
}
