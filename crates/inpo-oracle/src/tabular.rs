//! A game of a file as an oracle over text: a response is an action of the game.

use std::path::PathBuf;

use inpo_data::{Completion, Prompt};
use inpo_game::{
    Comparison, MatrixGame, OracleError, Preference, PreferenceGame, PreferenceOracle,
};
use serde::{Deserialize, Serialize};

use crate::kind::OracleConfigError;

/// Configuration of [`GameOracle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GameOracleConfig {
    /// The game file, JSON or CSV: P(row beats column).
    #[serde(alias = "file", alias = "path")]
    #[schemars(extend("x-aliases" = ["file", "path"]))]
    pub game: PathBuf,
}

impl GameOracleConfig {
    /// Reads the game.
    ///
    /// # Errors
    ///
    /// A file that is no game.
    pub fn init(self) -> Result<GameOracle, OracleConfigError> {
        let game = MatrixGame::read(&self.game);
        let game = game.map_err(|e| OracleConfigError::new(format!("oracle.game: {e}")))?;
        let file = self.game.file_name().unwrap_or_default();
        let name = format!("game({})", file.to_string_lossy());
        Ok(GameOracle { game, name })
    }
}

/// P(a > b) of the game's matrix. The text of a response is the name of an action, or its number from 0, with spaces
/// around it passed over; a name wins over a number.
#[derive(Clone, Debug)]
pub struct GameOracle {
    game: MatrixGame,
    name: String,
}

impl GameOracle {
    fn action(&self, response: &Completion) -> Result<usize, String> {
        let text = response.text.trim();
        let count = self.game.num_actions();
        let number = || text.parse().ok().filter(|&action| action < count);
        let action = self.game.index_of(text).or_else(number);
        action.ok_or_else(|| {
            let names = match self.game.names() {
                Some(names) => names.join(", "),
                None => format!("0 to {}", count - 1),
            };
            format!("the response {text:?} is no action of the game; its actions are {names}")
        })
    }
}

impl PreferenceOracle<Prompt, Completion> for GameOracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let answer = |(index, c): (usize, &Comparison<'_, Prompt, Completion>)| {
            let action = |response| {
                let action = self.action(response);
                action.map_err(|reason| OracleError::Invalid { index, reason })
            };
            Ok(self.game.preference(action(c.first)?, action(c.second)?))
        };
        comparisons.iter().enumerate().map(answer).collect()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(game: &str) -> GameOracle {
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::fs::write(file.path(), game).unwrap();
        let game = file.path().to_owned();
        GameOracleConfig { game }.init().unwrap()
    }

    fn ask(oracle: &GameOracle, a: &str, b: &str) -> Result<f64, String> {
        let (prompt, [first, second]) = (Prompt::default(), [a, b].map(Completion::finished));
        let comparison = Comparison {
            prompt: &prompt,
            first: &first,
            second: &second,
        };
        let answers = oracle.compare(&[comparison]).map_err(|e| e.to_string())?;
        Ok(answers[0].get())
    }

    #[test]
    fn responses_are_names_or_numbers_of_actions() {
        let game = r#"{"names": ["rock", "paper", "1"], "preferences": [[0.5, 0.1, 0.8], [0.9, 0.5, 0.3], [0.2, 0.7, 0.5]]}"#;
        let oracle = oracle(game);
        assert_eq!(ask(&oracle, "rock", " paper\n"), Ok(0.1));
        assert_eq!(ask(&oracle, "paper", "rock"), Ok(0.9));
        // The third action is called 1; the second one is number 1 and called otherwise.
        assert_eq!(ask(&oracle, "0", "1"), Ok(0.8));
        assert_eq!(ask(&oracle, "2", "2"), Ok(0.5));
        let error = ask(&oracle, "rock", "scissors").unwrap_err();
        assert!(
            error.ends_with(
                "the response \"scissors\" is no action of the game; its actions are rock, paper, 1"
            ),
            "{error}"
        );
    }
}
