//! Products of bytes summed in 32 bits, in three makes (AVX-512 VNNI, AVX2, portable), chosen once at run time.
//!
//! A kernel is a [`ByteTask`], generic over [`Bytes`], as those of `f32` are a [`Task`](super::Task) over [`Simd`](super::Simd).
//! Sums are whole numbers, and what is done with them is rounded operation by operation, so every make gives the same bits.

use std::sync::OnceLock;

use super::MOST_LANES;

/// A make of vectors of 32-bit sums. A value of a type that implements it is proof that the machine has the instructions.
pub trait Bytes: Copy + Send + Sync + 'static {
    /// `LANES` sums, or `LANES` words of four bytes.
    type Words: Copy;
    /// Sums in a vector.
    const LANES: usize;
    /// Vectors that fit the registers of the machine.
    const REGISTERS: usize;

    /// All lanes zero.
    fn zero(self) -> Self::Words;
    /// Reads `LANES` sums or words.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` values.
    unsafe fn load(self, from: *const i32) -> Self::Words;
    /// The four bytes from `from` on in every lane.
    ///
    /// # Safety
    /// `from` must be valid for reading four bytes.
    unsafe fn splat(self, from: *const u8) -> Self::Words;
    /// In each lane the sum and four products of bytes of `bytes`, 0–255, and of `weights`, −128–127. The sums must not leave
    /// 32 bits.
    fn dot(self, sums: Self::Words, bytes: Self::Words, weights: Self::Words) -> Self::Words;
    /// The larger of each lane.
    fn max(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// a + b of each lane, which must not leave 32 bits.
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Sum · scale of each lane as `f32`, and zeros.
    ///
    /// # Safety
    /// `scales` must be valid for reading `LANES` numbers.
    unsafe fn numbers(self, sums: Self::Words, scales: *const f32) -> [f32; MOST_LANES];
    /// Writes sum · scale of the first `count` lanes, rounded to the nearest, in a tie to the even one, 0 where it is less and 255 where
    /// it is more. The products must be less than 2³¹.
    ///
    /// # Safety
    /// `scales` must be valid for reading `LANES` numbers for each vector, `to` for writing `count` bytes, and `count` at most the
    /// lanes of all vectors.
    unsafe fn store<const V: usize>(self, sums: [Self::Words; V], scales: *const f32, to: *mut u8, count: usize);
    /// Runs `task` compiled for this make.
    fn run<T: ByteTask>(self, task: T) -> T::Output;
}

/// Work that can be compiled for every make of vectors of bytes.
pub trait ByteTask {
    /// What it gives.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`, as is everything hot that they call.
    fn run<B: Bytes>(self, make: B) -> Self::Output;
}

/// The make of vectors of bytes that kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteLevel(Make);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    #[cfg(target_arch = "x86_64")]
    Vnni(x86::Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    Portable(Portable),
}

/// Calls `$call` with the make inside a level.
macro_rules! with_make {
    ($level:expr, |$make:ident| $call:expr) => {
        match $level.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Vnni($make) => $call,
            #[cfg(target_arch = "x86_64")]
            Make::Avx2($make) => $call,
            Make::Portable($make) => $call,
        }
    };
}

impl ByteLevel {
    /// The fastest that this machine has, found once.
    pub fn best() -> Self {
        static BEST: OnceLock<ByteLevel> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// All that this machine has, fastest first; the portable one is always among them.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(x86::Vnni::detect().map(|make| Self(Make::Vnni(make))));
            levels.extend(x86::Avx2::detect().map(|make| Self(Make::Avx2(make))));
        }
        levels.push(Self(Make::Portable(Portable)));
        levels
    }

    /// Whether there is an instruction for products of bytes.
    pub fn is_native(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Make::Vnni(_));
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Its name, for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Vnni(_) => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Make::Avx2(_) => "AVX2",
            Make::Portable(_) => "portable",
        }
    }

    /// Sums in a vector.
    pub(crate) fn lanes(self) -> usize {
        const fn of<B: Bytes>(_: B) -> usize {
            B::LANES
        }
        with_make!(self, |make| of(make))
    }

    /// Vectors that fit the registers.
    pub(crate) fn registers(self) -> usize {
        const fn of<B: Bytes>(_: B) -> usize {
            B::REGISTERS
        }
        with_make!(self, |make| of(make))
    }

    /// Runs `task` compiled for this make.
    #[inline]
    pub(crate) fn run<T: ByteTask>(self, task: T) -> T::Output {
        with_make!(self, |make| make.run(task))
    }
}

