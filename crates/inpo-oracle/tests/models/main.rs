//! Judges that are models beside torch and transformers (`fixtures/models/make_models.py`).
#![cfg(feature = "models")]

mod pair_lm;
mod setup;
