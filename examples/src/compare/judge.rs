//! From a sampler to rows of pairs: sampled and judged, or enumerated.

use std::collections::BTreeMap;

use inpo_core::game::{
    Comparison, OracleError, Preference, PreferenceGame, PreferenceOracle, Strategy,
};
use inpo_core::loss::{Kernel, LabelKind};
use inpo_core::train::Objective;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Responses that are compared each with each where labels are win rates.
const GROUP: usize = 4;

/// Draws the responses and the outcomes of comparisons, whose probabilities an oracle gives.
struct Draw<'a> {
    oracle: &'a dyn PreferenceOracle<(), usize>,
    rng: &'a mut ChaCha8Rng,
    sampler: &'a Strategy,
}

impl Draw<'_> {
    fn response(&mut self) -> usize {
        let mut left = self.rng.random::<f64>();
        let found = self.sampler.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        found.unwrap_or(self.sampler.num_actions() - 1)
    }

    /// A match of two responses, with the number that decides it.
    fn game(&mut self, first: usize, second: usize) -> Game {
        let draw = self.rng.random();
        Game {
            first,
            second,
            draw,
        }
    }

    /// Whether the first response wins, of each match: all are asked together.
    fn outcomes(&self, games: &[Game]) -> Result<Vec<bool>, OracleError> {
        let comparisons: Vec<_> = games.iter().map(Game::comparison).collect();
        let answers = self.oracle.compare(&comparisons)?;
        let won = |(game, p): (&Game, Preference)| game.draw < p.get();
        Ok(games.iter().zip(answers).map(won).collect())
    }
}

/// Two responses to be compared.
struct Game {
    first: usize,
    second: usize,
    /// Uniform from 0 to 1: the first wins where it is below the probability.
    draw: f64,
}

impl Game {
    fn comparison(&self) -> Comparison<'_, (), usize> {
        Comparison {
            prompt: &(),
            first: &self.first,
            second: &self.second,
        }
    }
}

/// Equal pairs as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The preferred response, or the first of two with scores.
    pub chosen: usize,
    /// The other one.
    pub rejected: usize,
    /// The response of an exploration term.
    pub explored: Option<usize>,
    /// Share of the pairs; all together 1.
    pub weight: f64,
    /// Win rates, where labels are scores.
    pub scores: [f64; 2],
}

/// Sums over equal pairs.
#[derive(Default)]
struct Merged {
    weight: f64,
    scores: [f64; 2],
    /// Of sigmoid(s_first - s_second).
    probability: f64,
}

/// Pairs by (chosen, rejected, explored).
#[derive(Default)]
struct Merger(BTreeMap<(usize, usize, Option<usize>), Merged>);

impl Merger {
    /// Two equal responses teach a pair loss nothing and are left out, as `inpo run` does.
    fn add(&mut self, key: (usize, usize, Option<usize>), weight: f64, scores: [f64; 2]) {
        if key.0 == key.1 || weight == 0.0 {
            return;
        }
        let merged = self.0.entry(key).or_default();
        merged.weight += weight;
        merged.scores[0] += weight * scores[0];
        merged.scores[1] += weight * scores[1];
        merged.probability += weight / (1.0 + (scores[1] - scores[0]).exp());
    }

    /// One row for each key, with the gradient that its pairs have together: squared losses are linear in
    /// their targets up to a constant, so that the mean score serves; the logistic one is linear in
    /// sigmoid(s_w - s_l), so that scores with its mean do.
    fn rows(self, kernel: &Kernel) -> Vec<Row> {
        let total: f64 = self.0.values().map(|merged| merged.weight).sum();
        let row = |((chosen, rejected, explored), merged): (_, Merged)| {
            let mut scores = merged.scores.map(|sum| sum / merged.weight);
            if let Kernel::Logistic { .. } = kernel {
                let p = merged.probability / merged.weight;
                let difference = (p / (1.0 - p)).ln();
                scores = [0.5 + difference / 2.0, 0.5 - difference / 2.0];
            }
            Row {
                chosen,
                rejected,
                explored,
                weight: merged.weight / total,
                scores,
            }
        };
        self.0.into_iter().map(row).collect()
    }
}

