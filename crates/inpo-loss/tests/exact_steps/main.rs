//! The minimiser of each method's population loss over all policies is the exact update of the method of
//! the same name in `inpo-solver`, on random games in f64.
//!
//! The population: pairs (y, y') drawn independently from a sampler, labelled by the preference. A policy is
//! a softmax of free logits. Why a vanishing gradient proves the claim for the pair losses: each pair's loss
//! is a convex function of h, strictly so where it is squared or logistic, h is linear in the logits (the
//! normaliser cancels), and every pair has a positive weight. So the loss is strictly convex in the logits up
//! to their common constant, and where its gradient vanishes is its only minimum. SPPO's loss is no pair loss;
//! see `sppo`.

mod game;
mod invariances;
mod logistic;
mod moving;
mod population;
mod relations;
mod sppo;
mod squared;
