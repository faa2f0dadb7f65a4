//! From runs to a table and curves.

use std::error::Error;

use inpo_core::game::{MatrixGame, PreferenceGame, Strategy, exploitability};
use inpo_core::train::Algorithm;

use super::exact::{exact_strategies, floor};
use super::play::play;
use super::settings::Settings;
use crate::proof::{as_strategy, tiny_transformer};

/// A game with the word that the table has for it.
#[derive(Debug, Clone)]
pub struct Contest {
    /// Its name.
    pub name: &'static str,
    /// The game.
    pub game: MatrixGame,
}

/// One method on one game from one seed, as exploitability in the plain game.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Oracle calls paid before each iterate.
    pub calls: Vec<usize>,
    /// Of each iterate, the start first.
    pub last: Vec<f64>,
    /// Of the mean of all policies played, pi_1 .. pi_T.
    pub average: f64,
    /// Of each exact iterate; may end early, see [`exact_strategies`].
    pub exact: Vec<f64>,
    /// Of the mean of the exact iterates played.
    pub exact_average: f64,
}

impl Contest {
    /// The transformer of `seed`: start and reference of every method.
    ///
    /// # Errors
    ///
    /// Those of the policy.
    pub fn reference(&self, seed: u64) -> Result<Strategy, Box<dyn Error>> {
        as_strategy(&tiny_transformer(self.num_actions(), seed)?)
    }

    fn num_actions(&self) -> usize {
        self.game.num_actions()
    }

    /// Exploitability of the regularised Nash policy around the transformer of `seed`.
    ///
    /// # Errors
    ///
    /// Those of the policy and of the solver.
    pub fn floor(&self, seed: u64, tau: f64) -> Result<f64, Box<dyn Error>> {
        let nash = floor(&self.game, &self.reference(seed)?, tau)?;
        Ok(exploitability(&self.game, &nash))
    }

    /// Trains and measures.
    ///
    /// # Errors
    ///
    /// As [`play`].
    pub fn outcome(
        &self,
        algorithm: Algorithm,
        settings: &Settings,
        seed: u64,
    ) -> Result<Outcome, Box<dyn Error>> {
        let start = tiny_transformer(self.num_actions(), seed)?;
        let trace = play(&self.game, &start, algorithm, settings, seed)?;
        let reference = &trace.strategies[0];
        let exact = exact_strategies(&self.game, reference, algorithm, settings)?;
        let gaps = |strategies: &[Strategy]| -> Vec<f64> {
            let gap = |strategy| exploitability(&self.game, strategy);
            strategies.iter().map(gap).collect()
        };
        Ok(Outcome {
            calls: trace.calls,
            last: gaps(&trace.strategies),
            average: self.average(&trace.strategies[..settings.iterations])?,
            exact: gaps(&exact),
            exact_average: match exact.get(..settings.iterations) {
                Some(played) => self.average(played)?,
                None => f64::NAN,
            },
        })
    }

    fn average(&self, played: &[Strategy]) -> Result<f64, Box<dyn Error>> {
        let mut mean = vec![0.0; self.num_actions()];
        for strategy in played {
            for (sum, p) in mean.iter_mut().zip(strategy.iter()) {
                *sum += p / played.len() as f64;
            }
        }
        Ok(exploitability(&self.game, &Strategy::new(mean)?))
    }
}

/// Mean and half of its 95 % interval (Student's t over the seeds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// Half of the interval; NaN for a single value.
    pub half: f64,
}

/// 97.5 % quantiles of Student's t for 1, 2, .. degrees of freedom.
const T: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
];

/// Summarises one value a seed.
pub fn summary(values: &[f64]) -> Summary {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let quantile = match values.len() {
        0 | 1 => f64::NAN,
        // From 22 values on, the one of 21 is wide enough.
        n => T[(n - 2).min(T.len() - 1)],
    };
    let half = quantile * (squares / (n - 1.0) / n).sqrt();
    Summary { mean, half }
}

