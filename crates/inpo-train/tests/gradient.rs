//! The whole training gradient (forward, chunked head, closed form, backward) against finite
//! differences in f64 on a tiny model.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss::{
    EnpoLossConfig, InpoLossConfig, IpoMeanLossConfig, LabelKind, Loss, SftTerm, SppoLossConfig,
};
use inpo_policy::model::{Decoder, TraceOptions};
use inpo_policy::{LoraConfig, Policy, Sequence};

use inpo_train::{Objective, TrainPair, pair_gradient};

/// With all activations kept and without: the same gradient.
fn options(recompute: bool, dropout_key: Option<u64>) -> TraceOptions {
    TraceOptions {
        recompute,
        dropout_key,
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

/// A repeatable direction for parameter number `index`, entries in [-1, 1).
fn direction<const D: usize>(like: &Tensor<D>, index: usize) -> Tensor<D> {
    let shape = like.dims();
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + index * 104_729 + 13) % 2001) as f64 / 1000.0 - 1.0;
    let data = TensorData::new((0..count).map(value).collect::<Vec<f64>>(), shape.to_vec());
    Tensor::from_data(data, (&like.device().without_autodiff(), DType::F64))
}

struct ToF64;

impl ModuleMapper for ToF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(DType::F64))
    }
}

/// Moves parameter number `target` by `step` along its direction.
struct Move {
    next: usize,
    target: usize,
    step: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let index = self.next;
        self.next += 1;
        if index != self.target {
            return param;
        }
        param.map(|tensor| {
            let along = direction(&tensor, index);
            tensor + along.mul_scalar(self.step)
        })
    }
}

/// `<gradient, direction>` of each parameter; `None` for one without a gradient.
struct Slopes<'a> {
    grads: &'a GradientsParams,
    slopes: Vec<Option<f64>>,
}

impl ModuleVisitor for Slopes<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let slope = self.grads.get::<D>(param.id).map(|grad| {
            let along = direction(&grad, self.slopes.len());
            (grad * along).sum().into_scalar::<f64>()
        });
        self.slopes.push(slope);
    }
}

/// Three pairs with as many anchors as `objective` has. Id 2, the padding of the fixtures, is nowhere an
/// input: `transformers` gives its embedding no gradient, which no difference quotient does.
fn pairs(objective: &Objective) -> Vec<TrainPair> {
    let pair = |prompt: &[u32], chosen: &[u32], rejected: &[u32], weight, probability| {
        let anchors = [[-9.0, -11.5], [-10.0, -10.5]];
        let anchors = anchors[..objective.anchors().len()].to_vec();
        let [chosen, rejected] = [chosen, rejected].map(|ids| Sequence::new(prompt, ids));
        TrainPair {
            weight,
            probability,
            scores: [0.75, 0.5],
            explored: (objective.exploration.is_some()).then(|| Sequence::new(prompt, &[9, 33])),
            ..TrainPair::new(chosen, rejected, [-10.0, -10.5], anchors)
        }
    };
    vec![
        pair(&[5, 9, 11], &[7, 8, 9, 2], &[1, 2], 1.0, 1.0),
        pair(&[40], &[3, 3, 60, 12, 13, 14, 15], &[61, 30, 31], 0.5, 0.75),
        pair(
            &[1, 20, 3, 4, 5, 6],
            &[7],
            &[8, 7, 6, 5, 4, 3, 20, 1, 0],
            2.0,
            0.5,
        ),
    ]
}

/// Every way a gradient takes: one slope a pair or two, means, a term on the chosen response, a third
/// response.
fn objectives() -> Vec<Objective> {
    let inpo = InpoLossConfig {
        eta: 0.1,
        tau: 0.03,
    };
    let inpo = Objective::from(inpo.init().unwrap());
    let sppo = Objective::from(SppoLossConfig { eta: 0.1 }.init().unwrap());
    let mean = IpoMeanLossConfig { beta: 0.5 }.init().unwrap();
    let enpo = EnpoLossConfig {
        eta: 0.1,
        tau: 0.03,
        alpha: 0.7,
    };
    let (enpo, exploration) = enpo.init().unwrap();
    vec![
        inpo.clone(),
        inpo.clone().with_label(LabelKind::Soft),
        sppo.with_label(LabelKind::Scores),
        Objective {
            loss: Loss::Mean(mean),
            ..inpo.clone()
        },
        Objective {
            sft: Some(SftTerm::new(3.0).unwrap()),
            ..inpo
        },
        Objective {
            exploration: Some(exploration),
            ..Objective::from(enpo)
        },
    ]
}

