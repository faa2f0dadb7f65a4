//! The proof that ties the layers together: the loss, minimised, is the exact mirror-descent step.

use inpo_core::game::{Strategy, games};
use inpo_core::loss::InpoLossConfig;
use inpo_examples::proof::{
    Labels, as_strategy, exact_iterates, free_logit_iterates, largest_error, mean_sampling_error,
    tiny_transformer, transformer_iterates,
};

/// Inside the stability region of the cyclic game for both references used here.
const SETTINGS: [InpoLossConfig; 3] = [
    InpoLossConfig { tau: 0.1, eta: 0.3 },
    InpoLossConfig { tau: 0.1, eta: 1.0 },
    InpoLossConfig { tau: 0.5, eta: 1.0 },
];

fn assert_close(exact: &[Strategy], neural: &[Strategy], tolerance: f64, what: &str) {
    assert_eq!(exact.len(), neural.len());
    for (t, (a, b)) in exact.iter().zip(neural).enumerate() {
        let error = largest_error(a, b);
        assert!(error < tolerance, "{what}, iteration {}: {error:e}", t + 1);
    }
}

/// The reference of docs/theory.md 11.2 and the uniform one; soft labels, and hard labels as their expectation.
#[test]
fn free_logits_reach_the_exact_iterates() {
    let game = games::cyclic_three();
    let references = [vec![0.25, 0.45, 0.30], vec![1.0 / 3.0; 3]];
    for reference in references {
        let reference = Strategy::new(reference).unwrap();
        for setting in SETTINGS {
            let exact = exact_iterates(&game, &reference, setting, 4).unwrap();
            for labels in [Labels::Soft, Labels::Hard] {
                let neural = free_logit_iterates(&game, &reference, setting, labels, 4).unwrap();
                assert_close(&exact, &neural, 1e-5, &format!("{setting:?} {labels:?}"));
            }
        }
    }
}

/// Through the trainer itself: packed batches, chunked head with closed-form gradient, AdamW.
#[test]
fn a_transformer_reaches_the_exact_iterates() {
    let game = games::cyclic_three();
    for setting in SETTINGS {
        let start = tiny_transformer(3, 1).unwrap();
        let exact = exact_iterates(&game, &as_strategy(&start).unwrap(), setting, 3).unwrap();
        let neural = transformer_iterates(&game, &start, setting, 3).unwrap();
        assert_close(&exact, &neural, 1e-3, &format!("transformer {setting:?}"));
    }
}

/// From N i.i.d. pairs with Bernoulli labels the error falls as 1/sqrt(N): over a factor of 16 it
/// falls by 4. Means of 30 fixed seeds scatter by about 10 %; the band is a factor of 1.5 either way.
#[test]
fn sampled_pairs_converge_as_one_over_root_n() {
    let game = games::cyclic_three();
    let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
    let config = InpoLossConfig { eta: 1.0, tau: 0.1 };
    let error = |count| mean_sampling_error(&game, &reference, config, count, 30).unwrap();
    let ratio = error(200) / error(3200);
    assert!((2.67..6.0).contains(&ratio), "{ratio}");
}
