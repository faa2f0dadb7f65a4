//! What the machine has, as far as the system tells.

use std::path::Path;

/// The most memory that this process has used so far, in bytes; none where the system does not say.
pub(super) fn peak_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Memory that this process has, is free or can be freed, in bytes; none where the system does not say.
pub(super) fn available_memory() -> Option<u64> {
    let own = kilobytes("/proc/self/status", "VmRSS:")?;
    Some(own + kilobytes("/proc/meminfo", "MemAvailable:")?)
}

/// A line `NAME  123 kB` of Linux's accounts, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// What a user may still write where `path` lies, in bytes; none where the system does not say.
#[cfg(unix)]
pub(super) fn free_disk(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// What a user may still write where `path` lies: unknown on this system.
#[cfg(not(unix))]
pub(super) fn free_disk(_path: &Path) -> Option<u64> {
    None
}

/// Bytes of the files below `dir`; what cannot be read counts nothing.
pub(super) fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
