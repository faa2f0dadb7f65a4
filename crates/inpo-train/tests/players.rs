//! A program's own oracle and its own engine in the loop: what they are asked, and what becomes of their answers.

mod common;

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;

use common::{config, contents, prepare, start};
use inpo_data::rows::read_jsonl;
use inpo_data::{Completion, FinishReason, PreferenceRecord, Prompt};
use inpo_game::{Comparison, Counted, FnOracle, OracleError, Preference, PreferenceOracle};
use inpo_policy::{
    BehaviourPolicy, DrawKey, Engine, GenerationConfig, LocalEngine, Policy, PolicyError, Sampler,
    Samples, Sequence,
};
use inpo_train::{Models, Observer, Players, RunConfig, Silent, run};

/// The longer response wins.
fn length(_: &Prompt, first: &Completion, second: &Completion) -> f64 {
    let ids = |completion: &Completion| completion.token_ids.as_ref().unwrap().len();
    match ids(first).cmp(&ids(second)) {
        std::cmp::Ordering::Less => 0.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0,
    }
}

/// Eight responses to each of 8 prompts in each of two iterations, and no evaluation.
fn eight(dir: &Path, name: &str) -> RunConfig {
    let mut config = config(dir, name);
    config.generation.num_generations = 8;
    config.data.eval_prompts = None;
    config.eval = Default::default();
    config
}

fn matrices(root: &Path, t: usize) -> Vec<Vec<Vec<Option<f64>>>> {
    let path = root.join(format!("iteration-000{t}/preferences.jsonl"));
    let rows: Vec<PreferenceRecord> = read_jsonl(&path).unwrap();
    rows.into_iter().map(|row| row.preference).collect()
}

/// The header, as it is shown before anything is asked, with what was asked by then.
struct Header<'a, O>(&'a Counted<O>, Option<(String, u64)>);

impl<O> Observer for Header<'_, O> {
    fn header(&mut self, header: &dyn Display) {
        self.1 = Some((header.to_string(), self.0.comparisons()));
    }
}

/// A tournament of eight: 4 + 2 + 1 matches for the best, 2 + 1 more for the worst, and the final of the two, unless they
/// met in the first round (once in seven tournaments). That is what is asked, what the header announces as the most, and
/// what preferences.jsonl holds, in both orders.
#[test]
fn a_tournament_asks_eleven_comparisons_a_prompt() {
    let dir = prepare();
    let oracle = Counted::new(FnOracle::new("length", length));
    let mut header = Header(&oracle, None);
    let players = Players::new(start(dir.path()), &oracle);
    run(&eight(dir.path(), "a"), players, false, &mut header).unwrap();
    let (text, before) = header.1.unwrap();
    assert_eq!(before, 0, "the header comes before the first call");
    let line = "at most 176 comparisons: 176 for pairs (11 a prompt), 0 to evaluate";
    assert!(text.contains(line), "{text}");
    let (mut all, mut elevens) = (0, 0);
    for matrix in (1..=2).flat_map(|t| matrices(&dir.path().join("a"), t)) {
        let mut asked = 0;
        for (i, row) in matrix.iter().enumerate() {
            assert_eq!(row[i], Some(0.5));
            for (j, &one) in row[..i].iter().enumerate() {
                let other = matrix[j][i];
                assert_eq!(one, other.map(|p| 1.0 - p));
                asked += u64::from(one.is_some());
            }
        }
        assert!(asked == 11 || asked == 10, "{asked}");
        elevens += usize::from(asked == 11);
        all += asked;
    }
    assert_eq!(oracle.comparisons(), all);
    assert!(elevens >= 10, "{elevens} of 16");
}

/// The whole matrix where it is wanted, and where labels are scores; i.i.d. pairs need one comparison.
#[test]
fn the_matrix_is_asked_only_where_it_is_needed() {
    let dir = prepare();
    let asked = |name: &str, overrides: &[&str]| {
        let config = eight(dir.path(), name);
        let text = toml::to_string(&config).unwrap();
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let config = RunConfig::parse(&text, "test.toml", &overrides).unwrap();
        let oracle = Counted::new(FnOracle::new("length", length));
        let players = Players::new(start(dir.path()), &oracle);
        run(&config, players, false, &mut Silent).unwrap();
        oracle.comparisons() / 16
    };
    assert_eq!(asked("all", &["oracle.all_pairs=true"]), 28);
    assert_eq!(asked("scores", &["objective.label=scores"]), 28);
    assert_eq!(asked("iid", &["selection.strategy=iid"]), 1);
    assert_eq!(asked("random", &["selection.strategy=random"]), 1);
    assert_eq!(
        asked("two", &["generation.num_generations=2"]),
        1,
        "the final of two is their first match"
    );
}

