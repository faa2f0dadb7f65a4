//! The evaluation of a run: whom its policies meet, what is written of it, and the same from the run's files alone.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{config, metrics, prepare, start};
use inpo_eval::{Evaluation, RunEvaluation};
use inpo_game::Counted;
use inpo_oracle::TextOracle;
use inpo_policy::PolicyError;
use inpo_train::{EvaluatedRun, Models, Players, RunConfig, Silent, StoredRun, TrainError, run};

fn find(name: &str) -> Result<std::path::PathBuf, PolicyError> {
    Ok(name.into())
}

/// Runs `config` with all its players; returns how many comparisons its first oracle was asked.
fn play(
    config: &RunConfig,
    dir: &Path,
    resume: bool,
) -> Result<(Vec<Evaluation>, u64), TrainError> {
    let device = Device::flex();
    let oracle = config.init_oracle(&device, find)?;
    let oracle = Counted::new(&oracle as &TextOracle<'_>);
    let second = config.init_eval_oracle(&device, find)?;
    let models = Models::from(start(dir)).with_opponents(config, &device, find)?;
    let players = Players {
        eval_oracle: second.as_ref().map(|oracle| oracle as _),
        ..Players::new(models, &oracle)
    };
    let evaluations = run(config, players, resume, &mut Silent)?;
    Ok((evaluations, oracle.comparisons()))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn evaluate(root: &Path, overrides: &[&str]) -> Result<EvaluatedRun, TrainError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let run = StoredRun::open(root, &overrides)?;
    run.evaluate(&Device::flex(), &|name| Ok(name.into()))
}

/// An adapter of an earlier run as an opponent, the starting policy, and a second judge; and all of it again from the files, also
/// from fewer of them.
#[test]
fn a_run_is_evaluated_against_everyone_and_again_from_its_files() {
    let dir = prepare();
    play(&config(dir.path(), "first"), dir.path(), false).unwrap();
    let adapter = dir
        .path()
        .join("first/iteration-0002/policy")
        .display()
        .to_string();
    let mut config = config(dir.path(), "second");
    config.common.seed = 4;
    config.eval.num_generations = 3;
    config
        .eval
        .opponents
        .extend(["initial".to_owned(), adapter.clone()]);
    config.eval.oracle = toml::from_str("kind = 'rules'\ntarget_words = 2").unwrap();
    let (evaluations, asked) = play(&config, dir.path(), false).unwrap();
    let root = config.common.output_dir.clone();

    // 5 prompts: 3 tables of own samples of 3 comparisons, 6 pairs of 4 players of 9; pairs of a tournament of 4 before.
    let training: u64 = (1..=2)
        .map(|t| {
            let path = root.join(format!("iteration-000{t}/preferences.jsonl"));
            let rows: Vec<inpo_data::PreferenceRecord> =
                inpo_data::rows::read_jsonl(&path).unwrap();
            let given = |row: &inpo_data::PreferenceRecord| {
                let known = row
                    .preference
                    .iter()
                    .flatten()
                    .filter(|p| p.is_some())
                    .count();
                (known - row.preference.len()) as u64 / 2
            };
            rows.iter().map(given).sum::<u64>()
        })
        .sum();
    assert_eq!(asked - training, 5 * (3 * 3 + 6 * 9));

    let last: Evaluation = read(&root.join("iteration-0002/eval.json"));
    assert_eq!(last, evaluations[2]);
    assert_eq!(
        last.win_rate_vs_init,
        Some(last.win_rate_vs_ref),
        "one model"
    );
    assert_eq!(last.opponents[0].opponent, adapter);
    let gap = last.oracle_gap.unwrap().mean;
    let by_second = last.held_out_win_rate_vs_ref.unwrap().mean;
    assert!((gap - (last.win_rate_vs_ref.mean - by_second)).abs() < 1e-12);
    let progress = last.win_rate_vs_ref.mean - evaluations[1].win_rate_vs_ref.mean;
    assert!((last.progress.unwrap().mean - progress).abs() < 1e-12);
    assert!(
        last.length_controlled.is_some() && last.probe.is_some() && last.probe_of_ref.is_some()
    );
    let rows = metrics(&root);
    let row = rows.iter().rfind(|row| row["stage"] == "eval").unwrap();
    for (key, value) in [
        ("win_rate_vs_ref", last.win_rate_vs_ref.mean),
        ("win_rate_vs_init", last.win_rate_vs_ref.mean),
        ("win_rate_vs_ref_held_out", by_second),
        ("oracle_gap", gap),
        ("probe", last.probe.unwrap().mean),
    ] {
        assert_eq!(row[format!("game/{key}")], value, "{key}");
    }

    let whole: RunEvaluation = read(&root.join("evaluation.json"));
    assert_eq!(whole.iterations, evaluations);
    let game = inpo_game::MatrixGame::read(root.join("empirical_game.json")).unwrap();
    let names = ["reference", &adapter, "iteration 1", "iteration 2"];
    assert_eq!(game.names().unwrap(), names);

    // Going on asks nobody again.
    let (again, asked) = play(&config, dir.path(), true).unwrap();
    assert_eq!((again, asked), (evaluations, 0));

    let from_files = evaluate(&root, &[]).unwrap();
    assert_eq!(from_files.evaluation, whole);
    // Without what the oracle said, and without the opponent's responses, both are had again.
    for t in 0..=2 {
        std::fs::remove_file(root.join(format!("iteration-000{t}/eval_preferences.jsonl")))
            .unwrap();
    }
    std::fs::remove_dir_all(root.join("iteration-0000/opponent-1")).unwrap();
    std::fs::remove_file(root.join("iteration-0002/eval.json")).unwrap();
    assert_eq!(evaluate(&root, &[]).unwrap().evaluation, whole);
    // Other settings; as far as the responses go.
    let plain = evaluate(
        &root,
        &[
            "eval.opponents=[\"reference\"]",
            "eval.num_prompts=4",
            "eval.empirical_game=false",
        ],
    );
    let plain = plain.unwrap().evaluation;
    assert!(plain.game.is_none() && plain.iterations[2].win_rate_vs_prev.is_none());
    assert_eq!(plain.iterations[2].prompts, 4);
    std::fs::remove_file(root.join("iteration-0002/eval_responses.jsonl")).unwrap();
    assert_eq!(evaluate(&root, &[]).unwrap().evaluation.iterations.len(), 2);

    let says = |overrides: &[&str], words: &str| {
        let error = evaluate(&root, overrides).unwrap_err();
        assert!(
            error.is_input() && error.to_string().contains(words),
            "{error}"
        );
    };
    says(
        &["train.optim=sgd"],
        "--set train.optim=sgd: a run that is there has its settings; allowed: those of [eval]",
    );
    says(
        &["eval.num_generations=4"],
        "`eval.num_generations` is 4; allowed: at most 3, the samples of ",
    );
    says(
        &["eval.num_prompts=6"],
        "`eval.num_prompts` is 6; allowed: at most 5, the prompts of ",
    );
    let manifest = root.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replacen("\"oracle\": \"rules", "\"oracle\": \"people", 1),
    )
    .unwrap();
    says(&[], "the run was judged by people");
}

