//! What passes between the stages of preference training, without a tensor: conversations, prompts,
//! completions, the rows of each stage's file, files written whole or not at all, digests, (feature
//! `http`) the client for servers, and (feature `templates`) the limits of foreign templates.
//!
//! A data row travels one way:
//!
//! ```text
//! Row -> Prompt -> Completion -> ResponseRecord -> PreferenceRecord -> PairRecord
//! ```
//!
//! [`Row`] is a line of a user's file with all its columns. A [`Prompt`] is what is answered: the conversation and
//! the row's other columns, which an oracle may need. A [`Completion`] is one answer: its text, its token ids
//! where they are known, and why it ended. The three records are the lines of `responses.jsonl`,
//! `preferences.jsonl` and `pairs.jsonl`.

mod caught;
mod columns;
mod digest;
mod error;
pub mod files;
#[cfg(feature = "http")]
pub mod http;
pub mod input;
#[cfg(feature = "templates")]
pub mod jinja;
mod message;
mod prompt;
mod records;
pub mod rows;
mod source;
mod template_input;
mod text;
mod transcript;
mod words;

pub use caught::caught;
pub use columns::Columns;
pub use digest::{Digester, hex, sha256, sha256_file};
pub use error::DataError;
pub use message::Message;
pub use prompt::{Completion, FinishReason, Prompt, PromptInput};
pub use records::{PairRecord, PreferenceRecord, ResponseRecord};
pub use rows::{Answer, Row, read_rows};
pub use source::{FOREIGN_BYTES, Place};
pub use template_input::TemplateInput;
pub use text::{FOREIGN_WORDS, excerpt, printable, printable_lines};
pub use transcript::{split_transcripts, transcript};
pub use words::{in_toml, in_words};