/// Every strategy in the loop: the header announces the most that is asked, what is left out is counted, and the same
/// settings select the same pairs again.
#[test]
fn every_strategy_plays_the_loop() {
    let dir = prepare();
    let go = |name: &str, overrides: &[&str]| {
        let text = toml::to_string(&eight(dir.path(), name)).unwrap();
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let config = RunConfig::parse(&text, "test.toml", &overrides).unwrap();
        let oracle = Counted::new(FnOracle::new("length", length));
        let mut header = Header(&oracle, None);
        let players = Players::new(start(dir.path()), &oracle);
        run(&config, players, false, &mut header).unwrap();
        (header.1.unwrap().0, oracle.comparisons())
    };
    for (strategy, settings, words, per_prompt) in [
        (
            "round_robin",
            &[][..],
            "best against worst of a round robin, if it wins their match",
            28,
        ),
        (
            "best_worst",
            &["selection.tie_policy=first"],
            "best against worst of a round robin",
            28,
        ),
        ("random", &[], "two samples at random", 1),
        (
            "adaptive",
            &["selection.budget=9", "selection.drop_truncated=true"],
            "best against worst, asked where they are in doubt",
            9,
        ),
    ] {
        let named = format!("selection.strategy={strategy}");
        let overrides = [&[named.as_str()], settings].concat();
        let (text, asked) = go(strategy, &overrides);
        assert!(text.contains(&format!("selection  {words}\n")), "{text}");
        let training = 16 * per_prompt;
        let line =
            format!("at most {training} comparisons: {training} for pairs ({per_prompt} a prompt)");
        assert!(text.contains(&line), "{text}");
        assert!(asked <= training && asked > 0, "{strategy}: {asked}");
        let again = format!("{strategy}-again");
        go(&again, &overrides);
        let files = |name: &str| contents(&dir.path().join(name));
        common::assert_same(&files(&again), &files(strategy), strategy);
        let rows = common::metrics(&dir.path().join(strategy));
        for row in rows.iter().filter(|row| row["stage"] == "select") {
            let count = |name: &str| row[format!("select/{name}")].as_u64().unwrap();
            let dropped =
                ["tie", "final", "dup", "empty", "few"].map(|why| count(&format!("dropped_{why}")));
            assert_eq!(count("pairs") + dropped.iter().sum::<u64>(), 8);
            assert_eq!(dropped[2..4], [0, 0], "they were left out");
            let cut = count("left_out_truncated");
            assert_eq!(cut > 0, strategy == "adaptive", "{strategy}: {cut}");
        }
    }
}

/// The oracle sees the conversation, the other columns of the prompt's row, and how each response ended; its answers decide
/// who is chosen. Held-out responses are compared with those of the reference by the same oracle.
#[test]
fn an_oracle_sees_the_prompt_and_its_columns() {
    let dir = prepare();
    let row = |i: usize| {
        format!("{{\"prompt\": \"the river {i}\", \"wanted\": \"long\", \"iteration\": \"own\"}}\n")
    };
    let rows: String = (0..16).map(row).collect();
    std::fs::write(dir.path().join("train.jsonl"), rows).unwrap();
    let reasons = RefCell::new(Vec::new());
    let oracle = FnOracle::new(
        "wanted",
        |prompt: &Prompt, first: &Completion, second: &Completion| {
            assert!(prompt.messages[0].content.starts_with("the river"));
            assert_eq!(prompt.metadata["wanted"], "long");
            reasons.borrow_mut().push(first.finish_reason);
            length(prompt, first, second)
        },
    );
    let players = Players::new(start(dir.path()), &oracle);
    run(&eight(dir.path(), "a"), players, false, &mut Silent).unwrap();
    let reasons = reasons.into_inner();
    assert!(reasons.contains(&FinishReason::Stop) && reasons.contains(&FinishReason::Length));
    let pairs: Vec<inpo_data::PairRecord> =
        read_jsonl(&dir.path().join("a/iteration-0001/pairs.jsonl")).unwrap();
    assert!(!pairs.is_empty());
    for pair in pairs {
        assert!(pair.chosen_token_ids.len() > pair.rejected_token_ids.len());
    }
}

