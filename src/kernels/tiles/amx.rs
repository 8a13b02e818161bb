//! Intel's tile instructions: AMX with `bf16` and bytes. The intrinsics are not stable; the assembler knows the instructions.
//!
//! The compiler never uses tile registers, so what they hold, and how they are configured, stays as it is between two blocks of
//! assembly on one thread.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{Block, Kind, ROW, SIDE, Sums, TILE};

/// Proof that the machine has the instructions and the operating system lets this process use them. Only [`Amx::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amx(());

impl Amx {
    /// The proof, if it can be had: the machine is asked, then Linux, once for the whole process.
    pub(super) fn detect() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| has_instructions() && may_use_tiles()).then_some(Self(()))
    }

    /// Configures this thread's tiles, all of 16 rows of 64 bytes.
    #[inline(always)]
    pub(super) fn begin(self) -> Ready {
        // SAFETY: `self` proves the instruction; the configuration is 64 bytes of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly)) };
        Ready(PhantomData)
    }
}

/// Whether the processor has AMX (tiles, `bf16`, bytes), and its registers are saved when threads take turns.
fn has_instructions() -> bool {
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const STATE: u64 = 1 << 17 | 1 << 18;
    if !is_x86_feature_detected!("xsave") || __cpuid(0).eax < 7 {
        return false;
    }
    // SAFETY: the operating system has switched on XSAVE, which is when the macro above finds it.
    let state = unsafe { _xgetbv(0) };
    __cpuid_count(7, 0).edx & TILES == TILES && state & STATE == STATE
}

/// Asks Linux for the state of tiles, which it gives only to processes that ask (`arch_prctl`, `ARCH_REQ_XCOMP_PERM`).
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let refused: isize;
    // SAFETY: the call takes two numbers and touches no memory of the process; `syscall` overwrites `rcx` and `r11`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => refused,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    refused == 0
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Configuration>() == 64, "the configuration is 64 bytes");

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [
        ROW as u16, ROW as u16, ROW as u16, ROW as u16, ROW as u16, ROW as u16, ROW as u16, ROW as u16, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Tiles of this thread, configured until this is dropped.
pub(crate) struct Ready(PhantomData<*const ()>); // stays on its thread

impl Drop for Ready {
    fn drop(&mut self) {
        // SAFETY: only [`Amx::begin`] makes one, whose `self` proves the instruction.
        unsafe {
            asm!("tilerelease", out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack, nomem))
        };
    }
}

