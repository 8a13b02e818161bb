//! What a pipeline will take in memory is told before it runs, near the truth, and what cannot fit is refused with its place.

use std::path::Path;

use super::workshop::{Run, Workshop};

/// A pipeline that trains a network on images of `image`, of which there are twelve in a table.
fn training(image: &str, model: &str, more: &str) -> Workshop {
    let workshop = Workshop::with(&format!(
        "version: 1\nstages:\n  all: {{ merge: {{ train: all.csv, image: {image}, classes: [a, b] }} }}\n  \
         parts: {{ split: {{ data: all, validation: 0.25 }} }}\n  \
         net: {{ train: {{ data: parts, model: {model}, epochs: 1, batch_size: 8{more} }} }}\n"
    ));
    let row = |label: usize| format!("{label}{}\n", ",7".repeat(16));
    let rows: String = (0..12).map(|row_number| row(row_number % 2)).collect();
    workshop.write("all.csv", format!("label,{}\n{rows}", (1..=16).map(|n| format!("pixel{n}")).collect::<Vec<_>>().join(",")));
    workshop
}

const SMALL: &str = "{ channels: 1, height: 4, width: 4 }";

fn layers(first: &str) -> String {
    format!("{{ layers: [{first}, flatten, {{ dense: {{ units: 2 }} }}] }}")
}

/// A size in bytes out of a text like `memory: about 1.2 GB, …`.
fn size_after(text: &str, words: &str) -> f64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("`{words}` is not in {text}"));
    let mut parts = rest.split_whitespace();
    let number: f64 = parts.next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in {rest}"));
    let unit = parts.next().unwrap_or("").trim_end_matches(|character: char| !character.is_alphabetic());
    let factor = ["kB", "MB", "GB", "TB"].iter().position(|known| *known == unit).expect("a unit follows the number");
    number * 1000_f64.powi(factor as i32 + 1)
}

#[test]
fn what_cannot_fit_is_refused_before_anything_runs_with_the_largest_part_and_its_place() {
    for (first, part) in [
        ("{ conv: { filters: 1000000000000 } }", "`conv` gives 1000000000000×4×4 numbers for an image; 67108864 are the most"),
        ("{ conv: { filters: 1000000000 } }", "`conv` gives 1000000000×4×4 numbers for an image; 67108864 are the most"),
        ("{ conv: { filters: 2, kernel: 1000001 } }", "`conv` has more weights than 536870912, the most of a layer"),
        ("{ conv: { filters: 2, kernel: 4294967297 } }", "`conv` has more weights than 536870912, the most of a layer"),
        ("{ conv: { filters: 2, stride: 1000001 } }", "`conv` has a step of 1000001, far larger than the feature map 1×4×4"),
        (
            "{ conv: { filters: 2, stride: 4294967297 } }",
            "`conv` has a step of 4294967297, far larger than the feature map 1×4×4",
        ),
        ("{ max_pool: { size: 4, stride: 1099511627776 } }", "`max_pool` has a step of 1099511627776, far larger"),
        ("flatten, { dense: { units: 1000000000 } }", "`dense` gives 1000000000 numbers for an image; 67108864 are the most"),
        (
            // 80 layers of 4096 × 4096 × 3 × 3 weights, of which checkpoints hold four copies twice.
            &["{ conv: { filters: 4096 } }"; 80].join(", "),
            "382 GB of it for checkpoints, most of them for layer 1 (`conv`); 4.0 GB are allowed by `--max-memory`",
        ),
    ] {
        let workshop = training(SMALL, &layers(first), "");
        for verb in ["plan", "run"] {
            workshop.pipeline(&[verb, "--max-memory", "4GB"]).expect(3).says("pipeline.yaml:5:").says(part);
        }
    }
}

/// The lines of further networks like `net` in [`training`], each of 60 MB beside what the program takes.
fn further(names: &[(&str, &str)]) -> String {
    let line = |(name, more): &(&str, &str)| {
        format!("  {name}: {{ train: {{ data: parts, model: {MIDDLE}, epochs: 1, batch_size: 8{more} }} }}\n")
    };
    names.iter().map(line).collect()
}

const MIDDLE: &str = "{ mlp: { units: [1000, 1000] } }";

#[test]
fn stages_that_are_cached_or_not_selected_need_no_memory() {
    let workshop = training(SMALL, MIDDLE, "");
    let within = |verb: &[&str]| workshop.pipeline(&[verb, &["--max-memory", "60MB"]].concat());
    within(&["run", "--until", "parts"]).expect(0);
    within(&["run"]).expect(3).says("stage `net` needs about");
    workshop.pipeline(&["run"]).expect(0);
    within(&["run"]).expect(0).says("nothing to do");
    let plan = within(&["plan"]).expect(0).text();
    assert!(!plan.contains("memory: about"), "{plan}");
    within(&["run", "--force"]).expect(3).says("stage `net` needs about");
    workshop.write("pipeline.yaml", workshop.read("pipeline.yaml").replace("epochs: 1", "epochs: 1, seeds: 2"));
    within(&["run"]).expect(3).says("stage `net-2` needs about");
}

