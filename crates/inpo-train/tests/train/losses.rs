//! First losses by hand, and what the header says of them.

use inpo_policy::Policy;
use std::fmt::Display;

use inpo_train::{Models, Observer};
use serde_json::{Value, json};

use crate::setup::{
    MODEL, OTHER, close, columns, config, first_loss, load, logps, merge, model_section, row, rows,
    sigmoid, train,
};

/// The policy is its own anchor, so that h = 0 and the loss is what the labels say.
#[test]
fn labels_decide_the_first_loss() {
    let with = |labels: &[Value]| -> Vec<Value> {
        let each = labels.iter().enumerate();
        each.map(|(i, label)| row(i, label.clone())).collect()
    };
    let soft = with(&[
        json!({"probability": 0.9}),
        json!({"chosen_probs": 0.6}),
        json!({"probability": 0.5}),
    ]);
    // Targets (p - 1/2)/eta = 4, 1, 0: squares 16, 1, 0.
    close(
        first_loss(&soft, "eta = 0.1\nlabel = 'soft'", load(MODEL)),
        17.0 / 3.0,
        1e-4,
    );
    // The same file with hard labels: (1/(2 eta))^2 = 25.
    close(first_loss(&soft, "eta = 0.1", load(MODEL)), 25.0, 1e-4);
    // (1.5/0.5)^2 = 9 and (-1/0.5)^2 = 4.
    let scores = with(&[
        json!({"score_chosen": 2.0, "score_rejected": 0.5}),
        json!({"score_chosen": -1.0, "score_rejected": 0.0}),
    ]);
    close(
        first_loss(&scores, "algorithm = 'rebel'\neta = 0.5", load(MODEL)),
        6.5,
        1e-4,
    );
    // SPPO, each response: ((0.8 - 1/2)/0.1)^2 + ((0.3 - 1/2)/0.1)^2 = 9 + 4.
    let scores = with(&[json!({"score_chosen": 0.8, "score_rejected": 0.3})]);
    let objective = "algorithm = 'sppo'\neta = 0.1\nlabel = 'scores'";
    close(first_loss(&scores, objective, load(MODEL)), 13.0, 1e-4);
}

/// With another model as the reference h is not 0; every loss is worked out from the two models' log-probs.
#[test]
fn soft_labels_reach_the_loss_where_the_reference_is_another_model() {
    let (policy, other) = (load(MODEL), load(OTHER));
    let p = [0.9, 0.25, 0.5];
    let rows: Vec<Value> = (0..3)
        .map(|i| row(i, json!({"probability": p[i]})))
        .collect();
    let h = |i: usize, weight: f64| {
        let ([w, l], [ref_w, ref_l]) = (logps(&policy, i), logps(&other, i));
        weight * ((w - ref_w) - (l - ref_l))
    };
    let models = || Models {
        reference: Some(other.clone().into()),
        ..Models::from(policy.clone())
    };
    let mean = |loss: &dyn Fn(usize) -> f64| (0..3).map(loss).sum::<f64>() / 3.0;
    let largest = (0..3).map(|i| h(i, 1.0).abs()).fold(0.0, f64::max);
    assert!(largest > 1.0, "the models differ: {largest}");

    // r = log pi - 1/4 log ref - 3/4 log pi, since pi_t is the start: h is a quarter of the difference.
    let objective = "eta = 0.5\ntau_eta_ratio = '1/4'\nlabel = 'soft'";
    let expected = mean(&|i| (h(i, 0.25) - (p[i] - 0.5) / 0.5).powi(2));
    close(first_loss(&rows, objective, models()), expected, 1e-4);

    let objective = "algorithm = 'dpo'\nbeta = 0.2\nlabel = 'soft'";
    let logistic = |i: usize| {
        let s = sigmoid(0.2 * h(i, 1.0));
        -p[i] * s.ln() - (1.0 - p[i]) * (1.0 - s).ln()
    };
    close(
        first_loss(&rows, objective, models()),
        mean(&logistic),
        1e-5,
    );

    let objective = "algorithm = 'ipo'\nbeta = 0.5";
    let expected = mean(&|i| (h(i, 1.0) - 1.0).powi(2));
    close(first_loss(&rows, objective, models()), expected, 1e-4);
}

