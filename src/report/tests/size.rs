//! A page about very much stays one that a browser opens at once.

use super::super::sample::{noise, report};
use super::super::soundness::assert_sound;
use super::super::*;
use crate::data::ImageShape;

const MOST_BYTES: usize = 10_000_000;

/// Invented figures of `models` models that tell `classes` classes apart, each trained for `epochs`.
fn large(classes: usize, models: usize, epochs: u64) -> ReportData {
    let mut data = report(false);
    let template = data.models[1].clone();
    let name = |index: usize| format!("model-{index}");
    data.classes = (0..classes).map(|class| format!("a class with a rather long name, number {class}")).collect();
    for part in &mut data.data.as_mut().unwrap().parts {
        part.class_counts = (0..classes as u64).map(|class| 100 + class % 17).collect();
    }
    let seed = |index: usize, at: usize| noise((index * 1_000_003 + at) as u64);
    data.models = (0..models)
        .map(|index| {
            let mut model = template.clone();
            model.name = name(index);
            let training = model.training.as_mut().unwrap();
            training.epochs = (1..=epochs).map(|epoch| EpochReport { epoch, ..training.epochs[0] }).collect();
            let test = model.test.as_mut().unwrap();
            test.confusion = (0..classes)
                .map(|truth| {
                    let mistake = |at: usize| if seed(index, truth * classes + at) < 0.05 { 1 + (at as u64 % 7) } else { 0 };
                    (0..classes).map(|predicted| if truth == predicted { 90 } else { mistake(predicted) }).collect()
                })
                .collect();
            test.per_class = (0..classes)
                .map(|class| ClassScore { precision: 0.9, recall: seed(index, class), f1: seed(index, class + 7), support: 100 })
                .collect();
            test.classification_report = "a line of a classification report, one for each class\n".repeat(classes);
            model
        })
        .collect();
    let comparison = data.comparison.as_mut().unwrap();
    let (pair, ranked) = (comparison.significance[0].clone(), comparison.ranking[0].clone());
    comparison.ranking = (0..models).map(|index| RankedModel { model: name(index), ..ranked.clone() }).collect();
    comparison.selected = name(0);
    comparison.significance = (0..models)
        .flat_map(|second| (0..second).map(move |first| (first, second)))
        .map(|(first, second)| PairTest { first: name(first), second: name(second), ..pair.clone() })
        .collect();
    let curves = comparison.robustness.clone();
    comparison.robustness = (0..models)
        .flat_map(|index| curves.iter().step_by(4).map(move |curve| RobustnessReport { model: name(index), ..curve.clone() }))
        .collect();
    data
}

#[test]
fn a_page_of_a_thousand_classes_and_31_models_is_sound_and_below_ten_megabytes() {
    let data = large(1000, 31, 60);
    let page = render(&data);
    assert_sound(&page);
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("Of 1,000 classes the 24 that are taken for each other most often are shown"), "told");
    assert!(page.contains("The 129 classes of lowest F1 of 1,000"), "told");
    let card = render_markdown_card(&data, &data.models[0]);
    assert!(card.len() < 500_000, "{} bytes", card.len());
}

#[test]
fn pages_stay_small_whatever_grows() {
    let check = |what: &str, data: ReportData| {
        let page = render(&data);
        assert_sound(&page);
        assert!(page.len() < MOST_BYTES, "{what}: {} bytes", page.len());
    };
    check("classes at the limit", large(30, 31, 20));
    check("models", large(10, 200, 10));
    check("epochs", large(10, 31, 3000));
    let mut data = report(false);
    let trial = data.tuning[0].trials[0].clone();
    data.tuning[0].trials = (0..20_000).map(|number| TrialReport { number, ..trial.clone() }).collect();
    check("trials", data);
}

#[test]
fn large_pictures_are_shrunk_and_take_their_share_of_the_page() {
    let mut data = large(250, 2, 5);
    let shape = ImageShape { channels: 3, height: 300, width: 200 };
    let pixels: Vec<u8> = (0..shape.pixels()).map(|at| (noise(at as u64) * 255.0) as u8).collect();
    let picture = Picture::new(shape, pixels).unwrap();
    let set = data.data.as_mut().unwrap();
    set.samples = (0..250).map(|label| ClassPictures { label, pictures: vec![picture.clone(); 8] }).collect();
    set.means = (0..250).map(|label| ClassPicture { label, picture: picture.clone() }).collect();
    for example in &mut set.augmentation.as_mut().unwrap().examples {
        example.original = picture.clone();
        example.variants.iter_mut().for_each(|variant| *variant = picture.clone());
    }
    data.mistakes.iter_mut().flat_map(|report| &mut report.pictures).for_each(|shown| shown.picture = picture.clone());
    data.predictions.iter_mut().flat_map(|report| &mut report.pictures).for_each(|shown| shown.picture = picture.clone());
    let page = render(&data);
    assert_sound(&page);
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains(" of 250 classes."), "told");
}

#[test]
fn a_large_picture_becomes_the_mean_of_its_blocks() {
    let picture = Picture::new(ImageShape { channels: 1, height: 2, width: 5 }, [0, 2, 4, 6, 9, 2, 4, 8, 10, 11]).unwrap();
    assert_eq!(*picture.shown(3), picture);
    let shown = picture.shown(1); // five columns into two
    assert_eq!(shown.shape(), ImageShape { channels: 1, height: 1, width: 2 });
    assert_eq!(*shown, Picture::new(shown.shape(), [(2 + 4 + 2 + 4 + 8) / 6, (6 + 9 + 10 + 11) / 4]).unwrap());
}
