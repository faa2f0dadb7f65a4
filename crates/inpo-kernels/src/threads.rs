//! Where the work between parallel loops runs.

/// Runs `body` on one of the threads that the fused operations share their work among, and returns what it
/// returns.
///
/// A training step is some thousand short parallel loops. Begun by a thread outside the pool each of them wakes
/// the pool's threads and then the caller; begun by a thread of the pool it costs the others' waking alone.
/// Without the fused operations `body` runs where it is called.
pub fn on_worker<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "flex")]
    return rayon::scope(|_| body());
    #[cfg(not(feature = "flex"))]
    body()
}