/// Opponents and second judges that are not to be had, or of no use, by their keys.
#[test]
fn what_cannot_be_evaluated_is_refused() {
    let dir = prepare();
    let refused = |change: &dyn Fn(&mut RunConfig), words: &str| {
        let mut config = config(dir.path(), "bad");
        change(&mut config);
        let error = config.validate().err();
        let error = error.unwrap_or_else(|| play(&config, dir.path(), false).unwrap_err());
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(
        &|c| c.eval.opponents = vec!["previous".into()],
        "a list with \"reference\"",
    );
    refused(
        &|c| c.eval.opponents.push("previous".into()),
        "previous is there twice",
    );
    refused(
        &|c| c.eval.opponents.push("iteration 1".into()),
        "`eval.opponents` is \"iteration 1\"",
    );
    let absent = dir.path().join("absent").display().to_string();
    refused(&|c| c.eval.opponents.push(absent.clone()), &absent);
    let second = || toml::from_str("kind = 'rules'\nall_pairs = true").unwrap();
    refused(
        &|c| c.eval.oracle = second(),
        "`eval.oracle.all_pairs` is true",
    );
    let set = || toml::from_str("kind = 'rules'").unwrap();
    refused(
        &|c| {
            (c.eval, c.data.eval_prompts) = (Default::default(), None);
            c.eval.oracle = set();
        },
        "`eval.oracle` is set; allowed: absent: there are no data.eval_prompts",
    );
    let mut config = config(dir.path(), "bad");
    config.eval.oracle = set();
    let error = common::run(&config, start(dir.path()), false, &mut Silent).unwrap_err();
    let words = "`eval.oracle` is set; allowed: absent, as the run was given no second oracle";
    assert_eq!(error.to_string(), words);
}
