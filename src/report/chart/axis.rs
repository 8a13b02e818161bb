//! Scales: from values to places on a plot, with round numbers as ticks.

use super::super::format;

/// How the numbers of an axis are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As they are.
    Plain,
    /// Shares, written as percentages.
    Percent,
}

impl Unit {
    /// One value, as hover texts show it.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Plain => format::significant(value, 4),
            Self::Percent => format::percent(value),
        }
    }
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Its place between the ends of the axis, 0 to 1.
    pub(crate) at: f64,
    /// Its text.
    pub(crate) label: String,
}

/// A map from values to places between 0 and 1. Its ends are finite and differ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    /// The marks, in increasing order.
    pub(crate) ticks: Vec<Tick>,
}

impl Scale {
    /// A linear scale over all finite `values`, widened to round numbers, with about `count` ticks.
    ///
    /// Equal values lie in the middle of a scale; without values it goes from 0 to 1.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, count: usize, unit: Unit) -> Self {
        let (low, high) = range(values.into_iter()).unwrap_or((0.0, 1.0));
        let (low, high) = if differ(low, high) {
            (low, high)
        } else {
            let pad = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - pad, high + pad)
        };
        let step = round_step((high - low) / count.max(1) as f64);
        Self::with_step((low / step).floor() * step, (high / step).ceil() * step, step, unit)
    }

    /// A linear scale that ends at the least and the greatest of the finite `values`, with about `count` ticks between.
    ///
    /// Equal values, or none, are treated as by [`Scale::linear`].
    pub(crate) fn tight(values: impl IntoIterator<Item = f64>, count: usize, unit: Unit) -> Self {
        match range(values.into_iter()) {
            Some((low, high)) if differ(low, high) => {
                Self::with_step(low, high, round_step((high - low) / count.max(1) as f64), unit)
            }
            Some((low, _)) => Self::linear([low], count, unit),
            None => Self::linear([], count, unit),
        }
    }

    /// A linear scale of whole numbers over all finite `values`, such as epochs.
    pub(crate) fn whole(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (low, high) = range(values.into_iter()).unwrap_or((0.0, 1.0));
        if low.abs().max(high.abs()) > 1e15 {
            return Self::linear([low, high], count, Unit::Plain); // beyond what counts in steps of 1
        }
        let (low, high) = (low.floor(), high.ceil());
        let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
        let step = whole_step((high - low) / count.max(1) as f64);
        let mut scale = Self { low, high, is_log: false, ticks: Vec::new() };
        scale.ticks = scale.ticks_every(step, Unit::Plain);
        scale
    }

    /// A linear scale with given ends.
    pub(crate) fn between(low: f64, high: f64, count: usize, unit: Unit) -> Self {
        let step = round_step((high - low) / count.max(1) as f64);
        Self::with_step(low, high, step, unit)
    }

    /// A logarithmic scale over all finite values above 0, with ticks at powers of ten and, if these are few, between.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|value| *value > 1e-100);
        let (low, high) = range(positive).unwrap_or((0.1, 1.0));
        let (mut low, mut high) = (low.log10(), high.log10());
        if high - low < 1e-6 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let mut scale = Self { low, high, is_log: true, ticks: Vec::new() };
        let factors: &[f64] = if high - low < 1.0 {
            &[1.0, 2.0, 3.0, 5.0, 7.0]
        } else if high - low < 3.0 {
            &[1.0, 3.0]
        } else {
            &[1.0]
        };
        let powers = low.floor() as i32..=high.ceil() as i32;
        let every = (powers.clone().count() / 6).max(1);
        for power in powers.step_by(every) {
            for factor in factors {
                let value = factor * 10f64.powi(power);
                if (low - 1e-9..=high + 1e-9).contains(&value.log10()) {
                    let label = if value < 0.01 { exponential(*factor, power) } else { format::significant(value, 2) };
                    scale.ticks.push(Tick { at: scale.at(value), label });
                }
            }
        }
        scale
    }

    /// The place of a value, 0 to 1; what lies outside is moved to the nearer end, what is not a number to the start.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        if value.is_nan() { 0.0 } else { ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) }
    }

    fn with_step(low: f64, high: f64, step: f64, unit: Unit) -> Self {
        let mut scale = Self { low, high, is_log: false, ticks: Vec::new() };
        scale.ticks = scale.ticks_every(step, unit);
        scale
    }

    fn ticks_every(&self, step: f64, unit: Unit) -> Vec<Tick> {
        let first = (self.low / step - 1e-9).ceil();
        let last = (self.high / step + 1e-9).floor();
        let count = if last >= first { (last - first) as usize + 1 } else { 0 };
        let values = (0..count.min(100)).map(|index| (first + index as f64) * step);
        values.map(|value| Tick { at: self.at(value), label: tick_label(value, step, unit) }).collect()
    }
}

