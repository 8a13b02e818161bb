//! The confusion matrix: how often each class was taken for each.

use serde::{Deserialize, Serialize};

use super::{MetricsError, check_labels};

/// Counts of images, `[classes][classes]`: rows are true classes, columns predicted ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u64>>", into = "Vec<Vec<u64>>")]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
}

impl TryFrom<Vec<Vec<u64>>> for ConfusionMatrix {
    type Error = String;

    fn try_from(counts: Vec<Vec<u64>>) -> Result<Self, String> {
        match counts.iter().find(|row| row.len() != counts.len()) {
            Some(row) => Err(format!("a confusion matrix of {} rows has a row of {} counts", counts.len(), row.len())),
            None => Ok(Self { counts }),
        }
    }
}

impl From<ConfusionMatrix> for Vec<Vec<u64>> {
    fn from(matrix: ConfusionMatrix) -> Self {
        matrix.counts
    }
}

impl ConfusionMatrix {
    /// Counts labels against predictions, both `[N]` and below `classes`.
    ///
    /// # Errors
    /// When there are no images, the lengths differ, or a label or a prediction is no class.
    pub fn new(labels: &[u8], predictions: &[u8], classes: usize) -> Result<Self, MetricsError> {
        if labels.len() != predictions.len() {
            return Err(MetricsError::RowCount { labels: labels.len(), rows: predictions.len() });
        }
        check_labels(labels, classes)?;
        check_labels(predictions, classes)?;
        let mut counts = vec![vec![0; classes]; classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            counts[usize::from(label)][usize::from(prediction)] += 1;
        }
        Ok(Self { counts })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Images of class `truth` that were predicted as `predicted`.
    ///
    /// # Panics
    /// When either is no class of this matrix.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth][predicted]
    }

    /// The rows: for each true class the counts of all predicted ones.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Images whose true class is `class`.
    pub fn of_class(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    /// Images that were predicted as `class`.
    pub fn predicted_as(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// All images.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The matrix as CSV: a header with the predicted classes, then one row a true class, its name first.
    ///
    /// # Errors
    /// When there are not as many names as classes.
    pub fn to_csv(&self, names: &[String]) -> Result<String, MetricsError> {
        if names.len() != self.classes() {
            return Err(MetricsError::ClassCount { names: names.len(), columns: self.classes() });
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |first: &str, others: Vec<String>| {
            writer.write_record(std::iter::once(first.to_owned()).chain(others)).expect("memory takes every record");
        };
        write("true/predicted", names.to_vec());
        for (name, row) in names.iter().zip(&self.counts) {
            write(name, row.iter().map(u64::to_string).collect());
        }
        let bytes = writer.into_inner().expect("memory takes every record");
        Ok(String::from_utf8(bytes).expect("names are UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> ConfusionMatrix {
        ConfusionMatrix::new(&[0, 0, 1, 1, 1, 2], &[0, 1, 1, 1, 0, 1], 3).unwrap()
    }

    #[test]
    fn rows_are_true_classes() {
        let matrix = matrix();
        assert_eq!(matrix.rows(), [[1, 1, 0], [1, 2, 0], [0, 1, 0]]);
        assert_eq!((matrix.count(2, 1), matrix.of_class(1), matrix.predicted_as(1), matrix.total()), (1, 3, 4, 6));
        assert_eq!(serde_json::to_string(&matrix).unwrap(), "[[1,1,0],[1,2,0],[0,1,0]]");
        assert_eq!(serde_json::from_str::<ConfusionMatrix>("[[1,1,0],[1,2,0],[0,1,0]]").unwrap(), matrix);
        let error = serde_json::from_str::<ConfusionMatrix>("[[1,1],[1]]").unwrap_err().to_string();
        assert_eq!(error, "a confusion matrix of 2 rows has a row of 1 counts");
    }

    #[test]
    fn class_names_are_quoted_where_csv_needs_it() {
        let names = ["T-shirt, top", "Trouser", "a \"b\""].map(str::to_owned);
        insta::assert_snapshot!(matrix().to_csv(&names).unwrap(), @r#"
        true/predicted,"T-shirt, top",Trouser,"a ""b"""
        "T-shirt, top",1,1,0
        Trouser,1,2,0
        "a ""b""",0,1,0
        "#);
        assert_eq!(matrix().to_csv(&names[..2]), Err(MetricsError::ClassCount { names: 2, columns: 3 }));
    }

    #[test]
    fn predictions_are_checked_like_labels() {
        assert_eq!(ConfusionMatrix::new(&[0, 1], &[0, 3], 3), Err(MetricsError::Label { row: 1, label: 3, classes: 3 }));
        assert_eq!(ConfusionMatrix::new(&[0], &[], 3), Err(MetricsError::RowCount { labels: 1, rows: 0 }));
    }
}
