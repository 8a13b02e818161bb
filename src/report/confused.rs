//! The part of a confusion matrix that is worth seeing where there are too many classes to see all: the classes that are
//! taken for each other most often.

use std::collections::HashMap;

/// The labels, rising, of at most `count` classes: of all pairs of classes those with the most mistakes between them, as
/// long as there is room, then the first classes that are left.
pub(super) fn most_confused(confusion: &[Vec<u64>], count: usize) -> Vec<usize> {
    let classes = confusion.len();
    if classes <= count {
        return (0..classes).collect();
    }
    let mut mistakes: HashMap<(usize, usize), u64> = HashMap::new();
    for (truth, row) in confusion.iter().enumerate() {
        for (predicted, &images) in row.iter().enumerate().take(classes) {
            if truth != predicted && images > 0 {
                let sum = mistakes.entry((truth.min(predicted), truth.max(predicted))).or_default();
                *sum = sum.saturating_add(images);
            }
        }
    }
    let mut pairs: Vec<((usize, usize), u64)> = mistakes.into_iter().collect();
    pairs.sort_unstable_by_key(|&(pair, images)| (std::cmp::Reverse(images), pair));
    let mut chosen = vec![false; classes];
    let mut left = count;
    for ((one, other), _) in pairs {
        let more = usize::from(!chosen[one]) + usize::from(!chosen[other]);
        if more <= left {
            (chosen[one], chosen[other]) = (true, true);
            left -= more;
        }
        if left == 0 {
            break;
        }
    }
    for place in chosen.iter_mut().filter(|place| !**place).take(left) {
        *place = true;
    }
    (0..classes).filter(|&class| chosen[class]).collect()
}

/// The share of all mistakes that lie between `labels`; `None` if there are none.
pub(super) fn share_of_mistakes(confusion: &[Vec<u64>], labels: &[usize]) -> Option<f64> {
    let count = |truth: usize, predicted: usize| confusion[truth].get(predicted).map_or(0.0, |&images| images as f64);
    let shown: f64 = labels
        .iter()
        .flat_map(|&one| labels.iter().filter(move |&&other| other != one).map(move |&other| count(one, other)))
        .sum();
    let all: f64 = confusion
        .iter()
        .enumerate()
        .map(|(truth, row)| {
            row.iter().enumerate().filter(|(predicted, _)| *predicted != truth).map(|(_, &images)| images as f64).sum::<f64>()
        })
        .sum();
    (all > 0.0).then(|| shown / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_with_the_most_mistakes_between_them_are_chosen() {
        let mut confusion = vec![vec![0; 8]; 8];
        confusion[0][0] = 1000;
        confusion[5][2] = 7;
        confusion[2][5] = 4;
        confusion[3][7] = 10;
        confusion[6][1] = 9;
        assert_eq!(most_confused(&confusion, 4), [2, 3, 5, 7], "11 mistakes between 2 and 5, 10 between 3 and 7");
        assert_eq!(most_confused(&confusion, 3), [0, 2, 5], "a pair that has no room is passed over");
        assert_eq!(most_confused(&confusion, 8), (0..8).collect::<Vec<_>>());
        assert_eq!(share_of_mistakes(&confusion, &[2, 3, 5, 7]), Some(21.0 / 30.0));
        assert_eq!(share_of_mistakes(&[vec![3]], &[0]), None);
        // Rows of other lengths than there are classes.
        assert_eq!(most_confused(&[vec![], vec![0, 1, 2, 3], vec![1]], 2), [1, 2]);
    }
}
