//! Judges that are models beside torch and transformers (`fixtures/models/make_models.py`).
#![cfg(feature = "models")]

mod general_preference;
mod pair_lm;
mod reward_model;
mod setup;
