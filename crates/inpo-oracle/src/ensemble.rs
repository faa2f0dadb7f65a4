//! An ensemble: several oracles that vote or are averaged.

use inpo_data::Prompt;
use inpo_game::{OracleCounts, OracleError, Preference, PreferenceOracle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toml::Table;

use crate::kind::{BoxedOracle, OracleConfigError};
use crate::surroundings::Surroundings;
use crate::verdict::{Heard, Judge, Question, Usage, Verdict};

/// How the answers of members become one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// 1 where more members prefer the first than the second, 0 where fewer do, 1/2 where equally many do. A member with
    /// P = 1/2 abstains.
    #[default]
    Majority,
    /// The mean of the members' probabilities.
    Mean,
}

/// Configuration of [`Ensemble`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsembleConfig {
    /// The members, each with the keys of an `[oracle]`: `[[oracle.members]]`.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub members: Vec<Table>,
    /// How their answers become one.
    #[serde(default)]
    pub combine: Combine,
}

impl EnsembleConfig {
    /// Builds the members, each with its wrappers and its journal.
    ///
    /// # Errors
    ///
    /// No members; whatever is wrong with the settings of one, with its place.
    pub fn init(self, around: &Surroundings<'_>) -> Result<Ensemble, OracleConfigError> {
        let Some(build) = around.member else {
            let reason = "oracle.members: an ensemble is built by OracleConfig::init";
            return Err(OracleConfigError::new(reason));
        };
        if self.members.is_empty() {
            let reason = "oracle.members is empty: give at least one [[oracle.members]]";
            return Err(OracleConfigError::new(reason));
        }
        let member = |(place, keys): (usize, &Table)| {
            build(keys, around)
                .map_err(|e| OracleConfigError::new(format!("oracle.members[{place}]: {e}")))
        };
        let members = self.members.iter().enumerate().map(member);
        Ok(Ensemble {
            members: members.collect::<Result<_, _>>()?,
            combine: self.combine,
        })
    }
}

/// Members that vote (a majority of Bradley-Terry judges need not be one: it can cycle) or are averaged.
pub struct Ensemble {
    members: Vec<BoxedOracle>,
    combine: Combine,
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ensemble").field(&self.name()).finish()
    }
}

impl Ensemble {
    fn combined(&self, answers: &[Preference]) -> f64 {
        match self.combine {
            Combine::Mean => answers.iter().map(|p| p.get()).sum::<f64>() / answers.len() as f64,
            Combine::Majority => {
                let count =
                    |wins: fn(f64) -> bool| answers.iter().filter(|p| wins(p.get())).count();
                match count(|p| p > 0.5).cmp(&count(|p| p < 0.5)) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                }
            }
        }
    }
}

impl Judge for Ensemble {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        let answers = self.members.iter().map(|member| member.compare(questions));
        let answers: Vec<Vec<Preference>> = answers.collect::<Result<_, _>>()?;
        for place in 0..questions.len() {
            let of_question: Vec<Preference> = answers.iter().map(|all| all[place]).collect();
            let p = self.combined(&of_question);
            let p = Preference::new(p).unwrap_or(Preference::HALF);
            heard(place, Verdict::new(p, Usage::default()))?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        let members: Vec<String> = self.members.iter().map(|member| member.name()).collect();
        let combine = match self.combine {
            Combine::Majority => "majority",
            Combine::Mean => "mean",
        };
        format!("ensemble({combine} of {})", members.join("; "))
    }

    fn specification(&self) -> Value {
        json!({ "judge": self.name() })
    }

    /// Members answer in both orders themselves.
    fn is_symmetric(&self) -> bool {
        true
    }

    /// Members keep their own answers.
    fn is_costly(&self) -> bool {
        false
    }

    fn prompt_key(&self, _: &Prompt) -> Value {
        Value::Null
    }

    fn inner_counts(&self) -> Option<OracleCounts> {
        let mut counts = OracleCounts::default();
        for member in &self.members {
            counts += member.counts();
        }
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use inpo_data::Completion;

    use super::*;
    use crate::config::OracleConfig;

    fn ask(settings: &str, a: &str, b: &str) -> f64 {
        let config: OracleConfig = toml::from_str(settings).unwrap();
        let oracle = config.init(&Surroundings::default()).unwrap();
        let prompt = Prompt::user("What is the capital of France?");
        let [first, second] = [a, b].map(Completion::finished);
        let question = Question {
            prompt: &prompt,
            first: &first,
            second: &second,
        };
        let p = oracle.compare(&[question]).unwrap()[0].get();
        let counts = oracle.counts();
        assert_eq!(
            (counts.comparisons, counts.order_inconsistency().is_some()),
            (1, true)
        );
        p
    }

    /// Three tables of one pair of actions: 0.9, 0.6 and 0.2. Two of three prefer the first; the mean is 0.5667.
    #[test]
    fn members_vote_or_are_averaged() {
        let dir = tempfile::tempdir().unwrap();
        let mut members = String::new();
        for (i, p) in [0.9, 0.6, 0.2].into_iter().enumerate() {
            let path = dir.path().join(format!("{i}.csv"));
            std::fs::write(&path, format!("0.5,{p}\n{},0.5\n", 1.0 - p)).unwrap();
            members.push_str(&format!(
                "[[members]]\nkind = 'game'\ngame = '{}'\n",
                path.display()
            ));
        }
        let majority = format!("kind = 'ensemble'\n{members}");
        assert_eq!(ask(&majority, "0", "1"), 1.0);
        assert_eq!(ask(&majority, "1", "0"), 0.0);
        let mean = format!("kind = 'ensemble'\ncombine = 'mean'\n{members}");
        assert!((ask(&mean, "0", "1") - 1.7 / 3.0).abs() < 1e-12);
        // Inside its band a member abstains: 0.9 against 0.2.
        let banded = majority.replace("1.csv'\n", "1.csv'\ntie_band = 0.15\n");
        assert_eq!(ask(&banded, "0", "1"), 0.5);
    }

    #[test]
    fn a_member_that_cannot_be_built_is_named() {
        let says = |settings: &str, words: &str| {
            let config: OracleConfig = toml::from_str(settings).unwrap();
            let error = config
                .init(&Surroundings::default())
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(words), "{error}");
        };
        says("kind = 'ensemble'\nmembers = []", "oracle.members is empty");
        says(
            "kind = 'ensemble'\nmembers = [{kind = 'rules'}, {kind = 'dice'}]",
            "oracle.members[1]: unknown variant `dice`",
        );
        says(
            "kind = 'ensemble'\nmembers = [{kind = 'rules', colour = 1}]",
            "oracle.members[0]: unknown field `colour`",
        );
    }
}
