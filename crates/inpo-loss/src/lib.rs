//! Preference losses on Burn's backend-independent tensors: INPO and its family, from one kernel.
//!
//! # From DPO to INPO
//!
//! DPO fits a pair by `-log sigmoid(beta (D log pi - D log ref))`, where `D f = f(chosen) - f(rejected)`.
//! It assumes that a score explains who wins. Real preferences cycle, and then there is no such score;
//! what exists is the Nash policy of the game in which two policies are asked for an answer and a judge says
//! which is better. INPO (arXiv 2407.00617) finds it by self-play. What changes:
//!
//! | | DPO | INPO |
//! |---|---|---|
//! | data | pairs collected once | each iteration new pairs, sampled from the current policy pi_t |
//! | log-probs needed | policy, reference | policy, reference **and pi_t**, both cached before training |
//! | `h` | `D log pi - D log ref` | `D log pi - (tau/eta) D log ref - (1 - tau/eta) D log pi_t` |
//! | loss | `-log sigmoid(beta h)` | `(h - 1/(2 eta))^2` |
//! | settings | `beta` | `eta`, the INVERSE step size, and `tau`, the KL weight, `0 <= tau <= eta` |
//! | at the optimum | a score's softmax | one exact step of mirror descent towards the Nash policy |
//!
//! Both take SUMS of token log-probs ([`LogpSum`]), end token included; the first loss of INPO is exactly
//! `(1/(2 eta))^2` (10 000 at the paper's eta = 0.005) and falls slowly: watch `h`, not the loss.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use inpo_loss::{DpoLossConfig, InpoLossConfig, Label, LogpSum, PairLogps, Reduction, Role};
//!
//! # fn main() -> Result<(), inpo_loss::LossError> {
//! let device = Device::flex();
//! let pair = |chosen: f32, rejected: f32| PairLogps {
//!     chosen: LogpSum::new(Tensor::from_floats([chosen], &device)),
//!     rejected: LogpSum::new(Tensor::from_floats([rejected], &device)),
//! };
//! let (policy, reference, previous) = (pair(-48.0, -61.0), pair(-50.0, -60.0), pair(-49.0, -60.0));
//! let anchors = [(Role::Reference, &reference), (Role::Previous, &previous)];
//!
//! let dpo = DpoLossConfig { beta: 0.1, label_smoothing: 0.0 }.init()?;
//! let inpo = InpoLossConfig { eta: 0.05, tau: 0.05 / 3.0 }.init()?;
//! let dpo_loss = dpo.forward(&policy, &anchors, &Label::Hard, Reduction::Mean)?;
//! let inpo_loss = inpo.forward(&policy, &anchors, &Label::Hard, Reduction::Mean)?;
//! // DPO: h = 13 - 10 = 3. INPO: h = 13 - 10/3 - 22/3 = 7/3, target 10.
//! assert!((dpo_loss.into_scalar::<f64>() - 0.554355).abs() < 1e-5);
//! assert!((inpo_loss.into_scalar::<f64>() - (23.0_f64 / 3.0).powi(2)).abs() < 1e-3);
//! # Ok(())
//! # }
//! ```
//!
//! # The family
//!
//! A method is a list of weighted [`Anchor`]s, a [`Kernel`] (penalty and target) and a kind of [`Label`];
//! `r(y) = log pi(y) - sum_k w_k log q_k(y)` and `h = r(chosen) - r(rejected)`. Each configuration's `init`
//! checks the settings and gives a [`PairLoss`]; who samples the pairs is the loop's part. They are listed in [`methods`];
//! [`LossConfig`] is the settings of any of them.
//!
//! [`SftTerm`] may be added to any of them. The gradient in the log-probs is closed
//! ([`LossOutput::gradient`]), so a trainer needs no vocabulary-wide graph, and [`BatchMetrics`] has the figures to
//! watch. `eta` is the INVERSE step size of every method, whatever its paper calls it.

mod addend;
mod anchor;
mod error;
mod kernel;
mod label;
mod logps;
mod loss;
mod method_loss;
pub mod methods;
pub mod metrics;

pub use addend::{Exploration, SftTerm};
pub use anchor::{Anchor, Role};
pub use error::LossError;
pub use kernel::{Kernel, LossOutput, Reduction};
pub use label::{Label, LabelKind};
pub use logps::{LogpMean, LogpSum, PairLogps};
pub use loss::{MeanPairLoss, PairLoss};
pub use method_loss::{Loss, MethodLoss};
pub use methods::*;
pub use metrics::{BatchMetrics, PairFigures};
