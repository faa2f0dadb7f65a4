//! How kernels are compiled and tuned on devices that do so at run time: CUDA, wgpu, the CPU compiler.
//!
//! CubeCL compiles a kernel when it is first launched, and for a product or a reduction of a new size it compiles and
//! times several. With the feature `kernel-cache` both are kept in the user's cache directory (`cubecl` in it), where the
//! next process finds them.

use std::collections::HashSet;

use burn::cubecl::config::autotune::AutotuneLevel;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn::cubecl::launched::LaunchedKernels;

/// The settings that [`device`](super::device) gives CubeCL: with the feature `kernel-cache`, compiled kernels and what was
/// tuned are kept in the user's cache directory; and tuning tries few candidates, as a first step that takes minutes is worse than one that is
/// somewhat slower. What a `cubecl.toml` or `burn.toml` of the working directory says otherwise holds, and so do
/// CubeCL's environment variables: `CUBECL_AUTOTUNE_LEVEL=balanced` tries more.
pub fn cube_config() -> CubeClRuntimeConfig {
    let mut config = CubeClRuntimeConfig::from_current_dir();
    #[cfg(feature = "kernel-cache")]
    {
        use burn::cubecl::config::cache::CacheConfig;
        if matches!(config.environment.path, CacheConfig::Target) {
            config.environment.path = CacheConfig::Global;
        }
        config.compilation.cache = true;
    }
    if matches!(config.autotune.level, AutotuneLevel::Balanced) {
        config.autotune.level = AutotuneLevel::Minimal;
    }
    config.override_from_env()
}

/// Makes them hold, unless the program has set its own or a device is in use already.
pub(super) fn configure() {
    CubeClRuntimeConfig::try_set(cube_config());
}

/// Counts the kernels that are launched on devices that compile them at run time, by all threads of the process.
#[derive(Debug)]
pub struct KernelCount {
    /// Open but while it is read.
    open: Option<LaunchedKernels>,
    /// Every kernel so far, by the hash that CubeCL knows it by.
    seen: HashSet<String>,
}

impl KernelCount {
    /// Begins to count.
    #[expect(clippy::new_without_default, reason = "to begin is no value")]
    pub fn new() -> Self {
        Self {
            open: Some(LaunchedKernels::new()),
            seen: HashSet::new(),
        }
    }

    /// Since the last call: how many different kernels were launched, and how many of these never before, which were therefore
    /// compiled or read from the cache.
    pub fn since(&mut self) -> (usize, usize) {
        let open = self.open.replace(LaunchedKernels::new());
        let launched = open.map(LaunchedKernels::finish).unwrap_or_default();
        let before = self.seen.len();
        let names = launched.iter().map(|hash| format!("{hash:?}"));
        self.seen.extend(names);
        (launched.len(), self.seen.len() - before)
    }
}
