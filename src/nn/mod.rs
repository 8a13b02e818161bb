//! Networks: architectures as data, presets, weights, and the Burn module built from them. It knows nothing of training or
//! files of data.

pub mod accelerated;
mod architecture;
mod initial;
mod layers;
mod network;
mod normalisation;
mod predict;
mod presets;
mod shapes;
mod single_values;
mod views;
mod weights;

pub use architecture::{
    Architecture, BatchNorm, Conv, Dense, Dropout, Layer, Normalisation, Padding, Parameter, ParameterKind, Plain, Pool, Residual,
};
pub use network::{Network, decaying_parameters, hidden_weights, image_tensor, push_image};
pub use predict::{PredictError, predict};
pub use presets::{
    Activation, AdvancedOptions, BasicOptions, Halving, Head, MlpOptions, ModelOptions, OptimumOptions, PairPooling,
};
pub use shapes::{FeatureShape, LayerError, MOST_VALUES, MOST_WEIGHTS, WindowError, Windows, volume};
pub use views::Views;
pub use weights::{WeightTensor, Weights};
