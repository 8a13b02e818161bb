//! Lowering: layers as data to nodes of a graph, layer by layer.

use anyhow::{Context, Result, ensure};

use super::fold::{Affine, Linear, Outputs};
use super::graph::{Graph, integer, integers};
use super::input::{Inputs, prefix};
use super::{Metadata, ModelProto, PROBABILITIES};
use crate::nn::{Architecture, BatchNorm, Conv, Dense, FeatureShape, Layer, Pool, Residual, WeightTensor, Weights};

/// A trained network under a name.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The name, unique among the members of an ensemble; it prefixes the names of nodes and constants.
    pub name: &'a str,
    /// The layers.
    pub architecture: &'a Architecture,
    /// Their weights.
    pub weights: &'a Weights,
}

/// One network as an ONNX file with the interface described at [the room](super).
///
/// To the metadata it adds `architecture`, the layers as JSON.
///
/// # Errors
/// When the architecture does not hold together, the weights are another's or not finite, a standard deviation of the
/// normalisation is 0, or the metadata names another number of classes.
pub fn lower(model: &Member<'_>, metadata: &Metadata) -> Result<ModelProto> {
    let Member { name, architecture, .. } = *model;
    let context = || format!("cannot export `{name}`");
    metadata.check(architecture.classes).with_context(context)?;
    let mut graph = Graph::default();
    member(&mut graph, &mut Inputs::default(), model, PROBABILITIES).with_context(context)?;
    let further = [("architecture", serde_json::to_string(architecture).with_context(context)?)];
    Ok(graph.finish(name, architecture.input, architecture.classes, PROBABILITIES, metadata, &further))
}

/// A network from the image to probabilities, which get the name `output`: for each view the same layers, with the same constants,
/// and the mean of what they give.
pub(super) fn member(graph: &mut Graph, inputs: &mut Inputs, member: &Member<'_>, output: &str) -> Result<()> {
    let Member { name, architecture, weights } = *member;
    architecture.check()?;
    let shape = architecture.shapes()?[0];
    let views = architecture.views.list();
    let mut sum: Option<String> = None;
    for (index, &view) in views.iter().enumerate() {
        let normalised = inputs.normalised(graph, name, architecture, index, view)?;
        let mut lowering = Lowering { graph, name, prefix: prefix(name, index), weights, has_constants: index > 0 };
        let (logits, _) = lowering.layers(&architecture.layers, "", normalised, shape)?;
        let place = |part: &str| format!("{name}/view.{index}/{part}");
        let probabilities = if views.len() == 1 { output.to_owned() } else { place(PROBABILITIES) };
        graph.node("Softmax", &probabilities, &[&logits], vec![integer("axis", 1)]);
        sum = Some(match sum {
            None => probabilities,
            Some(sum) => graph.node("Add", &place("sum"), &[&sum, &probabilities], vec![]),
        });
    }
    if let (Some(sum), true) = (sum, views.len() > 1) {
        let share = graph.constant(&format!("{name}/views.share"), &[], &[1.0 / views.len() as f64])?;
        graph.node("Mul", output, &[&sum, &share], vec![]);
    }
    Ok(())
}

struct Lowering<'a> {
    graph: &'a mut Graph,
    /// What names of constants begin with.
    name: &'a str,
    /// What names of nodes begin with.
    prefix: String,
    weights: &'a Weights,
    /// Whether the constants are there from an earlier view.
    has_constants: bool,
}

