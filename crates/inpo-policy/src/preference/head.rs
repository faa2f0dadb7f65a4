//! The heads of a preference model, and the score of a pair.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::PolicyError;
use crate::files::random_matrix;

/// The tensors of the heads, by their names in a file.
pub(crate) const VALUE: &str = "value_head.weight";
pub(crate) const REWARD: &str = "reward_head.weight";
pub(crate) const PROMPT: &str = "prompt_head.weight";

/// The smallest length that a value is divided by, as in torch's `normalize`.
const SHORTEST: f64 = 1e-12;

/// How the prompt head's outputs `x`, `n` of them from a hidden state of width `h`, become the weights of the blocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PromptScale {
    /// `softmax(x)`, as in the released example.
    #[default]
    Softmax,
    /// `n softmax(x / sqrt(h))`, as in the released training code.
    ScaledSoftmax,
}

/// What the weights of a preference model do not say. The released training code and the released example of the general
/// preference model differ here, so each is a setting of its own; the defaults are the example's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreferenceHeadConfig {
    /// Whether values are divided by their length; a value of one number never is.
    pub normalise: bool,
    /// What scores are divided by, positive.
    pub temperature: f64,
    /// How the prompt weighs the blocks.
    pub prompt_scale: PromptScale,
    /// Whether `R` is transposed, as the paper and the released code have it: which of two answers wins depends on it.
    pub transposed: bool,
}

impl Default for PreferenceHeadConfig {
    /// Normalised, temperature 0.1, `softmax`, `v_a R v_b^T`.
    fn default() -> Self {
        Self {
            normalise: true,
            temperature: 0.1,
            prompt_scale: PromptScale::Softmax,
            transposed: false,
        }
    }
}

/// The heads of a preference model, on the hidden states `h_a`, `h_b` of two answered conversations and `h_x` of their
/// prompt:
///
/// ```text
/// v = V h                          (v / |v| with `normalise`)
/// s(a, b) = v_a R v_b^T  [+ w h_a - w h_b],   R of 2x2 blocks [[0, -l_i], [l_i, 0]]
///         = sum_i l_i (v_a[2i+1] v_b[2i] - v_a[2i] v_b[2i+1])  [+ ..]
/// P(a > b | x) = sigmoid(s(a, b) / temperature)
/// ```
///
/// That is the general preference model (arXiv 2410.02197), with `l_i = 1` or, with a prompt head, from `h_x`. The paper
/// writes `<R v_a, v_b>`, and its code computes it, which is `v_a R^T v_b^T`: `transposed`, which a model that was trained
/// with that code needs. It is a cycle as easily as an order; `s(b, a) = -s(a, b)` whatever the weights.
/// With one value it is the Bradley-Terry model, `s = v_a - v_b`. The reward in brackets is the hybrid (arXiv 2605.17342):
/// a Bradley-Terry part beside a cyclic one.
///
/// | parameter | shape | tensor of the file |
/// |---|---|---|
/// | `value` | `[d, hidden]`, `d` 1 or even | `value_head.weight` |
/// | `reward` | `[1, hidden]`, optional, `d` even | `reward_head.weight` |
/// | `prompt` | `[d / 2, hidden]`, optional, `d` even | `prompt_head.weight` |
#[derive(Module, Debug)]
pub struct PreferenceHead {
    /// `V`.
    pub value: Param<Tensor<2>>,
    /// `w`.
    pub reward: Option<Param<Tensor<2>>>,
    /// The prompt head.
    pub prompt: Option<Param<Tensor<2>>>,
    #[module(skip)]
    normalise: bool,
    #[module(skip)]
    temperature: f64,
    #[module(skip)]
    prompt_scale: PromptScale,
    #[module(skip)]
    transposed: bool,
}

/// Which heads a preference model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreferenceHeadShape {
    /// `d`: 1 or even.
    pub values: usize,
    /// Whether there is a reward beside the values.
    pub reward: bool,
    /// Whether the prompt weighs the blocks.
    pub prompt: bool,
}

/// What the heads make of answered conversations, row by row.
#[derive(Clone, Debug)]
pub struct Represented {
    /// `v`, `[rows, d]`.
    pub values: Tensor<2>,
    /// `w h`, `[rows, 1]`.
    pub rewards: Option<Tensor<2>>,
}

impl Represented {
    /// The rows of these numbers.
    #[must_use]
    pub fn rows(&self, rows: Tensor<1, Int>) -> Self {
        Self {
            values: self.values.clone().select(0, rows.clone()),
            rewards: self.rewards.clone().map(|rewards| rewards.select(0, rows)),
        }
    }
}

