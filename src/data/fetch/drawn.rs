//! The synthetic set as files: the folder `garments` below `dir`, which belongs to the program.

use serde::{Deserialize, Serialize};

use super::table::{self, Table};
use super::{FetchOptions, GarmentCounts};
use crate::data::garments::{self, CLASSES, NAME, SHAPE};
use crate::data::{DataError, FileList, RawFile};
use crate::fs;
use crate::progress::Progress;
use crate::seed::Seed;

/// What the folder holds, so that it is drawn again only if it must be.
#[derive(PartialEq, Serialize, Deserialize)]
struct Record {
    drawing: u32,
    seed: Seed,
    counts: GarmentCounts,
    files: Vec<RawFile>,
}

const RECORD: &str = "garments.json";

/// Draws the synthetic set, or finds it drawn already.
pub(super) fn garments(options: &FetchOptions, seed: Seed, progress: &dyn Progress) -> Result<FileList, DataError> {
    let dir = options.dir.join(NAME);
    let counts = options.garments;
    let tables = table::tables(counts.train.get(), counts.test.get());
    let record = |files| Record { drawing: garments::DRAWING, seed, counts, files };
    let path = dir.join(RECORD);
    let files = match describe(&tables, &dir, progress) {
        Err(DataError::Interrupted(interrupted)) => return Err(interrupted.into()),
        Ok(files) if fs::read_json::<Record>(&path).is_ok_and(|found| found == record(files.clone())) => files,
        _ => {
            fs::remove(&path)?;
            let train = garments::images(seed.child("train"), counts.train.get());
            progress.check()?;
            let test = garments::images(seed.child("test"), counts.test.get());
            table::write_all(&dir, &tables, &train, &test, progress)?;
            let files = describe(&tables, &dir, progress)?;
            fs::write_json(&path, &record(files.clone()))?;
            files
        }
    };
    Ok(FileList { name: NAME.to_owned(), synthetic: true, shape: SHAPE, classes: CLASSES.map(str::to_owned).into(), dir, files })
}

fn describe(tables: &[Table], dir: &std::path::Path, progress: &dyn Progress) -> Result<Vec<RawFile>, DataError> {
    tables.iter().map(|table| table::describe(dir, table, progress)).collect()
}
