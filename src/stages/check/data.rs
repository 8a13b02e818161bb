//! Stages that make data: what they are asked for must fit what they read.

use std::path::Path;

use super::super::facts::{DataFacts, FilesFacts};
use super::super::lineage::Images;
use super::Checker;
use crate::data::augment::AugmentOptions;
use crate::data::merge::MergeOptions;
use crate::data::split::SplitOptions;
use crate::data::{Format, ImageShape};
use crate::graph::{FilesRef, StageId};

impl Checker<'_> {
    pub(super) fn merge(&mut self, id: &StageId, options: &MergeOptions) {
        let files = match &options.data {
            Some(files) => match self.facts.files.get(files.stage()) {
                Some(facts) => Some((files, facts.clone())),
                None => return,
            },
            None => None,
        };
        if let Some((name, files)) = &files {
            self.fetched(id, options, name, files);
        }
        if options.image.is_some_and(|image| self.has_no_pixels(id, image)) {
            return;
        }
        let shape = options.image.or(files.as_ref().map(|(_, facts)| facts.shape));
        let shape = shape.or_else(|| options.shape_told(Path::new("")));
        let classes = options.classes.clone().or(files.map(|(_, facts)| facts.classes));
        let Some(shape) = shape else {
            let message = "the shape of the images is not known";
            let help = "add `image: { channels: 1, height: 28, width: 28 }`, or `data:` with a `fetch` stage";
            return self.problem(id, &[], message, help);
        };
        if options.format == Format::Png && !matches!(shape.channels, 1 | 3) {
            let message = format!("PNG files give 1 channel (gray) or 3 (RGB), not {}", shape.channels);
            self.problem(id, &["image", "channels"], message, "write `channels: 1` or `channels: 3`");
        }
        let base = options.data.as_ref().map(|data| data.stage());
        let train = Images::of_files(base, &options.train);
        let test = options.test.as_ref().map(|test| Images::of_files(base, test));
        if let (Some(files), true) = (&options.test, test.as_ref() == Some(&train)) {
            let message = format!("{files} is given both to train on and to test with");
            let help = "give other files, or leave it out and set a part apart with `test` in a `split` stage";
            return self.problem(id, &["test"], message, help);
        }
        let facts = DataFacts {
            shape,
            classes,
            train,
            validation: None,
            test,
            source: id.clone(),
            part_of: None,
            varied: false,
            copied: None,
            variation: String::new(),
        };
        self.facts.data.insert(id.clone(), facts);
    }

    /// Says which side of an image is 0, if one is.
    fn has_no_pixels(&mut self, id: &StageId, ImageShape { channels, height, width }: ImageShape) -> bool {
        let sides = [("channels", channels), ("height", height), ("width", width)];
        for (name, _) in sides.iter().filter(|(_, length)| *length == 0) {
            self.problem(id, &["image", name], format!("`{name}: 0` leaves no pixels"), "make it at least 1");
        }
        sides.iter().any(|(_, length)| *length == 0)
    }

    /// What is merged from a stage that fetches must be there and be meant as it is.
    fn fetched(&mut self, id: &StageId, options: &MergeOptions, name: &FilesRef, files: &FilesFacts) {
        let pixels = |shape: ImageShape| u128::from(shape.channels as u64) * (shape.height as u128) * (shape.width as u128);
        if let Some(image) = options.image.filter(|image| pixels(*image) > 0 && pixels(*image) != pixels(files.shape)) {
            let message = format!("`{name}` has images of {}, which are not {image}", files.shape);
            self.problem(id, &["image"], message, "leave out `image`");
        }
        if let Some(names) = &options.classes
            && (2..files.classes.len()).contains(&names.len())
        {
            let message = format!("`{name}` has {} classes, and here are {} names", files.classes.len(), names.len());
            self.problem(id, &["classes"], message, "name them all, or leave out `classes`");
        }
    }

    pub(super) fn split(&mut self, id: &StageId, options: &SplitOptions) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        if data.test.is_some() && options.test.is_some() {
            let message = format!("`{}` has a test part already; `test` would take another from its training part", options.data);
            self.problem(id, &["test"], message, "leave out `test`");
        }
        if data.validation.is_some() {
            let message = format!("`{}` has a validation part already", options.data);
            let whole = data.part_of.map_or_else(String::new, |whole| format!(": `{whole}`"));
            let help = format!("name data that is not split yet{whole}");
            return self.problem(id, &["data"], message, &help);
        }
        if let Some(copied) = &data.copied {
            let message =
                format!("`{copied}` adds varied copies of images, and copies of one image would come into several parts");
            return self.problem(id, &["data"], message, &format!("split first, and let `{copied}` vary the training part"));
        }
        let divided = data.train.divided(id, options, &data.source);
        let facts = DataFacts {
            train: divided.train,
            validation: Some(divided.validation),
            test: data.test.or(divided.test),
            part_of: Some(options.data.stage().clone()),
            ..data
        };
        self.facts.data.insert(id.clone(), facts);
    }

    pub(super) fn augment(&mut self, id: &StageId, options: &AugmentOptions) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        self.faults(id, &[], options.augmentation().faults(data.shape));
        let copied = if options.copies > 0 { Some(id.clone()) } else { data.copied.clone() };
        let variation = format!("{} {:?} {}", data.variation, options.augmentation(), options.copies);
        self.facts.data.insert(id.clone(), DataFacts { varied: options.copies == 0, copied, variation, ..data });
    }
}
