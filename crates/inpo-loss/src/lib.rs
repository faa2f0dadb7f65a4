//! The INPO loss on Burn's backend-independent tensors.
//!
//! A method of the family is a list of weighted anchors and a squared distance to a target
//! (arXiv 2407.00617, equations 7 and 8):
//!
//! ```text
//! r(y) = log pi(y) - sum_k w_k log q_k(y)        h = r(chosen) - r(rejected)        (h - target)^2
//! ```
//!
//! INPO's anchors are `(tau/eta, reference)` and `(1 - tau/eta, previous)`; its target is
//! `1/(2 eta)` for the winner of one oracle draw, or `(p - 1/2)/eta` when `p = P(chosen beats
//! rejected)` is known. `eta` is the INVERSE step size. Every log-prob is a [`LogpSum`]: the sum over
//! the tokens of a whole response, which is the only reduction for which the method is what it is.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use inpo_loss::{InpoLossConfig, Label, LogpSum, PairLogps, Reduction};
//!
//! # fn main() -> Result<(), inpo_loss::LossError> {
//! let device = Device::flex();
//! let pair = || PairLogps {
//!     chosen: LogpSum::new(Tensor::from_floats([-50.0], &device)),
//!     rejected: LogpSum::new(Tensor::from_floats([-60.0], &device)),
//! };
//! let loss = InpoLossConfig { eta: 0.005, tau: 0.005 / 3.0 }.init()?;
//! // Before any update the policy is both anchors: h = 0 and the loss is (1/(2 eta))^2 = 10000.
//! let value = loss.forward(&pair(), &pair(), &pair(), &Label::Hard, Reduction::Mean)?;
//! assert!((value.into_scalar::<f32>() - 10000.0).abs() < 0.1);
//! # Ok(())
//! # }
//! ```

mod error;
mod inpo;
mod kernel;
mod logps;

pub use error::LossError;
pub use inpo::{InpoLoss, InpoLossConfig};
pub use kernel::{Anchor, Label, PairKernel, PairOutput, Reduction};
pub use logps::{LogpSum, PairLogps};
