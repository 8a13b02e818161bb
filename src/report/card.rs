//! The model card: what a person must know before using one model
//! (after Mitchell and others, "Model cards for model reporting", 2019).

use std::fmt::Write;

use super::data::{DataReport, EvaluationReport, Interval, MeasuredPart, ModelReport, ReportData, TrainingReport};
use super::format;
use super::teaching::beside_teacher;
use crate::quote::is_invisible;

/// The model card of `model` as Markdown.
///
/// `data` gives the rest: classes, data set, robustness, verification and provenance, as far as they are known. `model`
/// need not be among `data.models`.
pub fn render_markdown_card(data: &ReportData, model: &ModelReport) -> String {
    let mut card = Card::default();
    card.line(&format!("# Model card: {}", escape(&model.name)));
    if let Some(set) = data.data.as_ref().filter(|set| set.synthetic) {
        card.line(&format!(
            "> **Synthetic data.** This model was trained and tested on {}: images drawn by the program. Its figures say \
             nothing about real photographs and must not be compared with results on any real data set.",
            escape(&set.name)
        ));
    }
    details(&mut card, data, model);
    intended_use(&mut card, data);
    interface(&mut card, data);
    if let Some(set) = &data.data {
        data_set(&mut card, set);
    }
    if let Some(training) = &model.training {
        trained(&mut card, training);
    }
    if let Some(test) = &model.test {
        metrics(&mut card, model, test);
        per_class(&mut card, data, test);
    }
    robustness(&mut card, data, model);
    limits(&mut card, data, model);
    provenance(&mut card, data, model);
    card.text
}

fn details(card: &mut Card, data: &ReportData, model: &ModelReport) {
    card.line("## Model");
    let mut rows = vec![row("Name", &model.name)];
    if !model.description.is_empty() {
        rows.push(row("Architecture", &model.description));
    }
    if !model.members.is_empty() {
        let members = model.members.iter().map(|member| format!("{} × {}", member.model, format::fixed(member.weight, 4)));
        let members: Vec<String> = members.collect();
        rows.push(row("Weighted mean of the probabilities of", &members.join(", ")));
    }
    if let Some(vote) = &model.temperature {
        let origin = if vote.fitted { "fitted on validation data" } else { "given" };
        rows.push(row("Temperature of the vote", &format!("{}, {origin}", format::fixed(vote.value, 4))));
    }
    if model.views > 1 {
        rows.push(row("Mean over views of an image", &model.views.to_string()));
    }
    if let Some(text) = beside_teacher(model) {
        rows.push(row("Teacher", &text));
    }
    rows.push(row("Parameters", &format::count(model.parameters)));
    rows.push(row(
        "Operations for one image",
        &format!("{} (a multiply-add counts as two)", format::magnitude(model.flops_per_image, "FLOP")),
    ));
    rows.push(row("Made by", &data.generator));
    card.table(&["", ""], &rows);
}

fn intended_use(card: &mut Card, data: &ReportData) {
    card.line("## Intended use");
    let shape = data.data.as_ref().map_or(String::new(), |set| format!(" of {} (channels × height × width)", set.shape));
    card.line(&format!("To tell which of {} classes an image{shape} shows:", data.classes.len()));
    let classes: Vec<String> = data.classes.iter().enumerate().map(|(label, name)| format!("{label} {}", escape(name))).collect();
    card.line(&classes.join(" · "));
    card.line(
        "The images must look like those it was trained on: same size, same framing, same background. Anything else is also \
         given one of these classes, often with high confidence, for there is no class “none of them”.",
    );
}

