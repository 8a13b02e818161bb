//! Shoes, seen from the side, the toe on the left.

use super::canvas::{Canvas, Point};
use super::{between, chance};
use crate::seed::Rng;

fn shade(rng: &mut Rng) -> f32 {
    between(rng, 0.32, 1.0)
}

pub(super) fn sneaker(canvas: &mut Canvas, rng: &mut Rng) {
    let shade = shade(rng);
    let (ground, thick) = (between(rng, 0.3, 0.5), between(rng, 0.1, 0.22));
    let toe = between(rng, 0.2, 0.34); // height of the toe cap
    let instep = between(rng, 0.5, 0.72);
    let heel = between(rng, 0.5, 0.78);
    let sole = ground - thick;
    let upper = [
        (-0.95, sole + 0.02),
        (-0.92, sole - toe * 0.6),
        (-0.62, sole - toe),
        (-0.2, sole - instep * 0.78),
        (between(rng, 0.05, 0.2), sole - instep),
        (0.45, sole - instep * 0.82),
        (0.86, sole - heel),
        (0.95, sole - heel * 0.5),
        (0.92, sole + 0.02),
    ];
    canvas.fill_smooth(&upper, shade);
    let rubber = if chance(rng, 0.6) { between(rng, 0.75, 1.0) } else { between(rng, 0.15, 0.6) };
    canvas.fill_smooth(
        &[(-0.97, sole), (0.0, sole + 0.01), (0.96, sole), (0.98, ground), (0.0, ground + 0.01), (-0.95, ground)],
        rubber,
    );
    let detail = if shade > 0.6 { shade * between(rng, 0.35, 0.75) } else { (shade + between(rng, 0.2, 0.5)).min(1.0) };
    for lace in 0..if chance(rng, 0.75) { 3 } else { 0 } {
        let x = -0.45 + 0.17 * lace as f32;
        let y = sole - toe - (instep - toe) * (x + 0.62) * 0.9;
        canvas.stroke(&[(x, y - 0.02), (x + 0.15, y + 0.12)], 0.07, detail);
    }
    if chance(rng, 0.5) {
        let x = between(rng, -0.05, 0.3);
        canvas.stroke(&[(x, sole - 0.06), (x + between(rng, 0.1, 0.35), sole - instep * 0.7)], between(rng, 0.07, 0.16), detail);
    }
}

pub(super) fn ankle_boot(canvas: &mut Canvas, rng: &mut Rng) {
    let shade = shade(rng);
    let ground = between(rng, 0.6, 0.85);
    let heel = if chance(rng, 0.45) { between(rng, 0.2, 0.42) } else { between(rng, 0.08, 0.18) };
    let top = between(rng, -0.9, -0.45);
    let toe = between(rng, 0.22, 0.36);
    let (front, back) = (between(rng, -0.12, 0.12), between(rng, 0.68, 0.85));
    let sole = ground - heel * 0.4;
    let tip = between(rng, -0.95, -0.8);
    let outline: [Point; 12] = [
        (tip, sole - 0.02),
        (tip + 0.04, sole - toe * 0.7),
        (tip + 0.3, sole - toe),
        (front - 0.1, sole - toe - 0.18),
        (front, sole - toe - 0.42),
        (front - 0.02, top),
        (back, top + between(rng, -0.06, 0.06)),
        (back + 0.02, sole - 0.5),
        (back + 0.08, sole - heel * 0.6),
        (back, sole - heel * 0.2),
        (0.2, sole - heel * 0.45),
        (-0.2, sole),
    ];
    canvas.fill(&outline, shade);
    let rubber = shade * between(rng, 0.35, 0.95);
    let narrow = between(rng, 0.12, 0.4);
    canvas.fill(
        &[
            (back - narrow - 0.1, sole - heel * 0.6),
            (back + 0.06, sole - heel * 0.6),
            (back + 0.02, ground),
            (back - narrow, ground),
        ],
        rubber,
    );
    canvas.stroke(&[(tip, sole + 0.01), (-0.15, sole + 0.03)], 0.07, rubber);
    let detail = if shade > 0.6 { shade * between(rng, 0.45, 0.85) } else { (shade + between(rng, 0.1, 0.4)).min(1.0) };
    if chance(rng, 0.4) {
        let y = between(rng, -0.2, 0.1);
        canvas.stroke(&[(front, y), (back, y + 0.03)], 0.09, detail);
    }
    if chance(rng, 0.35) {
        let x = (front + back) / 2.0 + between(rng, -0.1, 0.15);
        canvas.fill(&[(x - 0.09, top), (x + 0.09, top), (x + 0.05, 0.1), (x - 0.05, 0.1)], detail);
    }
}

pub(super) fn sandal(canvas: &mut Canvas, rng: &mut Rng) {
    let shade = shade(rng);
    let heel = if chance(rng, 0.45) { between(rng, 0.3, 0.75) } else { between(rng, 0.0, 0.14) };
    let ground = between(rng, 0.35, 0.7);
    let thick = between(rng, 0.09, 0.22);
    let ball = between(rng, -0.45, -0.2); // where the foot touches the ground
    let bed = ground - thick;
    // The foot bed rises towards the heel.
    let upper = [(-0.95, bed), (ball, bed), (0.2, bed - heel * 0.55), (0.85, bed - heel)];
    let lower = [(0.88, bed - heel + thick * 0.8), (0.2, bed - heel * 0.55 + thick), (ball, ground), (-0.93, ground)];
    let outline: Vec<Point> = upper.into_iter().chain(lower).collect();
    canvas.fill(&outline, shade);
    if heel > 0.2 {
        let narrow = between(rng, 0.08, 0.26);
        canvas.fill(
            &[
                (0.86 - narrow * 1.6, bed - heel + thick * 0.5),
                (0.88, bed - heel + thick * 0.5),
                (0.84, ground),
                (0.84 - narrow, ground),
            ],
            shade * between(rng, 0.7, 1.0),
        );
    }
    let strap = shade * between(rng, 0.65, 1.0);
    let width = between(rng, 0.08, 0.2);
    let rise = between(rng, 0.28, 0.5);
    let toes = between(rng, -0.8, -0.55);
    canvas.stroke(
        &[(toes, bed), (toes + 0.2, bed - rise * 0.75), (ball + 0.15, bed - rise * 0.8), (ball + 0.3, bed - heel * 0.3)],
        width,
        strap,
    );
    if chance(rng, 0.6) {
        canvas.stroke(&[(ball, bed), (ball + 0.3, bed - rise - heel * 0.3), (0.25, bed - heel * 0.55)], width, strap);
    }
    if chance(rng, 0.75) {
        // A strap about the ankle, held by one at the heel.
        let ankle = bed - heel - between(rng, 0.42, 0.7);
        canvas.stroke(
            &[(0.82, bed - heel), (0.8, ankle), (0.25, ankle + between(rng, 0.0, 0.16)), (0.2, bed - heel * 0.55)],
            width * 0.8,
            strap,
        );
    }
}
