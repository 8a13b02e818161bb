//! What happens to one image in one epoch.

use anyhow::Result;
use rand::RngExt;

use super::{Augmentation, Flip};
use crate::data::{ImageShape, View};
use crate::fault;
use crate::seed::{Rng, Seed};

/// The epoch in whose place the random start of alternating flips is drawn; no training gets that far.
const BEFORE_ALL_EPOCHS: u64 = u64::MAX;

/// Varies images of one shape.
#[derive(Clone, Debug)]
pub struct Augmenter {
    augmentation: Augmentation,
    shape: ImageShape,
}

impl Augmenter {
    /// Checks that the augmentation makes sense for images of `shape`.
    ///
    /// # Errors
    /// When images could be moved out of sight, or the erased square does not fit into them.
    pub fn new(augmentation: &Augmentation, shape: ImageShape) -> Result<Self> {
        fault::none(augmentation.faults(shape))?;
        Ok(Self { augmentation: augmentation.clone(), shape })
    }

    /// Varies one image, `[C, H, W]`, from `source` into `target`, as sample `sample` of epoch `epoch`.
    ///
    /// # Panics
    /// When a slice is not as long as an image.
    pub fn apply(&self, seed: Seed, epoch: u64, sample: u64, source: &[u8], target: &mut [u8]) {
        assert_eq!((source.len(), target.len()), (self.shape.pixels(), self.shape.pixels()), "each slice must hold one image");
        let mut rng = seed.index(epoch).index(sample).rng();
        let flipped = match self.augmentation.flip {
            Flip::None => false,
            Flip::Horizontal => rng.random(),
            Flip::Alternating => (seed.index(BEFORE_ALL_EPOCHS).index(sample).value() ^ epoch) & 1 == 1,
        };
        let shift = self.draw_shift(&mut rng);
        match self.draw_warp(&mut rng) {
            Some(warp) => self.resample(warp, flipped, shift, source, target),
            None => View { mirrored: flipped, down: shift.0, right: shift.1 }.write(source, self.shape, target),
        }
        self.brighten(&mut rng, target);
        self.erase(&mut rng, target);
    }

    /// By how many pixels the image moves: down, right.
    fn draw_shift(&self, rng: &mut Rng) -> (isize, isize) {
        let most = self.augmentation.shift;
        let mut draw = || if most == 0 { 0 } else { rng.random_range(0..=2 * most).cast_signed() - most.cast_signed() };
        (draw(), draw())
    }

    fn draw_warp(&self, rng: &mut Rng) -> Option<Warp> {
        let most = self.augmentation.rotate.get().to_radians();
        let scale = self.augmentation.scale.map_or(0.0, f64::from);
        if most == 0.0 && scale == 0.0 {
            return None;
        }
        let angle = rng.random_range(-1.0..=1.0) * most;
        let factor = 1.0 + rng.random_range(-1.0..=1.0) * scale;
        Some(Warp { cosine: (libm::cos(angle) / factor) as f32, sine: (libm::sin(angle) / factor) as f32 })
    }

    /// Turns and scales about the centre by bilinear interpolation, then moves; beyond the edges all is 0.
    fn resample(&self, warp: Warp, flipped: bool, (down, right): (isize, isize), source: &[u8], target: &mut [u8]) {
        let ImageShape { height, width, .. } = self.shape;
        let (middle_y, middle_x) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
        for (source, target) in source.chunks_exact(height * width).zip(target.chunks_exact_mut(height * width)) {
            for (y, target) in target.chunks_exact_mut(width).enumerate() {
                let from_middle_y = y as f32 - down as f32 - middle_y;
                for (x, target) in target.iter_mut().enumerate() {
                    let from_middle_x = x as f32 - right as f32 - middle_x;
                    let across = warp.cosine * from_middle_x + warp.sine * from_middle_y;
                    let across = if flipped { middle_x - across } else { middle_x + across };
                    let along = warp.cosine * from_middle_y - warp.sine * from_middle_x + middle_y;
                    *target = interpolate(source, height, width, along, across);
                }
            }
        }
    }

    fn brighten(&self, rng: &mut Rng, target: &mut [u8]) {
        let Some(share) = self.augmentation.brightness else { return };
        let factor = 1.0 + rng.random_range(-1.0..=1.0) * share.get();
        let factor = (factor * 256.0).round() as u32; // in 256ths
        for pixel in target {
            *pixel = ((u32::from(*pixel) * factor + 128) >> 8).min(255) as u8;
        }
    }