/// Point by point mean of curves, as far as the shortest goes.
pub fn mean_curve<'a>(curves: impl Iterator<Item = &'a Vec<f64>> + Clone) -> Vec<f64> {
    let length = curves.clone().map(Vec::len).min().unwrap_or(0);
    let count = curves.clone().count() as f64;
    (0..length)
        .map(|i| curves.clone().map(|curve| curve[i]).sum::<f64>() / count)
        .collect()
}

/// Final exploitability in thousandths, for each game the last iterate with its interval, the average of
/// the iterates, and what the exact solver reaches in the same iterations (last, average).
///
/// `outcomes[method][game][seed]`; `rows` stand above the methods, one value for each game and seed.
pub fn table(
    contests: &[Contest],
    methods: &[(String, Vec<Vec<Outcome>>)],
    rows: &[(String, Vec<Vec<f64>>)],
) -> String {
    let milli = |value: f64| {
        if value.is_nan() {
            "-".to_owned()
        } else {
            format!("{:.1}", 1e3 * value)
        }
    };
    let with_interval = |values: &[f64]| {
        let Summary { mean, half } = summary(values);
        if half.is_nan() {
            milli(mean)
        } else {
            format!("{} ± {}", milli(mean), milli(half))
        }
    };
    let mut text = String::from("| method |");
    for contest in contests {
        let name = contest.name;
        text.push_str(&format!(" {name}: last | average | exact: last, average |"));
    }
    text.push_str(&format!("\n|---|{}", "---|".repeat(3 * contests.len())));
    for (name, games) in rows {
        text.push_str(&format!("\n| {name} |"));
        for values in games {
            text.push_str(&format!(" {} | | |", with_interval(values)));
        }
    }
    for (name, games) in methods {
        text.push_str(&format!("\n| {name} |"));
        for outcomes in games {
            let of =
                |value: fn(&Outcome) -> f64| -> Vec<f64> { outcomes.iter().map(value).collect() };
            let last = of(|o| o.last.last().copied().unwrap_or(f64::NAN));
            let exact = of(|o| {
                if o.exact.len() == o.last.len() {
                    o.exact[o.exact.len() - 1]
                } else {
                    f64::NAN
                }
            });
            text.push_str(&format!(
                " {} | {} | {}, {} |",
                with_interval(&last),
                with_interval(&of(|o| o.average)),
                milli(summary(&exact).mean),
                milli(summary(&of(|o| o.exact_average)).mean),
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard deviation 1, so 4.303 / sqrt(3).
    #[test]
    fn the_interval_is_students() {
        let Summary { mean, half } = summary(&[1.0, 2.0, 3.0]);
        assert_eq!(mean, 2.0);
        assert!((half - 2.484_338).abs() < 1e-6);
        assert!(summary(&[1.0]).half.is_nan());
    }

    #[test]
    fn curves_are_averaged_as_far_as_all_go() {
        let curves = [vec![1.0, 2.0, 3.0], vec![3.0, 6.0]];
        assert_eq!(mean_curve(curves.iter()), [2.0, 4.0]);
        assert!(mean_curve([].iter()).is_empty());
    }

    #[test]
    fn the_table_is_in_thousandths() {
        let contest = Contest {
            name: "three",
            game: inpo_core::game::games::cyclic_three(),
        };
        let outcome = |last: f64, exact: Vec<f64>| Outcome {
            calls: vec![0, 12],
            last: vec![0.5, last],
            average: 0.02,
            exact,
            exact_average: f64::NAN,
        };
        let outcomes = vec![
            outcome(0.010, vec![0.5, 0.0111]),
            outcome(0.020, vec![0.5, 0.0111]),
            outcome(0.030, vec![0.5, 0.0111]),
        ];
        let cut = vec![outcome(0.04, vec![0.5])];
        let methods = [
            ("inpo".to_owned(), vec![outcomes]),
            ("hinge".to_owned(), vec![cut]),
        ];
        let start = ("start".to_owned(), vec![vec![0.5]]);
        let expected = "\
| method | three: last | average | exact: last, average |
|---|---|---|---|
| start | 500.0 | | |
| inpo | 20.0 ± 24.8 | 20.0 ± 0.0 | 11.1, - |
| hinge | 40.0 | 20.0 | -, - |";
        assert_eq!(table(&[contest], &methods, &[start]), expected);
    }
}
