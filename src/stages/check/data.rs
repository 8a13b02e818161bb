//! Stages that make data: what they are asked for must fit what they read.

use super::super::facts::DataFacts;
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
        let classes = options.classes.clone().or(files.and_then(|(_, facts)| facts.classes));
        let Some(shape) = shape else {
            let message = "the shape of the images is not known";
            let help = "add `image: { channels: 1, height: 28, width: 28 }`, or `data:` with a `fetch` stage";
            return self.problem(id, &[], message, help);
        };
        if options.format == Format::Png && !matches!(shape.channels, 1 | 3) {
            let message = format!("PNG files give 1 channel (gray) or 3 (RGB), not {}", shape.channels);
            self.problem(id, &["image", "channels"], message, "write `channels: 1` or `channels: 3`");
        }
        let (origin, test) = (id.clone(), options.test.is_some());
        self.facts.data.insert(id.clone(), DataFacts { shape, classes, validation: false, test, origin, varied: false });
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
    fn fetched(&mut self, id: &StageId, options: &MergeOptions, name: &FilesRef, files: &DataFacts) {
        let pixels = |shape: ImageShape| u128::from(shape.channels as u64) * (shape.height as u128) * (shape.width as u128);
        if let Some(image) = options.image.filter(|image| pixels(*image) > 0 && pixels(*image) != pixels(files.shape)) {
            let message = format!("`{name}` has images of {}, which are not {image}", files.shape);
            self.problem(id, &["image"], message, "leave out `image`");
        }
        if let (Some(names), Some(classes)) = (&options.classes, &files.classes)
            && (2..classes.len()).contains(&names.len())
        {
            let message = format!("`{name}` has {} classes, and here are {} names", classes.len(), names.len());
            self.problem(id, &["classes"], message, "name them all, or leave out `classes`");
        }
    }

    pub(super) fn split(&mut self, id: &StageId, options: &SplitOptions) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        if data.validation {
            let message = format!("`{}` has a validation part already", options.data);
            self.problem(id, &["data"], message, "name data that is not split yet");
        }
        if data.test && options.test.is_some() {
            let message = format!("`{}` has a test part already; `test` would take another from its training part", options.data);
            self.problem(id, &["test"], message, "leave out `test`");
        }
        let test = data.test || options.test.is_some();
        self.facts.data.insert(id.clone(), DataFacts { validation: true, test, origin: id.clone(), ..data });
    }

    pub(super) fn augment(&mut self, id: &StageId, options: &AugmentOptions) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        self.faults(id, &[], options.augmentation().faults(data.shape));
        self.facts.data.insert(id.clone(), DataFacts { varied: options.copies == 0, ..data });
    }
}
