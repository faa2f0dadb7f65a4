//! What a run or a training says about itself before it computes anything.

mod objective;
mod run;
mod train;

pub(crate) use objective::ObjectiveHeader;
pub(crate) use run::{ComparisonBudget, RunHeader, SelfPlayHeader};
pub(crate) use train::TrainHeader;
