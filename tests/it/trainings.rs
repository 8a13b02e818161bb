//! Trainings and searches that come to an end nobody wished for: what is told before they run, what is kept of them, what a second
//! run does not do again.

use crate::workshop::{Run, Workshop};

/// Images of noise with labels of noise, 8×8, of three classes: nothing can be learned of them, so that the first epochs are the best.
fn noise(rows: usize, mut state: u64) -> String {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let header: Vec<String> = std::iter::once("label".to_owned()).chain((0..64).map(|pixel| format!("pixel{pixel}"))).collect();
    let mut text = header.join(",") + "\n";
    for _ in 0..rows {
        let row: Vec<String> =
            std::iter::once(next() % 3).chain((0..64).map(|_| next() % 256)).map(|value| value.to_string()).collect();
        text += &(row.join(",") + "\n");
    }
    text
}

/// A folder with data of noise and a pipeline of `stages` on it.
fn with(stages: &str) -> Workshop {
    let workshop = Workshop::with(&format!(
        "version: 1\nseed: 1\nstages:\n  raw: {{ merge: {{ train: train.csv, test: test.csv, image: {{ channels: 1, height: 8, width: 8 }}, \
         classes: [a, b, c] }} }}\n  parts: {{ split: {{ data: raw, validation: 0.2 }} }}\n{stages}"
    ));
    workshop.write("train.csv", noise(200, 1));
    workshop.write("test.csv", noise(60, 2));
    workshop
}

fn run(stages: &str) -> (Workshop, Run) {
    let workshop = with(stages);
    let run = workshop.pipeline(&["run"]);
    (workshop, run)
}

#[test]
fn a_refit_whose_best_epoch_lies_in_the_warm_up_keeps_the_first_schedule_and_stops_there() {
    let (workshop, run) = run(
        "  m: { train: { data: parts, model: { mlp: { units: [64] } }, epochs: 20, batch_size: 32, warm_up: 5, schedule: cosine, \
         optimizer: { adamw: { learning_rate: 0.05 } }, early_stopping: { patience: 3 }, refit: true } }\n",
    );
    run.expect(0)
        .says("stopped early, after epoch")
        .says("again on 200 images: the first")
        .says("of 20 epochs, at the learning rates they had");
    let history = workshop.read("artifacts/m/history.csv");
    let rates: Vec<f64> = history.lines().skip(1).map(|line| line.split(',').nth(5).unwrap().parse().unwrap()).collect();
    assert!(rates.len() < 5, "{rates:?}");
    for (epoch, rate) in rates.iter().enumerate() {
        let expected = 0.05 * (epoch + 1) as f64 / 5.0;
        assert!((rate - expected).abs() < 1e-9, "{rates:?}");
    }
}

#[test]
fn extremes_of_a_search_that_cannot_be_are_told_before_anything_runs() {
    let workshop = with(
        r#"  short: { tune: { data: parts, model: { mlp: { units: [16] } }, train: { warm_up: 3 }, search: { epochs: { int: { min: 1, max: 6 } } } } }
  s: { tune: { data: parts, model: { mlp: { units: [16] } }, train: { epochs: 6 }, search: { epochs: { int: { min: 1, max: 2 } } }, trials: 3 } }
  m: { train: { data: parts, model: { mlp: { units: [16] } }, params: s, epochs: 10, warm_up: 3 } }
  both: { tune: { data: parts, model: { mlp: { units: [16] } }, search: { schedule: { choice: [one_cycle] }, warm_up: { choice: [1, 2] } } } }
  odd: { tune: { data: parts, model: { mlp: { units: [16] } }, search: { epochs: { float: { min: 1.5, max: 2.5 } }, average: { choice: [eam] } } } }
  deep: { tune: { data: parts, model: { mlp: { units: [16] } }, search: { optimizer: { choice: [sgd, adam] }, optimizer.sgd.momentun: { choice: [0.5] } } } }
  one: { tune: { data: parts, model: { layers: [flatten, { dense: { units: 3 } }, batch_norm] }, search: { batch_size: { choice: [1, 8] } } } }
  lone: { train: { data: parts, model: { layers: [flatten, { dense: { units: 3 } }, batch_norm] }, batch_size: 1 } }
"#,
    );
    let told = workshop.pipeline(&["run"]).expect(3).stderr;
    insta::assert_snapshot!(told, @r#"
    pipeline.yaml:6:99: stage `short`: `epochs` cannot be 1 beside the rest: `warm_up` of 3 epochs leaves nothing of the 1 `epochs`; make it shorter
      |
    6 | …] } }, train: { warm_up: 3 }, search: { epochs: { int: { min: 1, max: 6 } } } } }
      |                                          ^^^^^^

    pipeline.yaml:8:71: stage `m`: what the search finds may not fit: `warm_up` of 3 epochs leaves nothing of the 1 `epochs`; make it shorter
      |
    8 |   m: { train: { data: parts, model: { mlp: { units: [16] } }, params: s, epochs: 10, warm_up: 3 } }
      |                                                                       ^

    pipeline.yaml:9:65: stage `both`: no combination of these can be trained: `one_cycle` rises to its peak by itself; leave out `warm_up`, or set `schedule.one_cycle.warm_up`
      |
    9 | …parts, model: { mlp: { units: [16] } }, search: { schedule: { choice: [one_cycle] }, warm_up: { choice: [1, 2] } } } }
      |                                          ^^^^^^

    pipeline.yaml:10:74: stage `odd`: parameter `epochs` cannot be 1.5: `epochs` needs a whole number, not the number 1.5
       |
    10 | …el: { mlp: { units: [16] } }, search: { epochs: { float: { min: 1.5, max: 2.5 } }, average: { choice: [eam] } } } }
       |                                          ^^^^^^

    pipeline.yaml:10:117: stage `odd`: parameter `average` cannot be "eam": `average` cannot be `eam`; did you mean `ema`?
       |
    10 | …chs: { float: { min: 1.5, max: 2.5 } }, average: { choice: [eam] } } } }
       |                                          ^^^^^^^

    pipeline.yaml:11:111: stage `deep`: there is no parameter `optimizer.sgd.momentun`: `optimizer.sgd` has no `momentun`; did you mean `momentum`?
       |
    11 | …: { optimizer: { choice: [sgd, adam] }, optimizer.sgd.momentun: { choice: [0.5] } } } }
       |                                          ^^^^^^^^^^^^^^^^^^^^^^

    pipeline.yaml:12:108: stage `one`: `batch_size` cannot be 1 beside the rest: a `batch_size` of 1 gives the batch normalisation of layer 2 one value of each channel, so that nothing before it learns; make it 2 at least
       |
    12 | … units: 3 } }, batch_norm] }, search: { batch_size: { choice: [1, 8] } } } }
       |                                          ^^^^^^^^^^

    pipeline.yaml:13:112: stage `lone`: a `batch_size` of 1 gives the batch normalisation of layer 2 one value of each channel, so that nothing before it learns; make it 2 at least
       |
    13 |   lone: { train: { data: parts, model: { layers: [flatten, { dense: { units: 3 } }, batch_norm] }, batch_size: 1 } }
       |                                                                                                                ^

    error: 8 problems in `pipeline.yaml`: nothing was run
    "#);
}

