//! How the process's memory allocator treats what is freed.

/// Tells the C library's allocator, where that is glibc, to keep freed memory for the next tensors of this
/// process instead of handing it back to the system; returns whether it was told.
///
/// A training step frees and allocates the same few gigabytes again and again. By default large blocks
/// go back to the system and every page of the next ones is mapped and zeroed anew, which takes up to a
/// fifth of a step's processor time. The price: the memory of the largest step stays with the process
/// until it ends. The setting is the whole process's, so the program calls this, at its start, and no
/// library does; `inpo`, the examples and the benches do.
pub fn keep_freed_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return glibc::keep();
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod glibc {
    /// No block is mapped by itself, and the end of the heap is never given back. All threads share one heap: by
    /// default each has its own, and what one has freed is of no use to the others.
    pub(super) fn keep() -> bool {
        // SAFETY: mallopt takes plain numbers, is thread-safe, and leaves every block that exists as it
        // is; it is unsafe only as a foreign function.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1) == 1
                && libc::mallopt(libc::M_MMAP_MAX, 0) == 1
                && libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1
        }
    }
}