/// MNPO's newest policy is the previous one: `history0_*`, or `prev_*`, or `[previous]`, or the start.
#[test]
fn the_history_of_mnpo_comes_from_wherever_it_is() {
    let (policy, other) = (load(MODEL), load(OTHER));
    let objective = "algorithm = 'mnpo'\neta = 0.5\nhistory_weights = [0.25, 0.75]";
    // Of the oldest: the other model's log-probs moved by 1 and -1.
    let oldest = |i: usize| {
        let [w, l] = logps(&other, i);
        json!({"history1_chosen_logps": w + 1.0, "history1_rejected_logps": l - 1.0})
    };
    // r(w) - r(l) = d(pi) - 1/4 d(newest) - 3/4 (d(other) + 2), target 1.
    let loss = |newest: &Policy| {
        let d = |policy: &Policy, i: usize| {
            let [w, l] = logps(policy, i);
            w - l
        };
        let h = |i: usize| d(&policy, i) - 0.25 * d(newest, i) - 0.75 * (d(&other, i) + 2.0);
        (0..4).map(|i| (h(i) - 1.0).powi(2)).sum::<f64>() / 4.0
    };
    let rows = |prefix: Option<&str>| -> Vec<Value> {
        let newest = |i: usize| match prefix {
            Some(prefix) => columns(prefix, &other, i, |sum, _| sum),
            None => json!({}),
        };
        (0..4)
            .map(|i| row(i, merge(oldest(i), newest(i))))
            .collect()
    };
    close(
        first_loss(&rows(None), objective, policy.clone()),
        loss(&policy),
        1e-4,
    );
    for prefix in ["history0", "prev"] {
        let got = first_loss(&rows(Some(prefix)), objective, policy.clone());
        close(got, loss(&other), 1e-4);
    }
    let models = Models {
        previous: Some(other.clone().into()),
        ..Models::from(policy.clone())
    };
    close(
        first_loss(&rows(None), objective, models),
        loss(&other),
        1e-4,
    );

    // INPO reads MNPO's name of pi_t as well: h = d(pi) - 1/2 d(pi) - 1/2 d(other).
    let objective = "eta = 0.5\ntau = 0.25";
    let d = |policy: &Policy, i: usize| logps(policy, i)[0] - logps(policy, i)[1];
    let h = |i: usize| 0.5 * d(&policy, i) - 0.5 * d(&other, i);
    let expected = (0..4).map(|i| (h(i) - 1.0).powi(2)).sum::<f64>() / 4.0;
    for prefix in ["history0", "prev"] {
        let rows: Vec<Value> = (0..4)
            .map(|i| row(i, columns(prefix, &other, i, |sum, _| sum)))
            .collect();
        close(first_loss(&rows, objective, policy.clone()), expected, 1e-4);
    }
}

/// Keeps what is said before anything is computed.
#[derive(Default)]
struct Header(String);

impl Observer for Header {
    fn header(&mut self, header: &dyn Display) {
        self.0 = header.to_string();
    }
}

/// The header says whose log-probs the anchors are.
#[test]
fn the_header_names_the_anchors() {
    let header = |rows: &[Value], named: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "out", rows, "eta = 0.5\ntau = 0.125");
        let mut models = Models::from(load(MODEL));
        if named {
            config.common.reference = model_section(OTHER);
            models.reference = Some(load(OTHER).into());
        }
        let mut observer = Header::default();
        train(&config, models, false, &mut observer).unwrap();
        observer.0
    };
    let of = |prefix: &'static str| -> Vec<Value> {
        let row = |i| row(i, columns(prefix, &load(OTHER), i, |sum, _| sum));
        (0..3).map(row).collect()
    };
    let cases = [
        (
            rows(3),
            false,
            [
                "pi_ref     the starting weights",
                "pi_t       the starting weights",
            ],
            "",
        ),
        (
            rows(3),
            true,
            [
                "pi_ref     tiny_llama_tied",
                "pi_t       the starting weights",
            ],
            "",
        ),
        (
            of("ref"),
            false,
            ["pi_ref     see given", "pi_t       the starting weights"],
            "given      ref_chosen_logps, ref_rejected_logps\n",
        ),
        (
            of("history0"),
            false,
            ["pi_ref     the starting weights", "pi_t       see given"],
            "given      history0_chosen_logps, history0_rejected_logps\n",
        ),
        (
            of("ref"),
            true,
            [
                "pi_ref     tiny_llama_tied",
                "pi_t       the starting weights",
            ],
            "given      ref_chosen_logps, ref_rejected_logps\n",
        ),
    ];
    for (rows, named, lines, given) in cases {
        let header = header(&rows, named);
        for line in lines {
            assert!(header.contains(&format!("{line}\n")), "{header}");
        }
        assert_eq!(header.contains("given  "), !given.is_empty(), "{header}");
        assert!(header.contains(given), "{header}");
        assert!(
            header.contains("anchors    0.2500 pi_ref + 0.7500 pi_t"),
            "{header}"
        );
    }
}
