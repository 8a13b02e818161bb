//! Learning curves of every trained model.

use maud::{Markup, html};

use super::super::chart::axis::Unit;
use super::super::chart::line::{Axis, AxisKind, LineChart, Series, Size, Style, line_chart};
use super::super::data::{EpochReport, ModelReport, ReportData, TrainingReport};
use super::super::format::{self, counted};
use super::super::limits;
use super::{Entry, Section, facts};

const TRAIN: usize = 0;
const VALIDATION: usize = 1;
const RATE: usize = 2;

pub(super) fn section(data: &ReportData) -> Option<Section> {
    let trained = || data.models.iter().enumerate().filter_map(|(slot, model)| Some((slot, model, model.training.as_ref()?)));
    trained().next()?;
    let body = html! {
        @if trained().count() > 1 { (together(&trained().collect::<Vec<_>>())) }
        @for (slot, model, training) in trained().filter(|(slot, ..)| *slot < limits::DETAILED) { (one(slot, model, training)) }
    };
    let entries = trained()
        .filter(|(slot, ..)| *slot < limits::DETAILED)
        .map(|(slot, model, _)| Entry { id: anchor(slot), title: model.name.clone() })
        .collect();
    Some(Section { id: "training", title: "Training", entries, body })
}

fn anchor(slot: usize) -> String {
    format!("training-{slot}")
}

fn curve(training: &TrainingReport, value: impl Fn(&EpochReport) -> Option<f64>) -> Vec<(f64, f64)> {
    training.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect()
}

fn chart<'a>(size: Size, title: &'a str, label: &'a str, unit: Unit, series: Vec<Series<'a>>, best: Option<u64>) -> Markup {
    line_chart(&LineChart {
        title,
        x: Axis { label: "epoch", unit: Unit::Plain, kind: AxisKind::Whole, covers: Vec::new() },
        y: Axis { label, unit, kind: AxisKind::Linear, covers: Vec::new() },
        series,
        rule: best.map(|epoch| (epoch as f64, format!("epoch {epoch} kept"))),
        size,
        has_legend: true,
    })
}

fn together(trained: &[(usize, &ModelReport, &TrainingReport)]) -> Markup {
    let series = |value: fn(&EpochReport) -> Option<f64>| {
        let line = |(slot, model, training): &(usize, &'_ ModelReport, &TrainingReport)| {
            (*slot, curve(training, value), model.name.clone())
        };
        trained.iter().map(line).collect::<Vec<_>>()
    };
    let draw = |title: &str, unit, value: fn(&EpochReport) -> Option<f64>| {
        let lines = series(value);
        let series =
            lines.iter().map(|(slot, points, name)| Series { name, slot: *slot, style: Style::Solid, points: points.clone() });
        chart(Size::Normal, title, "validation", unit, series.collect(), None)
    };
    html! {
        div.charts {
            (draw("Validation loss of all models", Unit::Plain, |epoch| epoch.validation_loss))
            (draw("Validation accuracy of all models", Unit::Percent, |epoch| epoch.validation_accuracy))
        }
    }
}

fn one(slot: usize, model: &ModelReport, training: &TrainingReport) -> Markup {
    let pair = |train: fn(&EpochReport) -> f64, validation: fn(&EpochReport) -> Option<f64>| {
        vec![
            Series { name: "train", slot: TRAIN, style: Style::Dashed, points: curve(training, |epoch| Some(train(epoch))) },
            Series { name: "validation", slot: VALIDATION, style: Style::Solid, points: curve(training, validation) },
        ]
    };
    let rate = Series {
        name: "learning rate",
        slot: RATE,
        style: Style::Solid,
        points: curve(training, |epoch| Some(epoch.learning_rate)),
    };
    html! {
        article {
            h3 id=(anchor(slot)) { (model.name) }
            p {
                (counted(training.images, "image")) ", " (counted(training.epochs.len() as u64, "epoch")) " in " (format::seconds(training.seconds))
                " (" (format::fixed(training.images_per_second, 0)) " images/s)."
                @if training.stopped_early { " Early stopping ended it." }
                @if let Some(epoch) = training.best_epoch { " The weights of epoch " (epoch) " were kept." }
            }
            @if !training.remarks.is_empty() { (facts(&training.remarks)) }
            (facts(&training.settings))
            div.charts.three {
                (chart(Size::Small, "Loss", "loss", Unit::Plain, pair(|epoch| epoch.loss, |epoch| epoch.validation_loss), training.best_epoch))
                (chart(Size::Small, "Accuracy", "accuracy", Unit::Percent, pair(|epoch| epoch.accuracy, |epoch| epoch.validation_accuracy), training.best_epoch))
                (chart(Size::Small, "Learning rate", "learning rate", Unit::Plain, vec![rate], None))
            }
        }
    }
}
