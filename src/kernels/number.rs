//! What maps are made of: `f32`, or `bf16` where half the memory and twice the arithmetic are worth eight bits of precision.
//! Sums are `f32` in both.

use half::bf16;
use rayon::prelude::*;

use super::buffer::Plain;
use super::simd::{Level, Simd, Task, pair};
use super::tiles::Tiles;

/// A number in memory that kernels read and write: `f32` or `bf16`.
pub trait Number: sealed::Number {}

impl Number for f32 {}
impl Number for bf16 {}

pub(crate) mod sealed {
    use std::fmt::Debug;

    use super::{Level, Plain, Simd, Task, Tiles};

    /// How a [`super::Number`] meets vectors of `f32`.
    pub trait Number: Plain + Debug + Default + PartialEq + Send + Sync {
        /// 32 bits that are multiplied in one lane: a number, or a pair of them whose products are added.
        type Word: Plain + Debug + Default + Send + Sync;
        /// Numbers in a word.
        const PER_WORD: usize;

        /// The make of vectors for such numbers.
        fn level(level: Level) -> Level;
        /// The widest of them on this machine.
        fn best() -> Level;
        /// The tiles that multiply such numbers here; `None` where vectors do.
        fn tiles() -> Option<Tiles>;
        /// The same numbers, where tiles multiply them.
        fn halves(numbers: &[Self]) -> &[half::bf16];
        /// Words of two numbers, likewise.
        fn pairs(words: &[Self::Word]) -> &[u32];
        /// Runs a task on such numbers.
        fn run<T: Task>(level: Level, task: T) -> T::Output;

        /// The same number.
        fn wide(self) -> f32;
        /// The nearest number.
        fn narrow(value: f32) -> Self;
        /// A word of two numbers; the second is dropped where a word holds one.
        fn word(first: Self, second: Self) -> Self::Word;

        /// Reads the first `count` numbers of a vector; the other lanes are zero.
        ///
        /// # Safety
        /// `from` must be valid for reading `count` numbers, and `count` at most `LANES`.
        unsafe fn load<S: Simd>(simd: S, from: *const Self, count: usize) -> S::Vector;
        /// Writes the first `count` numbers of a vector.
        ///
        /// # Safety
        /// `to` must be valid for writing `count` numbers, and `count` at most `LANES`.
        unsafe fn store<S: Simd>(simd: S, to: *mut Self, count: usize, value: S::Vector);

        /// The word of the numbers from `from` on in every lane.
        ///
        /// # Safety
        /// `from` must be valid for reading a word's numbers.
        unsafe fn splat<S: Simd>(simd: S, from: *const Self) -> S::Vector;
        /// A word in every lane.
        fn splat_word<S: Simd>(simd: S, word: Self::Word) -> S::Vector;
        /// a · b + c of words.
        fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector;
        /// The words of `count` images side by side, each as long as `image`, so that one word holds the same place of `PER_WORD`
        /// images; an image that has no partner is paired with zeros. Where a word is a number, they are there already; else
        /// they are written to `words`.
        fn abreast<'a>(
            level: Level,
            images: &'a [Self],
            count: usize,
            image: usize,
            words: &'a mut [Self::Word],
        ) -> &'a [Self::Word];
    }
}

impl sealed::Number for f32 {
    type Word = f32;
    const PER_WORD: usize = 1;

    fn level(level: Level) -> Level {
        level
    }

    fn best() -> Level {
        Level::best()
    }

    fn tiles() -> Option<Tiles> {
        None
    }

    fn halves(_: &[f32]) -> &[bf16] {
        unreachable!("tiles multiply bf16")
    }

    fn pairs(_: &[f32]) -> &[u32] {
        unreachable!("tiles multiply bf16")
    }

