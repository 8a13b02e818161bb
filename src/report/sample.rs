//! A rich report of invented figures, for tests.

use std::collections::BTreeMap;

use super::*;

const SHAPE: [usize; 3] = [1, 28, 28];
const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const MODELS: [&str; 4] = ["basic", "advanced", "optimum", "ensemble"];

/// Everything a report can hold.
pub(crate) fn report(synthetic: bool) -> ReportData {
    ReportData {
        title: "Garments in four models".to_owned(),
        pipeline: "fashion".to_owned(),
        generator: "atelier 0.1.0".to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        data: Some(data(synthetic)),
        tuning: vec![tuning()],
        models: (0..4).map(model).collect(),
        comparison: Some(comparison()),
        mistakes: vec![
            mistakes("Initial against tuned", "basic", "optimum"),
            mistakes("Single against ensemble", "optimum", "ensemble"),
        ],
        predictions: vec![PredictionsReport { model: "ensemble".to_owned(), pictures: (0..12).map(predicted).collect() }],
        verification: Some(verification()),
        scoring: vec![ScoringReport {
            stage: "scored".to_owned(),
            model: "ensemble".to_owned(),
            inputs: vec!["data/Fashion Test Data.csv".to_owned()],
            output: "predictions.csv".to_owned(),
            rows: 10_000,
            accuracy: Some(0.9447),
            label_counts: vec![1000; 10],
            digest: "5f".repeat(32),
        }],
        provenance: Some(provenance()),
    }
}

