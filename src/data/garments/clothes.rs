//! Clothes and bags, seen from the front.

use super::canvas::{Canvas, Point};
use super::{between, chance};
use crate::seed::Rng;

/// The upper garments' common parts.
struct Top {
    shade: f32,
    shoulder: f32, // half its width
    waist: f32,    // half its width
    hem: f32,      // half its width
    top: f32,      // height of the shoulders at the neck
    bottom: f32,
    neck: f32, // half its width
}

impl Top {
    fn draw(rng: &mut Rng) -> Self {
        let shoulder = between(rng, 0.42, 0.56);
        Self {
            shade: shade(rng),
            shoulder,
            waist: shoulder * between(rng, 0.82, 1.02),
            hem: shoulder * between(rng, 0.9, 1.1),
            top: between(rng, -0.92, -0.78),
            bottom: between(rng, 0.62, 0.9),
            neck: between(rng, 0.14, 0.24),
        }
    }

    /// The trunk, from the neck to the hem.
    fn body(&self, canvas: &mut Canvas) {
        let Self { shoulder, waist, hem, top, bottom, neck, .. } = *self;
        let right = [(neck, top), (shoulder, top + 0.12), (waist, 0.05), (hem, bottom)];
        let left = right.map(|(x, y)| (-x, y));
        let outline: Vec<Point> = right.into_iter().chain(left.into_iter().rev()).collect();
        canvas.fill(&outline, self.shade);
    }

    /// Both sleeves: how long, how far from hanging straight down (radians), how wide at the cuff.
    fn sleeves(&self, canvas: &mut Canvas, rng: &mut Rng, length: f32, angle: f32, cuff: f32) {
        for side in [-1.0, 1.0] {
            let angle = angle + between(rng, -0.08, 0.08);
            let length = length * between(rng, 0.94, 1.06);
            let (across, down) = (libm::sinf(angle), libm::cosf(angle));
            let upper = (self.shoulder - 0.04, self.top + 0.1);
            let lower = (self.shoulder - 0.06, self.top + 0.5);
            let end = (upper.0 + across * length, upper.1 + down * length);
            let inner = (end.0 - down * cuff, end.1 + across * cuff);
            let outline = [upper, end, inner, lower].map(|(x, y)| (side * x, y));
            canvas.fill(&outline, self.shade * between(rng, 0.86, 1.0));
        }
    }

    /// Cuts the neck out: round, or pointed, to a depth.
    fn neckline(&self, canvas: &mut Canvas, pointed: bool, depth: f32) {
        let (neck, top) = (self.neck, self.top - 0.06);
        if pointed {
            canvas.fill(&[(-neck, top), (neck, top), (0.0, top + depth)], 0.0);
        } else {
            canvas.fill_smooth(&[(-neck, top), (0.0, top - depth), (neck, top), (0.0, top + depth)], 0.0);
        }
    }

    /// A collar: two flaps beside the neck.
    fn collar(&self, canvas: &mut Canvas, size: f32, shade: f32) {
        for side in [-1.0, 1.0] {
            let outline = [
                (self.neck * 0.95, self.top - 0.05),
                (self.neck + 0.1, self.top + 0.06),
                (0.1, self.top + size),
                (0.0, self.top + 0.12),
            ];
            canvas.fill(&outline.map(|(x, y)| (side * x, y)), shade);
        }
    }
}

fn shade(rng: &mut Rng) -> f32 {
    between(rng, 0.3, 1.0)
}

/// A shade that stands out from another, a little or much.
fn contrast(rng: &mut Rng, shade: f32) -> f32 {
    let distance = between(rng, 0.22, 0.5);
    if shade > 0.62 { shade - distance } else { (shade + distance).min(1.0) }
}

pub(super) fn t_shirt(canvas: &mut Canvas, rng: &mut Rng) {
    let top = Top::draw(rng);
    if chance(rng, 0.88) {
        let (length, angle) = (between(rng, 0.3, 0.62), between(rng, 0.55, 1.15));
        let cuff = between(rng, 0.26, 0.38);
        top.sleeves(canvas, rng, length, angle, cuff);
    }
    top.body(canvas);
    let (pointed, depth) = (chance(rng, 0.3), between(rng, 0.14, 0.34));
    top.neckline(canvas, pointed, depth);
    if chance(rng, 0.3) {
        let (width, height) = (between(rng, 0.12, 0.3), between(rng, 0.08, 0.28));
        let middle = between(rng, -0.3, 0.1);
        let print = [(-width, middle - height), (width, middle - height), (width, middle + height), (-width, middle + height)];
        let shade = contrast(rng, top.shade);
        canvas.fill(&print, shade);
    }
}

