//! All metrics of one model on one part of the data, in one serialisable value.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{
    ClassScores, ClassificationReport, ConfusionMatrix, Interval, MetricsError, Proportion, ReliabilityBin, brier_score,
    calibration_error, log_loss, predictions, reliability, top_k_accuracy,
};

/// The k for which top-k accuracies are given, as far as there are more classes.
const TOP: [usize; 3] = [2, 3, 5];

/// What a model is worth on some labelled images. The field names are those of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many images it was measured on.
    pub images: usize,
    /// The share predicted rightly.
    pub accuracy: f64,
    /// Where the true accuracy lies, at 95 % (Wilson, 1927).
    pub accuracy_interval: Interval,
    /// Mean −ln p of the true class.
    pub loss: f64,
    /// Mean F1 of the classes that occur among the labels or the predictions, as of scikit-learn.
    pub macro_f1: f64,
    /// Mean precision of these classes.
    pub macro_precision: f64,
    /// Mean recall of these classes.
    pub macro_recall: f64,
    /// Mean F1 of the classes, each weighted by its images.
    pub weighted_f1: f64,
    /// Accuracy within the k most probable classes.
    pub top_k: Vec<TopK>,
    /// Brier score, 0–2.
    pub brier: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// Precision, recall, F1 and support of each class.
    pub per_class: Vec<ClassScores>,
    /// The names of the classes without images: their recall is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_classes: Vec<String>,
    /// Counts: rows are true classes, columns predicted ones.
    pub confusion: ConfusionMatrix,
    /// The bins of the reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
}

/// A top-k accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// How many classes are allowed.
    pub k: usize,
    /// The share of images whose true class is among them.
    pub accuracy: f64,
}

/// Measures `probabilities`, `[N, classes]`, against `labels`, `[N]`.
///
/// # Errors
/// As [`super::check`], and when there are not as many names in `classes` as columns.
pub fn evaluate(labels: &[u8], probabilities: ArrayView2<'_, f32>, classes: &[String]) -> Result<Evaluation, MetricsError> {
    super::check(labels, probabilities)?;
    if classes.len() != probabilities.ncols() {
        return Err(MetricsError::ClassCount { names: classes.len(), columns: probabilities.ncols() });
    }
    let predicted = predictions(probabilities)?;
    let right = Proportion::right(labels, &predicted)?;
    let confusion = ConfusionMatrix::new(labels, &predicted, classes.len())?;
    let report = ClassificationReport::new(&confusion, classes)?;
    let reliability = reliability(labels, probabilities)?;
    let top = |&k: &usize| Ok(TopK { k, accuracy: top_k_accuracy(labels, probabilities, k)?.share() });
    Ok(Evaluation {
        images: labels.len(),
        accuracy: right.share(),
        accuracy_interval: right.interval(),
        loss: log_loss(labels, probabilities)?,
        macro_f1: report.macro_average.f1,
        macro_precision: report.macro_average.precision,
        macro_recall: report.macro_average.recall,
        weighted_f1: report.weighted_average.f1,
        top_k: TOP.iter().filter(|&&k| k < classes.len()).map(top).collect::<Result<_, MetricsError>>()?,
        brier: brier_score(labels, probabilities)?,
        calibration_error: calibration_error(&reliability),
        absent_classes: without_images(&report.per_class),
        per_class: report.per_class,
        confusion,
        reliability,
    })
}

fn without_images(classes: &[ClassScores]) -> Vec<String> {
    classes.iter().filter(|class| class.support == 0).map(|class| class.class.clone()).collect()
}

impl Evaluation {
    /// The least recall of a class that has images.
    pub fn least_recall(&self) -> f64 {
        self.per_class.iter().filter(|class| class.support > 0).map(|class| class.recall).fold(1.0, f64::min)
    }

    /// The names of the classes, in order.
    pub fn classes(&self) -> Vec<String> {
        self.per_class.iter().map(|scores| scores.class.clone()).collect()
    }

    /// The classification report; its text form is scikit-learn's.
    ///
    /// # Errors
    /// When this value was read from a file whose parts do not fit each other.
    pub fn classification_report(&self) -> Result<ClassificationReport, MetricsError> {
        ClassificationReport::new(&self.confusion, &self.classes())
    }

