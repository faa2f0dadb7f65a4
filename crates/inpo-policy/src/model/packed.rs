//! The weights of a decoder as its file holds them, in quantised blocks or bf16, for sampling.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use inpo_kernels::BlockMatrix;
use rayon::prelude::*;

use super::Decoder;
use crate::error::PolicyError;
use crate::files::WeightSource;

/// The matrices that a file has in blocks or bf16, which are multiplied without unpacking them, by their names. They are read
/// when they are first asked for.
pub(crate) struct PackedWeights {
    source: Arc<dyn WeightSource>,
    matrices: OnceLock<BTreeMap<String, Arc<BlockMatrix>>>,
}

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedWeights").finish_non_exhaustive()
    }
}

impl PackedWeights {
    /// Those of `source`.
    pub(crate) fn new(source: Arc<dyn WeightSource>) -> Self {
        Self {
            source,
            matrices: OnceLock::new(),
        }
    }

    /// Gives `decoder`, whose weights must be those of the source, the matrices beside its own, where its device can use them: else
    /// nothing is read.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more.
    pub(crate) fn attach(&self, decoder: &mut Decoder) -> Result<(), PolicyError> {
        if !BlockMatrix::supports(&decoder.embed_tokens.val()) {
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
                projection.packed = matrices.get(&name).cloned();
            }
        }
        decoder.packed_head = matrices.get(head).cloned();
        Ok(())
    }

    /// All that is multiplied: an embedding that is not the head is looked up.
    fn read(&self, head: &str) -> Result<BTreeMap<String, Arc<BlockMatrix>>, PolicyError> {
        let mut names = self.source.names();
        names.retain(|name| name == head || name.starts_with("model.layers."));
        let matrices = names
            .into_par_iter()
            .filter_map(|name| match self.source.blocks(&name) {
                Ok(matrix) => matrix.map(|matrix| Ok((name, Arc::new(matrix)))),
                Err(error) => Some(Err(error)),
            });
        matrices.collect()
    }
}