/// Fails from call number `last` on.
struct Failing {
    calls: RefCell<usize>,
    last: usize,
}

impl PreferenceOracle<Prompt, Completion> for Failing {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        *self.calls.borrow_mut() += 1;
        if *self.calls.borrow() > self.last {
            return Err(OracleError::Unavailable {
                oracle: self.name(),
                reason: "nobody is there".to_owned(),
            });
        }
        FnOracle::new("length", length).compare(comparisons)
    }

    fn name(&self) -> String {
        "failing".to_owned()
    }
}

/// An oracle that fails ends the run with its words; with one that answers, the run goes on to the same files.
#[test]
fn a_run_goes_on_when_its_oracle_answers_again() {
    let dir = prepare();
    let go = |name: &str, last: usize, resume: bool| {
        let oracle = Failing {
            calls: RefCell::new(0),
            last,
        };
        let players = Players::new(start(dir.path()), &oracle);
        run(&eight(dir.path(), name), players, resume, &mut Silent)
    };
    go("whole", usize::MAX, false).unwrap();
    let error = go("cut", 5, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the oracle \"failing\" is not available: nobody is there"
    );
    assert!(!error.is_input());
    go("cut", usize::MAX, true).unwrap();
    let files = |name: &str| contents(&dir.path().join(name));
    common::assert_same(&files("cut"), &files("whole"), "an oracle that failed");
}

/// Samples here, through a sampler that hides what it is told to.
struct Hiding {
    ids: bool,
}

struct HidingSampler {
    inner: Box<dyn Sampler>,
    ids: bool,
}

impl Engine for Hiding {
    fn sampler(&self, policy: BehaviourPolicy) -> Result<Box<dyn Sampler>, PolicyError> {
        let inner = LocalEngine.sampler(policy)?;
        let ids = self.ids;
        Ok(Box::new(HidingSampler { inner, ids }))
    }
}

impl Sampler for HidingSampler {
    fn name(&self) -> String {
        "elsewhere".to_owned()
    }

    fn prepare(&self, prompt: &mut Prompt, config: &GenerationConfig) -> Result<(), PolicyError> {
        self.inner.prepare(prompt, config)
    }

    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError> {
        let mut samples = self.inner.sample(prompts, config, draws, progress)?;
        if self.ids {
            for completion in samples.completions.iter_mut().flatten() {
                completion.token_ids = None;
            }
        }
        Ok(Samples {
            cost: None,
            ..samples
        })
    }

    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        self.inner.logps(sequences)
    }
}

/// A sampler elsewhere that gives the same responses makes the same run; one that gives no ids is refused by name.
#[test]
fn an_engine_of_ones_own_samples_the_loop() {
    let dir = prepare();
    let oracle = FnOracle::new("length", length);
    let go = |name: &str, engine: &dyn Engine| {
        let players = Players {
            engine,
            ..Players::new(start(dir.path()), &oracle)
        };
        run(&eight(dir.path(), name), players, false, &mut Silent)
    };
    go("here", &LocalEngine).unwrap();
    go("elsewhere", &Hiding { ids: false }).unwrap();
    let files = |name: &str| contents(&dir.path().join(name));
    common::assert_same(&files("elsewhere"), &files("here"), "another engine");
    let error = go("blind", &Hiding { ids: true }).unwrap_err().to_string();
    assert!(
        error.starts_with("the sampler elsewhere gives no token ids;"),
        "{error}"
    );
}

/// The reference with an embedding that is not a number: the pair is named, as `inpo train` does.
#[test]
fn an_anchor_that_is_not_finite_is_named() {
    let dir = prepare();
    let damaged = |policy: Policy| {
        let mut decoder = policy.decoder().clone();
        decoder.embed_tokens = decoder.embed_tokens.map(|table| table.clone() * f32::NAN);
        policy.with_decoder(&decoder)
    };
    let mut config = eight(dir.path(), "a");
    config.common.reference = toml::from_str("model = 'another'").unwrap();
    let models = Models {
        reference: Some(damaged(start(dir.path())).into()),
        ..Models::from(start(dir.path()))
    };
    let oracle = FnOracle::new("length", length);
    let error = run(&config, Players::new(models, &oracle), false, &mut Silent);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("the log-prob of the chosen response of pair 0 (prompt ")
            && error.ends_with("is not finite; the optimiser was not moved"),
        "{error}"
    );
}
