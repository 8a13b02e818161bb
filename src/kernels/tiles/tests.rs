//! The emulation against plain sums, and the machine's instructions, where it has them, against the emulation, bit for bit.

use half::bf16;

use super::*;
use crate::kernels::reference::numbers;

/// Memory of a block: rows of A and B for some steps.
struct Case {
    a: Vec<u32>,
    b: Vec<u32>,
    steps: Vec<Step>,
}

const STEPS: usize = 5;
/// Words between two rows of A: more than a row, and not a multiple of it.
const A_STEP: usize = 19;
const B_STEP: usize = 37;

impl Case {
    fn new(word: impl Fn(&str, usize) -> Vec<u32>) -> Self {
        let steps = (0..STEPS).map(|step| Step { a: 4 * 3 * step, b: 4 * B_STEP * SIDE * step }).collect();
        Self { a: word("a", 2 * SIDE * A_STEP + 3 * STEPS + WORDS), b: word("b", B_STEP * SIDE * STEPS + 2 * WORDS), steps }
    }

    fn run<K: Kind, const COLUMNS: usize>(&self, tiles: Tiles, resume: bool, sums: &mut Sums) {
        let at = |words: &[u32], index: usize| words[index..].as_ptr().cast::<u8>();
        let block = Block {
            a: [at(&self.a, 0), at(&self.a, SIDE * A_STEP)],
            a_step: 4 * A_STEP,
            b: [at(&self.b, 0), at(&self.b, WORDS)],
            b_step: 4 * B_STEP,
            steps: &self.steps,
            resume,
        };
        // SAFETY: the vectors were made long enough for the last step's last row.
        unsafe { tiles.begin().multiply::<K, COLUMNS>(block, sums) };
    }

    /// The words whose products a sum adds.
    fn words(&self, row: usize, column: usize) -> impl Iterator<Item = (u32, u32)> {
        (0..STEPS).flat_map(move |step| {
            (0..WORDS).map(move |word| (self.a[row * A_STEP + 3 * step + word], self.b[(step * SIDE + word) * B_STEP + column]))
        })
    }
}

fn halves(name: &str, length: usize) -> Vec<u32> {
    let numbers = numbers(name, 2 * length);
    numbers.chunks_exact(2).map(|pair| crate::kernels::simd::pair(bf16::from_f32(pair[0]), bf16::from_f32(pair[1]))).collect()
}

fn bytes(name: &str, length: usize) -> Vec<u32> {
    numbers(name, length).into_iter().map(|x| (x.to_bits() >> 3).wrapping_mul(2_654_435_761)).collect()
}

fn check_sums<const COLUMNS: usize>() {
    let mut sums = Sums::ZERO;
    let case = Case::new(halves);
    case.run::<Halves, COLUMNS>(Tiles::emulated(), false, &mut sums);
    case.run::<Halves, COLUMNS>(Tiles::emulated(), true, &mut sums);
    let whole = Case::new(bytes);
    let mut whole_sums = Sums::ZERO;
    whole.run::<Bytes, COLUMNS>(Tiles::emulated(), false, &mut whole_sums);
    whole.run::<Bytes, COLUMNS>(Tiles::emulated(), true, &mut whole_sums);
    for (row, column) in (0..2 * SIDE).flat_map(|row| (0..COLUMNS * SIDE).map(move |column| (row, column))) {
        let tile = COLUMNS * (row / SIDE) + column / SIDE;
        let products = case.words(row, column).map(|(a, b)| {
            let [a, b] = [a, b].map(crate::kernels::simd::halves);
            f64::from(a[0].to_f32()) * f64::from(b[0].to_f32()) + f64::from(a[1].to_f32()) * f64::from(b[1].to_f32())
        });
        let expected = 2.0 * products.sum::<f64>();
        let found = f32::from_bits(sums.0[tile][row % SIDE][column % SIDE]);
        assert!((f64::from(found) - expected).abs() < 1e-4, "row {row}, column {column}: {found} instead of {expected}");

        let products = whole.words(row, column).flat_map(|(a, b)| a.to_le_bytes().into_iter().zip(b.to_le_bytes()));
        let expected = 2 * products.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum::<i32>();
        assert_eq!(whole_sums.0[tile][row % SIDE][column % SIDE] as i32, expected, "row {row}, column {column}");
    }
}

#[test]
fn blocks_are_sums_of_products() {
    check_sums::<1>();
    check_sums::<2>();
}

#[test]
fn subnormal_numbers_are_zeros() {
    let tiny = u32::from(bf16::from_f32(1e-39).to_bits());
    let small = u32::from(bf16::from_f32(1e-20).to_bits());
    let big = u32::from(bf16::from_f32(1e30).to_bits());
    for (a, b, expected) in [(tiny, big, 0.0), (small, small, 0.0), (small, big, 1e10)] {
        let case = Case::new(|name, length| vec![if name == "a" { a } else { b }; length]);
        let mut sums = Sums::ZERO;
        case.run::<Halves, 1>(Tiles::emulated(), false, &mut sums);
        let found = f32::from_bits(sums.0[0][3][5]);
        let expected = expected * (STEPS * WORDS) as f32;
        assert!((found - expected).abs() <= 0.01 * expected, "{found} instead of {expected}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn the_machine_gives_the_bits_of_the_emulation() {
    let Some(native) = Tiles::native() else {
        eprintln!("skipped: this machine has no AMX, so its instructions are not compared with their emulation");
        return;
    };
    // Wide exponents, so that products overflow and vanish, and what is not a number.
    let wild = |name: &str, length: usize| -> Vec<u32> {
        let words = bytes(name, length).into_iter().enumerate();
        words.map(|(at, word)| if at % 97 == 0 { word | 0x7f80_7f80 } else { word & 0xbfff_bfff }).collect()
    };
    for case in [Case::new(halves), Case::new(bytes), Case::new(wild)] {
        let agree = |found: &Sums, expected: &Sums, is_number: bool| {
            let [found, expected] = [found, expected].map(|sums| sums.0.as_flattened().as_flattened());
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let both_nan = is_number && f32::from_bits(*found).is_nan() && f32::from_bits(*expected).is_nan();
                assert!(found == expected || both_nan, "at {at}: {found:x} instead of {expected:x}");
            }
        };
        for resume in [false, true] {
            let mut sums = [Sums::ZERO, Sums::ZERO];
            case.run::<Halves, 2>(Tiles::emulated(), false, &mut sums[0]);
            sums[1] = sums[0].clone();
            case.run::<Halves, 2>(native, resume, &mut sums[0]);
            case.run::<Halves, 2>(Tiles::emulated(), resume, &mut sums[1]);
            agree(&sums[0], &sums[1], true);
            case.run::<Halves, 1>(native, resume, &mut sums[0]);
            case.run::<Halves, 1>(Tiles::emulated(), resume, &mut sums[1]);
            agree(&sums[0], &sums[1], true);
            let mut sums = [Sums::ZERO, Sums::ZERO];
            case.run::<Bytes, 2>(native, resume, &mut sums[0]);
            case.run::<Bytes, 2>(Tiles::emulated(), resume, &mut sums[1]);
            agree(&sums[0], &sums[1], false);
            case.run::<Bytes, 1>(native, resume, &mut sums[0]);
            case.run::<Bytes, 1>(Tiles::emulated(), resume, &mut sums[1]);
            agree(&sums[0], &sums[1], false);
        }
    }
}
