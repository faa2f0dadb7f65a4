//! The text of a response while it grows.

use super::TextCodec;
use crate::error::PolicyError;

/// Ids in, text out, as soon as it is certain: a character whose bytes are spread over several tokens is held
/// back until it is whole. All pieces together are [`TextCodec::decode`] of all ids.
#[derive(Debug)]
pub struct TextStream<'a> {
    codec: &'a TextCodec,
    /// The last ids: those of the last piece, which decide whether a space stands before the next token,
    /// and the ones behind it that have given nothing yet.
    ids: Vec<u32>,
    /// How many of `ids` are the last piece's.
    given_ids: usize,
    /// How many bytes of the text of `ids` were given.
    given: usize,
}

/// What a decoder writes for bytes that are no character (yet).
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

impl TextCodec {
    /// A stream for one response.
    #[must_use]
    pub fn stream(&self) -> TextStream<'_> {
        TextStream {
            codec: self,
            ids: Vec::new(),
            given_ids: 0,
            given: 0,
        }
    }
}

impl TextStream<'_> {
    /// The text that is certain now that `id` follows; perhaps none.
    ///
    /// # Errors
    /// Ids that the tokenizer's decoder refuses.
    pub fn push(&mut self, id: u32) -> Result<String, PolicyError> {
        self.ids.push(id);
        let text = self.codec.decode(&self.ids)?;
        let certain = text.trim_end_matches(UNKNOWN).len();
        let piece = self.rest(&text, certain);
        if certain == text.len() && self.given_ids < self.ids.len() {
            let ids = &self.ids[self.given_ids..];
            let given = self.codec.decode(ids)?;
            // Ids without a text (special tokens) say nothing about the space before the next one, and a text
            // that is another by itself would not be found again.
            if !given.is_empty() && text.ends_with(&given) {
                self.ids.drain(..self.given_ids);
                self.given_ids = self.ids.len();
                self.given = given.len();
            }
        }
        Ok(piece)
    }

    /// What was held back until now, when no id follows.
    ///
    /// # Errors
    /// Ids that the tokenizer's decoder refuses.
    pub fn finish(mut self) -> Result<String, PolicyError> {
        let text = self.codec.decode(&self.ids)?;
        Ok(self.rest(&text, text.len()))
    }

    /// The text from what was given up to `end`.
    fn rest(&mut self, text: &str, end: usize) -> String {
        let piece = text.get(self.given..end).unwrap_or_default().to_owned();
        self.given = self.given.max(end);
        piece
    }
}
