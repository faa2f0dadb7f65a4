//! One phase on given pairs: where its anchors come from, its first losses by hand, resumption, refusals.

mod batches;
mod checkpoints;
mod dropout;
#[path = "../common/files.rs"]
mod files;
mod finite;
mod given;
mod losses;
mod memory;
mod models;
mod perf;
mod resume;
mod setup;
#[path = "../common/training.rs"]
mod training;
