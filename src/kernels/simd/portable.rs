//! Vectors as arrays, for every machine; the compiler makes of them what the target has at compile time (NEON, SSE2).

use super::{Simd, Task};

/// The make that every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn multiply_add(self, a: [f32; 4], b: [f32; 4], mut c: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            // `mul_add` is one instruction where every machine of the architecture fuses, and a library call elsewhere.
            c[lane] = if cfg!(target_arch = "aarch64") { a[lane].mul_add(b[lane], c[lane]) } else { a[lane] * b[lane] + c[lane] };
        }
        c
    }

    #[inline(always)]
    fn multiply(self, a: [f32; 4], mut b: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            b[lane] *= a[lane];
        }
        b
    }

    #[inline(always)]
    fn subtract(self, mut a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            a[lane] -= b[lane];
        }
        a
    }

    #[inline(always)]
    fn select_greater(self, a: [f32; 4], b: [f32; 4], mut then: [f32; 4], otherwise: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            then[lane] = if a[lane] > b[lane] { then[lane] } else { otherwise[lane] };
        }
        then
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], mut b: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            b[lane] += a[lane];
        }
        b
    }

    #[inline(always)]
    fn max(self, a: [f32; 4], mut b: [f32; 4]) -> [f32; 4] {
        for lane in 0..4 {
            b[lane] = if a[lane] > b[lane] { a[lane] } else { b[lane] };
        }
        b
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for four numbers; an array of `f32` needs no more alignment than they have.
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> [f32; 4] {
        let mut value = [0.0; 4];
        // SAFETY: the caller vouches for `count` ≤ 4 numbers.
        unsafe { std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count) };
        value
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: [f32; 4]) {
        // SAFETY: the caller vouches for four numbers; an array of `f32` needs no more alignment than they have.
        unsafe { to.cast::<[f32; 4]>().write(value) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, value: [f32; 4]) {
        // SAFETY: the caller vouches for `count` ≤ 4 numbers.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) }
    }

    #[inline(always)]
    unsafe fn keep_where_code(self, codes: *const u8, code: u8, mut value: [f32; 4]) -> [f32; 4] {
        // SAFETY: the caller vouches for four bytes.
        let codes = unsafe { codes.cast::<[u8; 4]>().read() };
        for lane in 0..4 {
            value[lane] = if codes[lane] == code { value[lane] } else { 0.0 };
        }
        value
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut u8, codes: [f32; 4]) {
        // SAFETY: the caller vouches for four bytes.
        unsafe { to.cast::<[u8; 4]>().write(codes.map(|code| code as u8)) }
    }

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }
}
