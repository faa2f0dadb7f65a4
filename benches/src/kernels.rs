//! Kernels that a device compiles and tunes while something is measured.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::{Value, json};

/// Counts kernels on devices that compile them at run time; elsewhere it counts nothing.
#[derive(Debug, Default)]
pub(crate) struct Kernels {
    seen: HashSet<String>,
    tuned: usize,
    decisions: Option<PathBuf>,
    #[cfg(feature = "cube")]
    open: Option<inpo_core::burn::cubecl::launched::LaunchedKernels>,
}

impl Kernels {
    /// Begins to count. Needs to be called before a device is in use.
    #[cfg(feature = "cube")]
    pub(crate) fn new() -> Self {
        use inpo_core::burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
        use inpo_core::burn::cubecl::launched::LaunchedKernels;
        let decisions =
            std::env::temp_dir().join(format!("inpo-tuned-{}.jsonl", std::process::id()));
        let mut config = inpo_core::cube_config();
        config.autotune.decisions.file = Some(decisions.clone());
        let set = CubeClRuntimeConfig::try_set(config);
        Self {
            decisions: set.then_some(decisions),
            open: Some(LaunchedKernels::new()),
            ..Self::default()
        }
    }

    #[cfg(not(feature = "cube"))]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Since the last call: kernels that were launched, those among them that had not been before, and sizes that were
    /// tuned. Null where nothing is compiled at run time.
    pub(crate) fn count(&mut self) -> Value {
        let Some(launched) = self.launched() else {
            return Value::Null;
        };
        let total = launched.len();
        let before = self.seen.len();
        self.seen.extend(launched);
        let lines = self
            .decisions
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let tuned = lines.map_or(0, |text| text.lines().count());
        let new = json!({ "launched": total, "compiled": self.seen.len() - before, "tuned": tuned - self.tuned });
        self.tuned = tuned;
        new
    }

    #[cfg(feature = "cube")]
    fn launched(&mut self) -> Option<Vec<String>> {
        use inpo_core::burn::cubecl::launched::LaunchedKernels;
        let open = self.open.replace(LaunchedKernels::new())?;
        Some(
            open.finish()
                .iter()
                .map(|hash| format!("{hash:?}"))
                .collect(),
        )
    }

    #[cfg(not(feature = "cube"))]
    fn launched(&mut self) -> Option<Vec<String>> {
        None
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        if let Some(path) = &self.decisions {
            let _ = std::fs::remove_file(path);
        }
    }
}
