//! What a model lost, and what it saves, beside the model that it learned from.

use super::data::ModelReport;
use super::format;

/// `Learned from vote: accuracy 93.10 %, where the teacher has 93.40 % (−0.30 percentage points), with 6.0 % of …`; `None` for a
/// model without a teacher.
pub(super) fn beside_teacher(model: &ModelReport) -> Option<String> {
    let teacher = model.teacher.as_ref()?;
    let mut text = format!("Learned from {}", teacher.model);
    if let (Some(test), Some(accuracy)) = (&model.test, teacher.accuracy) {
        text += &format!(
            ": accuracy {}, where the teacher has {} ({} percentage points)",
            format::percent(test.accuracy),
            format::percent(accuracy),
            format::points(test.accuracy - accuracy)
        );
    }
    let share = model.flops_per_image as f64 / teacher.flops_per_image as f64;
    text += &format!(
        ", with {} of its arithmetic ({} of {} for one image).",
        format::percent(share),
        format::magnitude(model.flops_per_image, "FLOP"),
        format::magnitude(teacher.flops_per_image, "FLOP")
    );
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::data::{EvaluationReport, TeacherReport};
    use super::*;

    #[test]
    fn a_student_stands_beside_its_teacher() {
        let teacher = TeacherReport { model: "vote".to_owned(), flops_per_image: 141_100_000, accuracy: Some(0.934) };
        let test = EvaluationReport { accuracy: 0.931, ..Default::default() };
        let mut model = ModelReport { test: Some(test), flops_per_image: 8_500_000, ..Default::default() };
        assert_eq!(beside_teacher(&model), None);
        model.teacher = Some(teacher);
        let said = |model: &ModelReport| beside_teacher(model).unwrap().replace('\u{202f}', " ");
        insta::assert_snapshot!(said(&model), @"Learned from vote: accuracy 93.10 %, where the teacher has 93.40 % (−0.30 percentage points), with 6.02 % of its arithmetic (8.5 MFLOP of 141 MFLOP for one image).");
        model.test = None;
        insta::assert_snapshot!(said(&model), @"Learned from vote, with 6.02 % of its arithmetic (8.5 MFLOP of 141 MFLOP for one image).");
    }
}
