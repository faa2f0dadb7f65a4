//! What several runs that differ in their seed alone say.

use serde::{Deserialize, Serialize};

use crate::evaluation::PerPrompt;
use crate::interval::{Interval, Resamples, standard_deviation, student};
use crate::report::RunEvaluation;

/// A measure over runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The value of each run.
    pub values: Vec<f64>,
    /// Their standard deviation (n - 1); 0 of one run.
    pub sd: f64,
    /// Their mean with Student's interval over runs: where the mean of many runs lies. The point of one run.
    pub runs: Interval,
    /// Their mean with the interval over prompts of these very runs, where the measure is a mean over prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Interval>,
}

/// An iteration over runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedIteration {
    /// The iteration; 0 is the reference.
    pub iteration: usize,
    /// P(policy beats reference).
    pub win_rate_vs_ref: Spread,
    /// The same by the second oracle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_win_rate_vs_ref: Option<Spread>,
    /// The length-controlled win rate against the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_controlled: Option<Spread>,
    /// What the best of K - 1 samples gains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Spread>,
    /// The exploitability within the run's empirical game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Spread>,
    /// Nats per response.
    pub kl_ref: Spread,
    /// Tokens.
    pub mean_length: Spread,
}

/// Runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedSpread {
    /// The runs' seeds.
    pub seeds: Vec<u64>,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// The iterations that all runs have.
    pub iterations: Vec<SeedIteration>,
}

/// The spread of runs on the same held-out prompts: each with its seed, its evaluation, and what was measured on each prompt
/// after each iteration.
///
/// # Panics
///
/// If there is no run, or runs have other numbers of prompts than `resamples`: a fault of the caller.
#[must_use]
pub fn seed_spread(
    runs: &[(u64, RunEvaluation, Vec<PerPrompt>)],
    resamples: &Resamples,
    confidence: f64,
) -> SeedSpread {
    let count = runs.iter().map(|(_, run, _)| run.iterations.len()).min();
    let spread = |values: Vec<f64>, per_prompt: Option<Vec<&Vec<f64>>>| Spread {
        sd: standard_deviation(&values),
        runs: student(&values, confidence),
        prompts: per_prompt.map(|lists| {
            let mean = |x: usize| lists.iter().map(|of| of[x]).sum::<f64>() / lists.len() as f64;
            resamples.mean(&(0..resamples.prompts()).map(mean).collect::<Vec<_>>())
        }),
        values,
    };
    let over_prompts = |t: usize, of: fn(&PerPrompt) -> Option<&Vec<f64>>| {
        let lists: Option<Vec<&Vec<f64>>> = runs.iter().map(|(_, _, per)| of(&per[t])).collect();
        let mean = |list: &&Vec<f64>| list.iter().sum::<f64>() / list.len().max(1) as f64;
        lists.map(|lists| spread(lists.iter().map(mean).collect(), Some(lists)))
    };
    let iteration = |t: usize| {
        let of_runs = |of: &dyn Fn(&RunEvaluation) -> Option<f64>| {
            let values: Option<Vec<f64>> = runs.iter().map(|(_, run, _)| of(run)).collect();
            values.map(|values| spread(values, None))
        };
        let name = crate::iteration_name(t);
        SeedIteration {
            iteration: t,
            win_rate_vs_ref: over_prompts(t, |per| Some(&per.win_rate_vs_ref))
                .expect("every run has one"),
            held_out_win_rate_vs_ref: over_prompts(t, |per| per.held_out.as_ref()),
            length_controlled: of_runs(&|run| {
                let controlled = run.iterations[t].length_controlled.as_ref()?;
                Some(controlled.win_rate.mean)
            }),
            probe: over_prompts(t, |per| per.probe.as_ref()),
            gap: of_runs(&|run| {
                let players = &run.game.as_ref()?.players;
                let player = players.iter().find(|player| player.name == name)?;
                Some(player.gap.mean)
            }),
            kl_ref: of_runs(&|run| Some(run.iterations[t].kl_ref)).expect("every run has one"),
            mean_length: of_runs(&|run| Some(run.iterations[t].mean_length))
                .expect("every run has one"),
        }
    };
    SeedSpread {
        seeds: runs.iter().map(|(seed, _, _)| *seed).collect(),
        confidence,
        iterations: (0..count.unwrap_or(0)).map(iteration).collect(),
    }
}