impl Lowering<'_> {
    /// Lowers a list of layers that stands at `prefix` (`""`, or `3.layers.`). Returns the name and shape of what the last
    /// one gives.
    fn layers(&mut self, layers: &[Layer], prefix: &str, input: String, shape: FeatureShape) -> Result<(String, FeatureShape)> {
        let kept = |layer: &Layer| !matches!(layer, Layer::Dropout(_) | Layer::SpatialDropout(_));
        let mut rest = layers.iter().enumerate().filter(|(_, layer)| kept(layer)).peekable();
        let (mut current, mut shape) = (input, shape);
        while let Some((index, layer)) = rest.next() {
            let place = format!("{prefix}{index}");
            let before = shape;
            shape = layer.output(before, &place)?;
            let mut followers = Vec::new(); // batch normalisations to fold
            if matches!(layer, Layer::Conv(_) | Layer::Dense(_)) {
                while let Some((index, Layer::BatchNorm(options))) = rest.next_if(|(_, next)| matches!(next, Layer::BatchNorm(_)))
                {
                    followers.push(self.batch_norm(&format!("{prefix}{index}"), shape.channels(), options)?);
                }
            }
            current = self.layer(layer, &place, current, before, shape, &followers)?;
        }
        Ok((current, shape))
    }

    fn layer(
        &mut self,
        layer: &Layer,
        place: &str,
        input: String,
        before: FeatureShape,
        after: FeatureShape,
        followers: &[Affine],
    ) -> Result<String> {
        let name = self.at(place);
        Ok(match layer {
            Layer::Conv(options) => self.conv(options, place, &input, before, followers)?,
            Layer::Dense(options) => self.dense(options, place, &input, before, followers)?,
            Layer::BatchNorm(options) => {
                let affine = self.batch_norm(place, before.channels(), options)?;
                let shape: &[usize] = match before {
                    FeatureShape::Map { channels, .. } => &[1, channels, 1, 1],
                    FeatureShape::Vector(size) => &[1, size],
                };
                let scale = self.constant(place, "scale", shape, &affine.scale)?;
                let shift = self.constant(place, "shift", shape, &affine.shift)?;
                let scaled = self.graph.node("Mul", &format!("{name}.scaled"), &[&input, &scale], vec![]);
                self.graph.node("Add", &name, &[&scaled, &shift], vec![])
            }
            Layer::Relu(_) => self.graph.node("Relu", &name, &[&input], vec![]),
            Layer::Gelu(_) => self.gelu(place, &input)?,
            Layer::MaxPool(options) => self.graph.node("MaxPool", &name, &[&input], pool(options)),
            Layer::AvgPool(options) => self.graph.node("AveragePool", &name, &[&input], pool(options)),
            Layer::GlobalMaxPool(_) => self.global_pool("GlobalMaxPool", &name, &input),
            Layer::GlobalAvgPool(_) => self.global_pool("GlobalAveragePool", &name, &input),
            Layer::Dropout(_) | Layer::SpatialDropout(_) => input,
            Layer::Flatten(_) => self.graph.node("Flatten", &name, &[&input], vec![integer("axis", 1)]),
            Layer::Residual(options) => self.residual(options, place, input, before, after)?,
        })
    }

    fn conv(&mut self, options: &Conv, place: &str, input: &str, before: FeatureShape, followers: &[Affine]) -> Result<String> {
        let (filters, kernel) = (options.filters.get(), options.kernel.get());
        let shape = [filters, before.channels(), kernel, kernel];
        let weight = self.tensor(place, "weight", &shape)?;
        let bias = if options.bias { Some(self.tensor(place, "bias", &[filters])?) } else { None };
        let linear = Linear::new(Outputs::First, &shape, &weight.values, bias.map(|bias| bias.values.as_slice()));
        self.linear("Conv", place, input, linear, followers, window(kernel, options.stride.get(), options.pad()))
    }

    fn dense(&mut self, options: &Dense, place: &str, input: &str, before: FeatureShape, followers: &[Affine]) -> Result<String> {
        let units = options.units.get();
        let shape = [before.len(), units];
        let weight = self.tensor(place, "weight", &shape)?;
        let bias = if options.bias { Some(self.tensor(place, "bias", &[units])?) } else { None };
        let linear = Linear::new(Outputs::Last, &shape, &weight.values, bias.map(|bias| bias.values.as_slice()));
        self.linear("Gemm", place, input, linear, followers, vec![])
    }

    fn linear(
        &mut self,
        operator: &str,
        place: &str,
        input: &str,
        mut linear: Linear,
        followers: &[Affine],
        attributes: Vec<tract_onnx::pb::AttributeProto>,
    ) -> Result<String> {
        for affine in followers {
            linear.fold(affine);
        }
        let weight = self.constant(place, "weight", &linear.shape, &linear.weight)?;
        let bias = match &linear.bias {
            Some(bias) => Some(self.constant(place, "bias", &[bias.len()], bias)?),
            None => None,
        };
        let inputs: Vec<&str> = [input, weight.as_str()].into_iter().chain(bias.as_deref()).collect();
        Ok(self.graph.node(operator, &self.at(place), &inputs, attributes))
    }

    /// x · (1 + erf(x / √2)) · ½, in the order of operations that runtimes recognise and fuse.
    fn gelu(&mut self, place: &str, input: &str) -> Result<String> {
        let root = self.constant(place, "root", &[], &[std::f64::consts::SQRT_2])?;
        let one = self.constant(place, "one", &[], &[1.0])?;
        let half = self.constant(place, "half", &[], &[0.5])?;
        let name = &self.at(place);
        let scaled = self.graph.node("Div", &format!("{name}.scaled"), &[input, &root], vec![]);
        let erf = self.graph.node("Erf", &format!("{name}.erf"), &[&scaled], vec![]);
        let raised = self.graph.node("Add", &format!("{name}.raised"), &[&erf, &one], vec![]);
        let doubled = self.graph.node("Mul", &format!("{name}.doubled"), &[input, &raised], vec![]);
        Ok(self.graph.node("Mul", name, &[&doubled, &half], vec![]))
    }

    fn global_pool(&mut self, operator: &str, name: &str, input: &str) -> String {
        let pooled = self.graph.node(operator, &format!("{name}.pooled"), &[input], vec![]); // [N, C, 1, 1]
        self.graph.node("Flatten", name, &[&pooled], vec![integer("axis", 1)]) // [N, C]
    }

    fn residual(
        &mut self,
        options: &Residual,
        place: &str,
        input: String,
        before: FeatureShape,
        after: FeatureShape,
    ) -> Result<String> {
        let (inner, _) = self.layers(&options.layers, &format!("{place}.layers."), input.clone(), before)?;
        let shortcut = match options.projection(before, after, place)? {
            None => input,
            Some(stride) => {
                let place = format!("{place}.shortcut");
                let shape = [after.channels(), before.channels(), 1, 1];
                let weight = self.tensor(&place, "weight", &shape)?;
                let linear = Linear::new(Outputs::First, &shape, &weight.values, None);
                let affine = self.batch_norm(&place, after.channels(), &BatchNorm::default())?;
                self.linear("Conv", &place, &input, linear, &[affine], window(1, stride, 0))?
            }
        };
        Ok(self.graph.node("Add", &self.at(place), &[&inner, &shortcut], vec![]))
    }

    fn batch_norm(&self, place: &str, channels: usize, options: &BatchNorm) -> Result<Affine> {
        let [gamma, beta, mean, variance] = ["gamma", "beta", "running_mean", "running_variance"]
            .map(|part| self.tensor(place, part, &[channels]).map(|tensor| tensor.values.as_slice()));
        Ok(Affine::of_batch_norm(gamma?, beta?, mean?, variance?, options.epsilon.get()))
    }

    fn tensor(&self, place: &str, part: &str, shape: &[usize]) -> Result<&WeightTensor> {
        let name = format!("{place}.{part}");
        let tensor = self.weights.get(&name).with_context(|| format!("the weights hold no `{name}`"))?;
        ensure!(tensor.shape == shape, "the weights hold `{name}` of shape {:?}, the architecture needs {shape:?}", tensor.shape);
        Ok(tensor)
    }

    /// A constant of the layer at `place`, which all views share.
    fn constant(&mut self, place: &str, part: &str, shape: &[usize], values: &[f64]) -> Result<String> {
        let name = format!("{}/{place}.{part}", self.name);
        if self.has_constants { Ok(name) } else { self.graph.constant(&name, shape, values) }
    }

    /// The name of the node at `place`.
    fn at(&self, place: &str) -> String {
        format!("{}/{place}", self.prefix)
    }
}

