//! Every operation: fused (f32 on Flex) against plain (f64), values and gradients.

mod adamw;
mod attention;
mod check;
mod embedding;
mod head;
mod linear;
mod rms_norm;
mod rotary;
mod swiglu;
