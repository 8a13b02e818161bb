//! From the bytes of an ONNX file to a graph that tract can run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TractResult, TypedRunnableModel, tvec,
};

use super::model::Runner;
use super::program::{Program, build_bytes};
use super::{Engine, Model, Precision};
use crate::data::Label;
use crate::digest::Digest;
use crate::fs;
use crate::onnx::{self, Interface, ModelProto, NotOnnx, Problems, Ranges};
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

/// Whether an error of [`Loaded::open`] means that a file is damaged: its bytes cannot be read, or it was written by this program and
/// no longer holds together. Otherwise it cannot be opened, or is another model than this program can use.
pub fn is_damage(error: &Error) -> bool {
    error.downcast_ref::<NotOnnx>().is_some_and(|error| *error != NotOnnx::TooMany)
        || error.downcast_ref::<Problems>().is_some_and(|problems| problems.is_own)
}

/// Numbers of one value that tract computes at once, at most, where many images run through a graph together.
const TOGETHER: usize = 1 << 22;

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
        let loaded = Self::from_bytes(&fs::read_at_most(path, onnx::MOST_BYTES)?);
        let loaded = loaded.with_context(|| format!("`{}` cannot be used as a model", path.display()))?;
        Ok(Self { file: Some(path.to_owned()), ..loaded })
    }

    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// As [`Loaded::open`], without the file's name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut proto = onnx::decode(bytes)?;
        let interface = onnx::check(&proto)?;
        // What a file says of values between is a comment, and is found anew.
        proto.graph.iter_mut().for_each(|graph| graph.value_info.clear());
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
    /// whose unfolded input then stays in the cache; many where all work is done by dense layers on few numbers, whose weights then
    /// are read once for all of them. It depends on the graph alone, so the same file gives the same bits everywhere it runs.
    pub fn fastest_batch(&self) -> Batch {
        let has_convolution = self.proto.graph.iter().flat_map(|graph| &graph.node).any(|node| node.op_type == "Conv");
        let fitting = if has_convolution { 1 } else { (TOGETHER / self.interface.largest).clamp(1, 64) };
        Batch::Of(BatchSize::new(fitting as u64).expect("it is at least one"))
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
        guarded("tract", attempt).context("the graph cannot be run")
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
        let ranges = match precision {
            Precision::Int8 => Some(Ranges::of(&self.proto)?.context(
                "the file does not tell the ranges of its activations, which int8 needs; export it with `int8: { data: … }`",
            )?),
            Precision::Fp32 | Precision::Bf16 => None,
        };
        let build = || match precision {
            Precision::Fp32 => Program::new(&self.proto, &self.interface).map(|program| Runner::Single(Box::new(program))),
            Precision::Bf16 => Program::new(&self.proto, &self.interface).map(|program| Runner::Half(Box::new(program))),
            Precision::Int8 => {
                let ranges = ranges.as_ref().context("int8 needs ranges")?;
                build_bytes(&self.proto, &self.interface, ranges).map(|program| Runner::Bytes(Box::new(program)))
            }
        };
        let attempt = || {
            let model = Model::new(build()?, self.interface.clone(), self.digest);
            model.predict(&vec![0; self.interface.image.pixels()])?;
            Ok(model)
        };
        match guarded("the kernels", attempt) {
            Ok(model) => Ok(model),
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

/// Tries what may panic on attributes that no exporter writes but a damaged file may hold.
fn guarded<T>(who: &str, attempt: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(anyhow!("{who} failed at: {}", text.and_then(|text| text.lines().next()).unwrap_or("a place that is not named")))
    })
}

#[cfg(test)]
mod fuzz;

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
    }

    #[test]
    fn a_model_that_gives_no_numbers_is_refused_by_both_engines() {
        let mut model = decode(&bytes(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#)).unwrap();
        let constants = &mut model.graph.as_mut().unwrap().initializer;
        let bias = constants.iter_mut().find(|constant| constant.name == "net/1.bias").unwrap();
        bias.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let loaded = Loaded::from_bytes(&encode(&model)).unwrap();
        for engine in [Engine::Kernels, Engine::Tract] {
            let error = format!("{:#}", loaded.ready(Some(engine), Precision::Fp32).unwrap_err());
            assert!(error.contains("probabilities that are not finite numbers"), "{engine}: {error}");
        }
    }

    #[test]
    fn a_file_of_this_program_that_does_not_hold_together_is_damaged_and_one_from_elsewhere_is_another_model() {
        let whole = bytes(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let error = |bytes: &[u8]| Loaded::from_bytes(bytes).unwrap_err().context("`m.onnx` cannot be used");
        assert!(is_damage(&error(&whole[..whole.len() / 2])));
        let mut model = decode(&whole).unwrap();
        model.graph.as_mut().unwrap().output.reverse();
        model.graph.as_mut().unwrap().output[0].name = "scores".into();
        assert!(is_damage(&error(&encode(&model))));
        model.producer_name = "pytorch".into();
        assert!(!is_damage(&error(&encode(&model))));
        assert!(!is_damage(&Loaded::open(Path::new("/no/such/file")).unwrap_err()));
    }

    #[test]
    fn graphs_with_convolutions_run_one_image_at_a_time() {
        let fastest = |layers: &str| Loaded::from_bytes(&bytes(layers)).unwrap().fastest_batch();
        let of = |size| Batch::Of(BatchSize::new(size).unwrap());
        assert_eq!(fastest(r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#), of(64));
        assert_eq!(fastest(r#"[{"conv": {"filters": 4}}, {"global_avg_pool": {}}]"#), of(1));
    }
}