fn window(size: usize, stride: usize, pad: usize) -> Vec<tract_onnx::pb::AttributeProto> {
    vec![integers("kernel_shape", size, 2), integers("strides", stride, 2), integers("pads", pad, 4)]
}

fn pool(options: &Pool) -> Vec<tract_onnx::pb::AttributeProto> {
    window(options.size.get(), options.step(), 0)
}

#[cfg(test)]
mod tests {
    use super::super::{check, encode, samples};
    use super::*;
    use crate::nn::{Views, WeightTensor};

    /// A node or constant a line: `Conv dense/0 ← image, …`.
    fn listing(model: &ModelProto) -> String {
        let graph = model.graph.as_ref().unwrap();
        let nodes = graph.node.iter().map(|node| format!("{} {} ← {}\n", node.op_type, node.name, node.input.join(", ")));
        let constants = graph.initializer.iter().map(|constant| format!("{} {:?}\n", constant.name, constant.dims));
        nodes.chain(constants).collect()
    }

    #[test]
    fn normalisations_fold_dropout_vanishes_and_names_are_places() {
        let layers = r#"[{"batch_norm": {}}, {"conv": {"filters": 2, "bias": false}}, {"dropout": {"rate": 0.5}}, {"batch_norm": {}}, {"gelu": {}},
            {"residual": {"layers": [{"conv": {"filters": 3, "stride": 2}}]}}, {"global_avg_pool": {}}, {"dense": {"units": 4}}]"#;
        let architecture = samples::architecture(1, layers);
        let model = samples::model("net", &architecture, &samples::weights(&architecture, 1));
        insta::assert_snapshot!(listing(&model), @"
        Sub net/normalisation.centred ← image, net/normalisation.mean
        Mul net/normalisation ← net/normalisation.centred, net/normalisation.scale
        Mul net/0.scaled ← net/normalisation, net/0.scale
        Add net/0 ← net/0.scaled, net/0.shift
        Conv net/1 ← net/0, net/1.weight, net/1.bias
        Div net/4.scaled ← net/1, net/4.root
        Erf net/4.erf ← net/4.scaled
        Add net/4.raised ← net/4.erf, net/4.one
        Mul net/4.doubled ← net/1, net/4.raised
        Mul net/4 ← net/4.doubled, net/4.half
        Conv net/5.layers.0 ← net/4, net/5.layers.0.weight, net/5.layers.0.bias
        Conv net/5.shortcut ← net/4, net/5.shortcut.weight, net/5.shortcut.bias
        Add net/5 ← net/5.layers.0, net/5.shortcut
        GlobalAveragePool net/6.pooled ← net/5
        Flatten net/6 ← net/6.pooled
        Gemm net/7 ← net/6, net/7.weight, net/7.bias
        Softmax probabilities ← net/7
        ArgMax label ← probabilities
        net/normalisation.mean [1, 1, 1, 1]
        net/normalisation.scale [1, 1, 1, 1]
        net/0.scale [1, 1, 1, 1]
        net/0.shift [1, 1, 1, 1]
        net/1.weight [2, 1, 3, 3]
        net/1.bias [2]
        net/4.root []
        net/4.one []
        net/4.half []
        net/5.layers.0.weight [3, 2, 3, 3]
        net/5.layers.0.bias [3]
        net/5.shortcut.weight [3, 2, 1, 1]
        net/5.shortcut.bias [3]
        net/7.weight [3, 4]
        net/7.bias [4]
        ");
    }