/// The product of a block in one piece of assembly: `start` makes the sums ready, a step reads rows of A into tiles 4 and 5 and of
/// B into 6 and (in `second`) 7, the products `of` them are added to tiles 0–3, and `end` writes those.
macro_rules! multiply {
    ($block:ident, $sums:ident, start: [$($start:literal),*], second: [$($second:literal),*], of: [$($product:literal),*], end: [$($end:literal),*]) => {
        asm!(
            "mov {from}, 64",
            $($start,)*
            "test {left}, {left}",
            "jz 3f",
            ".p2align 4",
            "2:",
            "mov {from}, [{steps}]",
            "lea {other}, [{a1} + {from}]",
            "add {from}, {a0}",
            "tileloadd tmm4, [{from} + {a_step}*1]",
            "mov {from}, [{steps} + 8]",
            "add {from}, {b0}",
            "tileloadd tmm6, [{from} + {b_step}*1]",
            $($second,)*
            "tileloadd tmm5, [{other} + {a_step}*1]",
            $($product,)*
            "add {steps}, 16",
            "dec {left}",
            "jnz 2b",
            "3:",
            "mov {from}, 64",
            $($end,)*
            steps = inout(reg) $block.steps.as_ptr() => _,
            left = inout(reg) $block.steps.len() => _,
            a0 = in(reg) $block.a[0],
            a1 = in(reg) $block.a[1],
            b0 = in(reg) $block.b[0],
            apart = in(reg) $block.b[1].addr().wrapping_sub($block.b[0].addr()),
            a_step = in(reg) $block.a_step,
            b_step = in(reg) $block.b_step,
            sums = in(reg) $sums,
            from = out(reg) _,
            other = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The two ways to make four (or two) tiles of sums ready.
macro_rules! multiply_from {
    ($block:ident, $sums:ident, 2, $dot:tt) => {
        if $block.resume {
            multiply_from!($block, $sums, 2, $dot, [
                "tileloadd tmm0, [{sums} + {from}*1]", "tileloadd tmm1, [{sums} + {from}*1 + 1024]",
                "tileloadd tmm2, [{sums} + {from}*1 + 2048]", "tileloadd tmm3, [{sums} + {from}*1 + 3072]"
            ]);
        } else {
            multiply_from!($block, $sums, 2, $dot, ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"]);
        }
    };
    ($block:ident, $sums:ident, 1, $dot:tt) => {
        if $block.resume {
            multiply_from!($block, $sums, 1, $dot, [
                "tileloadd tmm0, [{sums} + {from}*1]", "tileloadd tmm2, [{sums} + {from}*1 + 1024]", "# {apart}"
            ]);
        } else {
            multiply_from!($block, $sums, 1, $dot, ["tilezero tmm0", "tilezero tmm2", "# {apart}"]);
        }
    };
    ($block:ident, $sums:ident, 2, halves, [$($start:literal),*]) => {
        multiply!($block, $sums,
            start: [$($start),*],
            second: ["add {from}, {apart}", "tileloadd tmm7, [{from} + {b_step}*1]"],
            of: ["tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7", "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7"],
            end: [
                "tilestored [{sums} + {from}*1], tmm0", "tilestored [{sums} + {from}*1 + 1024], tmm1",
                "tilestored [{sums} + {from}*1 + 2048], tmm2", "tilestored [{sums} + {from}*1 + 3072], tmm3"
            ])
    };
    ($block:ident, $sums:ident, 2, bytes, [$($start:literal),*]) => {
        multiply!($block, $sums,
            start: [$($start),*],
            second: ["add {from}, {apart}", "tileloadd tmm7, [{from} + {b_step}*1]"],
            of: ["tdpbusd tmm0, tmm4, tmm6", "tdpbusd tmm1, tmm4, tmm7", "tdpbusd tmm2, tmm5, tmm6", "tdpbusd tmm3, tmm5, tmm7"],
            end: [
                "tilestored [{sums} + {from}*1], tmm0", "tilestored [{sums} + {from}*1 + 1024], tmm1",
                "tilestored [{sums} + {from}*1 + 2048], tmm2", "tilestored [{sums} + {from}*1 + 3072], tmm3"
            ])
    };
    ($block:ident, $sums:ident, 1, halves, [$($start:literal),*]) => {
        multiply!($block, $sums,
            start: [$($start),*],
            second: [],
            of: ["tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm2, tmm5, tmm6"],
            end: ["tilestored [{sums} + {from}*1], tmm0", "tilestored [{sums} + {from}*1 + 1024], tmm2"])
    };
    ($block:ident, $sums:ident, 1, bytes, [$($start:literal),*]) => {
        multiply!($block, $sums,
            start: [$($start),*],
            second: [],
            of: ["tdpbusd tmm0, tmm4, tmm6", "tdpbusd tmm2, tmm5, tmm6"],
            end: ["tilestored [{sums} + {from}*1], tmm0", "tilestored [{sums} + {from}*1 + 1024], tmm2"])
    };
}

impl Ready {
    /// Multiplies six independent tiles in registers `steps` times, and tells how many products of tiles that was.
    pub(super) fn spin<K: Kind>(&mut self, steps: usize) -> usize {
        macro_rules! spin {
            ($($line:literal),*) => {
                // SAFETY: `self` proves the instructions; no memory is touched.
                unsafe {
                    asm!(
                        "test {left}, {left}",
                        "jz 3f",
                        "2:",
                        $($line,)*
                        "dec {left}",
                        "jnz 2b",
                        "3:",
                        left = inout(reg) steps => _,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack, nomem),
                    );
                }
            };
        }
        if K::BYTES {
            spin!(
                "tdpbusd tmm0, tmm6, tmm7",
                "tdpbusd tmm1, tmm6, tmm7",
                "tdpbusd tmm2, tmm6, tmm7",
                "tdpbusd tmm3, tmm6, tmm7",
                "tdpbusd tmm4, tmm6, tmm7",
                "tdpbusd tmm5, tmm6, tmm7"
            );
        } else {
            spin!(
                "tdpbf16ps tmm0, tmm6, tmm7",
                "tdpbf16ps tmm1, tmm6, tmm7",
                "tdpbf16ps tmm2, tmm6, tmm7",
                "tdpbf16ps tmm3, tmm6, tmm7",
                "tdpbf16ps tmm4, tmm6, tmm7",
                "tdpbf16ps tmm5, tmm6, tmm7"
            );
        }
        6 * steps
    }

    /// # Safety
    /// As [`super::Session::multiply`].
    #[inline(always)]
    pub(super) unsafe fn multiply<K: Kind, const COLUMNS: usize>(&mut self, block: Block<'_>, sums: &mut Sums) {
        const { assert!(size_of::<Sums>() == 4 * TILE && SIDE == 16) };
        let sums: *mut Sums = sums;
        // SAFETY: `self` proves the instructions, and that tiles are configured as 16 rows of 64 bytes. The caller vouches for the
        // rows of A and B at every step; there are as many tiles of sums as are read and written.
        unsafe {
            match (K::BYTES, COLUMNS) {
                (false, 2) => multiply_from!(block, sums, 2, halves),
                (true, 2) => multiply_from!(block, sums, 2, bytes),
                (false, _) => multiply_from!(block, sums, 1, halves),
                (true, _) => multiply_from!(block, sums, 1, bytes),
            }
        }
    }
}
