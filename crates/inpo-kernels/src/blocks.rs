//! Weights as files store them: blocks of quantised numbers, or bf16 numbers.

/// Weights of a block: neighbours in the input's order that share a scale and, where the kind has one, a minimum.
pub const BLOCK: usize = 32;

/// How the numbers of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// `d q + m` with `q` from 0 to 15: ggml's Q4_0, Q4_1, Q4_K.
    Nibbles,
    /// `d q` with `q` from -128 to 127: ggml's Q8_0, Q5_0.
    Bytes,
    /// `d q + m` with `q` from -128 to 127: ggml's Q5_1, Q5_K.
    OffsetBytes,
    /// bf16 numbers, without scales.
    Bf16,
}

/// A block of quantised weights.
#[derive(Debug, Clone, Copy)]
pub struct QuantisedBlock {
    /// The scale `d`.
    pub scale: f32,
    /// The minimum `m`; ignored where the kind has none.
    pub minimum: f32,
    /// The 32 numbers `q`, signed ones in two's complement.
    pub numbers: [u8; BLOCK],
}
