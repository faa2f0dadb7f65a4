//! Views of matrices in slices, made where every element they can name is known to lie inside; and how a product
//! is computed and where it goes, whose values need not be there yet.

#![allow(unsafe_code)]

/// A matrix in a slice, element `(i, j)` at `i * row_stride + j * column_stride`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// A matrix of `shape` with the given strides.
    ///
    /// # Panics
    ///
    /// If an element lies outside `values`.
    pub(crate) fn new(values: &'a [f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        assert!(
            fits(values.len(), shape, strides),
            "a {shape:?} matrix with strides {strides:?} does not fit {} values",
            values.len()
        );
        Self {
            values,
            shape,
            strides,
        }
    }

    /// A matrix stored row by row.
    pub(crate) fn rows(values: &'a [f32], shape: [usize; 2]) -> Self {
        Self::new(values, shape, [shape[1], 1])
    }

    /// The transpose, of the same values.
    pub(crate) fn transposed(self) -> Self {
        let [rows, columns] = self.shape;
        let [row, column] = self.strides;
        Self {
            values: self.values,
            shape: [columns, rows],
            strides: [column, row],
        }
    }

    pub(super) fn values(self) -> &'a [f32] {
        self.values
    }

    pub(super) fn shape(self) -> [usize; 2] {
        self.shape
    }

    pub(super) fn strides(self) -> [usize; 2] {
        self.strides
    }

    /// `count` rows from `first` on.
    pub(crate) fn slice_rows(self, first: usize, count: usize) -> Self {
        let [row, _] = self.strides;
        let from = (first * row).min(self.values.len());
        Self::new(&self.values[from..], [count, self.shape[1]], self.strides)
    }

    /// `count` columns from `first` on.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn slice_columns(self, first: usize, count: usize) -> Self {
        self.transposed().slice_rows(first, count).transposed()
    }
}

/// A matrix stored row by row, `row_stride` apart, that is written.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    values: &'a mut [f32],
    shape: [usize; 2],
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A matrix of `shape` whose rows begin `row_stride` values apart.
    ///
    /// # Panics
    ///
    /// If an element lies outside `values` or rows overlap.
    pub(crate) fn new(values: &'a mut [f32], shape: [usize; 2], row_stride: usize) -> Self {
        assert!(
            row_stride >= shape[1] && fits(values.len(), shape, [row_stride, 1]),
            "a {shape:?} matrix with rows {row_stride} apart does not fit {} values",
            values.len()
        );
        Self {
            values,
            shape,
            row_stride,
        }
    }

    /// A matrix stored row by row without gaps.
    pub(crate) fn rows(values: &'a mut [f32], shape: [usize; 2]) -> Self {
        Self::new(values, shape, shape[1])
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(super) fn into_values(self) -> &'a mut [f32] {
        self.values
    }
}

fn fits(length: usize, [rows, columns]: [usize; 2], [row, column]: [usize; 2]) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let last = (rows - 1)
        .checked_mul(row)
        .zip((columns - 1).checked_mul(column))
        .and_then(|(down, across)| down.checked_add(across));
    last.is_some_and(|last| last < length)
}

/// What happens to the values that a product is written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// `out = scale * lhs rhs`.
    Replace,
    /// `out += scale * lhs rhs`.
    Add,
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// All threads, when the product is large enough.
    All,
    /// The calling thread: inside work that is split already.
    One,
}

/// Where a product goes: a matrix stored row by row, `row_stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    pub(super) first: *mut f32,
    pub(super) row_stride: usize,
}

// SAFETY: a plain address; who may write where is settled by the contract of whom it is given to, whose tasks write
// parts of their own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    /// The part that begins at `row` and `column`.
    ///
    /// # Safety
    ///
    /// Both lie within the matrix.
    #[cfg(target_arch = "x86_64")]
    pub(super) unsafe fn from(self, row: usize, column: usize) -> Self {
        // SAFETY: within the matrix, says the caller.
        let first = unsafe { self.first.add(row * self.row_stride + column) };
        Self { first, ..self }
    }
}

/// A right factor and where its product goes.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) factor: Matrix<'a>,
    pub(super) out: Out,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_view_beyond_its_slice_is_refused() {
        let _ = Matrix::new(&[0.0; 7], [2, 4], [4, 1]);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn overlapping_rows_are_refused() {
        let _ = MatrixMut::new(&mut [0.0; 8], [2, 4], 3);
    }
}