    #[inline]
    fn run<T: Task>(level: Level, task: T) -> T::Output {
        level.run(task)
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn word(first: f32, _: f32) -> f32 {
        first
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::Vector {
        // SAFETY: as the caller vouches.
        unsafe { if count == S::LANES { simd.load(from) } else { simd.load_first(from, count) } }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut f32, count: usize, value: S::Vector) {
        // SAFETY: as the caller vouches.
        unsafe { if count == S::LANES { simd.store(to, value) } else { simd.store_first(to, count, value) } }
    }

    #[inline(always)]
    unsafe fn splat<S: Simd>(simd: S, from: *const f32) -> S::Vector {
        // SAFETY: as the caller vouches.
        simd.splat(unsafe { *from })
    }

    #[inline(always)]
    fn splat_word<S: Simd>(simd: S, word: f32) -> S::Vector {
        simd.splat(word)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        simd.multiply_add(a, b, c)
    }

    fn abreast<'a>(_: Level, images: &'a [f32], _: usize, _: usize, _: &'a mut [f32]) -> &'a [f32] {
        images
    }
}

impl sealed::Number for bf16 {
    type Word = u32;
    const PER_WORD: usize = 2;

    fn level(level: Level) -> Level {
        level.for_half()
    }

    fn best() -> Level {
        Level::half().unwrap_or(Level::best()).for_half()
    }

    fn tiles() -> Option<Tiles> {
        Tiles::best().filter(|_| Level::half().is_some())
    }

    fn halves(numbers: &[bf16]) -> &[bf16] {
        numbers
    }

    fn pairs(words: &[u32]) -> &[u32] {
        words
    }

    #[inline]
    fn run<T: Task>(level: Level, task: T) -> T::Output {
        level.run_half(task)
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        // To the nearest, in a tie to the even one; what is not a number keeps a bit that says so.
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let kept = if value.is_nan() { bits | 0x40_0000 } else { rounded };
        bf16::from_bits((kept >> 16) as u16)
    }

    #[inline(always)]
    fn word(first: bf16, second: bf16) -> u32 {
        pair(first, second)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const bf16, count: usize) -> S::Vector {
        // SAFETY: as the caller vouches.
        unsafe { simd.load_half(from, count) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut bf16, count: usize, value: S::Vector) {
        // SAFETY: as the caller vouches.
        unsafe { simd.store_half(to, count, value) }
    }

    #[inline(always)]
    unsafe fn splat<S: Simd>(simd: S, from: *const bf16) -> S::Vector {
        // SAFETY: the caller vouches for two numbers, 32 bits of any alignment.
        simd.splat(f32::from_bits(unsafe { from.cast::<u32>().read_unaligned() }))
    }

    #[inline(always)]
    fn splat_word<S: Simd>(simd: S, word: u32) -> S::Vector {
        simd.splat(f32::from_bits(word))
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        simd.dot_pairs(a, b, c)
    }

    fn abreast<'a>(level: Level, images: &'a [bf16], count: usize, image: usize, words: &'a mut [u32]) -> &'a [u32] {
        level.run_half(Interleave { images: &images[..count * image], image, words: &mut *words });
        words
    }
}

/// Numbers that one task converts or adds.
const PIECE: usize = 1 << 15;

/// Rounds `x` to the nearest `bf16`.
///
/// # Panics
/// When the slices differ in length.
pub fn narrow(x: &[f32], y: &mut [bf16]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    let level = <bf16 as sealed::Number>::best();
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| level.run_half(Sum { x, plus: None, y }));
}

/// Writes `x` as `f32`.
///
/// # Panics
/// When the slices differ in length.
pub fn widen(x: &[bf16], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    let level = <bf16 as sealed::Number>::best();
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| level.run_half(Sum { x, plus: None, y }));
}

/// y = a + b.
///
/// # Panics
/// When the slices differ in length.
pub fn add<N: Number>(a: &[N], b: &[N], y: &mut [N]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "terms and sum have one length");
    let level = N::best();
    y.par_chunks_mut(PIECE)
        .zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE)))
        .for_each(|(y, (x, b))| N::run(level, Sum { x, plus: Some(b), y }));
}

struct Sum<'a, A, B> {
    x: &'a [A],
    plus: Option<&'a [A]>,
    y: &'a mut [B],
}

impl<A: Number, B: Number> Task for Sum<'_, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        each_vector!(S, self.y.len(), |at, count| {
            let mut value = read(simd, self.x, at, count);
            if let Some(plus) = self.plus {
                value = simd.add(value, read(simd, plus, at, count));
            }
            write(simd, self.y, at, count, value);
        });
    }
}

struct Interleave<'a> {
    images: &'a [bf16],
    image: usize,
    words: &'a mut [u32],
}

impl Task for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { images, image, words } = self;
        for (images, words) in images.chunks(2 * image).zip(words.chunks_exact_mut(image)) {
            let (first, second) = images.split_at(image);
            if second.is_empty() {
                words.iter_mut().zip(first).for_each(|(word, first)| *word = pair(*first, bf16::ZERO));
            } else {
                for ((word, first), second) in words.iter_mut().zip(first).zip(second) {
                    *word = pair(*first, *second);
                }
            }
        }
    }
}

