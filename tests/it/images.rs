//! Whole runs on images of every make: classes that are rare or absent, folders of PNG and JPEG files, IDX labels from 1.

use crate::workshop::Workshop;

/// A CSV table of 1×4×4 images, `count` of each class, whose brightest row tells the class.
fn table(classes: &[(usize, usize)]) -> String {
    let mut text = String::from("label");
    (1..=16).for_each(|pixel| text.push_str(&format!(",pixel{pixel}")));
    for &(class, count) in classes {
        for image in 0..count {
            text.push_str(&format!("\n{class}"));
            for pixel in 0..16 {
                let bright = pixel % 8 == class % 8;
                text.push_str(&format!(",{}", if bright { 255 - image } else { (image * 7 + pixel) % 20 }));
            }
        }
    }
    text.push('\n');
    text
}

const IMAGE: &str = "image: { channels: 1, height: 4, width: 4 }";

#[test]
fn rare_classes_stay_in_training_and_their_absence_elsewhere_is_told() {
    for split in ["validation: 0.6", "folds: { count: 5, use: 3 }", "validation: 0.5, stratify: false"] {
        let workshop = Workshop::with(&format!(
            "version: 1\nname: rare\nstages:\n  m: {{ merge: {{ train: train.csv, {IMAGE} }} }}\n  s: {{ split: {{ data: m, {split} }} }}\n  n: {{ train: {{ data: s, model: {{ mlp: {{ units: [8] }} }}, epochs: 1 }} }}\n"
        ));
        let rare: Vec<(usize, usize)> = (2..12).map(|class| (class, 1)).collect();
        workshop.write("train.csv", table(&[&[(0, 20), (1, 20)], rare.as_slice()].concat()));
        let run = workshop.pipeline(&["run", "pipeline.yaml"]).expect(0);
        run.says("the validation part has no images of `2`, `3`, `4`, `5`, `6` and 5 more");
        let metrics: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/n/metrics.json")).unwrap();
        assert_eq!(metrics["validation"]["absent_classes"].as_array().map(Vec::len), Some(10), "{split}");
    }
}

#[test]
fn a_perfect_model_passes_its_gate_although_a_class_has_no_test_images() {
    let workshop = Workshop::with(&format!(
        "version: 1\nname: absent\nstages:\n  m: {{ merge: {{ train: train.csv, test: test.csv, {IMAGE} }} }}\n  s: {{ split: {{ data: m }} }}\n  n: {{ train: {{ data: s, model: {{ mlp: {{ units: [32] }} }}, epochs: 60, batch_size: 8, optimizer: {{ adamw: {{ learning_rate: 0.01 }} }} }} }}\n  x: {{ export: {{ models: [n] }} }}\n  v: {{ verify: {{ export: x, data: s, gate: {{ macro_f1: 0.99, recall: 0.99 }} }} }}\n"
    ));
    workshop.write("train.csv", table(&[(0, 15), (1, 15), (2, 15), (4, 15)]));
    workshop.write("test.csv", table(&[(0, 4), (1, 4), (2, 4), (4, 4)]));
    workshop.pipeline(&["run", "pipeline.yaml"]).expect(0).says("the test part has no images of `3`");
    let metrics: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/n/metrics.json")).unwrap();
    assert_eq!(metrics["test"]["macro_f1"], 1.0);
    assert_eq!(metrics["test"]["absent_classes"], serde_json::json!(["3"]));
    let report = workshop.read("artifacts/n/classification_report.txt");
    assert!(report.ends_with("left out, for they have no images and are never predicted: 3\n"), "{report}");
    assert!(workshop.read("artifacts/n/MODEL_CARD.md").contains("| 3 | – | – | – | 0 |"));
}

#[test]
fn jpeg_beside_png_gives_all_images_of_both() {
    let workshop = Workshop::with(
        "version: 1\nname: both\nstages:\n  m: { merge: { train: train, image: { channels: 1, height: 2, width: 3 } } }\n",
    );
    let jpeg = include_bytes!("../../src/data/picture/samples/gray.jpg");
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    for class in ["cat", "dog"] {
        (0..10).for_each(|image| workshop.write(&format!("train/{class}/{image}.png"), &png));
        (10..20).for_each(|image| workshop.write(&format!("train/{class}/{image}.jpg"), jpeg));
    }
    workshop.write("train/cat/notes.txt", "x");
    workshop.write("train/cat/.DS_Store", "x");
    let run = workshop.pipeline(&["run", "pipeline.yaml"]).expect(0).says("40 training");
    run.says("`train`: files that are no images, passed over: 1 (1 `.txt`), such as `cat/notes.txt`");
    workshop.write("train/dog/x.gif", "GIF89a");
    let run = workshop.pipeline(&["run", "pipeline.yaml"]).expect(1);
    let text = run.text();
    assert_eq!(text.matches("`train/dog/x.gif`: a GIF image, which is not read").count(), 1, "told once:\n{text}");
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_refused_at_once() {
    let workshop = Workshop::with(
        "version: 1\nname: endless\nstages:\n  m: { merge: { train: endless, image: { channels: 1, height: 2, width: 3 }, classes: [a, b] } }\n",
    );
    std::os::unix::fs::symlink("/dev/zero", workshop.path("endless")).unwrap();
    workshop.pipeline(&["run", "pipeline.yaml"]).expect(1).says("`endless` is a device, not a file with an end");
    std::fs::remove_file(workshop.path("endless")).unwrap();
    std::fs::create_dir_all(workshop.path("endless/a")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", workshop.path("endless/a/1.png")).unwrap();
    workshop.pipeline(&["run", "pipeline.yaml"]).expect(1).says("`endless/a/1.png`: a device, not a file");
}
