//! Log-probs that come with the pairs.

use inpo_policy::{Policy, Sequence};
use inpo_train::{Models, Silent};
use serde_json::{Value, json};

use crate::setup::{
    MODEL, OTHER, close, columns, config, first_loss, ids, load, merge, row, rows, train,
};

#[track_caller]
fn refused(rows: &[Value], objective: &str, reference: Option<Policy>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", rows, objective);
    let models = Models {
        reference: reference.map(Into::into),
        ..Models::from(load(MODEL))
    };
    let error = train(&config, models, false, &mut Silent).unwrap_err();
    assert!(error.is_input(), "{error}");
    assert!(!dir.path().join("out/policy").exists());
    error.to_string()
}

/// Means are refused, of whatever policy; the sums of the same policy are not.
#[test]
fn means_are_refused_and_sums_are_not() {
    let of = |policy: &Policy, map: &dyn Fn(f64, usize) -> f64| -> Vec<Value> {
        (0..7)
            .map(|i| row(i, columns("ref", policy, i, map)))
            .collect()
    };
    let mean = |sum: f64, tokens: usize| sum / tokens as f64;
    for name in [MODEL, OTHER] {
        let policy = load(name);
        let error = refused(&of(&policy, &mean), "algorithm = 'dpo'", None);
        assert!(
            error.contains("it looks like a mean over tokens, and sums are needed"),
            "{error}"
        );
        // Sums of a policy that is so much surer that they are as small as means.
        for scale in [1.0, 0.3, 0.1] {
            let surer = of(&policy, &|sum, _| sum * scale);
            first_loss(&surer, "algorithm = 'dpo'", load(MODEL));
        }
        // A named model decides, and says so.
        let error = refused(
            &of(&policy, &mean),
            "algorithm = 'dpo'",
            Some(policy.clone()),
        );
        assert!(
            error.contains("but the model that the configuration names gives -")
                && error.ends_with(": it looks like a mean over tokens, and sums are needed"),
            "{error}"
        );
    }
    // A file that says that it holds sums is believed, unless a model speaks against it.
    let says = |rows: Vec<Value>| -> Vec<Value> {
        let says = json!({"logp_reduction": "sum"});
        rows.into_iter()
            .map(|row| merge(row, says.clone()))
            .collect()
    };
    let policy = load(OTHER);
    first_loss(&says(of(&policy, &mean)), "algorithm = 'dpo'", load(MODEL));
    let error = refused(&says(of(&policy, &mean)), "algorithm = 'dpo'", Some(policy));
    assert!(
        error.contains("the model that the configuration names"),
        "{error}"
    );
}

/// Over one token mean and sum are the same.
#[test]
fn one_token_responses_are_not_taken_for_means() {
    for name in [MODEL, OTHER] {
        let policy = load(name);
        let rows: Vec<Value> = (0..6)
            .map(|i| {
                let [prompt, chosen, rejected] = ids(i);
                let sides = [&chosen[..1], &rejected[..1]];
                let sequences = sides.map(|ids| Sequence::new(&prompt, ids));
                let logps = policy.logps(&sequences).unwrap();
                json!({
                    "prompt_token_ids": prompt,
                    "chosen_token_ids": sides[0], "rejected_token_ids": sides[1],
                    "ref_chosen_logps": logps[0][0], "ref_rejected_logps": logps[1][0]
                })
            })
            .collect();
        first_loss(&rows, "algorithm = 'dpo'", load(MODEL));
        let models = Models {
            reference: Some(policy.into()),
            ..Models::from(load(MODEL))
        };
        first_loss(&rows, "algorithm = 'dpo'", models);
    }
}

/// Given log-probs are compared with the model that is named, in the first, the middle, the last and the
/// longest row.
#[test]
fn given_log_probs_must_be_those_of_the_named_model() {
    let other = load(OTHER);
    let given = |wrong: Option<usize>| -> Vec<Value> {
        (0..8)
            .map(|i| {
                let shift = if wrong == Some(i) { 0.2 } else { 0.0 };
                row(i, columns("ref", &other, i, |sum, _| sum - shift))
            })
            .collect()
    };
    let models = Models {
        reference: Some(other.clone().into()),
        ..Models::from(load(MODEL))
    };
    // Computed or given, the loss is the same.
    let objective = "algorithm = 'ipo'\nbeta = 0.5";
    let computed = first_loss(&rows(8), objective, models.clone());
    close(first_loss(&given(None), objective, models), computed, 1e-9);
    // Responses have up to 3 + 6 = 9 tokens, in pair 2 alone.
    for wrong in [0, 2, 3, 7] {
        let error = refused(&given(Some(wrong)), objective, Some(other.clone()));
        let place = format!("line {}: `ref_chosen_logps` is -", wrong + 1);
        assert!(error.contains(&place), "{error}");
    }
}
