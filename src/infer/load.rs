//! From the bytes of an ONNX file to a graph that tract can run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TractResult, TypedRunnableModel, tvec,
};

use super::model::Runner;
use super::program::{Program, build_bytes};
use super::{Engine, Model, Precision};
use crate::data::Label;
use crate::digest::Digest;
use crate::fs;
use crate::onnx::{self, Interface, ModelProto, Ranges};
use crate::units::BatchSize;

/// How many images run through a graph at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Always this many; a last, smaller batch is filled up. An image's probabilities then do not depend on what else is
    /// predicted with it, to the last bit.
    Of(BatchSize),
    /// As many as are given, as the file itself declares it.
    Free,
}

/// An ONNX file whose structure was checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    proto: ModelProto,
    interface: Interface,
    digest: Digest,
    file: Option<PathBuf>,
}

impl Loaded {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, and everything that keeps it from being a model of this program; see [`onnx::check`].
    pub fn open(path: &Path) -> Result<Self> {
        let loaded = Self::from_bytes(&fs::read(path)?);
        let loaded = loaded.with_context(|| format!("`{}` cannot be used as a model", path.display()))?;
        Ok(Self { file: Some(path.to_owned()), ..loaded })
    }

    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// As [`Loaded::open`], without the file's name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let proto = onnx::decode(bytes)?;
        let interface = onnx::check(&proto)?;
        let limit = usize::from(Label::MAX) + 1;
        ensure!(interface.classes.len() <= limit, "it knows {} classes; {limit} are the most", interface.classes.len());
        Ok(Self { proto, interface, digest: Digest::of_bytes(bytes), file: None })
    }

    /// What the model takes and gives.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The model's name, by which its graph is called.
    pub fn name(&self) -> &str {
        self.proto.graph.as_ref().map_or("", |graph| graph.name.as_str())
    }

    /// Where it was read from, if it was a file.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The digest of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file's content.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The batch that this graph runs fastest in, as measured with tract 0.23: one image where there are convolutions,
    /// whose unfolded input then stays in the cache; many where all work is done by dense layers, whose weights then are
    /// read once for all of them. It depends on the graph alone, so the same file gives the same bits everywhere it runs.
    pub fn fastest_batch(&self) -> Batch {
        let has_convolution = self.proto.graph.iter().flat_map(|graph| &graph.node).any(|node| node.op_type == "Conv");
        Batch::Of(BatchSize::new(if has_convolution { 1 } else { 64 }).expect("both are batch sizes"))
    }

    /// Lets tract derive the shape of every value and optimise the graph, and runs it once on black images, so that a
    /// graph that cannot be run is refused here.
    ///
    /// # Errors
    /// When an operator is unknown to tract, shapes do not fit each other, or an attribute makes no sense.
    pub fn optimise(&self, batch: Batch) -> Result<Model> {
        let attempt = || {
            let model = Model::new(Runner::Tract(self.plan(batch)?, batch), self.interface.clone(), self.digest);
            model.predict(&vec![0; self.interface.image.pixels()])?;
            Ok(model)
        };
        // tract panics on some attributes that no exporter writes but a damaged file may hold, such as an axis of 100.
        let result = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(anyhow!("tract failed at: {}", text.and_then(|text| text.lines().next()).unwrap_or("a place it does not name")))
        });
        result.context("the graph cannot be run")
    }

    /// Makes the model ready to run by `engine`; without one, by the kernels where they cover every node, else by tract.
    ///
    /// # Errors
    /// When the kernels are asked for and do not cover the graph, tract is asked for anything but fp32, int8 is asked for and the file
    /// holds no ranges, or as [`Loaded::optimise`].
    pub fn ready(&self, engine: Option<Engine>, precision: Precision) -> Result<Model> {
        if engine == Some(Engine::Tract) {
            ensure!(precision == Precision::Fp32, "tract computes in fp32 alone; leave out the engine, or take `kernels`");
            return self.optimise(self.fastest_batch());
        }
        let runner = match precision {
            Precision::Fp32 => Program::new(&self.proto, &self.interface).map(|program| Runner::Single(Box::new(program))),
            Precision::Bf16 => Program::new(&self.proto, &self.interface).map(|program| Runner::Half(Box::new(program))),
            Precision::Int8 => {
                let ranges = Ranges::of(&self.proto)?.context(
                    "the file does not tell the ranges of its activations, which int8 needs; export it with `int8: { data: … }`",
                )?;
                build_bytes(&self.proto, &self.interface, &ranges).map(|program| Runner::Bytes(Box::new(program)))
            }
        };
        match runner {
            Ok(runner) => Ok(Model::new(runner, self.interface.clone(), self.digest)),
            Err(error) if engine.is_none() && precision == Precision::Fp32 => {
                let mut model = self.optimise(self.fastest_batch())?;
                model.refused = Some(format!("{error:#}"));
                Ok(model)
            }
            Err(error) => Err(error.context("the kernels do not cover the graph; `tract` can run it, in fp32")),
        }
    }

    fn plan(&self, batch: Batch) -> TractResult<std::sync::Arc<TypedRunnableModel>> {
        let mut graph = tract_onnx::onnx().model_for_proto_model(&self.proto)?;
        if let Batch::Of(size) = batch {
            let shape = self.interface.image;
            let dimensions = tvec![size.get(), shape.channels, shape.height, shape.width];
            graph.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), dimensions))?;
        }
        graph.with_outputs_by_name([onnx::LABEL, onnx::PROBABILITIES])?.into_optimized()?.into_runnable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{decode, encode, samples};

    fn bytes(layers: &str) -> Vec<u8> {
        let architecture = samples::architecture(1, layers);
        encode(&samples::model("net", &architecture, &samples::weights(&architecture, 1)))
    }

    #[test]
    fn a_file_that_is_no_model_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let check = |content: &[u8], expected: &str| {
            fs::write(&path, content).unwrap();
            let error = format!("{:#}", Loaded::open(&path).unwrap_err());
            assert_eq!(error, format!("`{}` cannot be used as a model: {expected}", path.display()));
        };
        check(b"", "an ONNX file cannot be empty");
        let mut model = decode(&bytes(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#)).unwrap();
        model.graph.as_mut().unwrap().input[0].name = "pixels".into();
        let expected = "the model is not as it should be: node `net/normalisation.centred` reads `image`, which nothing \
            before it gives; `pixels` must be called `image`";
        check(&encode(&model), expected);
        let error = format!("{:#}", Loaded::open(&dir.path().join("none.onnx")).unwrap_err());
        assert!(error.contains("cannot read") && error.contains("none.onnx"), "{error}");
    }

    #[test]
    fn a_graph_that_cannot_be_run_is_refused_before_it_is_used() {
        let model = decode(&bytes(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#)).unwrap();
        let check = |node: &str, spoil: &dyn Fn(&mut tract_onnx::pb::NodeProto), expected: &str| {
            let mut model = model.clone();
            let nodes = &mut model.graph.as_mut().unwrap().node;
            spoil(nodes.iter_mut().find(|found| found.name == node).unwrap());
            let loaded = Loaded::from_bytes(&encode(&model)).unwrap();
            let error = format!("{:#}", loaded.optimise(Batch::Free).unwrap_err());
            assert!(error.starts_with("the graph cannot be run: ") && error.contains(expected), "{error}");
        };
        check("net/1", &|node| node.op_type = "Gemmm".into(), "Gemmm");
        check("net/1", &|node| node.input.swap(0, 1), "net/1");
        check("label", &|node| node.attribute[0].i = 100, "Illegal combination of values for rank and axis: 2 and 100");
    }

    #[test]
    fn graphs_with_convolutions_run_one_image_at_a_time() {
        let fastest = |layers: &str| Loaded::from_bytes(&bytes(layers)).unwrap().fastest_batch();
        let of = |size| Batch::Of(BatchSize::new(size).unwrap());
        assert_eq!(fastest(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#), of(64));
        assert_eq!(fastest(r#"[{"conv": {"filters": 4}}, {"global_avg_pool": {}}]"#), of(1));
    }
}
