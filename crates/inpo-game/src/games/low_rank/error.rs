//! What can be wrong with embeddings.

/// Numbers that are not a game of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LowRankError {
    /// No embeddings.
    #[error("embeddings is empty: a game needs at least one action")]
    Empty,
    /// Embeddings without coordinates.
    #[error("embeddings[0] has no coordinates: an embedding needs at least one")]
    NoCoordinates,
    /// An embedding of another dimension than the first.
    #[error(
        "embeddings[{index}] has {got} coordinates, but embeddings[0] has {expected}: all must have the same dimension"
    )]
    Dimension {
        /// The action.
        index: usize,
        /// Its number of coordinates.
        got: usize,
        /// That of the first.
        expected: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("embeddings[{index}][{coordinate}] is {value}: every coordinate must be finite")]
    Coordinate {
        /// The action.
        index: usize,
        /// The coordinate.
        coordinate: usize,
        /// What was given.
        value: f64,
    },
    /// Not one weight for each two coordinates.
    #[error(
        "there are {got} weights for embeddings of dimension {dimension}: the dimension must be twice the number of weights, one rotation for each two coordinates"
    )]
    WeightCount {
        /// How many weights.
        got: usize,
        /// The dimension of the embeddings.
        dimension: usize,
    },
    /// A weight is negative, NaN or infinite.
    #[error(
        "weights[{index}] is {value}: the weight of a rotation must be finite and not negative"
    )]
    Weight {
        /// The block.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// The operator is not d x d.
    #[error(
        "skew has {rows} rows and row {row} has {columns} entries, but the embeddings have dimension {dimension}: it must be {dimension} x {dimension}"
    )]
    SkewShape {
        /// The number of rows.
        rows: usize,
        /// The row of the wrong length; the last one if all are right.
        row: usize,
        /// Its length.
        columns: usize,
        /// The dimension of the embeddings.
        dimension: usize,
    },
    /// The operator is not skew-symmetric.
    #[error(
        "skew[{row}][{column}] = {value} and skew[{column}][{row}] = {opposite}: they must be finite and each the negative of the other"
    )]
    NotSkew {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// Entry (row, column).
        value: f64,
        /// Entry (column, row).
        opposite: f64,
    },
    /// The embeddings or the operator are so large that scores overflow.
    #[error(
        "the embedding of action {index} gives scores beyond the largest number: scale the embeddings down"
    )]
    Overflow {
        /// The action.
        index: usize,
    },
    /// The linear link leaves [0, 1].
    #[error(
        "the score of actions {first} and {second} is {score}: the linear link is 1/2 + s and needs scores in [-1/2, 1/2]; scale the embeddings down or take the logistic link"
    )]
    OutOfRange {
        /// The first action.
        first: usize,
        /// The second action.
        second: usize,
        /// s(first, second).
        score: f64,
    },
}
