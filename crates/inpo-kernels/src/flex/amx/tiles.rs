//! The tile unit itself: whether it is there, its set-up, and the kernel.
//!
//! Rust has no stable intrinsics for the unit yet, hence the assembly.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _MM_HINT_ET0, _mm_prefetch};
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::super::matrix::Out;
use super::super::panels::{self, Line};
use crate::environment::switches;

/// Lines (rows of the left, columns of the right factor) that the kernel of two f32 factors takes at once: two tiles.
pub(super) const PANEL: usize = 32;
/// Depth of a tile: how many products one instruction sums.
pub(super) const BLOCK: usize = 32;
/// Cache lines of a panel's block: two tiles of 16 lines, each in three parts.
pub(super) const BLOCK_LINES: usize = 96;

/// Numbers of a vector, rows of a tile.
pub(super) const LANES: usize = 16;
/// Tiles of a panel of weights in blocks.
pub(super) const TILES: usize = panels::PANEL / LANES;
/// Cache lines of 16 rows of the left factor in a block: three parts.
pub(super) const LEFT_LINES: usize = 3 * LANES;
/// Cache lines of a block of such a panel.
pub(super) const RIGHT_LINES: usize = TILES * LANES;

/// Whether the unit is there and allowed.
pub(super) fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| switches().tile_unit && available())
}

/// Whether this processor has the unit and the system lets this process use it: asks for that.
fn available() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let vectors = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    if !vectors || __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    if features & AMX_BF16 == 0 || features & AMX_TILE == 0 {
        return false;
    }
    saved_by_the_system() && permitted()
}

/// Whether the system keeps the tiles when it switches threads.
fn saved_by_the_system() -> bool {
    const TILES: u32 = 0b11 << 17;
    let low: u32;
    // SAFETY: reads a register that is there where OSXSAVE is, which the caller has seen.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack));
    }
    low & TILES == TILES
}

/// Linux grants the tiles' state to a process that asks, for all its threads.
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_int = 18;
    // SAFETY: takes plain numbers; from now on signal frames are larger, nothing else changes.
    unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_REQ_XCOMP_PERM,
            XFEATURE_XTILEDATA,
        ) == 0
    }
}

/// The unit set up for this thread: eight tiles of 16 rows of 64 bytes. Dropping it frees them.
pub(super) struct Unit {
    /// Of this thread.
    thread: PhantomData<*const ()>,
}

/// Room for a product that does not fit where it goes.
#[repr(C, align(64))]
pub(super) struct Edge([[f32; PANEL]; PANEL]);

impl Edge {
    pub(super) fn new() -> Self {
        Self([[0.0; PANEL]; PANEL])
    }
}

impl Unit {
    /// # Panics
    ///
    /// Never where [`ready`] said yes; else the instruction is not there.
    pub(super) fn configured() -> Self {
        Self::with_rows([16; 8])
    }

    /// For products with blocks of up to 16 rows: less is computed where there are fewer.
    pub(super) fn configured_for(rows: usize) -> Self {
        assert!((1..=16).contains(&rows), "{rows} rows of a tile");
        let rows = rows as u8;
        Self::with_rows([rows, rows, rows, 16, 16, 16, rows, rows])
    }

