use inpo_loss::Role;

use super::*;
use crate::phases::PolicyId::{After, Intermediate, Reference};
use crate::phases::{PairsFrom, PolicyId};

fn of(algorithm: Algorithm, t: usize, every: usize) -> Vec<Phase> {
    let round = Round {
        reference_weight: 0.25,
        ..Round::new(t).with_moving_reference(every)
    };
    (algorithm.method().phases)(&round)
}

#[test]
fn inpo_plays_against_itself() {
    let [phase] = &of(Algorithm::Inpo, 3, 0)[..] else {
        panic!("one phase")
    };
    assert_eq!(phase.pairs_from, PairsFrom::Policy(After(2)));
    assert_eq!((phase.start, phase.result), (After(2), After(3)));
    assert_eq!(phase.policy(Role::Reference), Some(Reference));
    assert_eq!(phase.policy(Role::Previous), Some(After(2)));
    assert_eq!(phase.policy(Role::History(0)), Some(After(2)));
    assert_eq!(phase.policy(Role::History(2)), Some(After(0)));
}

/// Every 2 iterations: pi_ref in 1 and 2, pi_3 in 3 and 4, pi_5 in 5.
#[test]
fn the_reference_moves() {
    let references: Vec<PolicyId> = (1..=5)
        .map(|t| of(Algorithm::Comal, t, 2)[0].reference)
        .collect();
    let expected = [Reference, Reference, After(2), After(2), After(4)];
    assert_eq!(references, expected);
    assert_eq!(of(Algorithm::IterativeDpo, 3, 1)[0].reference, After(2));
}

#[test]
fn onpo_keeps_two_sequences_and_egpo_looks_ahead() {
    let onpo = of(Algorithm::Onpo, 2, 0);
    assert_eq!(
        (onpo[0].start, onpo[0].result),
        (Intermediate(1), Intermediate(2))
    );
    assert_eq!((onpo[1].start, onpo[1].result), (Intermediate(2), After(2)));
    let anchors: Vec<_> = onpo
        .iter()
        .filter_map(|p| p.policy(Role::Auxiliary))
        .collect();
    assert_eq!(anchors, [Intermediate(1), Intermediate(2)]);
    assert!(
        onpo.iter()
            .all(|p| p.pairs_from == PairsFrom::Policy(After(1)))
    );
    let egpo = of(Algorithm::Egpo, 2, 0);
    assert_eq!((egpo[0].start, egpo[0].result), (After(1), Intermediate(2)));
    assert_eq!((egpo[1].start, egpo[1].result), (After(1), After(2)));
    assert_eq!(egpo[0].pairs_from, PairsFrom::Policy(After(1)));
    assert_eq!(egpo[1].pairs_from, PairsFrom::Policy(Intermediate(2)));
    assert!(
        egpo.iter()
            .all(|p| p.policy(Role::Previous) == Some(After(1)))
    );
}

#[test]
fn fixed_data_comes_from_the_reference_and_nash_md_mixes() {
    assert_eq!(
        of(Algorithm::Dpo, 2, 0)[0].pairs_from,
        PairsFrom::Policy(Reference)
    );
    let mixture = PairsFrom::Mixture {
        reference: Reference,
        previous: After(1),
        weight: 0.25,
    };
    assert_eq!(of(Algorithm::NashMd, 2, 0)[0].pairs_from, mixture);
}

/// Every method is found by its name and its aliases, and by nothing else.
#[test]
fn words_are_names() {
    let read = |word: &str| serde_json::from_value::<Algorithm>(word.into());
    for &algorithm in Algorithm::ALL {
        let method = algorithm.method();
        for word in method.aliases.iter().chain([&method.name]) {
            assert_eq!(read(word).unwrap(), algorithm);
        }
        assert_eq!(serde_json::to_value(algorithm).unwrap(), method.name);
    }
    assert_eq!(read("sigmoid").unwrap(), Algorithm::Dpo);
    let error = read("inpoo").unwrap_err().to_string();
    assert!(
        error.starts_with("unknown variant `inpoo`, expected one of `inpo`, "),
        "{error}"
    );
}

/// The loss of each method is called as the method is.
#[test]
fn losses_have_the_methods_names() {
    for &algorithm in Algorithm::ALL {
        let settings = Settings {
            step: 0.1,
            tau: 0.05,
            label_smoothing: 0.0,
            history_weights: &[0.5, 0.5],
            alpha: 0.001,
            policies: 2,
        };
        let loss = (algorithm.method().loss)(&settings).unwrap();
        let loss = loss.loss.pair_loss();
        assert_eq!(loss.name(), algorithm.name());
        // The documented anchors are the loss's.
        let said = algorithm.method().anchors;
        let symbols = match loss.anchors() {
            [one] => match one.role {
                Role::Reference => "ref",
                Role::Previous => "pi_t",
                Role::Auxiliary => "aux_t",
                Role::History(_) => "h0",
            },
            [_, _] if said.starts_with("as inpo") => continue,
            [one, _] if one.role == Role::Reference => "ref pi_t",
            _ => "h0 h1",
        };
        for symbol in symbols.split(' ') {
            assert!(said.contains(symbol), "{}: {said}", algorithm.name());
        }
    }
}
