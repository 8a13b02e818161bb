//! Images that occur more than once, byte for byte.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use crate::data::{Label, LabelledImages};

/// How many images repeat others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeats {
    /// Images that equal an earlier one.
    pub images: usize,
    /// Those of them that have another label than it.
    pub conflicting: usize,
    /// The first few.
    pub examples: Vec<Repeat>,
}

/// An image that equals an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Its place, counted from 0.
    pub image: usize,
    /// Its label.
    pub label: Label,
    /// The place of the earlier one: in the same part, or in the train part.
    pub earlier: usize,
    /// The label of the earlier one.
    pub earlier_label: Label,
}

/// At most so many examples are kept.
const EXAMPLES: usize = 10;

/// The images of `train` that equal an earlier one of `train`, and those of `test` that equal one of `train`.
pub(super) fn count(train: &LabelledImages, test: Option<&LabelledImages>) -> (Repeats, Option<Repeats>) {
    let mut first: HashMap<&[u8], usize> = HashMap::with_capacity(train.len());
    let mut within = Repeats::default();
    for index in 0..train.len() {
        match first.entry(train.image(index)) {
            Entry::Vacant(entry) => _ = entry.insert(index),
            Entry::Occupied(entry) => within.add(train, index, train, *entry.get()),
        }
    }
    let across = test.map(|test| {
        let mut across = Repeats::default();
        for index in 0..test.len() {
            if let Some(&earlier) = first.get(test.image(index)) {
                across.add(test, index, train, earlier);
            }
        }
        across
    });
    (within, across)
}

impl Repeats {
    fn add(&mut self, images: &LabelledImages, image: usize, earlier_images: &LabelledImages, earlier: usize) {
        let (label, earlier_label) = (images.labels()[image], earlier_images.labels()[earlier]);
        self.images += 1;
        self.conflicting += usize::from(label != earlier_label);
        if self.examples.len() < EXAMPLES {
            self.examples.push(Repeat { image, label, earlier, earlier_label });
        }
    }
}
