//! Drawing filled outlines on a small gray canvas, anti-aliased.
//!
//! Garments are drawn in coordinates of their own: x from −1 (left) to 1, y from −1 (top) to 1. The [`Pose`] takes them to
//! pixels. Shades run from 0 (background) to 1.

use rand::RngExt;

use super::{between, chance};
use crate::seed::Rng;

/// Pixels along a side.
const SIDE: usize = 28;
/// Lines per pixel that are sampled; along a line, coverage is exact.
const LINES: usize = 4;

/// A point in the coordinates of a garment.
pub(super) type Point = (f32, f32);

/// How a garment lies on the canvas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    cosine: f32,
    sine: f32,
    scale: (f32, f32), // pixels per unit across and down; across is negative for a mirrored garment
    centre: Point,     // in pixels
}

impl Pose {
    /// A pose at random: slightly turned, stretched and moved, sometimes mirrored.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let angle = between(rng, -0.16, 0.16) + between(rng, -0.1, 0.1);
        let size = between(rng, 10.3, 13.2);
        let stretch = between(rng, 0.88, 1.12);
        let mirrored = if chance(rng, 0.3) { -1.0 } else { 1.0 };
        let middle = SIDE as f32 / 2.0;
        Self {
            cosine: libm::cosf(angle),
            sine: libm::sinf(angle),
            scale: (mirrored * size * stretch, size / stretch),
            centre: (middle + between(rng, -1.8, 1.8), middle + between(rng, -1.8, 1.8)),
        }
    }

    fn pixel(&self, (x, y): Point) -> Point {
        let (x, y) = (x * self.scale.0, y * self.scale.1);
        (self.centre.0 + self.cosine * x - self.sine * y, self.centre.1 + self.sine * x + self.cosine * y)
    }
}

/// A canvas on which one garment is drawn.
pub(super) struct Canvas {
    pose: Pose,
    shades: [f32; SIDE * SIDE], // [y, x]
}

impl Canvas {
    pub(super) fn new(pose: Pose) -> Self {
        Self { pose, shades: [0.0; SIDE * SIDE] }
    }

    /// Fills the area within an outline, by the even-odd rule, over what is there.
    pub(super) fn fill(&mut self, outline: &[Point], shade: f32) {
        let outline: Vec<Point> = outline.iter().map(|&point| self.pose.pixel(point)).collect();
        let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
        for &(_, y) in &outline {
            (least, most) = (least.min(y), most.max(y));
        }
        let first = least.floor().clamp(0.0, SIDE as f32) as usize;
        let last = most.ceil().clamp(0.0, SIDE as f32) as usize;
        let mut crossings = Vec::with_capacity(8);
        for row in first..last {
            let mut coverage = [0.0_f32; SIDE];
            for line in 0..LINES {
                let y = row as f32 + (line as f32 + 0.5) / LINES as f32;
                crossings.clear();
                crossings.extend(edges(&outline).filter_map(|(from, to)| crossing(from, to, y)));
                crossings.sort_unstable_by(f32::total_cmp);
                for span in crossings.as_chunks::<2>().0 {
                    cover(&mut coverage, *span);
                }
            }
            let shades = &mut self.shades[row * SIDE..][..SIDE];
            for (old, covered) in shades.iter_mut().zip(coverage) {
                let covered = covered / LINES as f32;
                *old += (shade - *old) * covered;
            }
        }
    }

    /// Fills the area within a closed smooth curve through `points` (Catmull and Rom, 1974).
    pub(super) fn fill_smooth(&mut self, points: &[Point], shade: f32) {
        self.fill(&smooth(points), shade);
    }

