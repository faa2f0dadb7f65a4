//! Products with weights in blocks: on the tile unit where there is one, else by the kernels for few rows.

#[cfg(target_os = "linux")]
use super::amx::blocks as tiles;
use super::few;
use super::panels::Panels;

/// Whether a product of `rows` rows with blocks is computed here.
pub(crate) fn takes(rows: usize) -> bool {
    #[cfg(target_os = "linux")]
    if tiles::takes() {
        return rows > 0;
    }
    few::takes_blocks(rows)
}

/// `lhs rhs` for `rows` rows, one after the other, and each right factor, in one turn of all threads where that is possible.
///
/// # Panics
///
/// If `lhs` is not as long as the rows and a right factor's depth say, or [`takes`] says no.
pub(super) fn products(lhs: &[f32], rows: usize, rights: &[&Panels]) -> Vec<Vec<f32>> {
    #[cfg(target_os = "linux")]
    if tiles::takes() {
        return tiles::products(lhs, rows, rights);
    }
    let product = |right: &&Panels| few::block_product(lhs, rows, right);
    rights.iter().map(product).collect()
}

/// Whether [`products`] are on the tile unit.
#[cfg(test)]
pub(crate) fn on_tiles() -> bool {
    #[cfg(target_os = "linux")]
    return tiles::takes();
    #[cfg(not(target_os = "linux"))]
    false
}

/// [`products`] as they are, of one factor, without a tile unit.
#[cfg(test)]
pub(crate) fn few_rows(lhs: &[f32], rows: usize, rhs: &Panels) -> Vec<f32> {
    few::block_product(lhs, rows, rhs)
}