    fn erase(&self, rng: &mut Rng, target: &mut [u8]) {
        let Some(erase) = self.augmentation.erase else { return };
        if !rng.random_bool(erase.probability.get()) {
            return;
        }
        let ImageShape { height, width, .. } = self.shape;
        let side = rng.random_range(erase.size.shortest()..=erase.size.longest());
        let (top, left) = (rng.random_range(0..=height - side), rng.random_range(0..=width - side));
        for plane in target.chunks_exact_mut(height * width) {
            for row in plane.chunks_exact_mut(width).skip(top).take(side) {
                row[left..left + side].fill(0);
            }
        }
    }
}

/// Where a pixel of the target comes from: the rotation matrix divided by the scale.
#[derive(Clone, Copy)]
struct Warp {
    cosine: f32,
    sine: f32,
}

/// The value between four pixels; pixels beyond the edges are 0.
fn interpolate(plane: &[u8], height: usize, width: usize, y: f32, x: f32) -> u8 {
    if !(y > -1.0 && y < height as f32 && x > -1.0 && x < width as f32) {
        return 0;
    }
    let (top, left) = (y.floor(), x.floor());
    let (below, beside) = (y - top, x - left);
    let (top, left) = (top as isize, left as isize);
    let pixel = |row: isize, column: isize| -> f32 {
        let inside = row >= 0 && column >= 0 && row.cast_unsigned() < height && column.cast_unsigned() < width;
        if inside { f32::from(plane[row.cast_unsigned() * width + column.cast_unsigned()]) } else { 0.0 }
    };
    let upper = pixel(top, left) * (1.0 - beside) + pixel(top, left + 1) * beside;
    let lower = pixel(top + 1, left) * (1.0 - beside) + pixel(top + 1, left + 1) * beside;
    (upper * (1.0 - below) + lower * below + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::augment::AugmentOptions;

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 5, width: 4 };

    fn augmenter(options: &str, shape: ImageShape) -> Result<Augmenter> {
        let options: AugmentOptions = serde_json::from_str(&format!(r#"{{"data": "x", {options}}}"#)).unwrap();
        Augmenter::new(&options.augmentation(), shape)
    }

    fn source() -> Vec<u8> {
        (1..=SHAPE.pixels() as u8).collect()
    }

    fn varied(augmenter: &Augmenter, epoch: u64, sample: u64) -> Vec<u8> {
        let mut target = vec![77; SHAPE.pixels()];
        augmenter.apply(Seed::new(1), epoch, sample, &source(), &mut target);
        target
    }

    /// The plain reference of flip and shift: pixel by pixel, by definition.
    fn moved(flipped: bool, down: isize, right: isize) -> Vec<u8> {
        let ImageShape { channels, height, width } = SHAPE;
        let source = source();
        let mut target = vec![0; SHAPE.pixels()];
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let row = y.checked_add_signed(-down).filter(|&row| row < height);
                    let column = x.checked_add_signed(-right).filter(|&column| column < width);
                    if let (Some(row), Some(column)) = (row, column) {
                        let column = if flipped { width - 1 - column } else { column };
                        target[(channel * height + y) * width + x] = source[(channel * height + row) * width + column];
                    }
                }
            }
        }
        target
    }

    #[test]
    fn flips_and_shifts_are_those_of_the_definition_and_all_occur() {
        let augmenter = augmenter(r#""flip": "horizontal", "shift": 2"#, SHAPE).unwrap();
        let mut expected = Vec::new();
        for flipped in [false, true] {
            for (down, right) in (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right))) {
                expected.push(moved(flipped, down, right));
            }
        }
        let mut seen = vec![0; expected.len()];
        for sample in 0..2000 {
            let found = varied(&augmenter, 3, sample);
            seen[expected.iter().position(|image| *image == found).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| (10..=80).contains(&count)), "each of 50 outcomes about 40 times: {seen:?}");
    }

    #[test]
    fn alternating_flips_change_with_every_epoch_and_begin_at_random() {
        let augmenter = augmenter(r#""flip": "alternating""#, SHAPE).unwrap();
        let (plain, mirrored) = (moved(false, 0, 0), moved(true, 0, 0));
        let mut begin_mirrored = 0;
        for sample in 0..1000 {
            let epochs: Vec<_> = (0..4).map(|epoch| varied(&augmenter, epoch, sample)).collect();
            assert!(epochs[0] == plain || epochs[0] == mirrored);
            assert!(epochs[0] != epochs[1] && epochs[0] == epochs[2] && epochs[1] == epochs[3]);
            begin_mirrored += usize::from(epochs[0] == mirrored);
        }
        assert!((420..=580).contains(&begin_mirrored), "{begin_mirrored} of 1000 begin mirrored");
    }

    #[test]
    fn erasing_blackens_one_square_as_often_as_asked() {
        let augmenter = augmenter(r#""erase": {"probability": 0.3, "size": [2, 3]}"#, SHAPE).unwrap();
        let (mut kept, mut two, mut three) = (0, 0, 0);
        for sample in 0..1000 {
            let image = varied(&augmenter, 0, sample);
            let black = image.iter().filter(|&&pixel| pixel == 0).count();
            assert_eq!(image.iter().zip(source()).filter(|&(&a, b)| a != b).count(), black, "all else is as it was");
            match black {
                0 => kept += 1,
                8 => two += 1, // a square of side 2 in each of two channels
                18 => three += 1,
                _ => panic!("{black} black pixels are no square"),
            }
        }
        assert!((650..=750).contains(&kept), "{kept} of 1000 kept as they were");
        assert!((110..=190).contains(&two) && (110..=190).contains(&three), "{two} and {three} squares");
    }

    #[test]
    fn a_quarter_turn_moves_pixels_to_where_it_should() {
        let shape = ImageShape { channels: 1, height: 3, width: 3 };
        let augmenter = augmenter(r#""rotate": 90.0"#, shape).unwrap();
        let mut target = [0; 9];
        let quarter = Warp { cosine: 0.0, sine: 1.0 };
        augmenter.resample(quarter, false, (0, 0), &[1, 2, 3, 4, 5, 6, 7, 8, 9], &mut target);
        assert_eq!(target, [7, 4, 1, 8, 5, 2, 9, 6, 3], "clockwise");
        augmenter.resample(quarter, true, (0, 1), &[1, 2, 3, 4, 5, 6, 7, 8, 9], &mut target);
        assert_eq!(target, [0, 9, 6, 0, 8, 5, 0, 7, 4], "mirrored, turned, then moved right");
        let same = Warp { cosine: 1.0, sine: 0.0 };
        augmenter.resample(same, true, (0, 0), &[1, 2, 3, 4, 5, 6, 7, 8, 9], &mut target);
        assert_eq!(target, [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        let half = Warp { cosine: 2.0, sine: 0.0 };
        augmenter.resample(half, false, (0, 0), &[100; 9], &mut target);
        assert_eq!(target, [0, 0, 0, 0, 100, 0, 0, 0, 0], "at half the size only the middle is covered");
    }

    #[test]
    fn brightness_stays_within_its_share_and_within_bytes() {
        let augmenter = augmenter(r#""brightness": 0.25"#, SHAPE).unwrap();
        let mut darkest = u8::MAX;
        let mut brightest = 0;
        for sample in 0..500 {
            let mut target = vec![0; SHAPE.pixels()];
            augmenter.apply(Seed::new(1), 0, sample, &[100; 40], &mut target);
            (darkest, brightest) = (darkest.min(target[0]), brightest.max(target[0]));
            augmenter.apply(Seed::new(1), 0, sample, &[255; 40], &mut target);
            assert!(target[0] >= 191);
        }
        assert!((75..=77).contains(&darkest) && (123..=125).contains(&brightest), "{darkest} to {brightest}");
    }

    #[test]
    fn what_makes_no_sense_for_the_images_is_refused() {
        let error = |options| augmenter(options, SHAPE).unwrap_err().to_string();
        insta::assert_snapshot!(error(r#""shift": 4"#), @"`shift: 4` moves images of 2×5×4 out of sight; make it less than 4");
        insta::assert_snapshot!(error(r#""erase": {"probability": 1.0, "size": [2, 5]}"#), @"`erase` wants squares of side 5, images of 2×5×4 hold none above 4; make them smaller");
    }

    proptest! {
        #[test]
        fn all_at_once_is_repeatable_and_never_panics(seed: u64, epoch: u64, sample: u64, pixels in proptest::collection::vec(any::<u8>(), 40)) {
            let options = r#""flip": "alternating", "shift": 3, "rotate": 180.0, "scale": 0.9, "brightness": 0.9,
                             "erase": {"probability": 0.5, "size": [1, 4]}"#;
            let augmenter = augmenter(options, SHAPE).unwrap();
            let (mut first, mut second) = ([1; 40], [2; 40]);
            augmenter.apply(Seed::new(seed), epoch, sample, &pixels, &mut first);
            augmenter.apply(Seed::new(seed), epoch, sample, &pixels, &mut second);
            prop_assert_eq!(first, second);
        }

        #[test]
        fn nothing_asked_is_nothing_done(seed: u64, pixels in proptest::collection::vec(any::<u8>(), 40)) {
            let augmenter = Augmenter::new(&Augmentation::default(), SHAPE).unwrap();
            let mut target = [0; 40];
            augmenter.apply(Seed::new(seed), 0, 0, &pixels, &mut target);
            prop_assert_eq!(&target[..], &pixels);
        }
    }
}