    #[test]
    fn views_have_nodes_of_their_own_and_constants_in_common() {
        let plain = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let architecture = Architecture { views: Views { flip: true, shift: 2 }, ..plain };
        let model = samples::model("net", &architecture, &samples::weights(&architecture, 1));
        let all = listing(&model);
        let shown: Vec<&str> = all.lines().filter(|line| !(2..5).any(|view| line.contains(&format!("view.{view}")))).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        Sub net/normalisation.centred ← image, net/normalisation.mean
        Mul net/normalisation ← net/normalisation.centred, net/normalisation.scale
        Flatten net/0 ← net/normalisation
        Gemm net/1 ← net/0, net/1.weight, net/1.bias
        Softmax net/view.0/probabilities ← net/1
        Pad net/views.framed ← image, net/views.framed.pads
        Slice net/view.1 ← net/views.framed, net/view.1.starts, net/view.1.ends, net/view.1.axes, net/view.1.steps
        Sub net/view.1/normalisation.centred ← net/view.1, net/normalisation.mean
        Mul net/view.1/normalisation ← net/view.1/normalisation.centred, net/normalisation.scale
        Flatten net/view.1/0 ← net/view.1/normalisation
        Gemm net/view.1/1 ← net/view.1/0, net/1.weight, net/1.bias
        Softmax net/view.1/probabilities ← net/view.1/1
        Add net/view.1/sum ← net/view.0/probabilities, net/view.1/probabilities
        Slice net/view.5 ← net/views.framed, net/view.5.starts, net/view.5.ends, net/view.5.axes, net/view.5.steps
        Sub net/view.5/normalisation.centred ← net/view.5, net/normalisation.mean
        Mul net/view.5/normalisation ← net/view.5/normalisation.centred, net/normalisation.scale
        Flatten net/view.5/0 ← net/view.5/normalisation
        Gemm net/view.5/1 ← net/view.5/0, net/1.weight, net/1.bias
        Softmax net/view.5/probabilities ← net/view.5/1
        Mul probabilities ← net/view.5/sum, net/views.share
        ArgMax label ← probabilities
        net/normalisation.mean [1, 1, 1, 1]
        net/normalisation.scale [1, 1, 1, 1]
        net/1.weight [72, 4]
        net/1.bias [4]
        net/views.framed.pads [8]
        net/view.1.starts [2]
        net/view.1.ends [2]
        net/view.1.axes [2]
        net/view.1.steps [2]
        net/view.5.starts [2]
        net/view.5.ends [2]
        net/view.5.axes [2]
        net/view.5.steps [2]
        net/views.share []
        ");
    }

