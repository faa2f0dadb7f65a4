//! Every algorithm through the whole loop: its phases, samplers and anchors leave their traces in the
//! run directory.

mod common;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use common::{assert_same, config, contents, prepare, run, start, train_rows};
use inpo_data::PairRecord;
use inpo_data::rows::read_jsonl;
use inpo_loss::Kernel;
use inpo_train::{Algorithm, Models, RunConfig, Silent};
use serde_json::Value;

/// Inverse step size 0.1, tau a third of it, for the methods that have them; three iterations, so that the
/// reference of two has moved once.
fn settings(dir: &Path, algorithm: Algorithm, name: &str) -> RunConfig {
    let mut config = config(dir, name);
    config.iteration.num_iterations = 3;
    config.iteration.prompts_per_iteration = Some(5);
    config.data.eval_prompts = None;
    config.eval = Default::default();
    let objective = &mut config.common.objective;
    objective.algorithm = algorithm;
    objective.tau_eta_ratio = None;
    objective.eta = None;
    if objective.inverse_step_name() == "beta" {
        objective.beta = Some(0.1);
    } else {
        objective.eta = Some(0.1);
    }
    match algorithm {
        Algorithm::Comal | Algorithm::Mpo => config.iteration.ref_update_every = Some(2),
        Algorithm::Enpo => objective.alpha = Some(0.5),
        _ => {}
    }
    config
}

fn go(dir: &Path, algorithm: Algorithm, name: &str, resume: bool) {
    let config = settings(dir, algorithm, name);
    run(&config, start(dir), resume, &mut Silent).unwrap_or_else(|e| panic!("{algorithm:?}: {e}"));
}

fn pairs(root: &Path, folder: &str) -> Vec<PairRecord> {
    read_jsonl(&root.join(folder).join("pairs.jsonl")).unwrap()
}

/// The weights that an algorithm ends with differ from those of every other: no setting is ignored, no
/// algorithm is another one by a different name, but for DNO-Prct, which is DPO towards pi_t, as iterative
/// DPO with a reference that moves in every iteration.
#[test]
fn every_algorithm_runs_and_is_its_own() {
    let dir = prepare();
    let mut weights: BTreeMap<Vec<u8>, Algorithm> = BTreeMap::new();
    for algorithm in Algorithm::ALL.iter().copied() {
        let name = algorithm.name();
        go(dir.path(), algorithm, name, false);
        let file = "iteration-0003/policy/adapter_model.safetensors";
        let bytes = std::fs::read(dir.path().join(name).join(file)).unwrap();
        match weights.insert(bytes, algorithm) {
            None => assert_ne!(
                algorithm,
                Algorithm::DnoPrct,
                "it comes after iterative DPO"
            ),
            Some(Algorithm::IterativeDpo) if algorithm == Algorithm::DnoPrct => {}
            Some(other) => panic!("{algorithm:?} ends where {other:?} does"),
        }
    }
}

fn kernel(algorithm: Algorithm, dir: &Path) -> Kernel {
    let config = settings(dir, algorithm, algorithm.name());
    let objective = config.common.objective.online(1).unwrap();
    *objective.pair_loss().kernel()
}

/// The first loss of a run, before any update, where the policy is all of its anchors. With eta = beta = 0.1:
/// squared (1/0.2)^2 = 25, logistic log 2, hinge 1; with scores what the pairs say.
#[test]
fn the_first_loss_is_the_expected_one() {
    let dir = prepare();
    for algorithm in Algorithm::ALL.iter().copied() {
        let name = algorithm.name();
        go(dir.path(), algorithm, name, false);
        let root = dir.path().join(name);
        let first = &train_rows(&root)[0];
        let folder = match first["phase"].as_str() {
            Some("half") => "iteration-0001/half",
            _ => "iteration-0001",
        };
        // The batch is 2 of the pairs; which ones is the shuffle's business.
        let pairs = pairs(&root, folder);
        let count = pairs.len();
        let of = |value: &dyn Fn(&PairRecord) -> f64| -> Vec<f64> {
            let mut means = Vec::new();
            for i in 0..count {
                for j in 0..i {
                    means.push((value(&pairs[i]) + value(&pairs[j])) / 2.0);
                }
            }
            means
        };
        let scores = |p: &PairRecord| (p.score_chosen.unwrap(), p.score_rejected.unwrap());
        let expected = match algorithm {
            Algorithm::Rebel => of(&|p| ((scores(p).0 - scores(p).1) / 0.1).powi(2)),
            Algorithm::Sppo => of(&|p| {
                let (w, l) = scores(p);
                ((w - 0.5) / 0.1).powi(2) + ((l - 0.5) / 0.1).powi(2)
            }),
            // The exploration term adds a log-prob of the sample; see the next test.
            Algorithm::Enpo => continue,
            // The implicit pull: 1/(2 (eta + tau)) = 0.5/(0.1 + 0.1/3) = 3.75.
            Algorithm::Mpo => vec![3.75_f64.powi(2)],
            _ => match kernel(algorithm, dir.path()) {
                Kernel::Logistic { .. } => vec![std::f64::consts::LN_2],
                Kernel::Hinge { .. } => vec![1.0],
                _ => vec![25.0],
            },
        };
        let loss = first["loss"].as_f64().unwrap();
        let near = expected
            .iter()
            .any(|e| (loss - e).abs() < 1e-3 * e.abs().max(1.0));
        assert!(near, "{algorithm:?}: {loss} is none of {expected:?}");
    }
}

