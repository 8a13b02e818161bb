//! Precision, recall and F1 of each class, and the classification report in scikit-learn's layout.
//!
//! The text of a [`ClassificationReport`] is, byte for byte, what
//! `sklearn.metrics.classification_report(labels, predictions, labels=seen, target_names=names, digits=4)` returns
//! (scikit-learn 1.9), so that either can be checked against the other with `diff`. To that end sums are taken in NumPy's
//! order: a mean that lies on the edge of two roundings falls to the same side.
//!
//! `seen` is scikit-learn's own default: the classes that occur among the labels or the predictions. A class that does not
//! is unknown, not bad: it is left out of all means, and one more line names it. A class that has no images but is
//! predicted counts with an F1 of 0, for each of these predictions is a mistake.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConfusionMatrix, MetricsError};

/// The scores of one class. A score whose denominator is 0 is 0, as is scikit-learn's default; without images
/// ([`ClassScores::support`]) the recall and F1 say nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Its name.
    pub class: String,
    /// The share of images predicted as this class that are of it.
    pub precision: f64,
    /// The share of images of this class that are predicted as it.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// How many images are of this class.
    pub support: u64,
}

/// Means of the classes' scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

/// The scores of all classes and their averages. Its text form is scikit-learn's classification report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Each class, in order.
    pub per_class: Vec<ClassScores>,
    /// The names of the classes that occur neither among the labels nor among the predictions: no means include them.
    pub unseen: Vec<String>,
    /// The share of all images that is predicted rightly.
    pub accuracy: f64,
    /// Means in which each class counts the same.
    pub macro_average: Averages,
    /// Means in which each class counts by its support.
    pub weighted_average: Averages,
}

impl ClassificationReport {
    /// The report on a confusion matrix of at least one image, with a name for each class.
    ///
    /// # Errors
    /// When there are not as many names as classes, or no images.
    pub fn new(matrix: &ConfusionMatrix, names: &[String]) -> Result<Self, MetricsError> {
        if names.len() != matrix.classes() {
            return Err(MetricsError::ClassCount { names: names.len(), columns: matrix.classes() });
        }
        if matrix.total() == 0 {
            return Err(MetricsError::Empty);
        }
        let score = |(class, name): (usize, &String)| {
            let (right, support, predicted) = (matrix.count(class, class), matrix.of_class(class), matrix.predicted_as(class));
            ClassScores {
                class: name.clone(),
                precision: ratio(right, predicted),
                recall: ratio(right, support),
                f1: ratio(2 * right, support + predicted),
                support,
            }
        };
        let per_class: Vec<ClassScores> = names.iter().enumerate().map(score).collect();
        let right = (0..matrix.classes()).map(|class| matrix.count(class, class)).sum();
        let is_seen = |class: usize| matrix.of_class(class) + matrix.predicted_as(class) > 0;
        let seen: Vec<&ClassScores> =
            per_class.iter().enumerate().filter(|(class, _)| is_seen(*class)).map(|(_, scores)| scores).collect();
        Ok(Self {
            accuracy: ratio(right, matrix.total()),
            macro_average: averages(&seen, |_| 1.0),
            weighted_average: averages(&seen, |class| class.support as f64),
            unseen: names.iter().enumerate().filter(|(class, _)| !is_seen(*class)).map(|(_, name)| name.clone()).collect(),
            per_class,
        })
    }

