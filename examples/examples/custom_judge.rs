//! Aligns SmolLM2 with a preference of your own: a closure that compares two completions.
//!
//! ```text
//! cargo run --release --example custom_judge [-- PROMPTS.jsonl EVAL_PROMPTS.jsonl]
//! ```

use std::error::Error;

use inpo_core::prelude::*;

/// P(`first` beats `second` as an answer to `prompt`): an answer that ended by itself beats one that was cut off; of two
/// others the shorter one wins, by three to one if it has ten words less. A prompt's other columns can be read too.
fn brevity(prompt: &Prompt, first: &Completion, second: &Completion) -> f64 {
    let is_cut = |completion: &Completion| completion.finish_reason == FinishReason::Length;
    match (is_cut(first), is_cut(second)) {
        (true, false) => 0.0,
        (false, true) => 1.0,
        _ => {
            let words = |completion: &Completion| completion.text.split_whitespace().count() as f64;
            let scale = prompt
                .metadata
                .get("scale")
                .and_then(|scale| scale.as_f64());
            let difference = (words(second) - words(first)) / scale.unwrap_or(10.0);
            1.0 / (1.0 + 3_f64.powf(-difference))
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1);
    let mut file = |default: &str| files.next().unwrap_or_else(|| default.to_owned());
    let prompts = file("examples/prompts/train.jsonl");
    let mut config = RunConfig::new("smollm2-135m-instruct", prompts, "runs/custom_judge");
    config.data.eval_prompts = Some(file("examples/prompts/eval.jsonl").into());
    config.eval.num_prompts = Some(32);
    config.generation.max_new_tokens = 48;
    config.iteration.num_iterations = 1;
    config.iteration.prompts_per_iteration = Some(32);
    config.common.policy.lora = Some(LoraConfig::default());
    config.common.objective.eta = Some(0.05);
    config.common.train.learning_rate = 5e-4;
    config.common.train.warmup_ratio = Some(0.0);
    config.common.train.per_device_train_batch_size = 8;
    config.common.train.gradient_accumulation_steps = 1;

    let device = inpo_core::device(&config.common.device)?;
    let policy = Policy::load(&find_model(&config.common.policy.model)?, &device)?;
    let judge = FnOracle::new("brevity", brevity);
    for evaluation in run(&config, Players::new(policy, &judge), true, &mut Silent)? {
        println!("{evaluation}");
    }
    Ok(())
}
