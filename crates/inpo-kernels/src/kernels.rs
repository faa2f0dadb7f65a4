//! Which operations a tensor gets.

use burn::tensor::{DType, Device, Tensor};

/// The kernels that operations on a tensor run on: the fused ones of the CPU backend, or Burn's own operations.
///
/// Each operation of this crate picks its kernels by itself. Code around the operations asks this handle where the
/// choice changes what is worth doing: how to pack a batch, where to run a step, which weights to read.
///
/// # Environment
///
/// Three variables turn something off for the whole process when they are `0`. They are read once.
///
/// | variable | turns off |
/// |---|---|
/// | `INPO_AMX` | products on the tile unit (AMX) of recent Intel servers |
/// | `INPO_BLOCKS` | products with weights in the blocks of their file ([`Kernels::multiplies_blocks`]) |
/// | `INPO_KEEP_MEMORY` | keeping freed memory ([`Kernels::keep_freed_memory`]) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    cpu: bool,
    fused: bool,
    blocks: bool,
}

impl Kernels {
    /// The kernels of operations on `tensor`.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        #[cfg(feature = "flex")]
        {
            use crate::flex::Place;
            let place = Place::of(tensor);
            let cpu = place != Place::Elsewhere;
            let fused = cpu && tensor.dtype() == DType::F32;
            Self {
                cpu,
                fused,
                blocks: fused && place == Place::Flex && takes_blocks(),
            }
        }
        #[cfg(not(feature = "flex"))]
        {
            let _ = tensor;
            Self {
                cpu: false,
                fused: false,
                blocks: false,
            }
        }
    }

    /// The kernels of operations on tensors of type `dtype` on `device`, with or without autodiff.
    pub fn on(device: &Device, dtype: DType) -> Self {
        Self::of(&Tensor::<1>::zeros([1], (device, dtype)))
    }

    /// Checks that operations are the fused ones: f32 on Flex, with or without autodiff, where the crate was built with that
    /// backend.
    pub fn is_fused(self) -> bool {
        self.fused
    }

    /// Checks that products with a few rows may take the weights as a [`BlockMatrix`](crate::BlockMatrix): f32 on Flex without
    /// autodiff, a processor with AVX-512.
    pub fn multiplies_blocks(self) -> bool {
        self.blocks
    }

    /// Runs `body`, whose operations are on these kernels, and returns what it returns: where they are the fused ones, on one
    /// of the threads that share their work.
    ///
    /// A training step is some thousand short parallel loops. Begun by a thread outside the pool each of them wakes
    /// the pool's threads and then the caller; begun by a thread of the pool it costs the others' waking alone.
    /// Other backends keep a queue for each thread that calls them: there `body` stays on the caller's.
    pub fn run<R: Send>(self, body: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "flex")]
        if self.fused {
            return rayon::scope(|_| body());
        }
        body()
    }

    /// Keeps freed memory with the process ([`keep_freed_memory`](crate::keep_freed_memory)) where operations run on the
    /// CPU backend, in any precision. Loading a model does so before its first weight; later calls change nothing.
    pub fn keep_freed_memory(self) {
        if self.cpu {
            crate::memory::keep_freed_memory();
        }
    }
}

#[cfg(all(feature = "flex", target_arch = "x86_64"))]
fn takes_blocks() -> bool {
    crate::environment::switches().blocks && crate::flex::blocks::takes(1)
}

#[cfg(all(feature = "flex", not(target_arch = "x86_64")))]
fn takes_blocks() -> bool {
    false
}