    #[test]
    fn every_kind_of_layer_passes_the_structural_check_and_gives_the_same_bytes_twice() {
        for (name, architecture) in samples::architectures() {
            let weights = samples::weights(&architecture, 7);
            let model = samples::model(name, &architecture, &weights);
            let interface = check(&model).unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert_eq!((interface.image, interface.classes.len()), (architecture.input, 4), "{name}");
            assert_eq!(encode(&model), encode(&samples::model(name, &architecture, &weights)), "{name}");
            let graph = model.graph.unwrap();
            for constant in &graph.initializer {
                assert!(graph.node.iter().any(|node| node.input.contains(&constant.name)), "{name}: {} is unused", constant.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_exported_is_named() {
        let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let weights = samples::weights(&architecture, 1);
        let check = |architecture: &Architecture, weights: &Weights, metadata: &Metadata, expected: &str| {
            let error = lower(&Member { name: "net", architecture, weights }, metadata).unwrap_err();
            assert_eq!(format!("{error:#}"), format!("cannot export `net`: {expected}"));
        };
        let metadata = samples::metadata("net");

        let mut tensors: Vec<WeightTensor> = weights.tensors().to_vec();
        tensors[0].values[5] = f32::NAN;
        let diverged = Weights::new(&architecture, tensors).unwrap();
        let expected = "`net/1.weight` holds NaN at 5: the model cannot be exported; did its training diverge?";
        check(&architecture, &diverged, &metadata, expected);

        let mut flat = architecture.clone();
        flat.normalisation.deviation = vec![0.0];
        check(&flat, &weights, &metadata, "normalisation: needs one mean and one deviation above 0 for each of the 1 channels");

        let mut wide = architecture.clone();
        wide.normalisation.mean = vec![0.5, 0.5];
        check(&wide, &weights, &metadata, "normalisation: needs one mean and one deviation above 0 for each of the 1 channels");

        let conv = samples::architecture(1, r#"[{"conv": {"filters": 4}}, {"global_avg_pool": {}}]"#);
        check(&conv, &weights, &metadata, "the weights hold no `0.weight`");

        let three = Metadata { classes: metadata.classes[..3].to_vec(), ..metadata.clone() };
        check(&architecture, &weights, &three, "the network has 4 classes, but 3 are named");
    }
}
