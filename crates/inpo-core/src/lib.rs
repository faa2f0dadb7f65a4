#![doc = include_str!("../../../README.md")]

pub use inpo_game as game;
pub use inpo_solver as solver;

#[cfg(feature = "data")]
pub use inpo_data as data;
#[cfg(feature = "eval")]
pub use inpo_eval as eval;
#[cfg(feature = "hub")]
pub use inpo_hub as hub;
#[cfg(feature = "policy")]
pub use inpo_kernels as kernels;
#[cfg(feature = "loss")]
pub use inpo_loss as loss;
#[cfg(feature = "oracle")]
pub use inpo_oracle as oracle;
#[cfg(feature = "policy")]
pub use inpo_policy as policy;
#[cfg(feature = "train")]
pub use inpo_train as train;

#[cfg(any(feature = "loss", feature = "policy"))]
pub use burn;

#[cfg(any(feature = "loss", feature = "policy"))]
mod device;
#[cfg(any(feature = "loss", feature = "policy"))]
pub use device::{DeviceError, FoundDevice, device, found_devices};
#[cfg(all(feature = "cube", any(feature = "loss", feature = "policy")))]
pub use device::{KernelCount, cube_config};

#[cfg(feature = "policy")]
mod models;
#[cfg(feature = "policy")]
pub use models::{FindModelError, find_model};

#[cfg(feature = "plot")]
pub mod plot;
pub mod prelude;