/// Arrays of four sums, which every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Portable;

impl Bytes for Portable {
    type Words = [i32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn zero(self) -> [i32; 4] {
        [0; 4]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> [i32; 4] {
        // SAFETY: the caller vouches for four values; an array of `i32` needs no more alignment than they have.
        unsafe { from.cast::<[i32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const u8) -> [i32; 4] {
        // SAFETY: the caller vouches for four bytes, of any alignment.
        [unsafe { from.cast::<i32>().read_unaligned() }; 4]
    }

    #[inline(always)]
    fn dot(self, mut sums: [i32; 4], bytes: [i32; 4], weights: [i32; 4]) -> [i32; 4] {
        for lane in 0..4 {
            let (bytes, weights) = (bytes[lane].to_ne_bytes(), weights[lane].to_ne_bytes());
            for place in 0..4 {
                sums[lane] += i32::from(bytes[place]) * i32::from(weights[place] as i8);
            }
        }
        sums
    }

    #[inline(always)]
    fn add(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        [0, 1, 2, 3].map(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn max(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        [0, 1, 2, 3].map(|lane| a[lane].max(b[lane]))
    }

    #[inline(always)]
    unsafe fn numbers(self, sums: [i32; 4], scales: *const f32) -> [f32; MOST_LANES] {
        let mut numbers = [0.0; MOST_LANES];
        for lane in 0..4 {
            // SAFETY: the caller vouches for four scales.
            numbers[lane] = sums[lane] as f32 * unsafe { scales.add(lane).read() };
        }
        numbers
    }

    #[inline(always)]
    unsafe fn store<const V: usize>(self, sums: [[i32; 4]; V], scales: *const f32, to: *mut u8, count: usize) {
        for (lane, sum) in sums.into_iter().flatten().enumerate().take(count) {
            // SAFETY: the caller vouches for a scale of each lane and for `count` bytes. A cast of what is outside 0–255 saturates.
            unsafe { to.add(lane).write((sum as f32 * scales.add(lane).read()).round_ties_even() as u8) };
        }
    }

    #[inline(always)]
    fn run<T: ByteTask>(self, task: T) -> T::Output {
        task.run(self)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Makes of x86-64.

    use std::arch::x86_64::*;

    use super::{ByteTask, Bytes, MOST_LANES};

    /// Proof that the machine has AVX-512 (F, BW, DQ, VL) and its VNNI. Only [`Vnni::detect`] makes one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Vnni(());

    impl Vnni {
        /// The proof, if the machine has the instructions.
        pub(super) fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma"))
            .then_some(Self(()))
        }

        /// # Safety
        /// The machine must have the features named.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        unsafe fn enter<T: ByteTask>(self, task: T) -> T::Output {
            task.run(self)
        }

        /// Sum · scale of each lane, rounded to whole numbers.
        ///
        /// # Safety
        /// `scales` must be valid for reading 16 numbers.
        #[inline(always)]
        unsafe fn rounded(self, sums: __m512i, scales: *const f32) -> __m512i {
            // SAFETY: `self` proves AVX-512; the caller vouches for the scales, of any alignment.
            unsafe { _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(scales))) }
        }
    }

    impl Bytes for Vnni {
        type Words = __m512i;
        const LANES: usize = 16;
        const REGISTERS: usize = 32;

        #[inline(always)]
        fn zero(self) -> __m512i {
            // SAFETY: `self` proves AVX-512.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const i32) -> __m512i {
            // SAFETY: `self` proves AVX-512; the caller vouches for 16 values, of any alignment.
            unsafe { _mm512_loadu_epi32(from) }
        }

        #[inline(always)]
        unsafe fn splat(self, from: *const u8) -> __m512i {
            // SAFETY: `self` proves AVX-512; the caller vouches for four bytes, of any alignment.
            unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        fn dot(self, sums: __m512i, bytes: __m512i, weights: __m512i) -> __m512i {
            // SAFETY: `self` proves VNNI.
            unsafe { _mm512_dpbusd_epi32(sums, bytes, weights) }
        }

        #[inline(always)]
        fn add(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: `self` proves AVX-512.
            unsafe { _mm512_add_epi32(a, b) }
        }

        #[inline(always)]
        fn max(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: `self` proves AVX-512.
            unsafe { _mm512_max_epi32(a, b) }
        }

        #[inline(always)]
        unsafe fn numbers(self, sums: __m512i, scales: *const f32) -> [f32; MOST_LANES] {
            let mut numbers = [0.0; MOST_LANES];
            // SAFETY: `self` proves AVX-512; the caller vouches for 16 scales, and the array holds as many numbers.
            unsafe {
                _mm512_storeu_ps(numbers.as_mut_ptr(), _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(scales)));
            }
            numbers
        }

        #[inline(always)]
        unsafe fn store<const V: usize>(self, sums: [__m512i; V], scales: *const f32, to: *mut u8, count: usize) {
            let mut whole = [self.zero(); V];
            for (vector, whole) in whole.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the scales of `V` vectors.
                *whole = unsafe { self.rounded(sums[vector], scales.add(16 * vector)) };
            }
            // SAFETY: `self` proves AVX-512 BW and VL; the caller vouches for `count` bytes, to which lengths and masks keep the stores.
            unsafe {
                if (V == 4 || V == 2) && count == 16 * V {
                    // Both packings saturate. They work in quarters of a vector; the last step puts those in order.
                    let first = _mm512_packs_epi32(whole[0], whole[1]);
                    let second = if V == 4 { _mm512_packs_epi32(whole[V - 2], whole[V - 1]) } else { first };
                    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                    let bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second));
                    if V == 4 {
                        _mm512_storeu_epi8(to.cast(), bytes);
                    } else {
                        _mm256_storeu_epi8(to.cast(), _mm512_castsi512_si256(bytes));
                    }
                } else {
                    for (vector, whole) in whole.into_iter().enumerate().take(count.div_ceil(16)) {
                        let left = (count - 16 * vector).min(16);
                        let above = _mm512_max_epi32(whole, _mm512_setzero_si512());
                        let bytes = _mm512_cvtusepi32_epi8(above);
                        _mm_mask_storeu_epi8(to.add(16 * vector).cast(), ((1u32 << left) - 1) as __mmask16, bytes);
                    }
                }
            }
        }

        #[inline]
        fn run<T: ByteTask>(self, task: T) -> T::Output {
            // SAFETY: `self` proves the features.
            unsafe { self.enter(task) }
        }
    }

