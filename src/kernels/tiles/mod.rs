//! Products of tiles: 16 × 16 sums that one instruction adds 16 × 16 × 32 products of `bf16` to, or 16 × 16 × 64 of bytes (Intel's
//! AMX), or the same arithmetic, step by step, on any machine.
//!
//! A kernel multiplies *blocks*: 32 rows of A with 16 or 32 columns of B, over any number of steps, into a scratch of sums that it
//! then reads with vectors. Rows of A and B are 64 bytes: of A, neighbours in memory whose products with a column are added; of B, a
//! word (two `bf16` or four bytes) for each of 16 columns. Where a row starts is a matter of strides, so that a convolution multiplies
//! its framed images where they lie, and each tap is but another start. It knows nothing of convolutions or images.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod emulation;

use std::sync::OnceLock;

use rayon::prelude::*;

use self::emulation::Emulation;

/// Rows of a tile, and columns of sums.
pub(crate) const SIDE: usize = 16;
/// Bytes in a row of a tile.
pub(crate) const ROW: usize = 64;
/// Bytes in a tile.
pub(crate) const TILE: usize = SIDE * ROW;
/// Words in a row of B and numbers in a row of sums.
const WORDS: usize = ROW / 4;

/// The sums of a block: up to four tiles, the two of the first 16 rows first.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Sums(pub [[[u32; WORDS]; SIDE]; 4]);

impl Sums {
    pub(crate) const ZERO: Self = Self([[[0; WORDS]; SIDE]; 4]);
}

/// What a machine multiplies tiles with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles(Make);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(amx::Amx),
    Emulated,
}

/// The environment variable that lets the kernels take the machine's tile instructions, if it is `on`.
pub const SWITCH: &str = "PIPELINE_AMX";

impl Tiles {
    /// What the kernels take: the instructions of this machine, if [`SWITCH`] is on; found once.
    pub fn best() -> Option<Self> {
        static BEST: OnceLock<Option<Tiles>> = OnceLock::new();
        *BEST.get_or_init(|| Self::native().filter(|_| std::env::var_os(SWITCH).is_some_and(|value| value == "on")))
    }

    /// The instructions of this machine: AMX with `bf16` and bytes, which the operating system lets the process use.
    pub fn native() -> Option<Self> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            amx::Amx::detect().map(|make| Self(Make::Amx(make)))
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        None
    }

    /// The same bits on any machine, slowly: for tests.
    pub fn emulated() -> Self {
        Self(Make::Emulated)
    }

    /// Whether the machine has instructions for it.
    pub fn is_native(self) -> bool {
        self.0 != Make::Emulated
    }

    /// Its name, for reports.
    pub fn name(self) -> &'static str {
        if self.is_native() { "AMX" } else { "emulated AMX" }
    }

    /// Runs `steps` rounds of independent products of tiles in registers on every thread, of bytes or of `bf16`, and tells how many
    /// operations that was; none where tiles are emulated. Timed by the caller.
    pub fn peak(self, bytes: bool, steps: usize) -> u64 {
        let threads = (0..rayon::current_num_threads()).into_par_iter().with_max_len(1);
        let counts: Vec<u64> = threads.map(|_| self.begin().spin(bytes, steps)).collect();
        counts.into_iter().sum()
    }

    /// Makes the tiles of this thread ready until the session is dropped. No kernel that starts work on other threads may hold one.
    #[inline(always)]
    pub(crate) fn begin(self) -> Session {
        match self.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Make::Amx(make) => Session::Amx(make.begin()),
            Make::Emulated => Session::Emulated(Emulation::new()),
        }
    }
}

/// Tiles that are ready, of one thread.
pub(crate) enum Session {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(amx::Ready),
    Emulated(Box<Emulation>),
}

/// Where a step's tiles start, in bytes from where those of a block do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Step {
    /// Of A.
    pub a: usize,
    /// Of B.
    pub b: usize,
}

/// A product of tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// Where the first and the second 16 rows of A start.
    pub a: [*const u8; 2],
    /// Bytes from one row of A to the next.
    pub a_step: usize,
    /// Where the first and the second 16 columns of B start; the second is not looked at if there is but one.
    pub b: [*const u8; 2],
    /// Bytes from one row of B to the next.
    pub b_step: usize,
    /// What is added.
    pub steps: &'a [Step],
    /// Whether it is added to the sums that there are.
    pub resume: bool,
}

/// What is multiplied.
pub(crate) trait Kind {
    /// Whether words are four bytes, those of A without and those of B with a sign, and sums whole numbers; else they are two `bf16`,
    /// and sums `f32`.
    const BYTES: bool;
}

/// Pairs of `bf16`.
pub(crate) struct Halves;
/// Fours of bytes.
pub(crate) struct Bytes;

impl Kind for Halves {
    const BYTES: bool = false;
}

impl Kind for Bytes {
    const BYTES: bool = true;
}

impl Session {
    fn spin(&mut self, bytes: bool, steps: usize) -> u64 {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx(ready) => {
                let products = if bytes { ready.spin::<Bytes>(steps) } else { ready.spin::<Halves>(steps) };
                (2 * products * SIDE * SIDE * ROW / if bytes { 1 } else { 2 }) as u64
            }
            Self::Emulated(_) => 0,
        }
    }

    /// Multiplies a block of `COLUMNS` (1 or 2) times 16 columns; tile (row r, column c) of the sums is `sums.0[COLUMNS · r + c]`.
    ///
    /// # Safety
    /// For every step, 16 rows of 64 bytes must be valid for reading from each of `a` and of the first `COLUMNS` of `b` on.
    #[inline(always)]
    pub(crate) unsafe fn multiply<K: Kind, const COLUMNS: usize>(&mut self, block: Block<'_>, sums: &mut Sums) {
        const { assert!(COLUMNS == 1 || COLUMNS == 2, "a block has one or two columns of tiles") };
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: as the caller vouches.
            Self::Amx(ready) => unsafe { ready.multiply::<K, COLUMNS>(block, sums) },
            // SAFETY: as the caller vouches.
            Self::Emulated(emulation) => unsafe { emulation.multiply::<K, COLUMNS>(block, sums) },
        }
    }
}

#[cfg(test)]
mod tests;