/// A number between 0 and 1 that looks random and depends on `index` alone (splitmix64).
pub(crate) fn noise(index: u64) -> f64 {
    let mut value = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((value ^ (value >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: value.to_owned() }
}

/// A blob whose form depends on the class and `index`.
pub(crate) fn picture(class: usize, index: u64) -> Picture {
    let [_, height, width] = SHAPE;
    let pixel = |at: usize| {
        let (y, x) = ((at / width) as f64 - 13.5, (at % width) as f64 - 13.5);
        let (wide, tall) = (4.0 + class as f64, 12.0 - 0.8 * class as f64 + 2.0 * noise(index));
        let inside = 1.0 - ((x / wide).powi(2) + (y / tall).powi(2));
        (inside.clamp(0.0, 1.0).sqrt() * (180.0 + 60.0 * noise(index * 1000 + at as u64))) as u8
    };
    let shape = serde_json::from_value(serde_json::json!({ "channels": 1, "height": height, "width": width })).unwrap();
    Picture::new(shape, (0..height * width).map(pixel).collect::<Vec<u8>>()).unwrap()
}

fn data(synthetic: bool) -> DataReport {
    let part = |name: &str, count: u64| PartReport {
        name: name.to_owned(),
        class_counts: vec![count; 10],
        pixel_mean: 72.94,
        pixel_deviation: 90.02,
        zero_share: 0.5023,
    };
    DataReport {
        name: if synthetic { "garments" } else { "fashion-mnist" }.to_owned(),
        synthetic,
        shape: picture(0, 0).shape(),
        parts: vec![part("train", 4800), part("validation", 1200), part("test", 1000)],
        samples: (0..10)
            .map(|label| ClassPictures { label, pictures: (0..10).map(|index| picture(label.into(), index)).collect() })
            .collect(),
        means: (0..10).map(|label| ClassPicture { label, picture: picture(label.into(), 99) }).collect(),
        duplicates: Some(DuplicatesReport { train: 43, conflicting: 3, overlap: 10 }),
        augmentation: Some(AugmentationReport {
            settings: vec![fact("Flip", "horizontal"), fact("Shift", "up to 2 pixels"), fact("Erase", "half, 6 to 12 pixels")],
            examples: (0..4)
                .map(|index| AugmentedPicture {
                    original: picture(index, 0),
                    variants: (1..9).map(|variant| picture(index, variant)).collect(),
                })
                .collect(),
        }),
    }
}

fn tuning() -> TuningReport {
    let trial = |number: u64| {
        let (rate, dropout) = (10f64.powf(-4.0 + 3.0 * noise(number)), 0.1 * (noise(number + 50) * 6.0).round());
        let status = match number {
            7 => TrialStatus::Failed,
            3 | 5 | 11 | 14 => TrialStatus::Pruned,
            _ => TrialStatus::Complete,
        };
        let pruned = if status == TrialStatus::Pruned { 0.06 } else { 0.0 };
        let value = 0.93 - (rate.log10() + 2.7).powi(2) * 0.02 - (dropout - 0.3).powi(2) * 0.2 - pruned;
        TrialReport {
            number,
            status,
            value: (status != TrialStatus::Failed).then_some(value),
            epochs: if status == TrialStatus::Complete { 6 } else { 2 },
            parameters: BTreeMap::from([
                ("optimizer.adamw.learning_rate".to_owned(), serde_json::json!(rate)),
                ("model.optimum.dropout".to_owned(), serde_json::json!(dropout)),
                ("batch_size".to_owned(), serde_json::json!([64, 128, 256][(noise(number + 90) * 3.0) as usize])),
                ("schedule".to_owned(), serde_json::json!(["cosine", "one_cycle"][(noise(number + 70) * 2.0) as usize])),
            ]),
            reason: None,
        }
    };
    let importance = |parameter: &str, value| Importance { parameter: parameter.to_owned(), value };
    TuningReport {
        stage: "tuned".to_owned(),
        sampler: "tpe".to_owned(),
        objective: "validation accuracy".to_owned(),
        maximise: true,
        trials: (0..16).map(trial).collect(),
        importance: vec![
            importance("optimizer.adamw.learning_rate", 0.71),
            importance("model.optimum.dropout", 0.22),
            importance("batch_size", 0.05),
            importance("schedule", 0.02),
        ],
        importance_method: "share of variance".to_owned(),
    }
}

fn model(index: usize) -> ModelReport {
    let is_ensemble = index == 3;
    let accuracy = [0.9182, 0.9338, 0.9412, 0.9447][index];
    let member = |model: &str, weight| MemberWeight { model: model.to_owned(), weight };
    let members = if is_ensemble {
        vec![member("basic", 0.1213), member("advanced", 0.3421), member("optimum", 0.5366)]
    } else {
        Vec::new()
    };
    ModelReport {
        name: MODELS[index].to_owned(),
        description: if is_ensemble { String::new() } else { "two convolutions of 32 and 64 filters, dense 128".to_owned() },
        members,
        parameters: [421_642, 587_274, 1_284_106, 2_293_022][index],
        flops_per_image: [7_842_816, 58_312_704, 103_441_152, 169_596_672][index],
        views: if index == 2 { 6 } else { 1 },
        temperature: is_ensemble.then(|| {
            let before = CalibrationReport {
                loss: 0.2291,
                brier: 0.0912,
                calibration_error: 0.0307,
                reliability: evaluation(accuracy).reliability,
            };
            let after = CalibrationReport { loss: 0.2198, brier: 0.0903, calibration_error: 0.0095, ..before.clone() };
            TemperatureReport { value: 0.8125, fitted: true, before: Some(before), after: Some(after) }
        }),
        teacher: (index == 0).then(|| TeacherReport {
            model: MODELS[3].to_owned(),
            flops_per_image: 169_596_672,
            accuracy: Some(0.9447),
        }),
        training: (!is_ensemble).then(|| training(index as u64)),
        test: Some(evaluation(accuracy)),
        part: MeasuredPart::Test,
        filters: (!is_ensemble).then(|| FiltersReport {
            layer: "0".to_owned(),
            channels: 1,
            height: 3,
            width: 3,
            weights: (0..32 * 9).map(|at| noise(at + 500 * index as u64) as f32 - 0.5).collect(),
        }),
    }
}

fn training(index: u64) -> TrainingReport {
    let epoch = |epoch: u64| {
        let t = epoch as f64;
        let jitter = |of| 0.02 * (noise(epoch * 10 + of + index * 1000) - 0.5);
        EpochReport {
            epoch,
            loss: 0.18 + 0.9 / t + jitter(0) - 0.004 * t,
            accuracy: 0.95 - 0.25 / t + 0.2 * jitter(1),
            validation_loss: Some(0.2 + 0.55 / t + jitter(2) + 0.0008 * (t - 9.0).max(0.0).powi(2)),
            validation_accuracy: Some(0.925 + 0.006 * index as f64 - 0.15 / t + 0.3 * jitter(3)),
            learning_rate: 0.0005 * (1.0 + (std::f64::consts::PI * t / 16.0).cos()),
        }
    };
    TrainingReport {
        images: 48_000,
        remarks: vec![fact("Epochs asked for", "20")],
        settings: vec![fact("Optimiser", "AdamW, weight decay 0.01"), fact("Schedule", "cosine"), fact("Batch size", "128")],
        epochs: (1..=12 + 2 * index).map(epoch).collect(),
        best_epoch: Some(10 + index),
        stopped_early: index == 0,
        seconds: 252.0 + 400.0 * index as f64,
        images_per_second: 2310.0 / (1 + index) as f64,
    }
}

fn evaluation(accuracy: f64) -> EvaluationReport {
    let mut confusion = vec![vec![0u64; 10]; 10];
    for (truth, row) in confusion.iter_mut().enumerate() {
        let hard = if truth == 6 {
            2.9
        } else if [0, 2, 3, 4].contains(&truth) {
            1.2
        } else {
            0.3
        };
        for (predicted, count) in row.iter_mut().enumerate() {
            let is_alike = [0, 2, 3, 4, 6].contains(&truth) == [0, 2, 3, 4, 6].contains(&predicted);
            let share = (1.0 - accuracy) * hard * if is_alike { 0.24 } else { 0.004 };
            *count =
                if truth == predicted { 0 } else { (1000.0 * share * (0.4 + noise((truth * 10 + predicted) as u64))) as u64 };
        }
        row[truth] = 1000 - row.iter().sum::<u64>();
    }
    let per_class = |label: usize| {
        let recall = confusion[label][label] as f64 / 1000.0;
        let precision = confusion[label][label] as f64 / confusion.iter().map(|row| row[label]).sum::<u64>() as f64;
        ClassScore { precision, recall, f1: 2.0 * precision * recall / (precision + recall), support: 1000 }
    };
    let bin = |index: u64| {
        let (low, high) = (index as f64 / 15.0, (index + 1) as f64 / 15.0);
        let count = if index < 3 { 0 } else { (3.0 * 1.72f64.powi(index as i32)) as u64 };
        ReliabilityBin {
            low,
            high,
            count,
            confidence: (low + high) / 2.0,
            accuracy: ((low + high) / 2.0 - 0.08 * noise(index)).max(0.0),
        }
    };
    EvaluationReport {
        accuracy,
        accuracy_interval: Some(Interval { low: accuracy - 0.0047, high: accuracy + 0.0044 }),
        loss: 0.9 * (1.0 - accuracy) + 0.11,
        macro_f1: accuracy - 0.0003,
        calibration_error: 0.0131,
        top_k: vec![TopK { k: 3, accuracy: 0.9953 }],
        per_class: (0..10).map(per_class).collect(),
        reliability: (0..15).map(bin).collect(),
        classification_report:
            "              precision    recall  f1-score   support\n\n T-shirt/top     0.8912    0.9010    0.8961      1000\n"
                .to_owned(),
        confusion,
    }
}

fn comparison() -> ComparisonReport {
    let mut robustness = Vec::new();
    for (kind, perturbation) in ["noise", "blur", "shift", "contrast", "occlusion"].into_iter().enumerate() {
        for (index, model) in MODELS.into_iter().enumerate() {
            let point = |severity: u64| RobustnessPoint {
                severity: severity as f64,
                accuracy: 0.92 + 0.008 * index as f64
                    - severity as f64 * 0.05 * (1.0 + kind as f64 * 0.3) * (1.0 - 0.12 * index as f64),
            };
            robustness.push(RobustnessReport {
                model: model.to_owned(),
                perturbation: perturbation.to_owned(),
                points: (0..=5).map(point).collect(),
            });
        }
    }
    let accuracies = [0.9182, 0.9338, 0.9412, 0.9447];
    let mut significance = Vec::new();
    for first in 0..4 {
        for second in first + 1..4 {
            let difference = accuracies[first] - accuracies[second];
            significance.push(PairTest {
                first: MODELS[first].to_owned(),
                second: MODELS[second].to_owned(),
                only_first: 112,
                only_second: 112 + (-difference * 10_000.0) as u64,
                difference,
                interval: Some(Interval { low: difference - 0.003, high: difference + 0.003 }),
                p_value: if (first, second) == (2, 3) { 0.0641 } else { 1e-5 },
                method: "chi-squared with continuity correction".to_owned(),
            });
        }
    }
    let ranked = |index: usize| RankedModel {
        model: MODELS[index].to_owned(),
        accuracy: accuracies[index],
        robustness: Some(accuracies[index] - 0.15),
        score: accuracies[index] - 0.05,
    };
    ComparisonReport {
        recipes: vec![RecipeReport {
            recipe: "basic".to_owned(),
            models: vec!["basic".to_owned(), "basic-2".to_owned(), "basic-3".to_owned()],
            validation_accuracy: SpreadReport { mean: 0.9174, deviation: 0.0012 },
            test_accuracy: Some(SpreadReport { mean: 0.9169, deviation: 0.0015 }),
        }],
        ranking: [2, 1, 0].map(ranked).to_vec(),
        selected: "optimum".to_owned(),
        reason: "It is the most accurate on clean and on perturbed images.".to_owned(),
        robustness,
        significance,
    }
}

fn mistakes(title: &str, first: &str, second: &str) -> MistakesReport {
    let pictures = (0..24u64).map(|index| {
        let prediction =
            |label: u64| Prediction { label: (label % 10) as u8, confidence: 0.4 + 0.6 * noise(index + label) as f32 };
        let group = index / 8;
        ComparedPicture {
            row: index * 311,
            picture: picture((index % 10) as usize, index),
            truth: (index % 10) as u8,
            first: prediction(if group == 1 { index } else { index + 2 }),
            second: prediction(if group == 0 { index } else { index + 6 }),
        }
    });
    MistakesReport {
        title: title.to_owned(),
        first: first.to_owned(),
        second: second.to_owned(),
        corrected: 412,
        introduced: 182,
        shared: 406,
        pictures: pictures.collect(),
    }
}

fn predicted(index: u64) -> PredictedPicture {
    let truth = index % 10;
    let raw: Vec<f64> = (0..10).map(|label| if label == truth { 3.0 } else { noise(index * 10 + label).powi(4) }).collect();
    let sum: f64 = raw.iter().sum();
    let probabilities = raw.iter().map(|value| (value / sum) as f32).collect();
    PredictedPicture { row: index, picture: picture(truth as usize, index), truth: Some(truth as u8), probabilities }
}

fn verification() -> VerificationReport {
    let verified = |model: &str| VerifiedModel {
        model: model.to_owned(),
        file: format!("{model}/model.onnx"),
        rows: 10_000,
        largest_difference: 3.2e-6,
        worst_row: 8142,
        label_agreement: 1.0,
        batch_sizes: vec![1, 2, 7, 64],
        problems: Vec::new(),
    };
    let gate = |model: &str, measured, passed| Gate {
        model: model.to_owned(),
        metric: "accuracy".to_owned(),
        required: "≥ 0.94".to_owned(),
        measured,
        passed,
    };
    VerificationReport {
        tolerance: 1e-4,
        models: MODELS.map(verified).to_vec(),
        gates: vec![gate("optimum", 0.9412, true), gate("basic", 0.9182, false)],
    }
}

fn provenance() -> Provenance {
    let stage = |text: &str| {
        let mut words = text.split_whitespace().map(str::to_owned);
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let digit = name.len() as u64;
        let hex = |salt: u64| (0..64).map(|at| format!("{:x}", (noise(at + 100 * digit + salt) * 16.0) as u8)).collect();
        StageRecord { name, kind, inputs: words.collect(), key: hex(1), output: hex(7) }
    };
    let stages = [
        "raw fetch",
        "merged merge raw",
        "parts split merged",
        "augmented augment parts",
        "tuned tune augmented",
        "basic train augmented",
        "advanced train augmented",
        "optimum train augmented tuned",
        "compared compare basic advanced optimum parts",
        "ensemble ensemble basic advanced optimum parts",
        "exported export basic advanced optimum ensemble",
        "verified verify exported parts",
        "scored score exported verified",
        "report report compared ensemble verified scored",
    ];
    Provenance {
        seed: Some(42),
        dataset_digest: "9c".repeat(32),
        facts: vec![fact("Kernels", "AVX-512"), fact("Burn", "0.22.1"), fact("tract", "0.23.9")],
        stages: stages.map(stage).to_vec(),
    }
}