/// `calls` comparisons of responses drawn from `sampler`, as rows for `objective`.
///
/// Hard labels: each call is a pair of two independent responses with its outcome. Scores: groups of four
/// responses are compared each with each (six calls), and all six pairs are kept. A response's score in a pair is
/// the share that it beat of the two responses that are not in the pair: the pair's own match in it
/// would make the difference of the two scores, on average over partners, 4/3 of that of the win rates.
///
/// # Errors
///
/// Those of the oracle.
pub fn draw_rows(
    oracle: &dyn PreferenceOracle<(), usize>,
    rng: &mut ChaCha8Rng,
    sampler: &Strategy,
    calls: usize,
    objective: &Objective,
) -> Result<Vec<Row>, OracleError> {
    let draw = Draw {
        oracle,
        rng,
        sampler,
    };
    let mut merger = Merger::default();
    if objective.label == LabelKind::Scores {
        add_groups(draw, calls, objective, &mut merger)?;
    } else {
        add_outcomes(draw, calls, &mut merger)?;
    }
    Ok(merger.rows(objective.pair_loss().kernel()))
}

fn add_outcomes(mut draw: Draw<'_>, calls: usize, merger: &mut Merger) -> Result<(), OracleError> {
    let mut games = Vec::with_capacity(calls);
    for _ in 0..calls {
        let (first, second) = (draw.response(), draw.response());
        games.push(draw.game(first, second));
    }
    for (game, won) in games.iter().zip(draw.outcomes(&games)?) {
        let (chosen, rejected) = if won {
            (game.first, game.second)
        } else {
            (game.second, game.first)
        };
        merger.add((chosen, rejected, None), 1.0, [1.0, 0.0]);
    }
    Ok(())
}

fn add_groups(
    mut draw: Draw<'_>,
    calls: usize,
    objective: &Objective,
    merger: &mut Merger,
) -> Result<(), OracleError> {
    const GAMES: usize = GROUP * (GROUP - 1) / 2;
    let (mut groups, mut games) = (Vec::new(), Vec::with_capacity(calls));
    for _ in 0..calls / GAMES {
        let responses: [usize; GROUP] = std::array::from_fn(|_| draw.response());
        games.extend(pairs_of_group().map(|(i, j)| draw.game(responses[i], responses[j])));
        groups.push(responses);
    }
    let outcomes = draw.outcomes(&games)?;
    for (group, (responses, outcomes)) in groups.iter().zip(outcomes.chunks(GAMES)).enumerate() {
        let mut wins = [[0.0; GROUP]; GROUP];
        for ((i, j), &won) in pairs_of_group().zip(outcomes) {
            wins[i][j] = f64::from(u8::from(won));
            wins[j][i] = 1.0 - wins[i][j];
        }
        let explored = objective.exploration.map(|_| responses[group % GROUP]);
        for (i, j) in pairs_of_group() {
            // The order of two responses with scores says nothing: the smaller one first.
            let (i, j) = if responses[i] <= responses[j] {
                (i, j)
            } else {
                (j, i)
            };
            let others = || (0..GROUP).filter(|&k| k != i && k != j);
            let share = |of: usize| {
                let won: f64 = others().map(|k| wins[of][k]).sum();
                won / (GROUP - 2) as f64
            };
            let key = (responses[i], responses[j], explored);
            merger.add(key, 1.0, [share(i), share(j)]);
        }
    }
    Ok(())
}

fn pairs_of_group() -> impl Iterator<Item = (usize, usize)> {
    (0..GROUP).flat_map(|i| (i + 1..GROUP).map(move |j| (i, j)))
}