/// Whether two numbers are far enough apart to divide what lies between them.
fn differ(low: f64, high: f64) -> bool {
    high - low > 1e-12 * low.abs().max(high.abs())
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    // Beyond these limits the arithmetic of a scale would overflow or underflow.
    let usable = values.filter(|value| value.abs() < 1e100).map(|value| if value.abs() < 1e-100 { 0.0 } else { value });
    usable.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// The least of 1, 2 and 5 times a power of ten, at least 1, that is not below `step`.
fn whole_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1.0).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step).unwrap_or(10.0);
    factor * power
}

fn tick_label(value: f64, step: f64, unit: Unit) -> String {
    let (value, step) = if unit == Unit::Percent { (value * 100.0, step * 100.0) } else { (value, step) };
    if step < 1e-6 || value.abs() >= 1e7 {
        return format::significant(value, 3);
    }
    let decimals = (0..7).find(|decimals| is_whole(step * 10f64.powi(*decimals))).unwrap_or(6);
    let text = format::fixed(value, decimals as usize);
    if unit == Unit::Percent { text + "\u{202f}%" } else { text }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

fn exponential(factor: f64, power: i32) -> String {
    format!("{factor}e{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> String {
        scale.ticks.iter().map(|tick| tick.label.replace('\u{202f}', "")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_and_carry_just_enough_decimals() {
        let check = |values: &[f64], unit, expected: &str| {
            assert_eq!(labels(&Scale::linear(values.iter().copied(), 4, unit)), expected, "{values:?}");
        };
        check(&[0.13, 0.87], Unit::Plain, "0.0 0.2 0.4 0.6 0.8 1.0");
        check(&[0.912, 0.943], Unit::Percent, "91% 92% 93% 94% 95%");
        check(&[0.9, 0.945], Unit::Percent, "90% 92% 94% 96%");
        check(&[0.0, 6000.0], Unit::Plain, "0 2,000 4,000 6,000");
        check(&[-1.0, 1.0], Unit::Plain, "−1.0 −0.5 0.0 0.5 1.0");
        check(&[0.5], Unit::Plain, "0.450 0.475 0.500 0.525 0.550");
        check(&[f64::NAN], Unit::Plain, "0.00 0.25 0.50 0.75 1.00");
    }

    #[test]
    fn a_tight_scale_ends_where_the_values_do() {
        let scale = Scale::tight([1.0, 5.0], 3, Unit::Plain);
        assert_eq!(labels(&scale), "2 4");
        assert_eq!((scale.at(1.0), scale.at(5.0)), (0.0, 1.0));
        assert_eq!(Scale::tight([3.0, 3.0], 3, Unit::Plain), Scale::linear([3.0], 3, Unit::Plain));
    }

    #[test]
    fn epochs_have_no_fractions() {
        assert_eq!(labels(&Scale::whole([1.0, 2.0, 3.0], 6)), "1 2 3");
        assert_eq!(labels(&Scale::whole((1..=16).map(f64::from), 6)), "5 10 15");
        assert_eq!(labels(&Scale::whole([1.0], 6)), "0 1 2");
    }

    #[test]
    fn powers_of_ten_mark_a_logarithmic_scale() {
        assert_eq!(labels(&Scale::log([0.0001, 0.1])), "1e-4 1e-3 0.01 0.1");
        assert_eq!(labels(&Scale::log([0.001, 0.03])), "1e-3 3e-3 0.01 0.03");
        assert_eq!(labels(&Scale::log([0.2, 0.9])), "0.2 0.3 0.5 0.7");
        assert!(!Scale::log([0.003]).ticks.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn every_place_is_on_the_plot(values in proptest::collection::vec(proptest::num::f64::ANY, 0..6), value in proptest::num::f64::ANY) {
            for scale in [
                Scale::linear(values.iter().copied(), 5, Unit::Plain),
                Scale::tight(values.iter().copied(), 5, Unit::Percent),
                Scale::whole(values.iter().copied(), 5),
                Scale::log(values.iter().copied()),
            ] {
                assert!((0.0..=1.0).contains(&scale.at(value)), "{scale:?}");
                assert!(scale.ticks.len() <= 100 && scale.ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)), "{scale:?}");
                for value in values.iter().filter(|value| value.is_finite()) {
                    assert!(scale.at(*value).is_finite());
                }
            }
        }
    }
}