impl std::fmt::Display for Spread {
    /// Per cent: the mean, the standard deviation, and both intervals.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over runs (sd {:.1})", self.runs, 100.0 * self.sd)?;
        match self.prompts {
            Some(prompts) => {
                let [low, high] = [prompts.low, prompts.high].map(|share| 100.0 * share);
                write!(f, ", [{low:.1}, {high:.1}] over prompts")
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for SeedSpread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = self.seeds.len();
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        write!(f, "{runs} runs, seeds {}", seeds.join(", "))?;
        for iteration in &self.iterations {
            write!(
                f,
                "\niteration {}: win rate vs reference {}",
                iteration.iteration, iteration.win_rate_vs_ref
            )?;
            let others = [
                (
                    "by the held-out oracle",
                    &iteration.held_out_win_rate_vs_ref,
                ),
                ("length-controlled", &iteration.length_controlled),
                ("best of the other samples gains", &iteration.probe),
                ("gap in the empirical game", &iteration.gap),
            ];
            for (what, spread) in others {
                if let Some(spread) = spread {
                    write!(f, "; {what} {spread}")?;
                }
            }
            let (kl, length) = (&iteration.kl_ref, &iteration.mean_length);
            write!(
                f,
                "; KL {:.2} nats (sd {:.2}), length {:.1} tokens (sd {:.1})",
                kl.runs.mean, kl.sd, length.runs.mean, length.sd
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three runs of 0.5, 0.6, 0.7 on two prompts: sd 0.1, Student's t of 2 degrees of freedom 4.3027 (tables), so
    /// 0.6 -+ 0.2484 over runs. Prompt means over runs are 0.5 and 0.7.
    #[test]
    fn runs_and_prompts_have_their_own_intervals() {
        let run = |seed: u64, low: f64| {
            let rates = vec![low, low + 0.2];
            let text = format!(
                r#"{{"recommendation": {{"player": "reference", "sentence": ""}}, "confidence": 0.95, "game": null,
                "iterations": [{{"iteration": 0, "prompts": 2, "samples": 1,
                "win_rate_vs_ref": {{"mean": {mean}, "low": 0, "high": 1}}, "win_rate_vs_prev": null,
                "kl_ref": 0.5, "mean_length": {seed}, "clipped_ratio": 0, "cycles": {{"triples": 0, "cyclic": 0}}}}]}}"#,
                mean = low + 0.1
            );
            let per_prompt = PerPrompt {
                win_rate_vs_ref: rates,
                held_out: None,
                probe: None,
            };
            (seed, serde_json::from_str(&text).unwrap(), vec![per_prompt])
        };
        let runs = [run(1, 0.4), run(2, 0.5), run(3, 0.6)];
        let spread = seed_spread(&runs, &Resamples::new(2, 0.95, 1), 0.95);
        let [iteration] = spread.iterations.as_slice() else {
            panic!("{spread:?}");
        };
        let rate = &iteration.win_rate_vs_ref;
        assert!((rate.sd - 0.1).abs() < 1e-12);
        assert!((rate.runs.mean - 0.6).abs() < 1e-12);
        assert!((rate.runs.high - 0.6 - 0.24841).abs() < 1e-4, "{rate:?}");
        let prompts = rate.prompts.unwrap();
        assert!((prompts.low - 0.5).abs() < 1e-12 && (prompts.high - 0.7).abs() < 1e-12);
        assert_eq!(
            (iteration.kl_ref.sd, iteration.mean_length.runs.mean),
            (0.0, 2.0)
        );
        assert!(iteration.probe.is_none());
        let text = spread.to_string();
        assert!(
            text.contains("60.0 % [35.2, 84.8] over runs (sd 10.0), [50.0, 70.0] over prompts"),
            "{text}"
        );
    }
}