    /// Draws a line of some width, in the garment's units, along `points`.
    pub(super) fn stroke(&mut self, points: &[Point], width: f32, shade: f32) {
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = (x1 - x0).hypot(y1 - y0).max(1e-6);
            let (across, down) = ((y1 - y0) / length * width / 2.0, (x0 - x1) / length * width / 2.0);
            let outline =
                [(x0 + across, y0 + down), (x1 + across, y1 + down), (x1 - across, y1 - down), (x0 - across, y0 - down)];
            self.fill(&outline, shade);
        }
    }

    /// Lays folds, stripes, light and grain over what was drawn and writes it as bytes.
    pub(super) fn finish(mut self, rng: &mut Rng, image: &mut [u8]) {
        let cloth = Cloth::draw(rng);
        for (index, (shade, pixel)) in self.shades.iter_mut().zip(image).enumerate() {
            let (x, y) = ((index % SIDE) as f32, (index / SIDE) as f32);
            let grain = (rng.random::<f32>() - 0.5) * cloth.grain;
            let value = *shade * (cloth.at(x, y) + grain);
            *pixel = (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        }
    }
}

/// What the cloth looks like, beside the outline.
struct Cloth {
    folds: Wave,
    stripes: Wave,
    light: Point,
    grain: f32,
}

/// A pattern of parallel waves.
struct Wave {
    across: f32,
    down: f32,
    phase: f32,
    depth: f32,
}

impl Wave {
    fn draw(rng: &mut Rng, pixels: (f32, f32), depth: f32) -> Self {
        let direction = between(rng, 0.0, std::f32::consts::PI);
        let frequency = std::f32::consts::TAU / between(rng, pixels.0, pixels.1);
        Self {
            across: libm::cosf(direction) * frequency,
            down: libm::sinf(direction) * frequency,
            phase: between(rng, 0.0, std::f32::consts::TAU),
            depth,
        }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        if self.depth == 0.0 { 0.0 } else { self.depth * libm::sinf(self.across * x + self.down * y + self.phase) }
    }
}

impl Cloth {
    fn draw(rng: &mut Rng) -> Self {
        let depth = between(rng, 0.0, 0.14);
        let folds = Wave::draw(rng, (7.0, 18.0), depth);
        let depth = if chance(rng, 0.22) { between(rng, 0.1, 0.32) } else { 0.0 };
        let stripes = Wave::draw(rng, (2.5, 7.0), depth);
        Self { folds, stripes, light: (between(rng, -0.012, 0.012), between(rng, -0.012, 0.012)), grain: between(rng, 0.03, 0.2) }
    }

    /// By how much the shade is multiplied at a pixel.
    fn at(&self, x: f32, y: f32) -> f32 {
        let middle = SIDE as f32 / 2.0;
        let light = self.light.0 * (x - middle) + self.light.1 * (y - middle);
        1.0 + light + self.folds.at(x, y) + self.stripes.at(x, y)
    }
}

fn edges(outline: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    let next = outline.iter().skip(1).chain(outline.first());
    outline.iter().copied().zip(next.copied())
}

/// Where an edge crosses the line at height `y`.
fn crossing((x0, y0): Point, (x1, y1): Point, y: f32) -> Option<f32> {
    if (y0 <= y) == (y1 <= y) { None } else { Some(x0 + (x1 - x0) * (y - y0) / (y1 - y0)) }
}

/// Adds the share of each pixel that the span covers.
fn cover(coverage: &mut [f32; SIDE], [from, to]: [f32; 2]) {
    let (from, to) = (from.clamp(0.0, SIDE as f32), to.clamp(0.0, SIDE as f32));
    let mut left = from;
    while left < to {
        let column = left as usize;
        let right = (column as f32 + 1.0).min(to);
        coverage[column] += right - left;
        left = right;
    }
}

/// A closed Catmull–Rom curve through points, as a polygon.
fn smooth(points: &[Point]) -> Vec<Point> {
    const STEPS: usize = 4;
    let at = |index: usize| points[index % points.len()];
    let mut outline = Vec::with_capacity(points.len() * STEPS);
    for index in 0..points.len() {
        let [a, b, c, d] = [at(index + points.len() - 1), at(index), at(index + 1), at(index + 2)];
        for step in 0..STEPS {
            let t = step as f32 / STEPS as f32;
            let mix = |a: f32, b: f32, c: f32, d: f32| {
                b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
            };
            outline.push((mix(a.0, b.0, c.0, d.0), mix(a.1, b.1, c.1, d.1)));
        }
    }
    outline
}