/// ENPO's batch loss is the squared part less alpha = 0.5 times the mean log-prob of the explored
/// responses, so it exceeds the squared part.
#[test]
fn enpo_explores_one_of_the_samples() {
    let dir = prepare();
    go(dir.path(), Algorithm::Enpo, "enpo", false);
    let root = dir.path().join("enpo");
    for pair in pairs(&root, "iteration-0001") {
        let explored = pair.explored_token_ids.unwrap();
        let responses: Vec<Value> =
            read_jsonl(&root.join("iteration-0001/responses.jsonl")).unwrap();
        let row = responses
            .iter()
            .find(|row| row["prompt_id"] == pair.prompt_id);
        let ids = row.unwrap()["response_token_ids"].as_array().unwrap();
        assert!(ids.contains(&serde_json::json!(explored)));
    }
    let first = &train_rows(&root)[0];
    let squared = first["inpo/residual_rms"].as_f64().unwrap().powi(2);
    assert!(first["loss"].as_f64().unwrap() > squared + 1.0, "{first}");
}

/// ONPO's phases share the pairs, EGPO's full step has pairs of its own, from the half step's policy;
/// everybody else has one phase.
#[test]
fn two_phases_have_two_folders() {
    let dir = prepare();
    let has = |root: &Path, file: &str| root.join("iteration-0002").join(file).exists();
    for (algorithm, folder, own_pairs) in [
        (Algorithm::Onpo, "aux", false),
        (Algorithm::Egpo, "half", true),
    ] {
        let name = algorithm.name();
        go(dir.path(), algorithm, name, false);
        let root = dir.path().join(name);
        for file in ["anchors.safetensors", "policy/adapter_model.safetensors"] {
            assert!(has(&root, file) && has(&root, &format!("{folder}/{file}")));
        }
        for file in ["responses.jsonl", "preferences.jsonl", "pairs.jsonl"] {
            assert!(has(&root, file));
            assert_eq!(has(&root, &format!("{folder}/{file}")), own_pairs);
        }
        let rows = train_rows(&root);
        let phases = rows.iter().filter(|row| row["phase"] == folder).count();
        assert!(phases > 0 && phases < rows.len());
        // Steps are numbered through both phases.
        let steps: Vec<u64> = rows
            .iter()
            .filter_map(|row| row["global_step"].as_u64())
            .collect();
        assert_eq!(steps, (1..=rows.len() as u64).collect::<Vec<_>>());
    }
    // The full step answers other responses than the half step: its draws are its own.
    let root = dir.path().join("egpo/iteration-0001");
    let responses = |folder: &str| -> Vec<Value> {
        read_jsonl(&root.join(folder).join("responses.jsonl")).unwrap()
    };
    let (half, full) = (responses("half"), responses(""));
    assert_ne!(half[0]["response_token_ids"], full[0]["response_token_ids"]);
}

/// Whatever file a run of two phases, a moving reference or a history lost, going on writes what the
/// uninterrupted run wrote.
#[test]
fn resumed_runs_repeat_the_uninterrupted_ones() {
    let dir = prepare();
    let cases: [(Algorithm, &[&str]); 5] = [
        (
            Algorithm::Onpo,
            &["iteration-0002/policy", "iteration-0003"],
        ),
        (Algorithm::Onpo, &["iteration-0002", "iteration-0003"]),
        (
            Algorithm::Egpo,
            &["iteration-0003/half/policy", "iteration-0003/policy"],
        ),
        (Algorithm::Comal, &["iteration-0003"]),
        (
            Algorithm::Mnpo,
            &[
                "iteration-0003/anchors.safetensors",
                "iteration-0003/policy",
            ],
        ),
    ];
    for (number, (algorithm, lost)) in cases.into_iter().enumerate() {
        let (whole, cut) = (format!("whole-{number}"), format!("cut-{number}"));
        go(dir.path(), algorithm, &whole, false);
        go(dir.path(), algorithm, &cut, false);
        let root = dir.path().join(&cut);
        for path in lost {
            let path = root.join(path);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            } else {
                std::fs::remove_file(path).unwrap()
            }
        }
        // What the full step made depends on the half step's policy.
        if root.join("iteration-0003/pairs.jsonl").exists() && algorithm == Algorithm::Egpo {
            std::fs::remove_file(root.join("iteration-0003/responses.jsonl")).unwrap();
        }
        go(dir.path(), algorithm, &cut, true);
        let expected = contents(&dir.path().join(&whole));
        assert_same(
            &contents(&root),
            &expected,
            &format!("{algorithm:?} without {lost:?}"),
        );
    }
}

