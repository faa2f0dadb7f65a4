//! What the readers of games and of records share: parts of texts for messages.

use crate::{GameError, MatrixGame};

/// What some programs put before UTF-8 text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Characters of a cell or a name that a message shows.
const SHOWN: usize = 40;

/// Characters of a parser's own message, which may quote what it read.
pub(super) const SHOWN_REASON: usize = 200;

/// A cell or a name for a message: a long one is cut and ends with "..".
pub(crate) fn shortened(text: &str) -> String {
    cut(text, SHOWN)
}

/// The first `most` characters, with ".." if there are more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// serde_json's message without its own "at line .. column ..", which ours gives first.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => cut(&text[..end], SHOWN_REASON),
        None => cut(&text, SHOWN_REASON),
    }
}

/// Names the actions of a game that is read. In a file a name of nothing, or of spaces, is a
/// mistake.
pub(super) fn named(game: MatrixGame, names: Vec<String>) -> Result<MatrixGame, GameError> {
    let blank = names.iter().position(|name| name.trim().is_empty());
    let game = game.with_names(names)?;
    match blank {
        Some(index) => Err(GameError::EmptyName { index }),
        None => Ok(game),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let forty = "é".repeat(40);
        assert_eq!(shortened(&forty), forty);
        assert_eq!(shortened(&"é".repeat(41)), format!("{forty}.."));
        assert_eq!(shortened(""), "");
    }
}
