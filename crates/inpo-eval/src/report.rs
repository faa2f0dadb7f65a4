//! The evaluation of a whole run: each policy by itself, the game among them, and which one to ship.

use inpo_game::EquilibriumError;
use serde::{Deserialize, Serialize};

use crate::arena::{Arena, By};
use crate::empirical::{EmpiricalGameReport, empirical_game};
use crate::evaluation::{Evaluation, evaluate};
use crate::interval::Resamples;
use crate::lineup::Lineup;

/// `evaluation.json`: a run on its held-out prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEvaluation {
    /// Whom to ship, and why.
    pub recommendation: Recommendation,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Each policy by itself; iteration 0 is the reference.
    pub iterations: Vec<Evaluation>,
    /// The game among all players, where everyone met everyone.
    pub game: Option<EmpiricalGameReport>,
}

/// Whom to ship.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The player's name: `reference`, `initial` or `iteration N`.
    pub player: String,
    /// A sentence that says so, and why.
    pub sentence: String,
}

impl std::fmt::Display for Recommendation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Evaluates a run from what was asked of [`Lineup::matches`] for all of its iterations; `kls` are the policies' divergences
/// from the reference, that of the reference first.
///
/// # Errors
///
/// A game that cannot be solved.
///
/// # Panics
///
/// If a match was not asked: a fault of the caller.
pub fn evaluate_run(
    arena: &Arena,
    lineup: Lineup,
    resamples: &Resamples,
    confidence: f64,
    kls: &[f64],
) -> Result<RunEvaluation, EquilibriumError> {
    let of = |(t, &kl): (usize, &f64)| evaluate(arena, lineup, t, resamples, kl);
    let iterations: Vec<Evaluation> = kls.iter().enumerate().map(of).collect();
    let game = if lineup.empirical_game {
        let names: Vec<String> = (0..arena.count())
            .map(|p| arena.name(p).to_owned())
            .collect();
        let rates = |i: usize, j: usize| {
            let rates = arena.rates(i, j, By::Training);
            rates.expect("everyone met everyone")
        };
        Some(empirical_game(&names, rates, resamples)?)
    } else {
        None
    };
    let recommendation = match &game {
        Some(game) => by_game(game, lineup),
        None => by_win_rate(&iterations),
    };
    Ok(RunEvaluation {
        recommendation,
        confidence,
        iterations,
        game,
    })
}

/// The run's own policy with the largest Nash weight; of several the one with the smallest gap, then the later one.
fn by_game(game: &EmpiricalGameReport, lineup: Lineup) -> Recommendation {
    let own = game.players.iter().enumerate();
    let own = own.filter(|(place, _)| !lineup.named().contains(place));
    let (_, best) = own
        .max_by(|(_, a), (_, b)| {
            let weight = a.nash.mean.total_cmp(&b.nash.mean);
            weight.then(b.gap.mean.total_cmp(&a.gap.mean))
        })
        .expect("the reference plays");
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let name = match best.name.as_str() {
        "reference" => "the reference",
        "initial" => "the policy that the run started from",
        name => name,
    };
    let often = percent(best.largest_nash_share);
    let mut sentence = if game.condorcet_winner.as_ref() == Some(&best.name) {
        format!("ship {name}: it beats every other player of the empirical game")
    } else {
        format!(
            "ship {name}: its Nash weight in the empirical game, {:.2}, is the largest of the run's policies",
            best.nash.mean
        )
    };
    sentence +=
        &format!(" (its Nash weight is the largest in {often} of the draws of the prompts)");
    if best.gap.mean > 0.0 {
        sentence += &format!(", but another player gains {:+} against it", best.gap);
    }
    if game.condorcet_winner.is_none() && game.cyclic_triads > 0 {
        sentence += &format!(
            "; {} of {} triads of players are cycles, so that no single policy is best",
            game.cyclic_triads, game.triads
        );
    }
    Recommendation {
        player: best.name.clone(),
        sentence,
    }
}

/// The policy with the highest win rate against the reference, which itself has 1/2; of several the earlier one.
fn by_win_rate(iterations: &[Evaluation]) -> Recommendation {
    let mut best = &iterations[0];
    for evaluation in iterations {
        if evaluation.win_rate_vs_ref.mean > best.win_rate_vs_ref.mean {
            best = evaluation;
        }
    }
    if best.iteration == 0 {
        return Recommendation {
            player: "reference".to_owned(),
            sentence: "ship the reference: no iteration wins more than half against it".to_owned(),
        };
    }
    let player = iteration_name(best.iteration);
    let sentence = format!(
        "ship {player}: its win rate against the reference, {}, is the highest; no empirical game was played",
        best.win_rate_vs_ref
    );
    Recommendation { player, sentence }
}

/// The name of the policy after iteration `t`; that of the reference for 0.
#[must_use]
pub fn iteration_name(t: usize) -> String {
    match t {
        0 => "reference".to_owned(),
        t => format!("iteration {t}"),
    }
}
