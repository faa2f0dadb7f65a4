//! The tasks, one file each, and their table.

mod arc;
mod gsm8k;
mod hellaswag;
mod minerva_math;
mod mmlu;
mod truthfulqa;
mod winogrande;

use super::task::Task;

/// Every task; a new one is a line here.
pub(super) fn all() -> Vec<Box<dyn Task>> {
    let mut tasks: Vec<Box<dyn Task>> = vec![
        Box::new(arc::Arc {
            name: "arc_easy",
            config: "ARC-Easy",
        }),
        Box::new(arc::Arc {
            name: "arc_challenge",
            config: "ARC-Challenge",
        }),
        Box::new(hellaswag::HellaSwag),
        Box::new(winogrande::WinoGrande),
        Box::new(truthfulqa::TruthfulQa {
            name: "truthfulqa_mc1",
            targets: "mc1_targets",
            by_mass: false,
        }),
        Box::new(truthfulqa::TruthfulQa {
            name: "truthfulqa_mc2",
            targets: "mc2_targets",
            by_mass: true,
        }),
        Box::new(gsm8k::Gsm8k::new()),
    ];
    tasks.extend(mmlu::tasks());
    tasks.extend(minerva_math::tasks());
    tasks
}

/// Every group of tasks.
pub(super) fn groups() -> Vec<Group> {
    [mmlu::groups(), minerva_math::groups()].concat()
}

/// Tasks with a score of their own together: the mean over all their documents.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) alias: &'static str,
    pub(super) version: &'static str,
    /// The scores that are averaged.
    pub(super) metrics: &'static [&'static str],
    /// Tasks or other groups.
    pub(super) members: Vec<String>,
}