pub(super) fn pullover(canvas: &mut Canvas, rng: &mut Rng) {
    let top = Top::draw(rng);
    let (length, angle, cuff) = (between(rng, 1.1, 1.5), between(rng, 0.1, 0.42), between(rng, 0.16, 0.24));
    top.sleeves(canvas, rng, length, angle, cuff);
    top.body(canvas);
    let band = top.shade * between(rng, 0.7, 0.95);
    if chance(rng, 0.6) {
        canvas.stroke(&[(-top.hem, top.bottom - 0.05), (top.hem, top.bottom - 0.05)], 0.11, band);
    }
    if chance(rng, 0.25) {
        // A rolled collar stands above the shoulders.
        let (neck, height) = (top.neck, between(rng, 0.06, 0.14));
        canvas
            .fill(&[(-neck, top.top - height), (neck, top.top - height), (neck, top.top + 0.06), (-neck, top.top + 0.06)], band);
    } else {
        let depth = between(rng, 0.1, 0.24);
        top.neckline(canvas, chance(rng, 0.25), depth);
    }
}

pub(super) fn coat(canvas: &mut Canvas, rng: &mut Rng) {
    let mut top = Top::draw(rng);
    top.bottom = between(rng, 0.76, 0.98);
    top.hem *= between(rng, 1.0, 1.15);
    let (length, angle, cuff) = (between(rng, 1.15, 1.55), between(rng, 0.08, 0.36), between(rng, 0.18, 0.28));
    top.sleeves(canvas, rng, length, angle, cuff);
    top.body(canvas);
    let dark = top.shade * between(rng, 0.15, 0.55);
    let depth = between(rng, 0.3, 0.75);
    // The opening runs from the lapels to the hem, not quite in the middle.
    let middle = between(rng, -0.06, 0.06);
    if chance(rng, 0.75) {
        canvas.fill(&[(-top.neck, top.top), (top.neck, top.top), (middle, top.top + depth)], dark);
    } else {
        top.neckline(canvas, true, depth * 0.5);
    }
    let gap = if chance(rng, 0.25) { between(rng, 0.1, 0.2) } else { between(rng, 0.04, 0.08) };
    canvas.stroke(&[(middle, top.top + depth * 0.8), (middle, top.bottom)], gap, dark);
    if chance(rng, 0.45) {
        for side in [-1.0, 1.0] {
            let (x, y) = (side * top.waist * 0.55, between(rng, 0.28, 0.4));
            canvas.stroke(&[(x - 0.12, y), (x + 0.12, y + 0.02)], 0.06, dark);
        }
    }
}

pub(super) fn shirt(canvas: &mut Canvas, rng: &mut Rng) {
    let mut top = Top::draw(rng);
    let cuff = between(rng, 0.18, 0.3);
    if chance(rng, 0.68) {
        let (length, angle) = (between(rng, 1.0, 1.48), between(rng, 0.1, 0.5));
        top.sleeves(canvas, rng, length, angle, cuff * 0.9);
    } else {
        let (length, angle) = (between(rng, 0.35, 0.66), between(rng, 0.45, 1.0));
        top.sleeves(canvas, rng, length, angle, cuff + 0.1);
    }
    if chance(rng, 0.2) {
        top.bottom += 0.1;
    }
    top.body(canvas);
    let line = contrast(rng, top.shade);
    let depth = between(rng, 0.12, 0.3);
    top.neckline(canvas, true, depth);
    if chance(rng, 0.95) {
        top.collar(canvas, depth + between(rng, 0.0, 0.08), top.shade + (line - top.shade) * between(rng, 0.3, 1.0));
    }
    if chance(rng, 0.7) {
        canvas.stroke(&[(0.0, top.top + depth), (0.0, top.bottom)], between(rng, 0.03, 0.06), line);
    } else {
        for button in 0..5 {
            let y = top.top + depth + 0.1 + 0.24 * button as f32;
            canvas.stroke(&[(-0.035, y), (0.035, y)], 0.08, line);
        }
    }
}

