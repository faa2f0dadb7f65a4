//! Products with weights in blocks: on the tile unit where there is one, else by the kernels for few rows.

#[cfg(target_os = "linux")]
use super::amx::blocks as tiles;
use super::few;
use crate::blocks::BlockMatrix;

/// Whether a product of `rows` rows with blocks is computed here.
pub(crate) fn takes(rows: usize) -> bool {
    #[cfg(target_os = "linux")]
    if tiles::takes() {
        return rows > 0;
    }
    few::takes_blocks(rows)
}

/// `lhs rhs` for `rows` rows, one after the other.
///
/// # Panics
///
/// If `lhs` is not as long as they are, or [`takes`] says no.
pub(crate) fn product(lhs: &[f32], rows: usize, rhs: &BlockMatrix) -> Vec<f32> {
    #[cfg(target_os = "linux")]
    if tiles::takes() {
        let mut out = tiles::products(lhs, rows, &[rhs]);
        return out.pop().expect("a product for each factor");
    }
    few::block_product(lhs, rows, rhs)
}

/// [`product`] as it is without a tile unit.
#[cfg(test)]
pub(crate) fn few_rows(lhs: &[f32], rows: usize, rhs: &BlockMatrix) -> Vec<f32> {
    few::block_product(lhs, rows, rhs)
}
