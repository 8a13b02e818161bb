//! Vectors of `f32` in three makes (AVX-512, AVX2 with FMA, portable), chosen once at run time.
//!
//! A kernel is written once, as a [`Task`] generic over [`Simd`]; [`Level::run`] compiles it for every make and enters the
//! right one through a `#[target_feature]` function, into which the whole task is inlined. So plain loops in a task are
//! vectorised for that make too. It knows nothing of convolutions or images.

use std::sync::OnceLock;

use half::bf16;

mod bytes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use bytes::ByteLevel;
pub(crate) use bytes::{ByteTask, Bytes};
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// A make of vectors. A value of a type that implements it is proof that the machine has the instructions.
pub trait Simd: Copy + Send + Sync + 'static {
    /// `LANES` numbers.
    type Vector: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Vectors that fit the registers of the machine; it decides how large a block of sums a kernel holds.
    const REGISTERS: usize;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::Vector;
    /// a · b + c, rounded once where the machine fuses.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// a · b.
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a − b.
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `then` where a > b, `otherwise` elsewhere.
    fn select_greater(self, a: Self::Vector, b: Self::Vector, then: Self::Vector, otherwise: Self::Vector) -> Self::Vector;
    /// a + b.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of each lane; where either is not a number, `b`.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Reads `LANES` numbers.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` numbers.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Reads the first `count` numbers; the other lanes are zero.
    ///
    /// # Safety
    /// `from` must be valid for reading `count` numbers, and `count` at most `LANES`.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// Writes `LANES` numbers.
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` numbers.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// Writes the first `count` numbers.
    ///
    /// # Safety
    /// `to` must be valid for writing `count` numbers, and `count` at most `LANES`.
    unsafe fn store_first(self, to: *mut f32, count: usize, value: Self::Vector);
    /// `value` where the byte equals `code`, zero elsewhere.
    ///
    /// # Safety
    /// `codes` must be valid for reading `LANES` bytes.
    unsafe fn keep_where_code(self, codes: *const u8, code: u8, value: Self::Vector) -> Self::Vector;
    /// Writes whole numbers 0–255 as `LANES` bytes.
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` bytes.
    unsafe fn store_codes(self, to: *mut u8, codes: Self::Vector);
    /// Runs `task` compiled for this make.
    fn run<T: Task>(self, task: T) -> T::Output;

    /// a · b + c of each lane, where a lane of `a` and `b` is a pair of `bf16`: both products are added.
    #[inline(always)]
    fn dot_pairs(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let ([a, b], mut sums) = ([self.lanes_of(a), self.lanes_of(b)], self.lanes_of(c));
        for lane in 0..MOST_LANES {
            let [[a_low, a_high], [b_low, b_high]] = [a[lane], b[lane]].map(|word| halves(word.to_bits()));
            sums[lane] += a_low.to_f32() * b_low.to_f32() + a_high.to_f32() * b_high.to_f32();
        }
        // SAFETY: there are at least `LANES` sums.
        unsafe { self.load(sums.as_ptr()) }
    }

    /// Reads the first `count` numbers; the other lanes are zero.
    ///
    /// # Safety
    /// `from` must be valid for reading `count` numbers, and `count` at most `LANES`.
    #[inline(always)]
    unsafe fn load_half(self, from: *const bf16, count: usize) -> Self::Vector {
        let mut lanes = [0.0; MOST_LANES];
        for (lane, value) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` numbers.
            *value = unsafe { from.add(lane).read() }.to_f32();
        }
        // SAFETY: there are at least `LANES` numbers.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes the first `count` numbers, rounded to the nearest, in a tie to the even one.
    ///
    /// # Safety
    /// `to` must be valid for writing `count` numbers, and `count` at most `LANES`.
    #[inline(always)]
    unsafe fn store_half(self, to: *mut bf16, count: usize, value: Self::Vector) {
        for (lane, value) in self.lanes_of(value).into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` numbers.
            unsafe { to.add(lane).write(bf16::from_f32(value)) };
        }
    }

    /// Writes `LANES` rows of as many words as columns: word c of row r to row c, word r.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` rows of `LANES` words, `from_step` words apart, and `to` for writing as many, `to_step`
    /// apart.
    #[inline(always)]
    unsafe fn transpose(self, from: *const u32, from_step: usize, to: *mut u32, to_step: usize) {
        for (row, column) in (0..Self::LANES).flat_map(|row| (0..Self::LANES).map(move |column| (row, column))) {
            // SAFETY: the caller vouches for both places.
            unsafe { to.add(column * to_step + row).write(from.add(row * from_step + column).read()) };
        }
    }

    /// The lanes of a vector, and zeros.
    #[inline(always)]
    fn lanes_of(self, vector: Self::Vector) -> [f32; MOST_LANES] {
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: the array holds at least `LANES` numbers.
        unsafe { self.store(lanes.as_mut_ptr(), vector) };
        lanes
    }
}