/// Runs a block for the vectors of `length` numbers, with where each starts and how many numbers it holds: `LANES`, but for the last.
/// A macro and not a function of a closure, because a closure is not sure to be compiled for the make of vectors.
macro_rules! each_vector {
    ($make:ty, $length:expr, |$at:ident, $count:ident| $block:block) => {{
        let (length, lanes) = ($length, <$make>::LANES);
        let whole = length / lanes * lanes;
        for $at in (0..whole).step_by(lanes) {
            let $count = <$make>::LANES;
            $block
        }
        if whole < length {
            let ($at, $count) = (whole, length - whole);
            $block
        }
    }};
}
pub(crate) use each_vector;

/// Numbers `at` and after of a slice as a vector, `count` of them, the rest zero.
#[inline(always)]
pub(crate) fn read<S: Simd, N: Number>(simd: S, from: &[N], at: usize, count: usize) -> S::Vector {
    let from = &from[at..at + count];
    // SAFETY: the slice holds `count` numbers, at most a vector of them.
    unsafe { N::load(simd, from.as_ptr(), count) }
}

/// Writes a vector's first `count` numbers to `at` and after.
#[inline(always)]
pub(crate) fn write<S: Simd, N: Number>(simd: S, to: &mut [N], at: usize, count: usize, value: S::Vector) {
    let to = &mut to[at..at + count];
    // SAFETY: the slice holds `count` numbers, at most a vector of them.
    unsafe { N::store(simd, to.as_mut_ptr(), count, value) }
}

#[cfg(test)]
mod tests {
    use super::sealed::Number as _;
    use super::*;

    struct RoundTrip<'a>(&'a [f32], &'a mut [bf16], &'a mut [f32]);

    impl Task for RoundTrip<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            each_vector!(S, self.0.len(), |at, count| {
                write(simd, self.1, at, count, read(simd, self.0, at, count));
                let value = read(simd, self.1, at, count);
                write(simd, self.2, at, count, value);
            });
        }
    }

    /// Every level that `bf16` runs on here.
    fn levels() -> Vec<Level> {
        let mut levels = vec![Level::best().for_half()];
        levels.extend(Level::half());
        levels
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_by_every_make() {
        let values: Vec<f32> = (0..5000u32).map(|index| f32::from_bits(0x3f80_0000 + index * 12345)).collect();
        for level in levels() {
            let (mut halves, mut back) = (vec![bf16::ZERO; values.len()], vec![0.0; values.len()]);
            bf16::run(level, RoundTrip(&values, &mut halves, &mut back));
            for ((value, half), back) in values.iter().zip(&halves).zip(&back) {
                assert_eq!(*half, bf16::from_f32(*value), "{} of {value}", level.name());
                assert_eq!(*half, bf16::narrow(*value));
                assert_eq!(*back, half.to_f32());
                assert_eq!(half.wide(), half.to_f32());
            }
        }
        assert!(bf16::narrow(f32::NAN).is_nan() && bf16::narrow(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(bf16::narrow(f32::INFINITY), bf16::INFINITY);
    }

    #[test]
    fn images_stand_side_by_side() {
        let images: Vec<bf16> = (1..=6).map(|value| bf16::from_f32(value as f32)).collect();
        for level in levels() {
            let mut words = vec![0; 4];
            let found: Vec<[f32; 2]> = bf16::abreast(level, &images, 3, 2, &mut words)
                .iter()
                .map(|word| crate::kernels::simd::halves(*word).map(bf16::to_f32))
                .collect();
            assert_eq!(found, [[1.0, 3.0], [2.0, 4.0], [5.0, 0.0], [6.0, 0.0]]);
        }
    }

    #[test]
    fn pairs_are_multiplied_and_added() {
        struct Dot<'a>(&'a [bf16], &'a mut [f32]);
        impl Task for Dot<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                // SAFETY: there are two numbers, and a vector's worth of room.
                unsafe {
                    let word = bf16::splat(simd, self.0.as_ptr());
                    let sums = bf16::multiply_add(simd, word, word, simd.splat(0.5));
                    simd.store(self.1.as_mut_ptr(), sums);
                }
            }
        }
        for level in levels() {
            let mut sums = vec![0.0; level.lanes()];
            bf16::run(level, Dot(&[bf16::from_f32(3.0), bf16::from_f32(-2.0)], &mut sums));
            assert_eq!(sums, vec![13.5; level.lanes()], "{}", level.name());
        }
    }
}