impl PreferenceHead {
    /// Heads of these weights.
    ///
    /// # Errors
    ///
    /// Weights that do not fit together; a temperature that is not positive.
    pub fn new(
        value: Tensor<2>,
        reward: Option<Tensor<2>>,
        prompt: Option<Tensor<2>>,
        config: PreferenceHeadConfig,
    ) -> Result<Self, PolicyError> {
        let temperature = config.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(PolicyError::InvalidSetting {
                key: "temperature".to_owned(),
                got: temperature.to_string(),
                allowed: "a positive number".to_owned(),
            });
        }
        let [_, hidden] = value.dims();
        let dims = |tensor: &Option<Tensor<2>>| tensor.as_ref().map(|t| t.dims().to_vec());
        let shapes = Shapes {
            value: value.dims().to_vec(),
            reward: dims(&reward),
            prompt: dims(&prompt),
        };
        let made = Path::new("a preference head");
        shapes.check(hidden).map_err(|wrong| wrong.of(made))?;
        Ok(Self {
            value: Param::from_tensor(value),
            reward: reward.map(Param::from_tensor),
            prompt: prompt.map(Param::from_tensor),
            normalise: config.normalise,
            temperature,
            prompt_scale: config.prompt_scale,
            transposed: config.transposed,
        })
    }

    /// Fresh heads of `shape` on hidden states of width `hidden`: weights normal with standard deviation
    /// `1 / (hidden + 1)` from `seed`, as in the released training code.
    ///
    /// # Errors
    ///
    /// Those of [`PreferenceHead::new`].
    pub fn init(
        shape: PreferenceHeadShape,
        hidden: usize,
        config: PreferenceHeadConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, PolicyError> {
        let matrix = |stream: u64, rows: usize| {
            let values = random_matrix(rows * hidden, 1.0 / (hidden + 1) as f64, seed, stream);
            Tensor::from_data(
                TensorData::new(values, [rows, hidden]),
                (device, DType::F32),
            )
        };
        let reward = shape.reward.then(|| matrix(1, 1));
        let prompt = shape.prompt.then(|| matrix(2, shape.values / 2));
        Self::new(matrix(0, shape.values), reward, prompt, config)
    }

    /// `d`, the numbers of a value.
    #[must_use]
    pub fn values(&self) -> usize {
        self.value.val().dims()[0]
    }

    /// Whether P(a > b) is a function of scores of a and b, so that no three answers can cycle.
    #[must_use]
    pub fn is_bradley_terry(&self) -> bool {
        self.values() == 1
    }

    /// The logits of P(first > second), `[rows]`, from hidden states, `[rows, hidden]` each. Those of the prompts are
    /// read where there is a prompt head, and then must be given.
    ///
    /// # Panics
    ///
    /// Without the prompts' hidden states where there is a prompt head.
    pub fn forward(
        &self,
        first: Tensor<2>,
        second: Tensor<2>,
        prompt: Option<Tensor<2>>,
    ) -> Tensor<1> {
        let (first, second) = (self.represent(first), self.represent(second));
        let scales = match &self.prompt {
            None => None,
            Some(_) => self.scales(prompt.expect("a prompt head reads the prompts' hidden states")),
        };
        self.logits(&first, &second, scales)
    }

    /// What the heads make of hidden states, `[rows, hidden]`, of answered conversations.
    pub fn represent(&self, hidden: Tensor<2>) -> Represented {
        let values = project(hidden.clone(), &self.value);
        let values = if self.normalise && !self.is_bradley_terry() {
            let square = values.clone().powi_scalar(2).sum_dim(1);
            let length = square.clamp_min(SHORTEST * SHORTEST).sqrt();
            values / length
        } else {
            values
        };
        Represented {
            values,
            rewards: self.reward.as_ref().map(|weight| project(hidden, weight)),
        }
    }

    /// The weights `l`, `[rows, d / 2]`, of the blocks from the hidden states of prompts, `[rows, hidden]`; none without a
    /// prompt head.
    pub fn scales(&self, prompt: Tensor<2>) -> Option<Tensor<2>> {
        let weight = self.prompt.as_ref()?;
        let [_, hidden] = prompt.dims();
        let x = project(prompt, weight);
        let [_, blocks] = x.dims();
        Some(match self.prompt_scale {
            PromptScale::Softmax => softmax(x, 1),
            PromptScale::ScaledSoftmax => {
                softmax(x.div_scalar((hidden as f64).sqrt()), 1).mul_scalar(blocks as f64)
            }
        })
    }

    /// The logits of P(first > second), `[rows]`, row by row.
    pub fn logits(
        &self,
        first: &Represented,
        second: &Represented,
        scales: Option<Tensor<2>>,
    ) -> Tensor<1> {
        let (a, b) = (first.values.clone(), second.values.clone());
        let [rows, width] = a.dims();
        let score = if width == 1 {
            a - b
        } else {
            let ([a, a_next], [b, b_next]) = (halves(a), halves(b));
            let turned = if self.transposed {
                a * b_next - a_next * b
            } else {
                a_next * b - a * b_next
            };
            match scales {
                Some(scales) => turned * scales,
                None => turned,
            }
            .sum_dim(1)
        };
        let score = match (&first.rewards, &second.rewards) {
            (Some(a), Some(b)) => score + (a.clone() - b.clone()),
            _ => score,
        };
        score.div_scalar(self.temperature).reshape([rows])
    }

    /// The weights by their names in a file.
    pub(crate) fn tensors(&self) -> Vec<(&'static str, Tensor<2>)> {
        let optional = [(REWARD, &self.reward), (PROMPT, &self.prompt)];
        let optional = optional.into_iter().filter_map(|(name, weight)| {
            let weight = weight.as_ref()?;
            Some((name, weight.val()))
        });
        std::iter::once((VALUE, self.value.val()))
            .chain(optional)
            .collect()
    }
}

