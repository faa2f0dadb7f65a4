//! What a row says of a step's speed.

use inpo_train::Silent;

use crate::setup::{MODEL, close, config, first_step, load, rows, train};

/// Pairs 0 and 1: prompts of 3, responses of 2 and 3, 3 and 6 tokens. 3 + 2 + 3 + 3 + .. = 26 tokens in four
/// sequences. A prompt goes through the blocks once and the last token of a response not at all, which leaves
/// 3 + 1 + 2 + 3 + 2 + 5 = 16, and 14 are scored.
///
/// A block has 32 x 32 (q, o), 32 x 16 (k, v) and three times 32 x 64 parameters, 9216; the head 64 x 32. All
/// trained, 6 each: 16 * 6 * 2 * 9216 + 14 * 6 * 2048 = 1 941 504. With adapters of rank 2 the weights count 4
/// and the 2 * 2 * (64 + 48 + 48 + 64 + 3 * 96) parameters of the adapters 6:
/// 16 * (4 * 18432 + 6 * 2048) + 14 * 4 * 2048 = 1 490 944.
#[test]
fn flops_are_counted_by_parameter_and_token() {
    for (lora, expected) in [(false, 1_941_504.0), (true, 1_490_944.0)] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "out", &rows(2), "eta = 0.1");
        if lora {
            config.common.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
        }
        train(&config, load(MODEL), false, &mut Silent).unwrap();
        let row = first_step(&config.common.output_dir);
        let number = |key: &str| row[key].as_f64().unwrap();
        let (share, peak) = (number("perf/mfu_step"), number("perf/peak_flops"));
        let seconds = number("timing_s/step");
        assert!(peak > 1e6, "{peak}");
        close(share * peak * seconds, expected, 1e-9);
        close(number("perf/tokens_per_second_step") * seconds, 26.0, 1e-9);
    }
}
