//! The switches that the environment has for the kernels, read once per process. [`Kernels`](crate::Kernels) documents them.

use std::sync::OnceLock;

/// What is allowed: each switch is on unless its variable is `0`.
#[derive(Debug)]
pub(crate) struct Switches {
    /// `INPO_AMX`: products on the tile unit.
    #[cfg_attr(not(feature = "flex"), allow(dead_code))]
    pub(crate) tile_unit: bool,
    /// `INPO_BLOCKS`: products with weights in the blocks of their file.
    #[cfg_attr(not(feature = "flex"), allow(dead_code))]
    pub(crate) blocks: bool,
    /// `INPO_KEEP_MEMORY`: freed memory stays with the process.
    pub(crate) keep_memory: bool,
}

/// The switches of this process.
pub(crate) fn switches() -> &'static Switches {
    static SWITCHES: OnceLock<Switches> = OnceLock::new();
    let on = |name| std::env::var_os(name).is_none_or(|value| value != "0");
    SWITCHES.get_or_init(|| Switches {
        tile_unit: on("INPO_AMX"),
        blocks: on("INPO_BLOCKS"),
        keep_memory: on("INPO_KEEP_MEMORY"),
    })
}