    /// Proof that the machine has AVX2.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Avx2(());

    impl Avx2 {
        /// The proof, if the machine has the instructions.
        pub(super) fn detect() -> Option<Self> {
            is_x86_feature_detected!("avx2").then_some(Self(()))
        }

        /// # Safety
        /// The machine must have the feature named.
        #[target_feature(enable = "avx2")]
        unsafe fn enter<T: ByteTask>(self, task: T) -> T::Output {
            task.run(self)
        }
    }

    impl Bytes for Avx2 {
        type Words = __m256i;
        const LANES: usize = 8;
        const REGISTERS: usize = 16;

        #[inline(always)]
        fn zero(self) -> __m256i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_setzero_si256() }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const i32) -> __m256i {
            // SAFETY: `self` proves AVX2; the caller vouches for 8 values, of any alignment.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn splat(self, from: *const u8) -> __m256i {
            // SAFETY: `self` proves AVX2; the caller vouches for four bytes, of any alignment.
            unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        /// AVX2 multiplies bytes with sums that saturate at 16 bits, which would not be the same; so bytes are widened.
        #[inline(always)]
        fn dot(self, sums: __m256i, bytes: __m256i, weights: __m256i) -> __m256i {
            // SAFETY: `self` proves AVX2.
            unsafe {
                let even = _mm256_madd_epi16(
                    _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights)),
                );
                let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(bytes), _mm256_srai_epi16::<8>(weights));
                _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
            }
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_add_epi32(a, b) }
        }

        #[inline(always)]
        fn max(self, a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_max_epi32(a, b) }
        }

        #[inline(always)]
        unsafe fn numbers(self, sums: __m256i, scales: *const f32) -> [f32; MOST_LANES] {
            let mut numbers = [0.0; MOST_LANES];
            // SAFETY: `self` proves AVX2; the caller vouches for 8 scales, and the array holds more numbers.
            unsafe {
                _mm256_storeu_ps(numbers.as_mut_ptr(), _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scales)));
            }
            numbers
        }

        #[inline(always)]
        unsafe fn store<const V: usize>(self, sums: [__m256i; V], scales: *const f32, to: *mut u8, count: usize) {
            for (vector, sums) in sums.into_iter().enumerate().take(count.div_ceil(8)) {
                let left = (count - 8 * vector).min(8);
                let mut bytes = [0u8; 8];
                // SAFETY: `self` proves AVX2; the caller vouches for the scales of every vector and for `count` bytes.
                unsafe {
                    let scales = _mm256_loadu_ps(scales.add(8 * vector));
                    let whole = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales));
                    let halves = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                    _mm_storel_epi64(bytes.as_mut_ptr().cast(), _mm_packus_epi16(halves, halves));
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(8 * vector), left);
                }
            }
        }

        #[inline]
        fn run<T: ByteTask>(self, task: T) -> T::Output {
            // SAFETY: `self` proves the feature.
            unsafe { self.enter(task) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything<'a> {
        bytes: [u8; 4],
        weights: &'a [i32],
        sums: &'a [i32],
        scales: &'a [f32],
        count: usize,
        to: &'a mut [u8],
    }

    impl ByteTask for Everything<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<B: Bytes>(self, make: B) -> Vec<f32> {
            let Self { bytes, weights, sums, scales, count, to } = self;
            assert!([weights.len(), sums.len(), scales.len()].iter().all(|length| *length >= 4 * B::LANES));
            assert!(count <= 4 * B::LANES && to.len() >= count);
            let mut found = [make.zero(); 4];
            let mut numbers = Vec::new();
            // SAFETY: all slices hold four vectors, as just checked.
            unsafe {
                for (vector, found) in found.iter_mut().enumerate() {
                    let sum = make.max(make.load(sums.as_ptr().add(vector * B::LANES)), make.zero());
                    *found = make.dot(sum, make.splat(bytes.as_ptr()), make.load(weights.as_ptr().add(vector * B::LANES)));
                    let scales = scales.as_ptr().add(vector * B::LANES);
                    numbers.extend_from_slice(&make.numbers(*found, scales)[..B::LANES]);
                }
                make.store(found, scales.as_ptr(), to.as_mut_ptr(), count);
            }
            numbers
        }
    }

    #[test]
    fn every_make_computes_the_same_to_the_bit() {
        for level in ByteLevel::available() {
            let lanes = 4 * level.lanes();
            let weights: Vec<i32> =
                (0..lanes as i32).map(|lane| i32::from_ne_bytes([127, 129, lane as u8, !lane as u8])).collect();
            let sums: Vec<i32> = (0..lanes as i32).map(|lane| lane * 7919 - 60_000).collect();
            let scales: Vec<f32> = (0..lanes).map(|lane| 0.001 * (lane + 1) as f32).collect();
            for count in 0..=lanes {
                let mut to = vec![9; lanes];
                let task =
                    Everything { bytes: [255, 254, 3, 0], weights: &weights, sums: &sums, scales: &scales, count, to: &mut to };
                let numbers = level.run(task);
                for lane in 0..lanes {
                    let sum = sums[lane].max(0) + 255 * 127 - 254 * 127 + 3 * i32::from(lane as u8 as i8);
                    assert_eq!(numbers[lane], sum as f32 * scales[lane], "{} lane {lane}", level.name());
                    let byte = (sum as f32 * scales[lane]).round_ties_even().clamp(0.0, 255.0) as u8;
                    assert_eq!(to[lane], if lane < count { byte } else { 9 }, "{} lane {lane} of {count}", level.name());
                }
            }
        }
    }
}
