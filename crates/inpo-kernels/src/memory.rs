//! How the process's memory allocator treats what is freed.

use std::sync::OnceLock;

use crate::environment::switches;

/// Tells the C library's allocator, where that is glibc, to keep freed memory for the next tensors of this process instead of
/// handing it back to the system. Returns whether the setting is in force; only the first call sets it.
///
/// A training step frees and allocates the same few gigabytes again and again. By default large blocks
/// go back to the system and every page of the next ones is mapped and zeroed again, which takes up to a
/// fifth of a step's processor time. The price: the memory of the largest step stays with the process
/// until it ends.
///
/// Loading a model on the CPU backend calls this ([`Kernels::keep_freed_memory`](crate::Kernels::keep_freed_memory)).
/// Threads that have allocated before keep a heap of their own, which the setting does not reach: a program that starts
/// threads before it loads a model calls this itself, first. `INPO_KEEP_MEMORY=0` in the environment refuses it.
pub fn keep_freed_memory() -> bool {
    static IN_FORCE: OnceLock<bool> = OnceLock::new();
    *IN_FORCE.get_or_init(|| switches().keep_memory && set())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn set() -> bool {
    // No block is mapped by itself, and the end of the heap is never given back. All threads share one heap: by default
    // each has its own, and what one has freed is of no use to the others.
    //
    // SAFETY: mallopt takes plain numbers, is thread-safe, and leaves every block that exists as it
    // is; it is unsafe only as a foreign function.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1) == 1
            && libc::mallopt(libc::M_MMAP_MAX, 0) == 1
            && libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set() -> bool {
    false
}
