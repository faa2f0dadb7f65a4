//! How kernels are compiled and tuned on devices that do so at run time: CUDA, wgpu, the CPU compiler.
//!
//! CubeCL compiles a kernel when it is first launched, and for a product or a reduction of a new size it compiles and
//! times several. With the feature `kernel-cache` both are kept in the user's cache directory (`cubecl` in it), where the
//! next process finds them.

use burn::cubecl::config::autotune::AutotuneLevel;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

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
