//! The empirical game of a run: who beats whom on held-out prompts, and what follows from it.

use inpo_game::analysis::{condorcet_winner, cyclic_triads};
use inpo_game::{EquilibriumError, MatrixGame, PreferenceGame, exploitability_of_rates, nash};
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, Resamples};

/// What the empirical game says of one of its players.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmpiricalPlayer {
    /// Its name.
    pub name: String,
    /// Its weight in the Nash policy of the game.
    pub nash: Interval,
    /// The share of draws of the prompts in which nobody has a larger Nash weight; several that share the largest
    /// share the draw.
    pub largest_nash_share: f64,
    /// Its exploitability within the game: the highest win rate of another player over it, minus 1/2; 0 where none beats it.
    pub gap: Interval,
}

/// The game whose actions are policies: P(i beats j) is the mean over held-out prompts and pairs of their samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmpiricalGameReport {
    /// The players, in the order of the rows.
    pub players: Vec<EmpiricalPlayer>,
    /// P(i beats j).
    pub preferences: Vec<Vec<f64>>,
    /// Lower ends of the intervals of P(i beats j).
    pub low: Vec<Vec<f64>>,
    /// Upper ends.
    pub high: Vec<Vec<f64>>,
    /// The player that beats every other, if there is one.
    pub condorcet_winner: Option<String>,
    /// The share of draws of the prompts in which there is one.
    pub condorcet_share: f64,
    /// Triads of players that beat each other in a circle.
    pub cyclic_triads: u64,
    /// All triads of players.
    pub triads: u64,
}

/// The empirical game of players, from `rates(i, j)`: i's win rate over j for each prompt, asked for i < j.
///
/// Intervals and shares are over the draws of `resamples`: the game of each is solved again.
///
/// # Errors
///
/// A linear program that cannot be solved.
///
/// # Panics
///
/// If there is no player, or not one rate a prompt: a fault of the caller.
pub fn empirical_game(
    names: &[String],
    rates: impl Fn(usize, usize) -> Vec<f64>,
    resamples: &Resamples,
) -> Result<EmpiricalGameReport, EquilibriumError> {
    let count = names.len();
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|i| (i + 1..count).map(move |j| (i, j)))
        .collect();
    let of_pairs: Vec<Vec<f64>> = pairs.iter().map(|&(i, j)| rates(i, j)).collect();
    let solved = |places: &[usize]| {
        let total = places.len().max(1) as f64;
        let mean = |rates: &Vec<f64>| places.iter().map(|&x| rates[x]).sum::<f64>() / total;
        let mut means = of_pairs.iter().map(mean);
        // Asked in the order of `pairs`; a mean of shares may exceed 1 by rounding.
        let game = MatrixGame::from_fn(count, |_, _| means.next().unwrap_or(0.5).clamp(0.0, 1.0));
        Solved::new(&game.expect("shares of at least one player"))
    };
    let all: Vec<usize> = (0..resamples.prompts()).collect();
    let found = solved(&all)?;
    let draws: Vec<Solved> = resamples
        .each(|places| solved(places))
        .into_iter()
        .collect::<Result<_, _>>()?;
    let interval = |of: &dyn Fn(&Solved) -> f64| {
        resamples.interval(of(&found), draws.iter().map(of).collect())
    };
    let player = |(i, name): (usize, &String)| EmpiricalPlayer {
        name: name.clone(),
        nash: interval(&|solved| solved.nash[i]),
        largest_nash_share: draws
            .iter()
            .map(|solved| solved.share_of_largest(i))
            .sum::<f64>()
            / draws.len() as f64,
        gap: interval(&|solved| solved.gaps[i]),
    };
    let entries: Vec<Vec<Interval>> = (0..count)
        .map(|i| {
            let entry = |j: usize| interval(&|solved: &Solved| solved.game.preference(i, j).get());
            (0..count).map(entry).collect()
        })
        .collect();
    let matrix = |of: fn(&Interval) -> f64| -> Vec<Vec<f64>> {
        entries
            .iter()
            .map(|row| row.iter().map(of).collect())
            .collect()
    };
    let triads = cyclic_triads(&found.game);
    Ok(EmpiricalGameReport {
        players: names.iter().enumerate().map(player).collect(),
        preferences: matrix(|entry| entry.mean),
        low: matrix(|entry| entry.low),
        high: matrix(|entry| entry.high),
        condorcet_winner: found.winner.map(|winner| names[winner].clone()),
        condorcet_share: draws
            .iter()
            .filter(|solved| solved.winner.is_some())
            .count() as f64
            / draws.len() as f64,
        cyclic_triads: triads.cyclic,
        triads: triads.total,
    })
}

impl EmpiricalGameReport {
    /// Says whether there is an entry for every two players, as there may not be in a damaged file.
    #[cfg(feature = "page")]
    pub(crate) fn is_whole(&self) -> bool {
        let count = self.players.len();
        let is_square =
            |rows: &Vec<Vec<f64>>| rows.len() == count && rows.iter().all(|row| row.len() == count);
        [&self.preferences, &self.low, &self.high]
            .into_iter()
            .all(is_square)
    }

    /// The game, for a game file; none where two players have one name.
    #[must_use]
    pub fn to_game(&self) -> Option<MatrixGame> {
        let names = self.players.iter().map(|player| player.name.clone());
        let game = MatrixGame::new(self.preferences.clone()).ok()?;
        game.with_names(names.collect()).ok()
    }
}

/// A game with its solution.
struct Solved {
    game: MatrixGame,
    nash: Vec<f64>,
    gaps: Vec<f64>,
    winner: Option<usize>,
}

impl Solved {
    fn new(game: &MatrixGame) -> Result<Self, EquilibriumError> {
        let count = game.num_actions();
        let winner = condorcet_winner(game);
        let nash = match winner {
            // Who beats everyone is the only Nash policy.
            Some(winner) => (0..count).map(|i| f64::from(i == winner)).collect(),
            None => nash(game)?.into(),
        };
        let gap = |i: usize| {
            let against: Vec<f64> = (0..count).map(|j| game.preference(j, i).get()).collect();
            exploitability_of_rates(&against)
        };
        Ok(Self {
            nash,
            gaps: (0..count).map(gap).collect(),
            winner,
            game: game.clone(),
        })
    }

    /// 1 where player i alone has the largest Nash weight, 1/n where n share it.
    fn share_of_largest(&self, i: usize) -> f64 {
        let largest = self.nash.iter().copied().fold(0.0, f64::max);
        let is_largest = |weight: &&f64| **weight >= largest - 1e-9;
        if is_largest(&&self.nash[i]) {
            1.0 / self.nash.iter().filter(is_largest).count() as f64
        } else {
            0.0
        }
    }
}
