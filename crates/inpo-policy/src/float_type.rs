//! The float types of weights.

use serde::{Deserialize, Serialize};

/// A float type of weights, in a configuration and in a file.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// 32 bits.
    #[default]
    #[serde(alias = "float32")]
    #[schemars(extend("x-aliases" = ["float32"]))]
    F32,
    /// 16 bits with the range of f32, two or three digits.
    #[serde(alias = "bfloat16")]
    #[schemars(extend("x-aliases" = ["bfloat16"]))]
    Bf16,
    /// 16 bits with a range of 65504, for files alone; a weight beyond it is refused.
    #[serde(alias = "float16")]
    #[schemars(extend("x-aliases" = ["float16"]))]
    F16,
}

impl FloatType {
    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// Its name in torch and in `config.json`.
    #[must_use]
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}
