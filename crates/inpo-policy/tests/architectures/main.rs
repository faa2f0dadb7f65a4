//! Every architecture against transformers: tiny random checkpoints, float64 numbers, generator beside the
//! fixtures (`fixtures/make_tiny_models.py`).

mod adapters;
mod batching;
mod export;
mod files;
mod gradients;
mod heads;
mod numbers;
mod setup;