fn interface(card: &mut Card, data: &ReportData) {
    card.line("## How to run it");
    let shape = data.data.as_ref().map(|set| set.shape);
    let input = shape.map_or("[N, C, H, W]".to_owned(), |s| format!("[N, {}, {}, {}]", s.channels, s.height, s.width));
    card.line("`model.onnx` is one file and needs no other. The normalisation of the pixels is part of it.");
    let cells = |name: &str, kind: &str, shape: &str, meaning: &str| [name, kind, shape, meaning].map(str::to_owned).to_vec();
    card.table(
        &["Tensor", "Type", "Shape", "Meaning"],
        &[
            cells("input `image`", "float32", &format!("`{input}`"), "pixels 0–255, any N"),
            cells("output `label`", "int64", "`[N]`", "position of the most probable class; of equals the first"),
            cells("output `probabilities`", "float32", &format!("`[N, {}]`", data.classes.len()), "rows sum to 1"),
        ],
    );
    card.line("```sh\npipeline score --model model.onnx --input images.csv --output predictions.csv\n```");
}

fn data_set(card: &mut Card, set: &DataReport) {
    card.line("## Data");
    let synthetic = if set.synthetic { ", **synthetic**" } else { "" };
    card.line(&format!("{}{synthetic}: images of {}.", escape(&set.name), set.shape));
    let rows: Vec<Vec<String>> = set
        .parts
        .iter()
        .map(|part| {
            let counts = &part.class_counts;
            let least = counts.iter().min().copied().unwrap_or(0);
            let most = counts.iter().max().copied().unwrap_or(0);
            vec![escape(&part.name), format::count(counts.iter().sum()), format::count(least), format::count(most)]
        })
        .collect();
    card.table(&["Part", "Images", "Smallest class", "Largest class"], &rows);
    if let Some(duplicates) = set.duplicates {
        card.line(&format!(
            "{} training images repeat an earlier one pixel for pixel, {} of them under another label; {} test images also \
             occur in the training data.",
            format::count(duplicates.train),
            format::count(duplicates.conflicting),
            format::count(duplicates.overlap)
        ));
    }
    if let Some(augmentation) = &set.augmentation {
        let settings = augmentation.settings.iter().map(|fact| format!("{} {}", escape(&fact.name), escape(&fact.value)));
        let settings: Vec<String> = settings.collect();
        if !settings.is_empty() {
            card.line(&format!("Augmentation of the training images: {}.", settings.join(", ")));
        }
    }
}

fn trained(card: &mut Card, training: &TrainingReport) {
    card.line("## Training");
    let mut rows = vec![row("Images", &format::count(training.images)), row("Epochs", &training.epochs.len().to_string())];
    if let Some(epoch) = training.best_epoch {
        rows.push(row("Weights kept", &format!("of epoch {epoch}")));
    }
    if training.stopped_early {
        rows.push(row("Ended by", "early stopping"));
    }
    rows.extend(training.remarks.iter().map(|fact| row(&fact.name, &fact.value)));
    rows.push(row(
        "Time",
        &format!("{}, {} images/s", format::seconds(training.seconds), format::fixed(training.images_per_second, 0)),
    ));
    rows.extend(training.settings.iter().map(|fact| row(&fact.name, &fact.value)));
    card.table(&["", ""], &rows);
}

fn metrics(card: &mut Card, model: &ModelReport, test: &EvaluationReport) {
    card.line(&format!("## Metrics on the {} part", model.part.name()));
    if model.part == MeasuredPart::Validation {
        card.line(
            "There is no test part. These figures are of images by which settings were chosen, measured on a network that has not \
             learned from them; of other images expect less.",
        );
    }
    let accuracy = match test.accuracy_interval {
        Some(Interval { low, high }) => {
            format!("{} (95 % interval {} to {})", format::percent(test.accuracy), format::percent(low), format::percent(high))
        }
        None => format::percent(test.accuracy),
    };
    let mut rows = vec![row("Accuracy", &accuracy)];
    rows.extend(test.top_k.iter().map(|top| row(&format!("Top-{} accuracy", top.k), &format::percent(top.accuracy))));
    rows.push(row("Macro F1", &format::fixed(test.macro_f1, 4)));
    rows.push(row("Loss (mean cross entropy)", &format::fixed(test.loss, 4)));
    rows.push(row("Expected calibration error", &format::percent(test.calibration_error)));
    if let Some(before) = model.temperature.as_ref().and_then(|vote| vote.before.as_ref()) {
        rows.push(row("Loss without the temperature", &format::fixed(before.loss, 4)));
        rows.push(row("Expected calibration error without the temperature", &format::percent(before.calibration_error)));
    }
    card.table(&["Metric", "Value"], &rows);
}