/// Lanes of the widest vectors.
pub(crate) const MOST_LANES: usize = 16;

/// The pair of numbers in a word; the first is in its lower half.
#[inline(always)]
pub(crate) fn halves(word: u32) -> [bf16; 2] {
    [bf16::from_bits(word as u16), bf16::from_bits((word >> 16) as u16)]
}

/// A pair of numbers as a word.
#[inline(always)]
pub(crate) fn pair(low: bf16, high: bf16) -> u32 {
    u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16
}

/// Work that can be compiled for every make of vectors.
pub trait Task {
    /// What it gives.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`, as is everything hot that they call.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The make of vectors that the kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Make);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    #[cfg(target_arch = "x86_64")]
    Avx512Half(Avx512<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Level {
    /// The widest that this machine has, found once.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// All that this machine has, widest first; the portable one is always among them.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(Avx512::<false>::detect().map(|make| Self(Make::Avx512(make))));
            levels.extend(Avx2::detect().map(|make| Self(Make::Avx2(make))));
        }
        levels.push(Self(Make::Portable(Portable)));
        levels
    }

    /// The one that multiplies pairs of `bf16`, found once; `None` where the machine has no instruction for it.
    pub fn half() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            static HALF: OnceLock<Option<Level>> = OnceLock::new();
            *HALF.get_or_init(|| Avx512::<true>::detect().map(|make| Self(Make::Avx512Half(make))))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Its name, for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(_) => "AVX-512 BF16",
            #[cfg(target_arch = "x86_64")]
            Make::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Make::Avx2(_) => "AVX2 + FMA",
            Make::Portable(_) => "portable",
        }
    }

    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(_) | Make::Avx512(_) => Avx512::<false>::LANES,
            #[cfg(target_arch = "x86_64")]
            Make::Avx2(_) => Avx2::LANES,
            Make::Portable(_) => Portable::LANES,
        }
    }

    /// Vectors that fit the registers.
    pub(crate) fn registers(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(_) | Make::Avx512(_) => Avx512::<false>::REGISTERS,
            #[cfg(target_arch = "x86_64")]
            Make::Avx2(_) => Avx2::REGISTERS,
            Make::Portable(_) => Portable::REGISTERS,
        }
    }

    /// Runs `task` compiled for this make.
    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(make) => make.without_half().run(task),
            #[cfg(target_arch = "x86_64")]
            Make::Avx512(make) => make.run(task),
            #[cfg(target_arch = "x86_64")]
            Make::Avx2(make) => make.run(task),
            Make::Portable(make) => make.run(task),
        }
    }

    /// Runs `task`, which works on `bf16`, compiled for [`Level::half`], or else for every machine.
    #[inline]
    pub(crate) fn run_half<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(make) => make.run(task),
            _ => Portable.run(task),
        }
    }

    /// The make that [`Level::run_half`] takes.
    pub(crate) fn for_half(self) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Make::Avx512Half(_) => self,
            _ => Self(Make::Portable(Portable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything<'a> {
        from: &'a [f32],
        to: &'a mut [f32],
    }

    impl Task for Everything<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            assert!(self.from.len() >= S::LANES && self.to.len() >= (3 + S::LANES) * S::LANES);
            // SAFETY: both slices are long enough, as just checked.
            unsafe {
                let value = simd.load(self.from.as_ptr());
                let value = simd.multiply_add(value, simd.splat(2.0), simd.add(simd.splat(0.5), simd.splat(0.5)));
                let value = simd.max(value, simd.splat(4.0));
                simd.store(self.to.as_mut_ptr(), value);
                for count in 0..=S::LANES {
                    let first = simd.subtract(simd.load_first(self.from.as_ptr(), count), simd.splat(1.0));
                    let first =
                        simd.select_greater(first, simd.splat(0.0), simd.multiply(first, simd.splat(3.0)), simd.splat(0.0));
                    simd.store(self.to.as_mut_ptr().add((2 + count) * S::LANES), first);
                }
                for count in 0..=S::LANES {
                    simd.store_first(self.to.as_mut_ptr().add(S::LANES), count, simd.splat(count as f32));
                }
            }
        }
    }

    #[test]
    fn every_make_computes_the_same() {
        for level in Level::available() {
            let lanes = level.lanes();
            let from: Vec<f32> = (0..lanes).map(|lane| lane as f32).collect();
            let mut to = vec![9.0; (3 + lanes) * lanes];
            level.run(Everything { from: &from, to: &mut to });
            for lane in 0..lanes {
                assert_eq!(to[lane], (2.0 * lane as f32 + 1.0).max(4.0), "{} lane {lane}", level.name());
                assert_eq!(to[lanes + lane], lanes as f32, "{} lane {lane}", level.name());
                for count in 0..=lanes {
                    let expected = if lane < count { (lane as f32 - 1.0).max(0.0) * 3.0 } else { 0.0 };
                    assert_eq!(to[(2 + count) * lanes + lane], expected, "{} lane {lane} of {count}", level.name());
                }
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        struct Transpose<'a>(&'a [u32], &'a mut [u32]);
        impl Task for Transpose<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                assert!(self.0.len() >= 19 * S::LANES && self.1.len() >= 17 * S::LANES);
                // SAFETY: both hold `LANES` rows, as just checked.
                unsafe { simd.transpose(self.0.as_ptr(), 19, self.1.as_mut_ptr(), 17) }
            }
        }
        let from: Vec<u32> = (0..19 * 16).map(|at| 0x7f80_0000 + at).collect(); // bits that are no number stay, too
        for level in Level::available() {
            let mut to = vec![0; 17 * 16];
            level.run(Transpose(&from, &mut to));
            for (row, column) in (0..level.lanes()).flat_map(|row| (0..level.lanes()).map(move |column| (row, column))) {
                assert_eq!(to[17 * column + row], from[19 * row + column], "{}: row {row}, column {column}", level.name());
            }
        }
    }

    #[test]
    fn codes_are_written_and_read() {
        struct Codes<'a>(&'a [f32], &'a mut [u8], &'a mut [f32]);
        impl Task for Codes<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                // SAFETY: all three hold `LANES` numbers or bytes.
                unsafe {
                    simd.store_codes(self.1.as_mut_ptr(), simd.load(self.0.as_ptr()));
                    let kept = simd.keep_where_code(self.1.as_ptr(), 3, simd.splat(7.0));
                    simd.store(self.2.as_mut_ptr(), kept);
                }
            }
        }
        for level in Level::available() {
            let codes: Vec<u8> = (0..level.lanes()).map(|lane| if lane == 2 { 255 } else { (lane % 5) as u8 }).collect();
            let numbers: Vec<f32> = codes.iter().copied().map(f32::from).collect();
            let (mut written, mut kept) = (vec![9; level.lanes()], vec![9.0; level.lanes()]);
            level.run(Codes(&numbers, &mut written, &mut kept));
            assert_eq!(written, codes, "{}", level.name());
            let expected: Vec<f32> = codes.iter().map(|code| if *code == 3 { 7.0 } else { 0.0 }).collect();
            assert_eq!(kept, expected, "{}", level.name());
        }
    }

    #[test]
    fn a_partial_store_leaves_the_rest_alone() {
        struct Partial<'a>(&'a mut [f32], usize);
        impl Task for Partial<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                // SAFETY: the slice holds `LANES` numbers and the count is at most that.
                unsafe { simd.store_first(self.0.as_mut_ptr(), self.1, simd.splat(1.0)) }
            }
        }
        for level in Level::available() {
            for count in 0..=level.lanes() {
                let mut to = vec![0.0; level.lanes()];
                level.run(Partial(&mut to, count));
                let expected: Vec<f32> = (0..level.lanes()).map(|lane| f32::from(u8::from(lane < count))).collect();
                assert_eq!(to, expected, "{}", level.name());
            }
        }
    }
}
