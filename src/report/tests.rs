//! Tests of the whole page.

mod size;

use super::soundness::assert_sound;
use super::*;

#[test]
fn a_full_page_is_well_formed_and_loads_nothing() {
    let page = render(&sample::report(true));
    assert_sound(&page);
    assert!(!page.contains("http://") && !page.contains("https://"));
    assert!(!page.contains("NaN"));
    for id in ["summary", "data", "tuning", "training", "comparison", "models", "pictures", "verification", "provenance"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    assert_eq!(render(&sample::report(false)), render(&sample::report(false)));
    assert_ne!(render(&sample::report(false)), render(&sample::report(true)));
}

#[test]
fn data_survives_its_json_form() {
    let data = sample::report(true);
    let text = serde_json::to_string(&data).unwrap();
    assert_eq!(serde_json::from_str::<ReportData>(&text).unwrap(), data);
}

#[test]
fn links_lead_to_places_that_exist_once() {
    let page = render(&sample::report(false));
    let after =
        |mark: &str| -> Vec<String> { page.split(mark).skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect() };
    let ids = after(" id=\"");
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "the id `{id}` is there twice");
    }
    let links = after("href=\"#");
    assert!(links.len() > 20);
    for link in links {
        assert!(ids.contains(&link), "`#{link}` leads nowhere");
    }
}

#[test]
fn synthetic_data_is_said_loudly_and_real_data_never_is() {
    let page = render(&sample::report(true));
    assert!(page.contains("<div class=\"banner\" role=\"note\"><strong>Synthetic data</strong>"));
    assert!(page.contains("(synthetic data)</title>"));
    assert!(!render(&sample::report(false)).replace(include_str!("page.css"), "").to_lowercase().contains("synthetic"));
}

#[test]
fn empty_data_gives_a_page_without_sections() {
    let page = render(&ReportData { pipeline: "demo".to_owned(), ..Default::default() });
    assert_sound(&page);
    assert!(page.contains("<h1>demo</h1>") && !page.contains("<section"), "{page}");
}

#[test]
fn each_section_goes_when_its_data_does() {
    let check = |id: &str, remove: fn(&mut ReportData)| {
        let mut data = sample::report(false);
        let place = format!("<section id=\"{id}\">");
        assert!(render(&data).contains(&place), "{id} is there");
        remove(&mut data);
        let page = render(&data);
        assert!(!page.contains(&place), "{id} is gone");
        assert_sound(&page);
    };
    check("data", |data| data.data = None);
    check("tuning", |data| data.tuning.clear());
    check("training", |data| data.models.iter_mut().for_each(|model| model.training = None));
    check("comparison", |data| data.comparison = Some(ComparisonReport::default()));
    check("models", |data| data.models.clear());
    check("summary", |data| data.models.clear());
    check("pictures", |data| {
        data.mistakes.clear();
        data.predictions.clear();
    });
    check("verification", |data| {
        data.verification = None;
        data.scoring.clear();
    });
    check("provenance", |data| data.provenance = None);
}

#[test]
fn text_is_escaped_wherever_it_appears() {
    let evil = "</title><script>alert(\"1 & 2\")</script>";
    let mut data = sample::report(false);
    data.title = evil.to_owned();
    data.pipeline = evil.to_owned();
    data.generator = evil.to_owned();
    data.classes = vec![evil.to_owned(); 10];
    if let Some(set) = &mut data.data {
        set.name = evil.to_owned();
        set.parts[0].name = evil.to_owned();
    }
    for model in &mut data.models {
        evil.clone_into(&mut model.name);
        evil.clone_into(&mut model.description);
    }
    if let Some(comparison) = &mut data.comparison {
        evil.clone_into(&mut comparison.reason);
        comparison.robustness.iter_mut().for_each(|curve| evil.clone_into(&mut curve.perturbation));
        comparison.significance[0].method = evil.to_owned();
    }
    data.tuning[0].objective = evil.to_owned();
    if let Some(provenance) = &mut data.provenance {
        provenance.stages[0].name = evil.to_owned();
    }
    let page = render(&data);
    assert_sound(&page);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&quot;1 &amp; 2&quot;)"));
}

#[test]
fn what_is_invisible_in_a_name_is_shown_on_page_and_card() {
    let mut data = sample::report(false);
    data.classes[0] = "a\u{1b}[31m\u{202e}b\0".to_owned();
    data.models[0].description = "c\u{9b}d".to_owned();
    let (page, card) = (render(&data), render_markdown_card(&data, &data.models[0]));
    assert_sound(&page);
    for text in [&page, &card] {
        let odd = text.chars().find(|&character| crate::quote::is_invisible(character) && !matches!(character, '\n' | '\t'));
        assert_eq!(odd, None);
    }
    assert!(page.contains(r"a\u{1b}[31m\u{202e}b") && page.contains(r"c\u{9b}d"));
}

#[test]
fn degenerate_figures_draw_a_sound_page() {
    let mut data = sample::report(false);
    for model in &mut data.models {
        if let Some(training) = &mut model.training {
            training.epochs.truncate(1);
            training.epochs[0].loss = f64::NAN;
            training.epochs[0].validation_loss = Some(f64::INFINITY);
            training.seconds = f64::NAN;
            training.images_per_second = f64::INFINITY;
        }
        let test = model.test.as_mut().unwrap();
        test.accuracy = f64::NAN;
        test.accuracy_interval = Some(Interval { low: f64::NAN, high: f64::NAN });
        test.confusion = vec![vec![0; 3], vec![], vec![1; 12]];
        test.per_class[0].precision = f64::NAN;
        test.reliability.iter_mut().for_each(|bin| bin.count = 0);
    }
    data.tuning[0].trials.iter_mut().for_each(|trial| trial.value = None);
    data.tuning[0].importance.iter_mut().for_each(|importance| importance.value = 0.0);
    for part in &mut data.data.as_mut().unwrap().parts {
        part.class_counts = vec![0; 4];
        part.pixel_mean = f64::NAN;
    }
    let comparison = data.comparison.as_mut().unwrap();
    comparison.robustness.iter_mut().flat_map(|curve| &mut curve.points).for_each(|point| point.accuracy = 0.5);
    comparison.significance[0].p_value = f64::NAN;
    data.verification.as_mut().unwrap().models[0].largest_difference = f64::INFINITY;
    data.predictions[0].pictures[0].probabilities = vec![f32::NAN; 3];
    let page = render(&data);
    assert_sound(&page);
    assert!(!page.contains("NaN") && !page.contains(">inf"));
}