#[test]
fn bare_names_are_choices_as_they_are_in_the_file() {
    let (_, run) = run(
        "  s: { tune: { data: parts, model: { mlp: { units: [8] } }, train: { epochs: 2, batch_size: 64 }, trials: 9, \
         search: { schedule: { choice: [constant, cosine] }, average: { choice: [ema] }, optimizer: { choice: [sgd, { adam: { beta_1: 0.8 } }] } } } }\n",
    );
    run.expect(0).says("every combination was tried: the search ends after 4 of 9 trials");
}

#[test]
fn a_trial_that_cannot_be_is_counted_and_told_and_one_below_a_choice_belongs_to_it() {
    let (workshop, run) = run(
        "  s: { tune: { data: parts, model: { mlp: { units: [8] } }, train: { batch_size: 64 }, trials: 20, sampler: random, search: { epochs: { choice: [1, 3] }, \
         warm_up: { choice: [0, 2] }, optimizer: { choice: [sgd, adam] }, optimizer.adam.beta_1: { choice: [0.5, 0.9] } } } }\n  \
         m: { train: { data: parts, model: { mlp: { units: [8] } }, params: s, batch_size: 64 } }\n",
    );
    run.expect(0).says("failed: `warm_up` of 2 epochs leaves nothing of the 1 `epochs`").says("ends after 12 of 20 trials");
    let search: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/s.json")).unwrap();
    let trials = search["tuned"]["trials"].as_array().unwrap();
    let failed: Vec<_> = trials.iter().filter(|trial| trial["status"] == "failed").collect();
    assert_eq!((trials.len(), failed.len()), (12, 3));
    assert!(failed.iter().all(|trial| trial["parameters"]["epochs"] == 1 && trial["parameters"]["warm_up"] == 2));
    let sgd = |trial: &&serde_json::Value| trial["parameters"]["optimizer"] == "sgd";
    assert!(trials.iter().filter(sgd).all(|trial| trial["parameters"].get("optimizer.adam.beta_1").is_none()));
}

#[test]
fn a_search_whose_trials_all_fail_says_why_and_tries_none_again() {
    let workshop = with(
        "  s: { tune: { data: parts, model: { mlp: { units: [8] } }, train: { epochs: 2, batch_size: 64 }, trials: 2, \
         search: { optimizer.adamw.learning_rate: { log: { min: 1.0e+30, max: 1.0e+35 } } } } }\n",
    );
    let first = workshop.pipeline(&["run"]).expect(1).says("none of 2 trials gave a finite accuracy: 2 × diverged");
    assert!(first.text().contains("trial 2 of 2"));
    let second = workshop.pipeline(&["run"]).expect(1).says("none of 2 trials gave a finite accuracy: 2 × diverged");
    assert!(!second.text().contains("trial 1 of 2"), "{}", second.text());
}

#[test]
fn a_late_divergence_leaves_the_best_epoch_a_warning_and_exit_code_0() {
    // Weights grow beyond all bounds once learning rate × weight decay is above 2.
    let options = "data: parts, model: { mlp: { units: [16], dropout: 0 } }, epochs: 16, batch_size: 40, warm_up: 15.5, \
                   optimizer: { adamw: { learning_rate: 0.02, weight_decay: 1000 } }";
    let (workshop, run) = run(&format!(
        "  m: {{ train: {{ {options}, early_stopping: {{ patience: 20 }}, refit: true }} }}\n  e: {{ export: {{ models: [m] }} }}\n  \
         v: {{ verify: {{ export: e, data: parts }} }}\n"
    ));
    run.expect(0).says("the training diverged: ").says("are kept");
    let metrics: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/m/metrics.json")).unwrap();
    let first = &metrics["train"]["first"];
    assert!(first["diverged"]["epoch"].as_u64() > first["best_epoch"].as_u64(), "{metrics}");
    assert_eq!(metrics["train"]["epochs"], first["best_epoch"], "the refit ends before it could diverge");
    assert!(workshop.read("artifacts/m/MODEL_CARD.md").contains("(it diverged later)"));
    workshop.pipeline(&["run"]).expect(0).says("nothing to do");
    workshop
        .pipeline(&["run", "-S", "m.early_stopping.on_divergence=fail", "--until", "m"])
        .expect(1)
        .says("the training diverged");
}