/// `x W^T`. A column by itself is a sum: as a product it has been wrong on a GPU (burn#5122).
fn project(x: Tensor<2>, weight: &Param<Tensor<2>>) -> Tensor<2> {
    let weight = weight.val();
    match weight.dims()[0] {
        1 => (x * weight).sum_dim(1),
        _ => x.matmul(weight.transpose()),
    }
}

/// The columns of even and of odd number, `[rows, d / 2]` each.
fn halves(values: Tensor<2>) -> [Tensor<2>; 2] {
    let [rows, width] = values.dims();
    let pairs = values.reshape([rows, width / 2, 2]);
    [0, 1].map(|place| pairs.clone().narrow(2, place, 1).reshape([rows, width / 2]))
}

/// The shapes of the heads.
#[derive(Debug)]
pub(crate) struct Shapes {
    pub(crate) value: Vec<usize>,
    pub(crate) reward: Option<Vec<usize>>,
    pub(crate) prompt: Option<Vec<usize>>,
}

/// What is wrong with heads.
#[derive(Debug)]
pub(crate) enum Wrong {
    Shape {
        tensor: &'static str,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    Other {
        tensor: &'static str,
        reason: String,
    },
}

impl Wrong {
    /// The error, with the file that has the heads.
    pub(crate) fn of(self, path: &Path) -> PolicyError {
        let path = path.to_path_buf();
        match self {
            Self::Shape {
                tensor,
                found,
                expected,
            } => PolicyError::TensorShape {
                path,
                tensor: tensor.to_owned(),
                found,
                expected,
            },
            Self::Other { tensor, reason } => PolicyError::Tensor {
                path,
                tensor: tensor.to_owned(),
                reason,
            },
        }
    }
}

impl Shapes {
    /// Checks that they fit together and to hidden states of width `hidden`.
    pub(crate) fn check(&self, hidden: usize) -> Result<(), Wrong> {
        let values = self.value.first().copied().unwrap_or(0);
        let fits = |tensor: &'static str, found: &[usize], rows: usize| {
            let expected = vec![rows, hidden];
            match found == expected {
                true => Ok(()),
                false => Err(Wrong::Shape {
                    tensor,
                    found: found.to_vec(),
                    expected,
                }),
            }
        };
        fits(VALUE, &self.value, values)?;
        if values == 0 || (values > 1 && values % 2 == 1) {
            return Err(Wrong::Other {
                tensor: VALUE,
                reason: format!(
                    "it has {values} rows, and values turn in pairs: an even number, or 1 for a Bradley-Terry model"
                ),
            });
        }
        for (tensor, found, rows) in [
            (REWARD, &self.reward, 1),
            (PROMPT, &self.prompt, values / 2),
        ] {
            let Some(found) = found else {
                continue;
            };
            if values == 1 {
                let reason = format!(
                    "it stands beside a `{VALUE}` of one row, which is a Bradley-Terry model by itself"
                );
                return Err(Wrong::Other { tensor, reason });
            }
            fits(tensor, found, rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
