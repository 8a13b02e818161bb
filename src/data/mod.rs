//! Data: labelled images, their formats, merging, splitting, augmentation and fetching. It knows nothing of models or
//! stages.

pub mod augment;
pub mod classes;
pub mod csv;
mod error;
pub mod fetch;
mod files;
mod format;
pub mod garments;
mod images;
pub mod merge;
pub mod open;
pub mod pattern;
pub mod perturb;
pub mod picture;
mod seen;
pub mod split;
mod store;
mod view;
pub mod waiting;

pub use error::DataError;
pub use files::{FileList, RawFile};
pub use format::{Format, Problems};
pub use images::{DataInfo, ImageShape, Label, LabelledImages};
pub use store::{DataSet, Part};
pub use view::View;