    /// The confusion matrix as CSV with class names.
    ///
    /// # Errors
    /// As [`Evaluation::classification_report`].
    pub fn confusion_csv(&self) -> Result<String, MetricsError> {
        self.confusion.to_csv(&self.classes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn classes() -> Vec<String> {
        ["cat", "dog", "eel"].map(str::to_owned).to_vec()
    }

    #[test]
    fn an_evaluation_in_json() {
        let probabilities = array![[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [0.125, 0.125, 0.75]];
        let mut evaluation = evaluate(&[0, 1, 2, 2], probabilities.view(), &classes()).unwrap();
        evaluation.reliability.retain(|bin| bin.images > 0);
        insta::assert_snapshot!(serde_json::to_string(&evaluation).unwrap(), @r#"{"images":4,"accuracy":0.75,"accuracy_interval":{"low":0.3006418425824019,"high":0.9544127391902995},"loss":0.7650676986728905,"macro_f1":0.5555555555555555,"macro_precision":0.5,"macro_recall":0.6666666666666666,"weighted_f1":0.6666666666666666,"top_k":[{"k":2,"accuracy":1.0}],"brier":0.4296875,"calibration_error":0.18749999999999997,"per_class":[{"class":"cat","precision":0.5,"recall":1.0,"f1":0.6666666666666666,"support":1},{"class":"dog","precision":0.0,"recall":0.0,"f1":0.0,"support":1},{"class":"eel","precision":1.0,"recall":1.0,"f1":1.0,"support":2}],"confusion":[[1,0,0],[1,0,0],[0,0,2]],"reliability":[{"low":0.4666666666666667,"high":0.5333333333333333,"images":3,"confidence":0.5,"accuracy":0.6666666666666666},{"low":0.7333333333333333,"high":0.8,"images":1,"confidence":0.75,"accuracy":1.0}]}"#);
        insta::assert_snapshot!(evaluation.classification_report().unwrap(), @"
                      precision    recall  f1-score   support

                 cat     0.5000    1.0000    0.6667         1
                 dog     0.0000    0.0000    0.0000         1
                 eel     1.0000    1.0000    1.0000         2

            accuracy                         0.7500         4
           macro avg     0.5000    0.6667    0.5556         4
        weighted avg     0.6250    0.7500    0.6667         4
        ");
        insta::assert_snapshot!(evaluation.confusion_csv().unwrap(), @"
        true/predicted,cat,dog,eel
        cat,1,0,0
        dog,1,0,0
        eel,0,0,2
        ");
    }

    #[test]
    fn a_class_without_test_images_is_left_out_of_means_and_named() {
        // Nothing is an eel, and a perfect model never says so.
        let certain = |class: usize| [0, 1, 2].map(|column| if column == class { 1.0 } else { 0.0 });
        let rows = |classes: &[usize]| {
            ndarray::Array2::from_shape_vec((classes.len(), 3), classes.iter().flat_map(|&class| certain(class)).collect())
                .unwrap()
        };
        let perfect = evaluate(&[0, 0, 1], rows(&[0, 0, 1]).view(), &classes()).unwrap();
        assert_eq!(
            (perfect.macro_f1, perfect.macro_precision, perfect.macro_recall, perfect.least_recall()),
            (1.0, 1.0, 1.0, 1.0)
        );
        assert_eq!(perfect.absent_classes, ["eel"]);
        insta::assert_snapshot!(perfect.classification_report().unwrap(), @"
                      precision    recall  f1-score   support

                 cat     1.0000    1.0000    1.0000         2
                 dog     1.0000    1.0000    1.0000         1

            accuracy                         1.0000         3
           macro avg     1.0000    1.0000    1.0000         3
        weighted avg     1.0000    1.0000    1.0000         3

        left out, for they have no images and are never predicted: eel
        ");
        // Who says "eel" makes a mistake, and scikit-learn counts the class with an F1 of 0.
        let wrong = evaluate(&[0, 0, 1], rows(&[0, 2, 1]).view(), &classes()).unwrap();
        assert!((wrong.macro_f1 - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12, "{}", wrong.macro_f1);
        assert_eq!((wrong.least_recall(), wrong.absent_classes), (0.5, vec!["eel".to_owned()]));
    }

    #[test]
    fn an_evaluation_survives_its_json() {
        let evaluation = evaluate(&[2], array![[0.2, 0.3, 0.5]].view(), &classes()).unwrap();
        let text = serde_json::to_string(&evaluation).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation);
    }

    #[test]
    fn top_k_is_given_only_where_it_says_something() {
        let k = |classes: usize| {
            let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
            let row = ndarray::Array2::from_elem((1, classes), 1.0 / classes as f32);
            evaluate(&[0], row.view(), &names).unwrap().top_k.iter().map(|top| top.k).collect::<Vec<_>>()
        };
        assert_eq!(k(10), [2, 3, 5]);
        assert_eq!(k(5), [2, 3]);
        assert!(k(2).is_empty());
        assert!(k(1).is_empty());
    }

    #[test]
    fn names_must_fit_the_columns() {
        let error = evaluate(&[0], array![[0.5, 0.5]].view(), &classes()).unwrap_err().to_string();
        assert_eq!(error, "there are 3 class names but 2 columns of probabilities");
    }
}