    /// How many images were judged.
    pub fn support(&self) -> u64 {
        self.per_class.iter().map(|class| class.support).sum()
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = || self.per_class.iter().filter(|class| !self.unseen.contains(&class.class));
        let longest = seen().map(|class| class.class.chars().count()).max().unwrap_or(0);
        let width = longest.max("weighted avg".len());
        let total = self.support();
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        let mut row = |name: &str, scores: [f64; 3], support: u64| {
            let [precision, recall, f1] = scores;
            writeln!(f, "{name:>width$}  {precision:>9.4} {recall:>9.4} {f1:>9.4} {support:>9}")
        };
        for class in seen() {
            row(&class.class, [class.precision, class.recall, class.f1], class.support)?;
        }
        writeln!(f)?;
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9.4} {total:>9}", "accuracy", "", "", self.accuracy)?;
        for (name, average) in [("macro avg", self.macro_average), ("weighted avg", self.weighted_average)] {
            let Averages { precision, recall, f1 } = average;
            writeln!(f, "{name:>width$}  {precision:>9.4} {recall:>9.4} {f1:>9.4} {total:>9}")?;
        }
        if !self.unseen.is_empty() {
            writeln!(f, "\nleft out, for they have no images and are never predicted: {}", self.unseen.join(", "))?;
        }
        Ok(())
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn averages(classes: &[&ClassScores], weight: impl Fn(&ClassScores) -> f64) -> Averages {
    let weights: Vec<f64> = classes.iter().map(|class| weight(class)).collect();
    let mean = |score: fn(&ClassScores) -> f64| {
        let products: Vec<f64> = classes.iter().zip(&weights).map(|(class, weight)| score(class) * weight).collect();
        pairwise_sum(&products) / pairwise_sum(&weights)
    };
    Averages { precision: mean(|class| class.precision), recall: mean(|class| class.recall), f1: mean(|class| class.f1) }
}

/// The sum in the order of NumPy's `add.reduce`: eight interleaved partial sums of up to 128 values, halves beyond.
fn pairwise_sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    if values.len() < LANES {
        return values.iter().sum();
    }
    if values.len() > 128 {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % LANES);
        return pairwise_sum(first) + pairwise_sum(second);
    }
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = chunks[0];
    for chunk in &chunks[1..] {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::super::samples::labels_and_predictions;
    use super::*;

    fn report(labels: &[u8], predictions: &[u8], names: &[&str]) -> ClassificationReport {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let matrix = ConfusionMatrix::new(labels, predictions, names.len()).unwrap();
        ClassificationReport::new(&matrix, &names).unwrap()
    }

    /// The expected texts are scikit-learn 1.9.1's.
    fn check(labels: &[u8], predictions: &[u8], names: &[&str], expected: &str) {
        assert_eq!(report(labels, predictions, names).to_string(), expected);
    }

    #[test]
    fn the_report_of_ten_classes_is_scikit_learns() {
        let (labels, predictions) = labels_and_predictions(1000, 10);
        let names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
        check(
            &labels,
            &predictions,
            &names,
            "              precision    recall  f1-score   support

 T-shirt/top     0.7549    0.7857    0.7700        98
     Trouser     0.7975    0.7778    0.7875        81
    Pullover     0.8526    0.7364    0.7902       110
       Dress     0.7500    0.8211    0.7839        95
        Coat     0.7778    0.8046    0.7910        87
      Sandal     0.7810    0.7810    0.7810       105
       Shirt     0.7363    0.7444    0.7403        90
     Sneaker     0.7965    0.8108    0.8036       111
         Bag     0.8286    0.8056    0.8169       108
  Ankle boot     0.8448    0.8522    0.8485       115

    accuracy                         0.7930      1000
   macro avg     0.7920    0.7919    0.7913      1000
weighted avg     0.7946    0.7930    0.7931      1000
",
        );
    }

    #[test]
    fn long_names_and_divisions_by_zero_are_scikit_learns() {
        let labels = [0, 0, 0, 1, 1, 2, 2, 2, 2, 4];
        let names = ["café", "a class of a very long name", "Hose", "ohne Bilder", "x"];
        check(
            &labels,
            &[0, 0, 1, 1, 0, 2, 2, 1, 2, 3],
            &names,
            "                             precision    recall  f1-score   support

                       café     0.6667    0.6667    0.6667         3
a class of a very long name     0.3333    0.5000    0.4000         2
                       Hose     1.0000    0.7500    0.8571         4
                ohne Bilder     0.0000    0.0000    0.0000         0
                          x     0.0000    0.0000    0.0000         1

                   accuracy                         0.6000        10
                  macro avg     0.4000    0.3833    0.3848        10
               weighted avg     0.6667    0.6000    0.6229        10
",
        );
        check(
            &labels,
            &[0, 0, 1, 1, 0, 2, 2, 1, 2, 2],
            &names,
            "                             precision    recall  f1-score   support

                       café     0.6667    0.6667    0.6667         3
a class of a very long name     0.3333    0.5000    0.4000         2
                       Hose     0.7500    0.7500    0.7500         4
                          x     0.0000    0.0000    0.0000         1

                   accuracy                         0.6000        10
                  macro avg     0.4375    0.4792    0.4542        10
               weighted avg     0.5667    0.6000    0.5800        10

left out, for they have no images and are never predicted: ohne Bilder
",
        );
    }

    #[test]
    fn ties_round_to_even_as_in_python() {
        // Of 32 predictions of class 0 one is right: 1/32 = 0.03125 exactly.
        let labels: Vec<u8> = (0..32).map(|row| u8::from(row > 0)).collect();
        let report = report(&labels, &[0; 32], &["a", "b"]);
        assert_eq!(report.per_class[0].precision, 0.03125);
        assert!(report.to_string().contains("           a     0.0312    1.0000"), "{report}");
    }

    #[test]
    fn averages_equal_scikit_learns_to_the_last_bit() {
        let check = |images, classes: u8, expected: [f64; 6]| {
            let (labels, predictions) = labels_and_predictions(images, classes.into());
            let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ClassificationReport { macro_average, weighted_average, .. } = report(&labels, &predictions, &names);
            let flat = |average: Averages| [average.precision, average.recall, average.f1];
            assert_eq!([flat(macro_average), flat(weighted_average)].concat(), expected);
        };
        let seven = [
            0.8212585034013605,
            0.7806122448979592,
            0.7880595594881309,
            0.8110038610038611,
            0.7837837837837838,
            0.7867843867843868,
        ];
        let ten = [0.7919854980925433, 0.7919443137390741, 0.7912865510578444, 0.7945931718258621, 0.793, 0.7930876229133776];
        let two_hundred =
            [0.7355220708364638, 0.7358948809898468, 0.729381960361366, 0.7521374003816712, 0.738, 0.7388999222408189];
        check(37, 7, seven);
        check(1000, 10, ten);
        check(3000, 200, two_hundred);
    }

    #[test]
    fn names_must_fit_the_matrix() {
        let matrix = ConfusionMatrix::new(&[0], &[1], 2).unwrap();
        assert_eq!(ClassificationReport::new(&matrix, &[]), Err(MetricsError::ClassCount { names: 0, columns: 2 }));
    }
}