fn per_class(card: &mut Card, data: &ReportData, test: &EvaluationReport) {
    let rows: Vec<Vec<String>> = test
        .per_class
        .iter()
        .enumerate()
        .map(|(label, s)| {
            let score = |value: f64| if s.support > 0 { format::fixed(value, 4) } else { "–".to_owned() };
            vec![escape(&data.class_name(label)), score(s.precision), score(s.recall), score(s.f1), format::count(s.support)]
        })
        .collect();
    if !rows.is_empty() {
        card.line("### Per class");
        card.table(&["Class", "Precision", "Recall", "F1", "Images"], &rows);
        if test.per_class.iter().any(|score| score.support == 0) {
            card.line("A class without images is no part of the macro F1, unless images of others are taken for it.");
        }
    }
}

fn robustness(card: &mut Card, data: &ReportData, model: &ModelReport) {
    let curves = data.comparison.iter().flat_map(|comparison| &comparison.robustness).filter(|curve| curve.model == model.name);
    let rows: Vec<Vec<String>> = curves
        .map(|curve| {
            let point = |point: &super::RobustnessPoint| {
                format!("{} at {}", format::percent(point.accuracy), format::significant(point.severity, 3))
            };
            vec![escape(&curve.perturbation), curve.points.iter().map(point).collect::<Vec<_>>().join(", ")]
        })
        .collect();
    if !rows.is_empty() {
        card.line("## Robustness");
        card.table(&["Perturbation", "Accuracy at severity"], &rows);
    }
}

fn limits(card: &mut Card, data: &ReportData, model: &ModelReport) {
    card.line("## Limits");
    let mut limits = Vec::new();
    if data.data.as_ref().is_some_and(|set| set.synthetic) {
        limits.push("Trained and tested on synthetic images only: not for use on real ones.".to_owned());
    }
    if let Some(test) = &model.test {
        let scored = test.per_class.iter().enumerate().filter(|(_, score)| score.recall.is_finite() && score.support > 0);
        if let Some((label, score)) = scored.min_by(|a, b| a.1.recall.total_cmp(&b.1.recall)) {
            limits.push(format!(
                "Weakest class: {}, of which {} are recognised.",
                escape(&data.class_name(label)),
                format::percent(score.recall)
            ));
        }
        let part = model.part.name();
        limits.push(format!(
            "The interval of the accuracy covers the chance of drawing these {part} images, not another source of images, \
             another training seed, or repeated use of the same {part} part."
        ));
        limits.push("Confidence is calibrated only as far as the calibration error says, and only on such images.".to_owned());
    }
    limits.push("Nothing was done to make it safe against images made to deceive it.".to_owned());
    card.line(&limits.iter().map(|limit| format!("- {limit}")).collect::<Vec<_>>().join("\n"));
}

fn provenance(card: &mut Card, data: &ReportData, model: &ModelReport) {
    let mut rows = Vec::new();
    if let Some(provenance) = &data.provenance {
        rows.push(row("Pipeline", &data.pipeline));
        rows.push(row("Seed", &provenance.seed.map_or_else(String::new, |seed| seed.to_string())));
        rows.extend(provenance.facts.iter().map(|fact| row(&fact.name, &fact.value)));
        rows.push(row("Data digest", &provenance.dataset_digest));
        if let Some(stage) = provenance.stages.iter().find(|stage| stage.name == model.name) {
            rows.push(row("Stage key", &stage.key));
        }
    }
    let verified =
        data.verification.iter().flat_map(|verification| &verification.models).find(|verified| verified.model == model.name);
    if let Some(verified) = verified {
        let passed = if verified.problems.is_empty() { "passed" } else { "**failed**" };
        let text = format!(
            "{passed} on {} images: largest difference of a probability {}, same label for {}",
            format::count(verified.rows),
            format::significant(verified.largest_difference, 2),
            format::percent(verified.label_agreement)
        );
        rows.push(vec!["Exported file against the trained model".to_owned(), text]);
    }
    rows.retain(|row| !row[1].is_empty());
    if !rows.is_empty() {
        card.line("## Provenance");
        card.table(&["", ""], &rows);
    }
}

