//! Reading files of pairs: forms of a row, truncation, refusals. The tiny model's tokenizer has 64 words, so
//! that every expected id can be counted off by hand.

mod brought;
mod forms;
mod labels_and_logps;
mod limits;
mod setup;
