//! A data set on disk: what every data stage writes and every later stage reads.
//!
//! | file | holds |
//! |---|---|
//! | `data.json` | [`DataInfo`], the sizes of the parts, the augmentation |
//! | `train.safetensors`, `validation.safetensors`, `test.safetensors` | `images`: u8 `[N, C, H, W]`; `labels`: u8 `[N]` |
//!
//! A part that a stage leaves as it was is handed on as a link to the earlier file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::{DataInfo, Label, LabelledImages};
use crate::fs;

const INFO: &str = "data.json";

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// To train on.
    Train,
    /// To choose by: when to stop, which parameters, which weights of a vote.
    Validation,
    /// To measure with, and for nothing else.
    Test,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name in files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    fn file(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.safetensors", self.name()))
    }
}

/// Labelled images in parts, with what is to be done to them while training.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Its name, shape and classes.
    pub info: DataInfo,
    /// The images to train on.
    pub train: LabelledImages,
    /// The images to choose by, if they were set apart.
    pub validation: Option<LabelledImages>,
    /// The images to measure with, if there are any.
    pub test: Option<LabelledImages>,
    /// How the training images are varied on the fly.
    pub augmentation: Option<Augmentation>,
}

/// The content of `data.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    info: DataInfo,
    train: usize,
    validation: Option<usize>,
    test: Option<usize>,
    augmentation: Option<Augmentation>,
}

impl DataSet {
    /// The images of a part, if it is there.
    pub fn part(&self, part: Part) -> Option<&LabelledImages> {
        match part {
            Part::Train => Some(&self.train),
            Part::Validation => self.validation.as_ref(),
            Part::Test => self.test.as_ref(),
        }
    }

    /// The images of a part that somebody needs.
    ///
    /// # Errors
    /// Says which stage sets such a part apart.
    pub fn required(&self, part: Part) -> Result<&LabelledImages> {
        self.part(part).with_context(|| {
            let name = part.name();
            format!("the data set `{}` has no {name} part; a `split` stage with `{name}: 0.2` sets one apart", self.info.name)
        })
    }

    /// Writes the data set into `dir`.
    ///
    /// # Errors
    /// Those of writing; and when a part does not fit [`DataSet::info`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_linked(dir, dir, &[])
    }

    /// Writes the data set into `dir`; the parts in `unchanged` are those that [`DataSet::save`] wrote into `earlier`, and
    /// are linked from there.
    ///
    /// # Errors
    /// As [`DataSet::save`].
    pub fn save_linked(&self, dir: &Path, earlier: &Path, unchanged: &[Part]) -> Result<()> {
        for part in Part::ALL {
            let Some(images) = self.part(part) else { continue };
            self.check(part, images)?;
            if unchanged.contains(&part) {
                fs::link_or_copy(&part.file(earlier), &part.file(dir))?;
            } else {
                save_images(&part.file(dir), images)?;
            }
        }
        let len = |part| self.part(part).map(LabelledImages::len);
        let record = Record {
            info: self.info.clone(),
            train: self.train.len(),
            validation: len(Part::Validation),
            test: len(Part::Test),
            augmentation: self.augmentation.clone(),
        };
        fs::write_json(&dir.join(INFO), &record)
    }

    /// Reads what [`DataSet::save`] wrote.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the others; names it.
    pub fn load(dir: &Path) -> Result<Self> {
        let record: Record = fs::read_json(&dir.join(INFO))?;
        let read = |part: Part, len: usize| -> Result<LabelledImages> {
            let images = load_images(&part.file(dir))?;
            ensure!(
                images.len() == len,
                "`{}` holds {} images where `{INFO}` says {len}",
                part.file(dir).display(),
                images.len()
            );
            Ok(images)
        };
        let set = Self {
            train: read(Part::Train, record.train)?,
            validation: record.validation.map(|len| read(Part::Validation, len)).transpose()?,
            test: record.test.map(|len| read(Part::Test, len)).transpose()?,
            info: record.info,
            augmentation: record.augmentation,
        };
        for part in Part::ALL {
            if let Some(images) = set.part(part) {
                set.check(part, images).with_context(|| format!("`{}` is damaged", part.file(dir).display()))?;
            }
        }
        Ok(set)
    }

    /// Reads only what the data set is, without its images.
    ///
    /// # Errors
    /// When the file is missing or damaged; names it.
    pub fn load_info(dir: &Path) -> Result<DataInfo> {
        Ok(fs::read_json::<Record>(&dir.join(INFO))?.info)
    }

    /// Reads the labels of a part alone, if there is such a part.
    ///
    /// # Errors
    /// When a file is missing or damaged; names it.
    pub fn load_labels(dir: &Path, part: Part) -> Result<Option<Vec<Label>>> {
        let record: Record = fs::read_json(&dir.join(INFO))?;
        let len = match part {
            Part::Train => Some(record.train),
            Part::Validation => record.validation,
            Part::Test => record.test,
        };
        // The tensors lie in the order of their names: the labels are the last bytes of the file.
        len.map(|len| fs::read_end(&part.file(dir), len as u64)).transpose()
    }

    fn check(&self, part: Part, images: &LabelledImages) -> Result<()> {
        let (name, classes) = (part.name(), self.info.classes.len());
        ensure!(
            images.shape() == self.info.shape,
            "the {name} images are {} where the data set is {}",
            images.shape(),
            self.info.shape
        );
        if let Some(label) = images.labels().iter().find(|&&label| usize::from(label) >= classes) {
            anyhow::bail!("the {name} images have the label {label}, but there are {classes} classes");
        }
        Ok(())
    }
}