/// A row of two cells of plain text.
fn row(name: &str, value: &str) -> Vec<String> {
    vec![escape(name), escape(value)]
}

/// Plain text as Markdown that shows exactly it, on one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            character if character.is_control() => escaped.push(' '),
            character if is_invisible(character) => {
                write!(escaped, "\\{}", character.escape_default()).expect("a text can be written to")
            }
            character => escaped.push(character),
        }
    }
    escaped.trim().to_owned()
}

#[derive(Default)]
struct Card {
    text: String,
}

impl Card {
    /// A block of its own, an empty line before it.
    fn line(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        let mut table = format!("| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
        for row in rows {
            write!(table, "\n| {} |", row.join(" | ")).expect("writing to a string does not fail");
        }
        self.line(&table);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_card_says_what_a_user_must_know() {
        let data = sample::report(true);
        let card = render_markdown_card(&data, &data.models[0]);
        for expected in [
            "# Model card: basic",
            "> **Synthetic data.**",
            "not for use on real ones",
            "| input `image` | float32 | `[N, 1, 28, 28]` | pixels 0–255, any N |",
            "| output `label` | int64 | `[N]` |",
            "| output `probabilities` | float32 | `[N, 10]` | rows sum to 1 |",
            "95 % interval",
            "Weakest class: Shirt",
            "| Stage key |",
            "## Robustness",
        ] {
            assert!(card.contains(expected), "{expected} is not in\n{card}");
        }
        assert_eq!(card, render_markdown_card(&data, &data.models[0]));
        assert!(!card.contains("NaN") && !card.contains("\n\n\n"));
    }

    #[test]
    fn real_data_raises_no_warning() {
        let data = sample::report(false);
        let card = render_markdown_card(&data, &data.models[0]);
        assert!(!card.to_lowercase().contains("synthetic"), "{card}");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let model = ModelReport { name: "a|b *c* <d>\n".to_owned(), ..Default::default() };
        let data = ReportData { generator: "atelier 0.1.0".to_owned(), classes: vec!["x_y".to_owned()], ..Default::default() };
        insta::assert_snapshot!(render_markdown_card(&data, &model), @r#"
        # Model card: a\|b \*c\* &lt;d&gt;

        ## Model

        |  |  |
        | --- | --- |
        | Name | a\|b \*c\* &lt;d&gt; |
        | Parameters | 0 |
        | Operations for one image | 0 FLOP (a multiply-add counts as two) |
        | Made by | atelier 0.1.0 |

        ## Intended use

        To tell which of 1 classes an image shows:

        0 x\_y

        The images must look like those it was trained on: same size, same framing, same background. Anything else is also given one of these classes, often with high confidence, for there is no class “none of them”.

        ## How to run it

        `model.onnx` is one file and needs no other. The normalisation of the pixels is part of it.

        | Tensor | Type | Shape | Meaning |
        | --- | --- | --- | --- |
        | input `image` | float32 | `[N, C, H, W]` | pixels 0–255, any N |
        | output `label` | int64 | `[N]` | position of the most probable class; of equals the first |
        | output `probabilities` | float32 | `[N, 1]` | rows sum to 1 |

        ```sh
        pipeline score --model model.onnx --input images.csv --output predictions.csv
        ```

        ## Limits

        - Nothing was done to make it safe against images made to deceive it.
        "#);
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_head() {
        let mut data = sample::report(false);
        data.classes[0] = "T|shirt".to_owned();
        data.models[0].description = "a | b".to_owned();
        let card = render_markdown_card(&data, &data.models[0]);
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut last = None;
        for line in card.lines() {
            let now = line.starts_with('|').then(|| cells(line));
            assert!(last.is_none() || now.is_none() || last == now, "{line}");
            last = now;
        }
    }
}