    /// The rows of each tile.
    fn with_rows(rows: [u8; 8]) -> Self {
        #[repr(C, align(64))]
        struct Config {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            bytes: [u16; 16],
            rows: [u8; 16],
        }
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes: [0; 16],
            rows: [0; 16],
        };
        config.bytes[..8].fill(64);
        config.rows[..8].copy_from_slice(&rows);
        // SAFETY: reads the 64 bytes of a valid configuration; the compiler uses no tiles of its own.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Self {
            thread: PhantomData,
        }
    }

    /// Writes the product of `shape` of two panels' blocks, left and right, to `out`, or adds it.
    ///
    /// # Safety
    ///
    /// `out` is a matrix of `shape`, at most 32 x 32, that nobody else reads or writes; where it is added to, its
    /// values are initialised.
    pub(super) unsafe fn run(
        &self,
        panels: [&[Line]; 2],
        out: Out,
        shape: [usize; 2],
        add: bool,
        edge: &mut Edge,
    ) {
        if shape == [PANEL; 2] {
            // SAFETY: the caller's promise.
            return unsafe { self.whole(panels, out, add) };
        }
        let [rows, columns] = shape;
        let row = |i: usize| out.first.wrapping_add(i * out.row_stride);
        if add {
            for (i, edge) in edge.0.iter_mut().enumerate().take(rows) {
                // SAFETY: a row of `out`, which is initialised.
                let row = unsafe { std::slice::from_raw_parts(row(i), columns) };
                edge[..columns].copy_from_slice(row);
            }
        }
        let whole = Out {
            first: edge.0.as_flattened_mut().as_mut_ptr(),
            row_stride: PANEL,
        };
        // SAFETY: a whole matrix of our own, initialised.
        unsafe { self.whole(panels, whole, add) };
        for (i, edge) in edge.0.iter().enumerate().take(rows) {
            // SAFETY: a row of `out`, as long as what is copied.
            unsafe { row(i).copy_from_nonoverlapping(edge.as_ptr(), columns) };
        }
    }

    /// # Safety
    ///
    /// As [`Unit::run`], of 32 x 32.
    unsafe fn whole(&self, [left, right]: [&[Line]; 2], out: Out, add: bool) {
        let blocks = left.len() / BLOCK_LINES;
        assert!(blocks > 0 && left.len() == right.len() && left.len() == blocks * BLOCK_LINES);
        // The rows of `out` lie far apart: asked for now, they are at hand when the sums are.
        for row in 0..PANEL {
            let first = out.first.wrapping_add(row * out.row_stride);
            // SAFETY: a hint, which reads nothing.
            unsafe {
                _mm_prefetch::<_MM_HINT_ET0>(first.cast());
                _mm_prefetch::<_MM_HINT_ET0>(first.wrapping_add(PANEL - 1).cast());
            }
        }
        // Tiles 0 to 3 are the sums, 4 and 5 a part of the left panel's two tiles, 6 and 7 of the right one's. A panel's
        // block lies as its first tile's three parts of 1024 bytes and then its second tile's.
        //
        // SAFETY: the tiles are set up; all blocks read lie in their slices (checked above); `out` is as promised.
        unsafe {
            asm!(
                "test {add:e}, {add:e}",
                "jz 2f",
                "tileloadd tmm0, [{out} + {stride}*1]",
                "tileloadd tmm1, [{out} + {stride}*1 + 64]",
                "tileloadd tmm2, [{lower} + {stride}*1]",
                "tileloadd tmm3, [{lower} + {stride}*1 + 64]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:",
                // x1 y3
                "tileloadd tmm4, [{left} + {row}*1]",
                "tileloadd tmm6, [{right} + {row}*1 + 2048]",
                "tileloadd tmm7, [{right} + {row}*1 + 5120]",
                "tileloadd tmm5, [{left} + {row}*1 + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // x1 y1
                "tileloadd tmm6, [{right} + {row}*1]",
                "tileloadd tmm7, [{right} + {row}*1 + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // x1 y2
                "tileloadd tmm6, [{right} + {row}*1 + 1024]",
                "tileloadd tmm7, [{right} + {row}*1 + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // x2 y2
                "tileloadd tmm4, [{left} + {row}*1 + 1024]",
                "tileloadd tmm5, [{left} + {row}*1 + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // x2 y1
                "tileloadd tmm6, [{right} + {row}*1]",
                "tileloadd tmm7, [{right} + {row}*1 + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // x3 y1
                "tileloadd tmm4, [{left} + {row}*1 + 2048]",
                "tileloadd tmm5, [{left} + {row}*1 + 5120]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left}, 6144",
                "add {right}, 6144",
                "dec {blocks}",
                "jnz 3b",
                "tilestored [{out} + {stride}*1], tmm0",
                "tilestored [{out} + {stride}*1 + 64], tmm1",
                "tilestored [{lower} + {stride}*1], tmm2",
                "tilestored [{lower} + {stride}*1 + 64], tmm3",
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                blocks = inout(reg) blocks => _,
                row = in(reg) size_of::<Line>(),
                out = in(reg) out.first,
                lower = in(reg) out.first.add(PANEL / 2 * out.row_stride),
                stride = in(reg) out.row_stride * size_of::<f32>(),
                add = in(reg) u32::from(add),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// The products of 16 rows with a panel's block, in three tiles of 16 columns one after the other: only as many rows as
    /// the unit is set up for.
    #[inline]
    pub(super) fn block(&self, left: &[Line], right: &[Line], products: &mut [Line; RIGHT_LINES]) {
        assert!(left.len() == LEFT_LINES && right.len() == RIGHT_LINES);
        // Tiles 0 to 2 are the sums, 3 to 5 the right factor's, 6 and 7 a part of the left one's: the smallest part first.
        //
        // SAFETY: the tiles are set up; what is read and written lies in the slices (checked above).
        unsafe {
            asm!(
                "tileloadd tmm6, [{left} + {row}*1 + 2048]",
                "tileloadd tmm3, [{right} + {row}*1]",
                "tilezero tmm0",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "tileloadd tmm4, [{right} + {row}*1 + 1024]",
                "tilezero tmm1",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "tileloadd tmm5, [{right} + {row}*1 + 2048]",
                "tilezero tmm2",
                "tdpbf16ps tmm2, tmm6, tmm5",
                "tileloadd tmm7, [{left} + {row}*1 + 1024]",
                "tdpbf16ps tmm0, tmm7, tmm3",
                "tdpbf16ps tmm1, tmm7, tmm4",
                "tdpbf16ps tmm2, tmm7, tmm5",
                "tileloadd tmm6, [{left} + {row}*1]",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "tdpbf16ps tmm2, tmm6, tmm5",
                "tilestored [{out} + {row}*1], tmm0",
                "tilestored [{out} + {row}*1 + 1024], tmm1",
                "tilestored [{out} + {row}*1 + 2048], tmm2",
                left = in(reg) left.as_ptr(),
                right = in(reg) right.as_ptr(),
                out = in(reg) products.as_mut_ptr(),
                row = in(reg) size_of::<Line>(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// [`Unit::block`] summed over the blocks of a panel, in whose cache lines pairs of rows lie in 48 columns.
    pub(super) fn panel(&self, left: &[Line], right: &[Line], products: &mut [Line; RIGHT_LINES]) {
        let blocks = left.len() / LEFT_LINES;
        assert!(blocks > 0 && left.len() == blocks * LEFT_LINES);
        assert!(right.len() == blocks * RIGHT_LINES);
        // SAFETY: as in `block`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "2:",
                "tileloadd tmm6, [{left} + {row}*1 + 2048]",
                "tileloadd tmm3, [{right} + {pair}*1]",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "tileloadd tmm4, [{right} + {pair}*1 + 64]",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "tileloadd tmm5, [{right} + {pair}*1 + 128]",
                "tdpbf16ps tmm2, tmm6, tmm5",
                "tileloadd tmm7, [{left} + {row}*1 + 1024]",
                "tdpbf16ps tmm0, tmm7, tmm3",
                "tdpbf16ps tmm1, tmm7, tmm4",
                "tdpbf16ps tmm2, tmm7, tmm5",
                "tileloadd tmm6, [{left} + {row}*1]",
                "tdpbf16ps tmm0, tmm6, tmm3",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "tdpbf16ps tmm2, tmm6, tmm5",
                "add {left}, 3072",
                "add {right}, 3072",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{out} + {row}*1], tmm0",
                "tilestored [{out} + {row}*1 + 1024], tmm1",
                "tilestored [{out} + {row}*1 + 2048], tmm2",
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                blocks = inout(reg) blocks => _,
                out = in(reg) products.as_mut_ptr(),
                row = in(reg) size_of::<Line>(),
                pair = in(reg) TILES * size_of::<Line>(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: frees the tiles, which nobody reads any more.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}
