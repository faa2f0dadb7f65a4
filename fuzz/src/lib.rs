//! What the fuzz targets call: each function gives the bytes to one reader, for which an error is fine
//! and a panic, a hang or memory without bound is not.
//!
//! `cargo +nightly fuzz run NAME` drives them with libFuzzer, on a stable compiler with `RUSTC_BOOTSTRAP=1`. Without it,
//! `INPO_FUZZ_SECONDS=60 cargo test --workspace --test fuzz -- --ignored --test-threads 1` drives the
//! same functions with random changes of the fixtures.

pub mod targets;