fn loss_value(decoder: &Decoder, objective: &Objective, key: Option<u64>) -> f64 {
    let pairs = pairs(objective);
    let members: Vec<&TrainPair> = pairs.iter().collect();
    let (_, figures) = pair_gradient(
        &decoder.clone().train(),
        &members,
        objective,
        0.25,
        options(false, key),
    )
    .unwrap();
    let each = figures.iter().zip(&pairs);
    each.map(|(f, p)| 0.25 * p.weight * f.loss).sum()
}

/// Checks the gradient of every objective, kept and recomputed, against differences.
fn check(decoder: &Decoder, trained: usize, key: Option<u64>) {
    for (number, objective) in objectives().iter().enumerate() {
        let pairs = pairs(objective);
        let members: Vec<&TrainPair> = pairs.iter().collect();
        let module = decoder.clone().train();
        let slopes = [false, true].map(|recompute| {
            let options = options(recompute, key);
            let (grads, _) = pair_gradient(&module, &members, objective, 0.25, options).unwrap();
            let mut slopes = Slopes {
                grads: &grads,
                slopes: Vec::new(),
            };
            module.visit(&mut slopes);
            assert_eq!(slopes.slopes.iter().flatten().count(), trained);
            slopes.slopes
        });
        let [kept, recomputed] = slopes;
        for (target, both) in kept.into_iter().zip(recomputed).enumerate() {
            let both = [both.0, both.1];
            let [Some(kept), Some(recomputed)] = both else {
                assert_eq!(both, [None, None]);
                continue;
            };
            let step = 1e-6;
            let at = |step| {
                let moved = decoder.clone().map(&mut Move {
                    next: 0,
                    target,
                    step,
                });
                loss_value(&moved, objective, key)
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            for slope in [kept, recomputed] {
                let error = (slope - difference).abs();
                let scale = slope.abs().max(1.0);
                assert!(
                    error < 1e-5 * scale,
                    "objective {number}, parameter {target}: {slope} against {difference}"
                );
            }
        }
    }
}

/// Embedding, two layers of nine weights, final norm (and the untied head): every weight trains.
#[test]
fn full_fine_tuning() {
    for (name, parameters) in [("tiny_llama_tied", 20), ("tiny_llama_untied", 21)] {
        let policy = Policy::load(&fixture(name), &Device::flex()).unwrap();
        check(&policy.decoder().clone().map(&mut ToF64), parameters, None);
    }
}

/// Two matrices for each of seven projections of two layers; nothing else has a gradient. `B` is moved
/// off zero first, so that `A` has a gradient at all. With dropout the mask of a key is the same in every
/// pass, so that the loss is a function like any other.
#[test]
fn low_rank_adapters() {
    for (dropout, key) in [(0.0, None), (0.3, Some(7))] {
        let policy = Policy::load(&fixture("tiny_llama_untied"), &Device::flex()).unwrap();
        let config = LoraConfig {
            rank: 3,
            alpha: 6.0,
            dropout,
            ..LoraConfig::default()
        };
        let policy = policy.with_adapters(&config, 5).unwrap();
        let mut decoder = policy.decoder().clone().map(&mut ToF64);
        for target in 0..60 {
            let step = 0.01;
            decoder = decoder.map(&mut Move {
                next: 0,
                target,
                step,
            });
        }
        if key.is_some() {
            let losses =
                [None, key, Some(8)].map(|key| loss_value(&decoder, &objectives()[0], key));
            assert!(
                losses[0] != losses[1] && losses[1] != losses[2],
                "{losses:?}"
            );
        }
        check(&decoder, 28, key);
    }
}

/// The padding token as an input: its embedding stays, as torch's `padding_idx` has it; all others move.
#[test]
fn the_padding_token_is_not_trained_as_an_input() {
    let policy = Policy::load(&fixture("tiny_llama_untied"), &Device::flex()).unwrap();
    let sequence = |response: &[u32]| Sequence::new(&[5, 2, 11], response);
    let pair = TrainPair::new(
        sequence(&[7, 2, 9]),
        sequence(&[1, 3]),
        [-9.0, -8.0],
        vec![[-9.0, -8.0]; 2],
    );
    let decoder = policy.decoder().clone().train();
    let (grads, _) = pair_gradient(
        &decoder,
        &[&pair],
        &objectives()[0],
        1.0,
        options(false, None),
    )
    .unwrap();
    let table = grads.get::<2>(decoder.embed_tokens.id).unwrap();
    let squares = table.square().sum_dim(1).squeeze_dim::<1>(1);
    let rows = squares.try_into_vec_as::<f64>().unwrap();
    let trained: Vec<usize> = (0..64).filter(|&id| rows[id] > 0.0).collect();
    assert_eq!(trained, [1, 5, 7, 11]);
}
