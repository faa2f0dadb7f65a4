//! A judge from votes: a Bradley-Terry head, a general preference head, both, or a pairwise language model
//! (`inpo train-oracle`).

mod config;
mod learner;
mod quality;
mod steps;
mod votes;

use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use inpo_data::files::{write_json, write_whole};
use inpo_game::PreferenceOracle;
use inpo_oracle::{
    Bos, GeneralPreferenceConfig, OracleConfig, OracleKind, PairLmConfig, PairPrompt, Question,
    Reading, Surroundings, a_and_b, label_ids, pair_ids,
};
use inpo_policy::preference::PreferenceHeadShape;
use inpo_policy::{
    Policy, PreferenceHead, PreferenceHeadConfig, PrefixBatch, PromptScale, SaveOptions,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::batches::Order;
use crate::divergence::Divergence;
use crate::error::TrainError;
use crate::inputs::Inputs;
use crate::observer::Observer;
use crate::phases::PolicyId;
use crate::run_dir::{Identity, Layout, RunDir};
use crate::stage::{Place, Stage};

pub use config::{JudgeForm, JudgeSection, JudgeTrainConfig, VotesSection};
pub use quality::JudgeEvaluation;

use learner::{Learner, Lesson, Reader};
use quality::{answers, by_length, by_place, temperature};
use steps::{JudgeStep, Training};
use votes::{VotedPair, digest, read_pairs, split};

/// The settings of the judge, that `inpo judge --oracle` reads.
const ORACLE: &str = "oracle.toml";

/// What a training of a judge is made of.
#[derive(Debug, serde::Serialize)]
struct Header {
    inpo_version: &'static str,
    model: String,
    inputs: Inputs,
    pairs: usize,
    calibration_pairs: usize,
    held_out_pairs: usize,
    tokens: usize,
}

impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "judge      {} on {} pairs of {} tokens, {} for the temperature, {} held out",
            self.model, self.pairs, self.tokens, self.calibration_pairs, self.held_out_pairs
        )
    }
}

