//! Kernels that a device compiles and tunes while something is measured.

use serde_json::Value;

/// Counts kernels on devices that compile them at run time; elsewhere it counts nothing.
pub(crate) struct Kernels {
    #[cfg(feature = "cube")]
    inner: counting::Kernels,
}

impl Kernels {
    /// Begins to count. Needs to be called before a device is in use.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "cube")]
            inner: counting::Kernels::new(),
        }
    }

    /// Since the last call: kernels that were launched, those among them that had not been before, and sizes that were
    /// tuned. Null where nothing is compiled at run time.
    pub(crate) fn count(&mut self) -> Value {
        #[cfg(feature = "cube")]
        return self.inner.count();
        #[cfg(not(feature = "cube"))]
        Value::Null
    }
}

#[cfg(feature = "cube")]
mod counting {
    use std::path::PathBuf;

    use inpo_core::burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use inpo_core::{KernelCount, cube_config};
    use serde_json::{Value, json};

    pub(super) struct Kernels {
        count: KernelCount,
        /// Where CubeCL writes a line for each size that it tunes.
        decisions: PathBuf,
        tuned: usize,
    }

    impl Kernels {
        pub(super) fn new() -> Self {
            let name = format!("inpo-tuned-{}.jsonl", std::process::id());
            let decisions = std::env::temp_dir().join(name);
            let mut config = cube_config();
            config.autotune.decisions.file = Some(decisions.clone());
            CubeClRuntimeConfig::set(config);
            Self {
                count: KernelCount::new(),
                decisions,
                tuned: 0,
            }
        }

        pub(super) fn count(&mut self) -> Value {
            let (launched, compiled) = self.count.since();
            let lines = std::fs::read_to_string(&self.decisions).unwrap_or_default();
            let tuned = lines.lines().count();
            let new = tuned - std::mem::replace(&mut self.tuned, tuned);
            json!({ "launched": launched, "compiled": compiled, "tuned": new })
        }
    }

    impl Drop for Kernels {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.decisions);
        }
    }
}
