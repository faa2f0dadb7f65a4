//! One phase on given pairs: where its anchors come from, its first losses by hand, resumption, refusals.

mod finite;
mod given;
mod losses;
mod memory;
mod models;
mod resume;
mod setup;
