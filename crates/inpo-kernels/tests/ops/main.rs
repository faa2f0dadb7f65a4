//! Every operation: fused (f32 on Flex) against plain (f64), values and gradients.

mod check;
mod linear;
mod swiglu;
