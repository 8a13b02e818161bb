//! Vectors of x86-64: AVX-512, and AVX2 with FMA.

use std::arch::x86_64::*;

use half::bf16;

use super::{Simd, Task};

/// Proof that the machine has AVX-512 (F, BW, DQ, VL), AVX2 and FMA, and with `HALF` its BF16 instructions. Only
/// [`Avx512::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512<const HALF: bool>(());

/// Proof that the machine has AVX2 and FMA. Only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl<const HALF: bool> Avx512<HALF> {
    /// The proof, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && (!HALF || is_x86_feature_detected!("avx512bf16"))
            && Avx2::detect().is_some())
        .then_some(Self(()))
    }

    /// The proof of what is left without the BF16 instructions.
    pub(crate) fn without_half(self) -> Avx512<false> {
        Avx512(())
    }

    /// # Safety
    /// The machine must have the features named.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn enter<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    /// # Safety
    /// The machine must have the features named.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    unsafe fn enter_half<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }
}

impl Avx2 {
    /// The proof, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// # Safety
    /// The machine must have the features named.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn enter<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }
}

impl<const HALF: bool> Simd for Avx512<HALF> {
    type Vector = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn subtract(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn select_greater(self, a: __m512, b: __m512, then: __m512, otherwise: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), otherwise, then) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512; the caller vouches for 16 numbers, of any alignment.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: `self` proves AVX-512; the mask keeps the load to the `count` ≤ 16 numbers that the caller vouches for.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as __mmask16, from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: `self` proves AVX-512; the caller vouches for 16 numbers, of any alignment.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, value: __m512) {
        // SAFETY: `self` proves AVX-512; the mask keeps the store to the `count` ≤ 16 numbers that the caller vouches for.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << count) - 1) as __mmask16, value) }
    }

    #[inline(always)]
    unsafe fn keep_where_code(self, codes: *const u8, code: u8, value: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512 BW and VL; the caller vouches for 16 bytes.
        unsafe {
            let equal = _mm_cmpeq_epi8_mask(_mm_loadu_si128(codes.cast()), _mm_set1_epi8(code as i8));
            _mm512_maskz_mov_ps(equal, value)
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut u8, codes: __m512) {
        // SAFETY: `self` proves AVX-512; the caller vouches for 16 bytes.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(codes))) }
    }

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `self` proves the features.
        unsafe { if HALF { self.enter_half(task) } else { self.enter(task) } }
    }

    #[inline(always)]
    fn dot_pairs(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        const { assert!(HALF, "pairs of bf16 are multiplied where there is an instruction for it") };
        // SAFETY: `self` proves the BF16 instructions; the types are two views of the same 512 bits.
        unsafe { _mm512_dpbf16_ps(c, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b)) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const u32, from_step: usize, to: *mut u32, to_step: usize) {
        // SAFETY: `self` proves AVX-512; the caller vouches for 16 rows of 16 words on both sides, of any alignment.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (index, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_si512(from.add(index * from_step).cast());
            }
            // Words, then pairs of words, then quarters of vectors change places.
            let mut other = rows;
            for pair in 0..8 {
                let [a, b] = [rows[2 * pair], rows[2 * pair + 1]];
                other[2 * pair] = _mm512_unpacklo_epi32(a, b);
                other[2 * pair + 1] = _mm512_unpackhi_epi32(a, b);
            }
            for four in 0..4 {
                let [a, b, c, d] = [other[4 * four], other[4 * four + 1], other[4 * four + 2], other[4 * four + 3]];
                rows[4 * four] = _mm512_unpacklo_epi64(a, c);
                rows[4 * four + 1] = _mm512_unpackhi_epi64(a, c);
                rows[4 * four + 2] = _mm512_unpacklo_epi64(b, d);
                rows[4 * four + 3] = _mm512_unpackhi_epi64(b, d);
            }
            for row in 0..4 {
                other[row] = _mm512_shuffle_i32x4::<0x88>(rows[row], rows[row + 4]);
                other[row + 4] = _mm512_shuffle_i32x4::<0xdd>(rows[row], rows[row + 4]);
                other[row + 8] = _mm512_shuffle_i32x4::<0x88>(rows[row + 8], rows[row + 12]);
                other[row + 12] = _mm512_shuffle_i32x4::<0xdd>(rows[row + 8], rows[row + 12]);
            }
            for row in 0..4 {
                let columns = [
                    _mm512_shuffle_i32x4::<0x88>(other[row], other[row + 8]),
                    _mm512_shuffle_i32x4::<0x88>(other[row + 4], other[row + 12]),
                    _mm512_shuffle_i32x4::<0xdd>(other[row], other[row + 8]),
                    _mm512_shuffle_i32x4::<0xdd>(other[row + 4], other[row + 12]),
                ];
                for (index, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_si512(to.add((row + 4 * index) * to_step).cast(), column);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load_half(self, from: *const bf16, count: usize) -> __m512 {
        // SAFETY: `self` proves AVX-512 BW and VL; the mask keeps the load to the `count` ≤ 16 numbers that the caller vouches
        // for. A `bf16` is the upper half of an `f32`.
        unsafe {
            let bits = if count == Self::LANES {
                _mm256_loadu_si256(from.cast())
            } else {
                _mm256_maskz_loadu_epi16(((1u32 << count) - 1) as __mmask16, from.cast())
            };
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
        }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut bf16, count: usize, value: __m512) {
        const { assert!(HALF, "numbers are rounded to bf16 where there is an instruction for it") };
        // SAFETY: `self` proves the BF16 instructions, AVX-512 BW and VL; the mask keeps the store to the `count` ≤ 16 numbers
        // that the caller vouches for. The types are two views of the same 256 bits.
        unsafe {
            let bits = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
            if count == Self::LANES {
                _mm256_storeu_si256(to.cast(), bits);
            } else {
                _mm256_mask_storeu_epi16(to.cast(), ((1u32 << count) - 1) as __mmask16, bits);
            }
        }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn subtract(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn select_greater(self, a: __m256, b: __m256, then: __m256, otherwise: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX; the caller vouches for 8 numbers, of any alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: `self` proves AVX2; the mask keeps the load to the `count` ≤ 8 numbers that the caller vouches for.
        unsafe { _mm256_maskload_ps(from, first_lanes(count)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: `self` proves AVX; the caller vouches for 8 numbers, of any alignment.
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, value: __m256) {
        // SAFETY: `self` proves AVX2; the mask keeps the store to the `count` ≤ 8 numbers that the caller vouches for.
        unsafe { _mm256_maskstore_ps(to, first_lanes(count), value) }
    }

    #[inline(always)]
    unsafe fn keep_where_code(self, codes: *const u8, code: u8, value: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for 8 bytes.
        unsafe {
            let codes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(codes.cast()));
            let equal = _mm256_cmpeq_epi32(codes, _mm256_set1_epi32(i32::from(code)));
            _mm256_and_ps(_mm256_castsi256_ps(equal), value)
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut u8, codes: __m256) {
        // SAFETY: `self` proves AVX2; the caller vouches for 8 bytes.
        unsafe {
            let codes = _mm256_cvtps_epi32(codes);
            let words = _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
    }

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `self` proves the features.
        unsafe { self.enter(task) }
    }
}

/// A mask of the first `count` of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn first_lanes(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}
