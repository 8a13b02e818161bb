//! A model as bytes, and back.

use anyhow::{Context, Result, ensure};
use prost::Message;

use super::ModelProto;

/// The bytes of an `.onnx` file. Equal models give equal bytes.
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Reads the bytes of an `.onnx` file. Whether the graph in it makes sense is [`super::check`]'s to say.
///
/// # Errors
/// When the bytes are not those of an ONNX file, or end too early.
pub fn decode(bytes: &[u8]) -> Result<ModelProto> {
    ensure!(!bytes.is_empty(), "an ONNX file cannot be empty");
    ModelProto::decode(bytes).context("these are not the bytes of a whole ONNX file")
}
