//! What the examples share: prompts, pictures, tables.

use inpo_core::eval::Evaluation;

pub mod compare;
pub mod proof;

/// Training prompts of our own writing, JSONL.
pub const TRAIN_PROMPTS: &str = include_str!("../prompts/train.jsonl");
/// Held-out prompts of our own writing, JSONL.
pub const EVAL_PROMPTS: &str = include_str!("../prompts/eval.jsonl");

/// The evaluations as a Markdown table.
pub fn table(evaluations: &[Evaluation]) -> String {
    let mut table = String::from(
        "| iteration | win rate vs reference (95 %) | vs previous | KL, nats | length, tokens | cut off | \
         cyclic triples |\n|---|---|---|---|---|---|---|",
    );
    for e in evaluations {
        let [against_ref, against_prev] = if e.iteration == 0 {
            ["(reference)".to_owned(), String::new()]
        } else {
            let previous = e.win_rate_vs_prev.map(|rate| rate.to_string());
            [e.win_rate_vs_ref.to_string(), previous.unwrap_or_default()]
        };
        table.push_str(&format!(
            "\n| {} | {against_ref} | {against_prev} | {:.2} | {:.1} | {:.0} % | {} of {} |",
            e.iteration,
            e.kl_ref,
            e.mean_length,
            100.0 * e.clipped_ratio,
            e.cycles.cyclic,
            e.cycles.triples,
        ));
    }
    table
}
