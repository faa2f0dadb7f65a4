//! Where the work between parallel loops runs.

use burn::tensor::Tensor;

/// Runs `body`, whose operations are of the kind of those on `weights`, and returns what it returns: where they are the
/// fused ones ([`crate::fused`]), on one of the threads that share their work.
///
/// A training step is some thousand short parallel loops. Begun by a thread outside the pool each of them wakes
/// the pool's threads and then the caller; begun by a thread of the pool it costs the others' waking alone.
/// Other backends keep a queue for each thread that calls them: there `body` stays on the caller's.
pub fn on_worker<const D: usize, R: Send>(
    weights: &Tensor<D>,
    body: impl FnOnce() -> R + Send,
) -> R {
    #[cfg(feature = "flex")]
    if crate::fused(weights) {
        return rayon::scope(|_| body());
    }
    let _ = weights;
    body()
}
