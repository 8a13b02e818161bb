//! Classifies PNG files with an exported model, through the library instead of the command line:
//!
//!     cargo run --release --example predict -- artifacts/ensemble/model.onnx shirt.png boot.png

use std::path::PathBuf;

use anyhow::{Context, Result};
use atelier::data::picture::decode;
use atelier::infer::Loaded;

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let model = arguments.next().context("usage: predict MODEL.onnx IMAGE.png …")?;
    let loaded = Loaded::open(&model)?;
    let session = loaded.optimise(loaded.fastest_batch())?;
    let interface = loaded.interface();
    for path in arguments {
        let image = decode(&std::fs::read(&path)?, interface.image).with_context(|| format!("`{}`", path.display()))?;
        let predictions = session.predict(&image.pixels)?;
        let label = usize::from(predictions.labels[0]);
        println!("{}: {} ({:.1} %)", path.display(), interface.classes[label], 100.0 * predictions.probabilities[[0, label]]);
    }
    Ok(())
}
