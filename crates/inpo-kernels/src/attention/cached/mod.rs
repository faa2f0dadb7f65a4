//! Attention of one new token a row over a cache of keys and values.

#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod kernel;
mod plain;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use super::AttentionHeads;

/// What one row of a decoding step sees of the caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRow {
    /// Where its prompt lies.
    pub place: usize,
    /// The prompt's tokens that it sees, counted from the first that lies there.
    pub prompt: Range<usize>,
    /// The row's own slots that it sees, in the order of their tokens: one run or two, where the second is empty.
    pub own: [Range<usize>; 2],
}

/// Grouped-query attention (arXiv 2305.13245) of one token a row over the row's prompt and the tokens behind it.
///
/// For query head `h` of a row, with the keys and values of head `h / (heads / kv_heads)`,
///
/// ```text
/// out = sum_j softmax_j(cap(scale * q . k_j)) v_j,    cap(s) = softcap * tanh(s / softcap)
/// ```
///
/// over the tokens `j` that the row sees: first those of its prompt, which other rows may share, then its own. Without
/// `softcap`, `cap(s) = s`. The softmax of half precision is in f32, as in a packed batch.
///
/// Holds what the layers of one step share, and is cheap to clone. The fused form reads what rows share once for all of them;
/// a row's result is the same to the bit whatever rows are beside it and wherever its tokens lie. The plain form sets the
/// rows of a prompt side by side, as many for each prompt.
#[derive(Debug, Clone)]
pub struct CachedAttention {
    shape: CachedShape,
    path: Path,
}

/// The sizes and constants that both forms use.
#[derive(Debug, Clone, Copy)]
struct CachedShape {
    rows: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
    softcap: Option<f64>,
}

#[derive(Debug, Clone)]
enum Path {
    Plain(Arc<plain::Tables>),
    #[cfg(feature = "flex")]
    Fused(Arc<kernel::Layout>),
}

impl CachedAttention {
    /// Attention of `heads` for `rows`, for tensors on `device`, without autodiff, of type `dtype`.
    ///
    /// # Panics
    ///
    /// If a size is 0, `kv_heads` does not divide `heads`, the cap is not positive, or a row sees nothing.
    pub fn new(rows: &[CachedRow], heads: &AttentionHeads, device: &Device, dtype: DType) -> Self {
        heads.check();
        let sees =
            |row: &CachedRow| !row.prompt.is_empty() || row.own.iter().any(|r| !r.is_empty());
        assert!(
            !rows.is_empty() && rows.iter().all(sees),
            "each row sees something, got {rows:?}"
        );
        let shape = CachedShape {
            rows: rows.len(),
            heads: heads.heads,
            kv_heads: heads.kv_heads,
            head_dim: heads.head_dim,
            scale: heads.scale,
            softcap: heads.softcap,
        };
        #[cfg(feature = "flex")]
        if crate::flex::takes_without_autodiff(&Tensor::<2>::zeros([1, 1], (device, dtype))) {
            let layout = kernel::Layout::new(rows, heads.heads / heads.kv_heads);
            let path = Path::Fused(Arc::new(layout));
            return Self { shape, path };
        }
        let tables = plain::Tables::new(rows, (device, dtype));
        let path = Path::Plain(Arc::new(tables));
        Self { shape, path }
    }

    /// Maps queries `[rows, heads * head_dim]` to the same shape, over the prompts' keys `[places, kv_heads, head_dim, tokens]`
    /// and values `[places, kv_heads, tokens, head_dim]` and the rows' own keys and values, `[rows, kv_heads, slots, head_dim]`
    /// each.
    ///
    /// What no row sees must be finite.
    ///
    /// # Panics
    ///
    /// If the shapes do not fit each other and the rows, or the tensors have another device or type than this was made for.
    pub fn forward(
        &self,
        query: Tensor<2>,
        prompts: [Tensor<4>; 2],
        own: [Tensor<4>; 2],
    ) -> Tensor<2> {
        let shape = &self.shape;
        let [places, _, tokens, _] = prompts[1].dims();
        let (heads, width) = (shape.kv_heads, shape.head_dim);
        let slots = own[0].dims()[2];
        let own_shape = [shape.rows, heads, slots, width];
        assert!(
            query.dims() == [shape.rows, shape.heads * width]
                && prompts[0].dims() == [places, heads, width, tokens]
                && prompts[1].dims() == [places, heads, tokens, width]
                && own.iter().all(|own| own.dims() == own_shape),
            "queries {:?}, prompts {:?} and {:?}, own {:?} and {:?} for {shape:?}",
            query.dims(),
            prompts[0].dims(),
            prompts[1].dims(),
            own[0].dims(),
            own[1].dims()
        );
        match &self.path {
            Path::Plain(tables) => plain::forward(shape, tables, query, prompts, own),
            #[cfg(feature = "flex")]
            Path::Fused(layout) => {
                use crate::flex::takes_without_autodiff as takes;
                let caches = prompts.iter().chain(&own);
                assert!(
                    takes(&query) && caches.into_iter().all(takes),
                    "attention made for f32 on Flex was given other tensors"
                );
                let scales = (shape.scale as f32, shape.softcap.map(|cap| cap as f32));
                fused::attend(query, prompts, own, layout.clone(), scales)
            }
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
