//! The weights of a decoder in the quantised blocks or bf16 numbers of their file, for sampling.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use inpo_kernels::{BlockKind, BlockMatrix};
use rayon::prelude::*;

use super::decoder::Decoder;
use crate::error::PolicyError;
use crate::files::{StoredMatrix, WeightSource};

/// The matrices that a file stores in blocks or bf16, by their names. They are multiplied without unpacking them, and read when
/// they are first asked for.
pub(crate) struct FileBlocks {
    source: Arc<dyn WeightSource>,
    matrices: OnceLock<BTreeMap<String, BlockMatrix>>,
}

impl std::fmt::Debug for FileBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBlocks").finish_non_exhaustive()
    }
}

impl FileBlocks {
    /// The matrices of `source`.
    pub(crate) fn new(source: Arc<dyn WeightSource>) -> Self {
        Self {
            source,
            matrices: OnceLock::new(),
        }
    }

    /// Gives `decoder`, whose weights must be those of the source, the matrices beside its own, where its kernels multiply
    /// blocks: else nothing is read.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more.
    pub(crate) fn attach(&self, decoder: &mut Decoder) -> Result<(), PolicyError> {
        if !decoder.kernels().multiplies_blocks() {
            return Ok(());
        }
        let head = match decoder.lm_head {
            Some(_) => "lm_head.weight",
            None => "model.embed_tokens.weight",
        };
        let matrices = match self.matrices.get() {
            Some(matrices) => matrices,
            None => {
                let matrices = self.read(head)?;
                self.matrices.get_or_init(|| matrices)
            }
        };
        for (layer, block) in decoder.layers.iter_mut().enumerate() {
            for (part, name, projection) in block.projections() {
                let name = format!("model.layers.{layer}.{part}.{name}.weight");
                projection.blocks = matrices.get(&name).cloned();
            }
        }
        decoder.head_blocks = matrices.get(head).cloned();
        Ok(())
    }

    /// Reads all that is multiplied: an embedding that is not the head is looked up.
    fn read(&self, head: &str) -> Result<BTreeMap<String, BlockMatrix>, PolicyError> {
        let mut names = self.source.names();
        names.retain(|name| name == head || name.starts_with("model.layers."));
        let matrices = names
            .into_par_iter()
            .filter_map(|name| match self.source.blocks(&name) {
                Ok(stored) => stored.map(|stored| Ok((name, block_matrix(&stored)))),
                Err(error) => Some(Err(error)),
            });
        matrices.collect()
    }
}

/// Lays out a stored matrix for the kernels, block by block.
pub(crate) fn block_matrix(stored: &StoredMatrix) -> BlockMatrix {
    let [output, input] = stored.shape();
    match stored.kind() {
        BlockKind::Bf16 => BlockMatrix::from_bf16([input, output], stored.bf16_bits()),
        kind => BlockMatrix::new(kind, [input, output], stored.blocks()),
    }
}