fn save_images(path: &Path, images: &LabelledImages) -> Result<()> {
    let shape = images.shape();
    let dimensions = vec![images.len(), shape.channels, shape.height, shape.width];
    let tensors = [
        ("images", TensorView::new(Dtype::U8, dimensions, images.pixels())?),
        ("labels", TensorView::new(Dtype::U8, vec![images.len()], images.labels())?),
    ];
    fs::write(path, safetensors::serialize(tensors, None)?)
}

fn load_images(path: &Path) -> Result<LabelledImages> {
    let bytes = fs::read(path)?;
    let context = || format!("`{}` does not hold labelled images", path.display());
    let file = SafeTensors::deserialize(&bytes).with_context(context)?;
    let (images, labels) = (file.tensor("images").with_context(context)?, file.tensor("labels").with_context(context)?);
    ensure!(images.dtype() == Dtype::U8 && labels.dtype() == Dtype::U8, "{}: they are not bytes", context());
    let &[_, channels, height, width] = images.shape() else {
        anyhow::bail!("{}: the shape {:?} is not [N, C, H, W]", context(), images.shape())
    };
    let shape = super::ImageShape { channels, height, width };
    LabelledImages::new(shape, images.data(), labels.data()).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    fn images(count: usize, classes: usize) -> LabelledImages {
        let shape = ImageShape { channels: 1, height: 2, width: 3 };
        let pixels: Vec<u8> = (0..count * 6).map(|value| (value % 251) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|index| (index % classes) as u8).collect();
        LabelledImages::new(shape, pixels, labels).unwrap()
    }

    fn data_set() -> DataSet {
        let train = images(7, 3);
        let info = DataInfo {
            name: "tiny".into(),
            synthetic: true,
            shape: train.shape(),
            classes: ["a", "b", "c"].map(String::from).into(),
        };
        DataSet { info, train, validation: None, test: Some(images(4, 2)), augmentation: Some(Augmentation::default()) }
    }

    #[test]
    fn a_data_set_survives_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let set = data_set();
        set.save(dir.path()).unwrap();
        assert_eq!(DataSet::load(dir.path()).unwrap(), set);
        assert_eq!(DataSet::load_info(dir.path()).unwrap(), set.info);
        let labels = Part::ALL.map(|part| DataSet::load_labels(dir.path(), part).unwrap());
        assert_eq!(labels, Part::ALL.map(|part| set.part(part).map(|images| images.labels().to_vec())));
        let files: Vec<_> = fs::entries(dir.path()).unwrap();
        assert_eq!(files, ["data.json", "test.safetensors", "train.safetensors"]);
    }

    #[test]
    fn unchanged_parts_are_handed_on() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut set = data_set();
        set.save(first.path()).unwrap();
        set.validation = Some(set.train.select(&[0, 1]));
        set.train = set.train.select(&[2, 3, 4, 5, 6]);
        set.save_linked(second.path(), first.path(), &[Part::Test]).unwrap();
        assert_eq!(DataSet::load(second.path()).unwrap(), set);
        let file = |dir: &Path| fs::stamp(&Part::Test.file(dir)).unwrap();
        assert_eq!(file(first.path()), file(second.path()), "one file, not two");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |result: Result<DataSet>| format!("{:#}", result.unwrap_err()).replace(dir.path().to_str().unwrap(), "DIR");
        insta::assert_snapshot!(error(DataSet::load(dir.path())), @"cannot read `DIR/data.json`: No such file or directory (os error 2)");
        let set = data_set();
        set.save(dir.path()).unwrap();
        save_images(&Part::Test.file(dir.path()), &images(5, 2)).unwrap();
        insta::assert_snapshot!(error(DataSet::load(dir.path())), @"`DIR/test.safetensors` holds 5 images where `data.json` says 4");
        save_images(&Part::Test.file(dir.path()), &images(4, 4)).unwrap();
        insta::assert_snapshot!(error(DataSet::load(dir.path())), @"`DIR/test.safetensors` is damaged: the test images have the label 3, but there are 3 classes");
        fs::write(&Part::Test.file(dir.path()), b"junk").unwrap();
        insta::assert_snapshot!(error(DataSet::load(dir.path())), @"`DIR/test.safetensors` does not hold labelled images: header too small");
        insta::assert_snapshot!(set.required(Part::Validation).unwrap_err(), @"the data set `tiny` has no validation part; a `split` stage with `validation: 0.2` sets one apart");
    }
}