/// What [`draw_rows`] tends to: every pair with its probability, outcomes with theirs, exact win rates.
pub fn exact_rows(
    game: &impl PreferenceGame,
    sampler: &Strategy,
    objective: &Objective,
) -> Vec<Row> {
    let mut merger = Merger::default();
    let rates = game.win_rates(sampler);
    for (i, mu_i) in sampler.iter().enumerate() {
        for (j, mu_j) in sampler.iter().enumerate() {
            match (objective.label, objective.exploration) {
                (LabelKind::Scores, None) => {
                    merger.add((i, j, None), mu_i * mu_j, [rates[i], rates[j]]);
                }
                (LabelKind::Scores, Some(_)) => {
                    for (z, mu_z) in sampler.iter().enumerate() {
                        let weight = mu_i * mu_j * mu_z;
                        merger.add((i, j, Some(z)), weight, [rates[i], rates[j]]);
                    }
                }
                _ => {
                    let weight = mu_i * mu_j * game.preference(i, j).get();
                    merger.add((i, j, None), 2.0 * weight, [1.0, 0.0]);
                }
            }
        }
    }
    merger.rows(objective.pair_loss().kernel())
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_core::game::games::cyclic_three;
    use inpo_core::game::{Counted, MatrixOracle};
    use inpo_core::loss::{DnoLossConfig, InpoLossConfig, RebelLossConfig};
    use rand::SeedableRng;

    /// Win rates of the three actions against (0.25, 0.45, 0.30):
    /// 0.125 + 0.045 + 0.24, 0.225 + 0.225 + 0.03, 0.05 + 0.405 + 0.15.
    const RATES: [f64; 3] = [0.41, 0.48, 0.605];
    /// Share of "b beats a" among the pairs of two different responses:
    /// 2 x 0.25 x 0.45 x 0.9 / (1 - 0.25^2 - 0.45^2 - 0.3^2).
    const B_BEATS_A: f64 = 0.2025 / 0.645;

    fn sampler() -> Strategy {
        Strategy::new(vec![0.25, 0.45, 0.30]).unwrap()
    }

    fn inpo() -> Objective {
        let config = InpoLossConfig { eta: 0.5, tau: 0.1 };
        config.init().unwrap().into()
    }

    fn drawn(objective: &Objective, calls: usize) -> Vec<Row> {
        let oracle = Counted::new(MatrixOracle::new(cyclic_three()));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let rows = draw_rows(&oracle, &mut rng, &sampler(), calls, objective).unwrap();
        assert_eq!(oracle.comparisons(), calls as u64);
        rows
    }

    fn weight(rows: &[Row], chosen: usize, rejected: usize) -> f64 {
        let found = rows
            .iter()
            .find(|row| (row.chosen, row.rejected) == (chosen, rejected));
        found.map_or(0.0, |row| row.weight)
    }

    /// 60 000 pairs: a share of 0.31 has a standard deviation of 0.0024 among the 38 700 that differ.
    #[test]
    fn outcomes_have_their_probabilities() {
        let exact = exact_rows(&cyclic_three(), &sampler(), &inpo());
        assert!((weight(&exact, 1, 0) - B_BEATS_A).abs() < 1e-12);
        let rows = drawn(&inpo(), 60_000);
        assert!((weight(&rows, 1, 0) - B_BEATS_A).abs() < 0.01);
        for rows in [exact, rows] {
            assert_eq!(rows.len(), 6);
            let total: f64 = rows.iter().map(|row| row.weight).sum();
            assert!((total - 1.0).abs() < 1e-12);
        }
    }

    /// 10 000 groups: each of the three rows has 9000 pairs or more, whose scores have a standard deviation
    /// below 0.5, so the means are known to 0.01 although pairs of a group go together.
    #[test]
    fn scores_are_win_rates_whatever_the_partner() {
        let rebel: Objective = RebelLossConfig { eta: 0.5 }.init().unwrap().into();
        let exact = exact_rows(&cyclic_three(), &sampler(), &rebel);
        for (rows, tolerance) in [(exact, 1e-12), (drawn(&rebel, 60_000), 0.03)] {
            for row in rows {
                for (got, of) in row.scores.iter().zip([row.chosen, row.rejected]) {
                    assert!((got - RATES[of]).abs() < tolerance, "{row:?}");
                }
            }
        }
    }

    /// A logistic loss sees sigmoid(s_w - s_l): 1/(1 + e) and 1/(1 + 1) have the mean 0.384471, whose
    /// logit is -0.470615.
    #[test]
    fn a_merged_row_has_the_gradient_of_its_pairs() {
        let merged = |objective: Objective| {
            let mut merger = Merger::default();
            merger.add((0, 1, None), 1.0, [0.0, 1.0]);
            merger.add((0, 1, None), 1.0, [0.5, 0.5]);
            merger.add((2, 2, None), 1.0, [0.5, 0.5]);
            let rows = merger.rows(objective.pair_loss().kernel());
            assert_eq!((rows.len(), rows[0].weight), (1, 1.0));
            rows[0].scores
        };
        let logistic = merged(DnoLossConfig { eta: 0.5 }.init().unwrap().into());
        assert!((logistic[0] - logistic[1] + 0.470_615).abs() < 1e-6);
        let squared = merged(RebelLossConfig { eta: 0.5 }.init().unwrap().into());
        assert_eq!(squared, [0.25, 0.75]);
    }
}