/// Of two phases each knows its own files: damage in the first leaves the second as it is.
#[test]
fn damage_in_a_first_phase_is_mended() {
    let dir = prepare();
    for (algorithm, file) in [
        (Algorithm::Egpo, "half/responses.jsonl"),
        (Algorithm::Egpo, "half/policy/adapter_model.safetensors"),
        (Algorithm::Onpo, "pairs.jsonl"),
        (Algorithm::Onpo, "aux/anchors.safetensors"),
    ] {
        let name = algorithm.name();
        let root = dir.path().join(name);
        if !root.exists() {
            go(dir.path(), algorithm, name, false);
        }
        let expected = common::files::snapshot(&root);
        let path = root.join("iteration-0002").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        go(dir.path(), algorithm, name, true);
        assert!(common::files::snapshot(&root) == expected, "{name}, {file}");
    }
}

/// COMAL's reference: pi_1 in iterations 1 and 2, pi_3 in iteration 3, where h is then 0 again.
#[test]
fn a_moved_reference_is_the_policy_itself() {
    let dir = prepare();
    go(dir.path(), Algorithm::Comal, "comal", false);
    let rows = train_rows(&dir.path().join("comal"));
    let first = |t: u64| {
        let row = rows
            .iter()
            .find(|row| row["iteration"] == t && row["step"] == 1);
        row.unwrap()["inpo/h_mean"].as_f64().unwrap().abs()
    };
    assert!(
        first(1) < 1e-4 && first(3) < 1e-4,
        "{} {}",
        first(1),
        first(3)
    );
    assert!(first(2) > 1e-3, "{}", first(2));
}

/// A reference that is another model: its log-probs are other than the policy's, the first loss is what they give, and
/// the run is evaluated against it.
#[test]
fn a_reference_of_its_own() {
    let dir = prepare();
    let mut config = settings(dir.path(), Algorithm::Inpo, "other");
    config.data.eval_prompts = Some(dir.path().join("eval.jsonl"));
    config.eval.num_generations = 2;
    config.common.reference = toml::from_str("model = 'other'").unwrap();
    let policy = start(dir.path());
    // Another policy of the same vocabulary: the model with adapters that were moved.
    go(dir.path(), Algorithm::Inpo, "moved", false);
    let moved = dir.path().join("moved/iteration-0003/policy");
    let models = Models {
        reference: Some(policy.clone().with_saved_adapters(&moved).unwrap().into()),
        ..Models::from(policy)
    };
    let error = run(&config, start(dir.path()), false, &mut Silent).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`reference.model` is set; allowed:"),
        "{error}"
    );
    let evaluations = run(&config, models, false, &mut Silent).unwrap();
    assert_eq!(evaluations.len(), 4);
    let root = dir.path().join("other");
    assert!(root.join("iteration-0000/start_responses.jsonl").exists());
    let first = &train_rows(&root)[0];
    assert!(first["inpo/h_mean"].as_f64().unwrap().abs() > 1e-3);
    assert_ne!(first["inpo/delta_ref"], first["inpo/delta_prev"]);
}

struct Header(String);

impl inpo_train::Observer for Header {
    fn header(&mut self, header: &dyn Display) {
        self.0 = header.to_string();
    }
}

/// What a run says of itself before it computes anything.
#[test]
fn the_header_matches_the_configuration() {
    let dir = prepare();
    for (algorithm, lines) in [
        (
            Algorithm::Inpo,
            &[
                ", fixed\n",
                "pairs      from pi_t (temperature 1, top_p 1, top_k off, min_p 0)",
                "selection  best against worst of a tournament",
                "objective  inpo: eta (inverse step) 0.1, tau 0.0333",
                "anchors    0.3333 pi_ref + 0.6667 pi_t",
                "target     h = 5 nats; labels are hard; first loss 25 where",
            ][..],
        ),
        (
            Algorithm::Egpo,
            &["pairs      from pi_t, then half_t", "objective  egpo"],
        ),
        (
            Algorithm::NashMd,
            &["pairs      from the mixture pi_ref^0.3333 pi_t^0.6667, token by token"],
        ),
        (
            Algorithm::Comal,
            &["becomes pi_t after every 2 iterations, 1 x in this run"],
        ),
        (
            Algorithm::Dpo,
            &["pairs      from pi_ref", "target     none"],
        ),
        (
            Algorithm::Mnpo,
            &["anchors    0.3333 pi_t + 0.3333 pi_(t-1) + 0.3333 pi_(t-2)"],
        ),
        (
            Algorithm::Sppo,
            &[
                "selection  the first two samples",
                "target     r = (s - 1/2)/0.1 nats for each response, s its score; labels are scores",
            ],
        ),
        (Algorithm::Onpo, &["pairs      from pi_t (temperature"]),
        (Algorithm::Enpo, &["alpha 0.5", "labels are scores"]),
    ] {
        let mut seen = Header(String::new());
        let name = algorithm.name();
        let config = settings(dir.path(), algorithm, name);
        run(&config, start(dir.path()), false, &mut seen).unwrap();
        let text = seen.0;
        for line in lines {
            assert!(text.contains(line), "{algorithm:?}: no `{line}` in\n{text}");
        }
    }
}
