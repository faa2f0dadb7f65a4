//! What the fuzz targets call: each function gives the bytes to one reader, for which an error is fine
//! and a panic, a hang or memory without bound is not.
//!
//! `scripts/fuzz.sh SECONDS NAME..` drives them with libFuzzer, each input with at most 4 GB of memory and 20 seconds. Without it,
//! `INPO_FUZZ_SECONDS=60 cargo test --workspace --test fuzz -- --ignored --test-threads 1` drives the
//! same functions with random changes of the fixtures.

pub mod targets;
