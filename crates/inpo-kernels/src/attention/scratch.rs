//! Memory of the fused attention that tiles share one after the other.

use std::sync::Mutex;

use super::plan::Plan;

/// What a tile is worked on in.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Queries, and gradients of their outputs: `[queries, head_dim]`.
    pub(super) q: Vec<f32>,
    pub(super) grad: Vec<f32>,
    /// Outputs, or gradients of queries: `[queries, head_dim]`.
    pub(super) out: Vec<f32>,
    /// `[keys, queries]`.
    pub(super) scores: Vec<f32>,
    pub(super) d_scores: Vec<f32>,
    /// One value a query.
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    pub(super) third: Vec<f32>,
}

impl Scratch {
    fn new(plan: &Plan) -> Self {
        let queries = plan.queries();
        let rows = || vec![0.0; queries * plan.head_dim];
        let scores = || vec![0.0; queries * plan.keys()];
        let values = || vec![0.0; queries];
        Self {
            q: rows(),
            grad: rows(),
            out: rows(),
            scores: scores(),
            d_scores: scores(),
            first: values(),
            second: values(),
            third: values(),
        }
    }
}

/// As many scratches as are in use at a time.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Scratch>>,
}

impl Pool {
    pub(super) fn with<R>(&self, plan: &Plan, work: impl FnOnce(&mut Scratch) -> R) -> R {
        const HELD: &str = "nothing panics while the pool is locked";
        let free = self.free.lock().expect(HELD).pop();
        let mut scratch = free.unwrap_or_else(|| Scratch::new(plan));
        let result = work(&mut scratch);
        self.free.lock().expect(HELD).push(scratch);
        result
    }
}
