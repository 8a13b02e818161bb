//! What holds for any text.

use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{GOOD, TestKind, read};

proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\n\t]{0,200}|\\PC{0,60}") {
        let _ = read(&text, &[]);
    }

    /// A good file with some of its characters replaced, removed or doubled.
    #[test]
    fn no_damage_panics(edits in proptest::collection::vec((0..GOOD.len(), 0..3_u8, "[ -~\n]"), 1..6), option in "[a-z]{1,6}(\\.[a-z0-9]{1,6}){0,3}=\\PC{0,10}") {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (position, action, character) in edits {
            let position = position.min(text.len() - 1);
            match action {
                0 => text[position] = character.chars().next().unwrap_or(' '),
                1 => drop(text.remove(position)),
                _ => text.insert(position, text[position]),
            }
        }
        let text = String::from_iter(text);
        let _ = read(&text, &[&option]);
        let _ = read(&text, &["first.model.basic.channels.0=3", "raw.values.0.a=1"]);
    }

    /// What was read, written as JSON, which is YAML, and read again is the same.
    #[test]
    fn written_and_read_again(
        epochs in 1..1000_u64,
        clip: f32,
        channels in proptest::collection::vec(0..u32::MAX, 0..3),
        title in "\\PC{0,12}",
        texts in proptest::collection::vec("[ -~]{0,8}", 0..4),
        numbers in proptest::collection::vec(proptest::num::f64::NORMAL, 0..3),
    ) {
        let text = json!({
            "version": 1,
            "stages": {
                "raw": { "fetch": { "pattern": texts, "values": numbers } },
                "a": { "train": {
                    "data": "raw", "model": { "basic": { "channels": channels } }, "epochs": epochs,
                    "clip": if clip.is_finite() { clip } else { 0.0 },
                } },
                "report": { "report": { "of": ["a", "raw"], "title": title } },
            }
        });
        let first = read(&text.to_string(), &[]).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        let stages: serde_json::Map<String, serde_json::Value> =
            first.stages.iter().map(|stage| (stage.id.to_string(), json!(stage.kind))).collect();
        let again = read(&format!("{:#}", json!({ "version": 1, "stages": stages })), &[])
            .map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        for (first, again) in first.stages.iter().zip(&again.stages) {
            prop_assert_eq!(&first.kind, &again.kind);
        }
        let TestKind::Report(report) = &again.stages[2].kind else { unreachable!("it is a report") };
        prop_assert_eq!(&report.title, &title);
    }
}