pub(super) fn dress(canvas: &mut Canvas, rng: &mut Rng) {
    let mut top = Top::draw(rng);
    top.shoulder = between(rng, 0.24, 0.38);
    top.neck = top.shoulder * between(rng, 0.45, 0.7);
    top.top = between(rng, -0.98, -0.86);
    top.bottom = between(rng, 0.8, 1.0);
    let waist = between(rng, 0.16, 0.3);
    let height = between(rng, -0.4, 0.0);
    let hem = between(rng, 0.24, 0.62);
    if chance(rng, 0.42) {
        let long = chance(rng, 0.4);
        let length = if long { between(rng, 0.9, 1.3) } else { between(rng, 0.25, 0.5) };
        let angle = between(rng, 0.15, if long { 0.4 } else { 0.9 });
        top.sleeves(canvas, rng, length, angle, 0.17);
    }
    let right = [
        (top.neck, top.top),
        (top.shoulder, top.top + 0.08),
        (waist + 0.03, height - 0.2),
        (waist, height),
        ((waist + hem) / 2.0, (height + top.bottom) / 2.0),
        (hem, top.bottom),
    ];
    let outline: Vec<Point> = right.iter().copied().chain(right.iter().rev().map(|&(x, y)| (-x, y))).collect();
    canvas.fill(&outline, top.shade);
    let (pointed, depth) = (chance(rng, 0.5), between(rng, 0.14, 0.36));
    top.neckline(canvas, pointed, depth);
    if chance(rng, 0.35) {
        let shade = contrast(rng, top.shade);
        canvas.stroke(&[(-waist, height), (waist, height)], 0.08, shade);
    }
}

pub(super) fn trouser(canvas: &mut Canvas, rng: &mut Rng) {
    let shade = shade(rng);
    let (waist, hip) = (between(rng, 0.22, 0.36), between(rng, 0.3, 0.42));
    let (top, crotch, bottom) = (between(rng, -0.98, -0.85), between(rng, -0.4, -0.12), between(rng, 0.82, 1.0));
    let spread = between(rng, 0.0, 0.12);
    let ankle = between(rng, 0.12, 0.26);
    let gap = between(rng, 0.01, 0.08);
    for side in [-1.0, 1.0] {
        let inner = gap + spread;
        let leg = [(0.0, top), (waist, top), (hip, crotch), (inner + ankle, bottom), (inner, bottom), (gap * 0.4, crotch)];
        canvas.fill(&leg.map(|(x, y)| (side * x, y)), shade * between(rng, 0.88, 1.0));
    }
    if chance(rng, 0.5) {
        canvas.stroke(&[(-waist, top + 0.06), (waist, top + 0.06)], 0.1, contrast(rng, shade));
    }
}

pub(super) fn bag(canvas: &mut Canvas, rng: &mut Rng) {
    let shade = shade(rng);
    let (top, bottom) = (between(rng, -0.5, 0.0), between(rng, 0.5, 0.85));
    let (upper, lower) = (between(rng, 0.5, 0.9), between(rng, 0.6, 0.95));
    let (reach, grip) = (between(rng, 0.25, 0.9) * (1.0 + top).max(0.4), between(rng, 0.3, 0.9) * upper);
    if chance(rng, 0.85) {
        // The handle is an arch: the outer outline, then what is seen through it.
        let thick = between(rng, 0.07, 0.16);
        let arch = |width: f32, height: f32| {
            [
                (-width, top + 0.2),
                (-width * 0.95, top - height * 0.5),
                (-width * 0.5, top - height),
                (width * 0.5, top - height),
                (width * 0.95, top - height * 0.5),
                (width, top + 0.2),
            ]
        };
        canvas.fill_smooth(&arch(grip, reach), shade * between(rng, 0.7, 1.0));
        canvas.fill_smooth(&arch(grip - thick, reach - thick), 0.0);
    }
    let round = between(rng, 0.02, 0.16);
    let outline = [
        (-upper + round, top),
        (upper - round, top),
        (upper, top + round),
        (lower, bottom - round),
        (lower - round, bottom),
        (-lower + round, bottom),
        (-lower, bottom - round),
        (-upper, top + round),
    ];
    canvas.fill(&outline, shade);
    let line = contrast(rng, shade);
    if chance(rng, 0.5) {
        let fold = top + (bottom - top) * between(rng, 0.25, 0.6);
        let flap = [(-upper, fold), (0.0, fold + between(rng, 0.0, 0.2)), (upper, fold)];
        canvas.stroke(&flap, 0.06, line);
    }
    if chance(rng, 0.5) {
        let y = top + (bottom - top) * between(rng, 0.2, 0.6);
        let size = between(rng, 0.05, 0.12);
        canvas.fill(&[(-size, y - size), (size, y - size), (size, y + size), (-size, y + size)], line);
    }
}