#[test]
fn only_stages_that_can_run_together_are_counted_side_by_side() {
    let workshop = training(SMALL, MIDDLE, "");
    let text = workshop.read("pipeline.yaml");
    let plan = |jobs: &str| workshop.pipeline(&["run", "-n", "--jobs", jobs, "--max-memory", "130MB"]);
    workshop
        .write("pipeline.yaml", format!("{text}{}", further(&[("next", ", start_from: net"), ("last", ", start_from: next")])));
    plan("3").expect(0);
    workshop.write("pipeline.yaml", format!("{text}{}", further(&[("next", ", start_from: net"), ("other", "")])));
    plan("3").expect(3).says("pipeline.yaml:5:").says("side by side, `net`, `other` need about");
    plan("1").expect(0);
}

#[test]
fn images_whose_size_does_not_fit_are_refused_at_their_place() {
    for (image, expected) in [
        (
            "{ channels: 18446744073709551615, height: 18446744073709551615, width: 1 }",
            "are too large: 67108864 values are the most",
        ),
        ("{ channels: 1, height: 9223372036854775807, width: 3 }", "are too large: 67108864 values are the most"),
        ("{ channels: 1, height: 100000, width: 100000 }", "are too large: 67108864 values are the most"),
        ("{ channels: 0, height: 4, width: 4 }", "`channels: 0` leaves no pixels"),
        ("{ channels: 1, height: 4, width: 18446744073709551616 }", "is out of range"),
        ("{ channels: 1, height: -4, width: 4 }", "is out of range"),
    ] {
        let workshop = training(image, &layers("flatten"), "");
        workshop.pipeline(&["plan"]).expect(3).says("pipeline.yaml:3:").says(expected);
    }
}

#[test]
fn a_limit_of_memory_can_be_given_and_lowered_and_the_plan_tells_the_largest_estimate() {
    let workshop = training(SMALL, "{ mlp: { units: [4000, 4000] } }", "");
    let plan = workshop.pipeline(&["plan", "--max-memory", "2GB"]).expect(0);
    let estimate = size_after(&plan.text(), "memory: about ");
    assert!((100e6..1e9).contains(&estimate), "{}", plan.text());
    assert!(plan.text().contains(", in `net`; "), "{}", plan.text());
    let refused = workshop.pipeline(&["run", "--max-memory", "90MiB"]).expect(3);
    assert!(refused.text().contains("94 MB are allowed by `--max-memory`"), "{}", refused.text());
    workshop.pipeline(&["run", "--max-memory", "many"]).expect(2).says("`many` is not a size, as in `8GB` or `512MiB`");
    // Other verbs need no memory for it.
    workshop.pipeline(&["status"]).expect(0);
}

#[test]
fn a_batch_is_no_larger_than_the_data() {
    training(SMALL, "mlp", "").pipeline(&["plan", "--max-memory", "1GB", "-S", "net.batch_size=1000000000"]).expect(0);
}

#[test]
fn a_search_needs_what_its_costliest_combination_does() {
    let workshop = training(SMALL, "{ mlp: { units: [2000, 2000] } }", ", optimizer: adamw");
    let text = workshop.read("pipeline.yaml");
    let estimate = || size_after(&workshop.pipeline(&["plan", "--max-memory", "8GB"]).expect(0).text(), "memory: about ");
    let trained = estimate();
    let before = text.rfind("  net:").expect("it is the last stage");
    let search = "model.mlp.units: { choice: [[2000, 2000], [8, 8]] }, optimizer: { choice: [adamw, sgd] }";
    workshop.write(
        "pipeline.yaml",
        format!(
            "{}  net: {{ tune: {{ data: parts, model: mlp, train: {{ optimizer: sgd, epochs: 1, batch_size: 8 }}, search: {{ {search} }} }} }}\n",
            &text[..before]
        ),
    );
    assert_eq!(estimate(), trained);
}

/// The estimate of `plan` and the peak of `run`.
fn estimate_and_peak(pipeline: &str, options: &[&str]) -> (f64, f64) {
    let workshop = Workshop::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(pipeline);
    let path = path.to_str().expect("the path is text");
    let set: Vec<&str> = options.iter().flat_map(|option| ["-S", *option]).collect();
    let call = |verb: &[&str]| -> Run { workshop.pipeline(&[verb, &[path][..], &set].concat()) };
    let plan = call(&["plan"]).expect(0);
    let run = call(&["run"]);
    assert!([0, 4].contains(&run.code), "{}", run.text());
    (size_after(&plan.text(), "memory: about "), size_after(&run.text(), "peak memory "))
}

#[test]
fn estimates_are_within_a_factor_of_two_of_the_peak() {
    let demo = [
        "tuned.trials=2",
        "tuned.train.epochs=1",
        "initial.epochs=1",
        "tuned_mlp.epochs=1",
        "basic.epochs=1",
        "deep.epochs=1",
        "distilled.epochs=1",
        "distilled.variants=1",
        "compared.robustness.samples=20",
        "verified.gate.accuracy=0",
    ];
    let sprint = ["raw.dataset=garments", "sprinter.epochs=1"];
    for (pipeline, options) in [("demo.yaml", &demo[..]), ("sprint.yaml", &sprint)] {
        let (estimate, peak) = estimate_and_peak(pipeline, options);
        let factor = estimate / peak;
        assert!((0.5..2.0).contains(&factor), "{pipeline}: {estimate:.3e} estimated, {peak:.3e} measured");
    }
}
