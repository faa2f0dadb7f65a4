//! What the kernels for few rows share: the left factor, and vectors in memory.

use std::cell::RefCell;

/// Numbers of a vector.
pub(super) const LANES: usize = 16;

/// The left factor: rows one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
}

/// 64 bytes: a vector in memory.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; LANES]);

/// Calls `body` with a buffer of this thread of `lines` lines with any content.
pub(super) fn with_scratch<R>(lines: usize, body: impl FnOnce(&mut [Line]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < lines {
            scratch.resize(lines, Line([0.0; LANES]));
        }
        body(&mut scratch[..lines])
    })
}