/// Trains the judge of `config` from `policy`, its model without fresh adapters, and measures it on held-out votes, where
/// there are such. Writes `train.toml`, `manifest.json`, `metrics.jsonl`, `trainer_state.json`, `policy/`, `oracle.toml` and
/// `eval.json` into `config.output_dir`. With `resume`, a training that was cut off or whose files are not what was
/// written begins again, and a complete one is measured.
///
/// # Errors
///
/// Bad settings or votes, a text that is too long for the model, a loss that is not finite.
pub fn train_oracle<E: std::fmt::Display>(
    config: &JudgeTrainConfig,
    policy: Policy,
    find: impl Fn(&str) -> Result<PathBuf, E>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Option<JudgeEvaluation>, TrainError> {
    config.validate()?;
    let device = policy.decoder().device().without_autodiff();
    let read = |path: &Path, key: &str| read_pairs(path).map_err(|error| error.named_by(key));
    let all = read(&config.data.votes, "data.votes")?;
    let (pairs, calibration) = split(all, config.data.calibration_share, config.seed);
    let held_out = config.data.eval_votes.as_deref();
    let held_out = held_out.map(|path| read(path, "data.eval_votes"));
    let held_out = held_out.transpose()?.unwrap_or_default();
    let lessons = lessons(config, &policy, &pairs)?;
    let header = Header {
        inpo_version: env!("CARGO_PKG_VERSION"),
        model: config.policy.model.clone(),
        inputs: Inputs::new(&policy, "", &digest(&pairs)),
        pairs: pairs.len(),
        calibration_pairs: calibration.len(),
        held_out_pairs: held_out.len(),
        tokens: lessons.iter().map(Lesson::tokens).sum(),
    };
    let identity = Identity {
        inputs: &header.inputs,
        other_prompts: "other votes",
        content: None,
    };
    let (root, layout) = (&config.output_dir, Layout::OnePhase);
    let mut dir = RunDir::open(root, layout, config, &header, &identity, resume)?;
    dir.draw(config.train.draws());
    observer.header(&header);
    for note in dir.take_notes() {
        observer.note(&note);
    }
    if dir.has(PolicyId::After(1)) {
        drop(policy);
        if dir.is_checked() {
            dir.save_state(&config.train, config.train.steps(lessons.len()))?;
        }
    } else {
        dir.claim()?;
        optimise(config, policy, &lessons, &mut dir, observer)?;
    }
    let find = |name: &str| find(name).map_err(|error| error.to_string());
    let around = Surroundings {
        find_model: &find,
        device: Some(&device),
        ..Surroundings::default()
    };
    measure(config, &around, [&pairs, &calibration, &held_out])
}

/// The votes as token ids. The response of a pair that a pairwise language model sees first is drawn.
fn lessons(
    config: &JudgeTrainConfig,
    policy: &Policy,
    pairs: &[VotedPair],
) -> Result<Vec<Lesson>, TrainError> {
    if pairs.is_empty() {
        let allowed = "a file with votes on two different responses, not all of them held out";
        return Err(TrainError::setting("data.votes", "empty", allowed));
    }
    let codec = policy.codec()?;
    let reading = Reading::new(codec, Bos::Template)?;
    let limit = crate::config::token_limit(
        config.policy.max_length,
        policy.config().max_position_embeddings,
    )?;
    let mut draws = ChaCha8Rng::seed_from_u64(config.seed);
    let mut lessons = Vec::with_capacity(pairs.len());
    for (place, pair) in pairs.iter().enumerate() {
        let name = format!("pair {place} of {}", config.data.votes.display());
        let refused = |reason: String| TrainError::artefact(&config.data.votes, reason);
        let in_pair = |reason: String| refused(format!("pair {place}: {reason}"));
        let (sequences, share) = match config.judge.form {
            JudgeForm::PairLm => {
                let turn = draws.random::<bool>();
                let [first, second] = [usize::from(turn), usize::from(!turn)];
                let question = Question {
                    prompt: &pair.prompt,
                    first: &pair.responses[first],
                    second: &pair.responses[second],
                };
                let ids = pair_ids(codec, &PairPrompt::Rlhflow, &a_and_b(), &question)
                    .map_err(in_pair)?;
                let share = if turn { 1.0 - pair.share } else { pair.share };
                (vec![ids], share)
            }
            _ => {
                let answered = |k: usize| {
                    let mut messages = pair.prompt.messages.clone();
                    let text = pair.responses[k].text.clone();
                    messages.push(inpo_data::Message::assistant(text));
                    reading.ids(codec, &messages, true)
                };
                let mut sequences =
                    vec![answered(0).map_err(in_pair)?, answered(1).map_err(in_pair)?];
                if config.judge.prompt_head {
                    let prompt = reading.ids(codec, &pair.prompt.messages, false);
                    sequences.push(prompt.map_err(in_pair)?);
                }
                (sequences, pair.share)
            }
        };
        let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
        if longest > limit {
            return Err(in_pair(format!(
                "it has {longest} tokens, and policy.max_length is {limit}; shorten it, or leave it out"
            )));
        }
        lessons.push(Lesson {
            sequences,
            share,
            weight: pair.votes as f64,
            name,
        });
    }
    Ok(lessons)
}

/// `policy/`: what becomes of the model.
fn optimise(
    config: &JudgeTrainConfig,
    policy: Policy,
    lessons: &[Lesson],
    dir: &mut RunDir,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let (judge, train) = (&config.judge, &config.train);
    let steps = train.steps(lessons.len());
    if let Some(sentence) = train.warmup_warning(steps) {
        observer.warning(&sentence);
    }
    let mut divergence = Divergence::new(train);
    observer.stage(1, Stage::Train.title(), steps);
    let mut log = |step: JudgeStep| {
        observer.advance(1);
        let place = Place {
            stage: Stage::Train,
            iteration: 1,
            folder: None,
        };
        if step.step.is_multiple_of(train.logging_steps) || step.step == steps {
            dir.log(place, &step)?;
        }
        let sentences = divergence.look([step.step, steps], step.loss, step.grad_norm)?;
        sentences
            .iter()
            .for_each(|sentence| observer.warning(sentence));
        Ok(())
    };
    let device = policy.decoder().device().without_autodiff();
    let (reader, known) = match judge.form {
        JudgeForm::PairLm => (Reader::Labels(labels(&policy)?), None),
        _ => {
            let known = judge.freeze.then(|| states(&policy, lessons));
            (Reader::Heads(head(config, &policy, &device)?), known)
        }
    };
    let policy = match &config.policy.lora {
        Some(lora) => policy.with_adapters(lora, config.seed)?,
        None => policy,
    };
    let training = Training {
        config: train,
        order: Order::Shuffled(config.seed),
        drops: policy.lora().is_some_and(|lora| lora.dropout > 0.0),
        known,
    };
    let mut trained = None;
    let policy = if judge.freeze {
        let learner = Learner {
            decoder: None,
            reader,
        };
        trained = Some(training.run(learner.train(), lessons, &mut log)?.reader);
        policy
    } else {
        policy.map_decoder(|decoder| {
            let learner = Learner {
                decoder: Some(decoder),
                reader,
            };
            let learner = training.run(learner.train(), lessons, &mut log)?;
            trained = Some(learner.reader);
            Ok::<_, TrainError>(learner.decoder.expect("it was trained"))
        })?
    };
    let head = match trained {
        Some(Reader::Heads(head)) => Some(head),
        _ => None,
    };
    dir.save(PolicyId::After(1), |path| {
        match &head {
            Some(head) => policy.save_with_head(head, path, &SaveOptions::default())?,
            None => policy.save(&config.policy.model, path)?,
        }
        Ok(())
    })?;
    dir.save_state(train, steps)
}

/// The difference of the labels' rows of the vocabulary head, `[1, hidden]`.
fn labels(policy: &Policy) -> Result<Param<Tensor<2>>, TrainError> {
    let ids = label_ids(policy.codec()?, &a_and_b())?;
    let head = policy.decoder().head();
    if policy.config().final_logit_softcapping.is_some() {
        let allowed = "a model without final_logit_softcapping: its labels' logits are capped";
        return Err(TrainError::setting("policy.model", "capped", allowed));
    }
    let rows: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let rows = Tensor::<1, Int>::from_data(&rows[..], &head.device());
    let rows = head.select(0, rows);
    let [_, hidden] = rows.dims();
    let row = |place: usize| rows.clone().slice([place..place + 1, 0..hidden]);
    Ok(Param::from_tensor(row(0) - row(1)))
}

fn head_config(judge: &JudgeSection, temperature: f64) -> PreferenceHeadConfig {
    PreferenceHeadConfig {
        normalise: judge.normalise,
        temperature,
        prompt_scale: PromptScale::ScaledSoftmax,
        transposed: false,
    }
}

/// Fresh heads.
fn head(
    config: &JudgeTrainConfig,
    policy: &Policy,
    device: &Device,
) -> Result<PreferenceHead, TrainError> {
    let judge = &config.judge;
    let shape = PreferenceHeadShape {
        values: match judge.form {
            JudgeForm::BradleyTerry => 1,
            _ => judge.values,
        },
        reward: judge.form == JudgeForm::Hybrid,
        prompt: judge.prompt_head,
    };
    let settings = head_config(judge, judge.temperature);
    let hidden = policy.config().hidden_size;
    let head = PreferenceHead::init(shape, hidden, settings, config.seed, device)?;
    Ok(head)
}

/// The states of all lessons' sequences in their order, `[sequences, hidden]`.
fn states(policy: &Policy, lessons: &[Lesson]) -> Tensor<2> {
    let decoder = policy.decoder().cast_once();
    let sequences = lessons.iter().flat_map(|lesson| &lesson.sequences);
    let sequences: Vec<&[u32]> = sequences.map(Vec::as_slice).collect();
    let batches = PrefixBatch::split(&decoder, &sequences);
    let rows = Tensor::cat(batches.iter().map(|b| b.hidden(&decoder)).collect(), 0);
    let mut places = vec![0_i32; sequences.len()];
    let members = batches.iter().flat_map(|batch| &batch.members);
    for (row, &member) in (0..).zip(members) {
        places[member] = row;
    }
    let places = Tensor::<1, Int>::from_data(&places[..], &rows.device());
    rows.select(0, places)
}

/// The settings by which the trained judge is read, with its scores divided by `temperature`.
fn oracle_config(config: &JudgeTrainConfig, temperature: f64) -> OracleConfig {
    let trained = config.output_dir.join(crate::stage::POLICY);
    let trained = trained.display().to_string();
    let kind = match config.judge.form {
        JudgeForm::PairLm => OracleKind::PairLm(PairLmConfig {
            adapter: Some(trained),
            max_length: config.policy.max_length,
            dtype: config.policy.dtype,
            temperature,
            ..PairLmConfig::new(config.policy.model.clone())
        }),
        _ => {
            let head = head_config(&config.judge, temperature);
            OracleKind::GeneralPreference(GeneralPreferenceConfig {
                normalise: head.normalise,
                temperature: head.temperature,
                prompt_head_scale: head.prompt_scale,
                transposed: head.transposed,
                max_length: config.policy.max_length,
                dtype: config.policy.dtype,
                ..GeneralPreferenceConfig::new(trained)
            })
        }
    };
    kind.into()
}

/// `oracle.toml` and `eval.json`: the judge as it is read, its temperature fitted to votes that did not train.
fn measure(
    config: &JudgeTrainConfig,
    around: &Surroundings<'_>,
    [pairs, calibration, held_out]: [&[VotedPair]; 3],
) -> Result<Option<JudgeEvaluation>, TrainError> {
    // A pairwise language model divides logits that training did not divide.
    let base = match config.judge.form {
        JudgeForm::PairLm => 1.0,
        _ => config.judge.temperature,
    };
    let raw = oracle_config(config, base).init(around)?;
    let fitted = temperature(calibration, &answers(&raw, calibration)?);
    let scaled = oracle_config(config, base * fitted);
    let text = toml::to_string_pretty(&scaled).expect("a configuration is TOML");
    write_whole(&config.output_dir.join(ORACLE), text.as_bytes())?;
    if held_out.is_empty() {
        return Ok(None);
    }
    let before = raw.counts();
    let unscaled = answers(&raw, held_out)?;
    let counts = raw.counts() - before;
    let name = raw.name();
    drop(raw);
    let rescaled = match config.judge.form {
        // The mean of two orders does not scale.
        JudgeForm::PairLm => answers(&scaled.init(around)?, held_out)?,
        _ => unscaled
            .iter()
            .map(|&p| quality::scaled(p, fitted))
            .collect(),
    };
    let of = |answers: &[f64]| quality::quality(held_out, answers, config.seed);
    let evaluation = JudgeEvaluation {
        judge: name,
        fitted_temperature: fitted,
        quality: of(&rescaled),
        before_scaling: of(&unscaled),
        first_position_rate: counts.first_position_rate(),
        order_inconsistency: counts.order_inconsistency(),
        length_baseline: of(&by_length(pairs, held_out)),
        majority_baseline: of(&by_place(pairs, held_out)),
    };
    write_json(&config.output_dir.join("eval.json"), &evaluation)?;
    Ok(Some(evaluation))
}

/// Loads the model of a configuration.
///
/// # Errors
///
/// A model that cannot be found or read.
pub fn load_base<E: std::fmt::Display>(
    config: &JudgeTrainConfig,
    device: &Device,
    find: impl Fn(&str) -> Result<PathBuf, E>,
) -> Result<Policy, TrainError> {
    let found = find(&config.policy.model);
    let path: PathBuf =
        found.map_err(|error| TrainError::Model(format!("policy.model: {error}")))?;
    let policy = Policy::load_in(Path::new(&path), device, config.policy.precision())?;
    Ok(match &config.policy.adapter {
        Some(adapter) => policy
            .with_saved_adapters(adapter)
            .map_err(|error| error.named_by("policy.adapter"))?,
        None => policy,
    })
}
