//! A model as bytes, and back.

use prost::Message;

use super::ModelProto;

/// The most bytes of a file, those of protobuf itself.
pub const MOST_BYTES: u64 = (1 << 31) - 1;
/// The most messages in a graph: nodes, attributes, constants. Two bytes can make one of hundreds in memory.
const MOST_MESSAGES: usize = 1_000_000;

/// Bytes that are no ONNX file, or not all of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOnnx {
    /// There is nothing.
    #[error("an ONNX file cannot be empty")]
    Empty,
    /// They cannot be read, or end too early.
    #[error("these are not the bytes of a whole ONNX file")]
    Bytes,
    /// They would take too much memory.
    #[error("the graph has more than {} nodes, attributes and constants", MOST_MESSAGES)]
    TooMany,
}

/// The bytes of an `.onnx` file. Equal models give equal bytes.
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Reads the bytes of an `.onnx` file. Whether the graph in it makes sense is [`super::check`]'s to say.
///
/// # Errors
/// When the bytes are not those of an ONNX file, or end too early.
pub fn decode(bytes: &[u8]) -> Result<ModelProto, NotOnnx> {
    if bytes.is_empty() {
        return Err(NotOnnx::Empty);
    }
    if messages(bytes, MODEL) > MOST_MESSAGES {
        return Err(NotOnnx::TooMany);
    }
    ModelProto::decode(bytes).map_err(|_| NotOnnx::Bytes)
}

/// Which fields of a message are messages that are counted inside, each with those of its own.
struct Fields(&'static [(u64, Self)]);

/// The graph of a model, the nodes of a graph, the attributes of a node.
const MODEL: &Fields = &Fields(&[(7, Fields(&[(1, Fields(&[(5, Fields(&[]))]))]))]);

/// The number of fields in a message, those in the messages that `inside` names included. What follows bytes that are none is not
/// counted: they are refused later.
fn messages(mut bytes: &[u8], inside: &Fields) -> usize {
    let mut count = 0;
    while let Some(tag) = varint(&mut bytes) {
        count += 1;
        let length = match tag & 7 {
            0 => {
                if varint(&mut bytes).is_none() {
                    break;
                }
                continue;
            }
            1 => 8,
            2 => match varint(&mut bytes) {
                Some(length) => length,
                None => break,
            },
            5 => 4,
            _ => break,
        };
        let Some((content, rest)) = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)) else { break };
        if let Some((_, inside)) = inside.0.iter().find(|(field, _)| *field == tag >> 3) {
            count += messages(content, inside);
        }
        bytes = rest;
    }
    count
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..10 {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * shift);
        if first < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn what_two_bytes_blow_up_to_is_counted_before_it_is_read() {
        let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let model = samples::model("net", &architecture, &samples::weights(&architecture, 1));
        let graph = model.graph.as_ref().unwrap();
        let count = messages(&encode(&model), MODEL);
        let attributes: usize = graph.node.iter().map(|node| node.attribute.len()).sum();
        assert!(count > graph.node.len() + graph.initializer.len() + attributes && count < 200, "{count}");

        // A graph of empty nodes.
        let nodes = [0x0a, 0].repeat(MOST_MESSAGES + 1);
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
        bytes.extend(nodes);
        assert_eq!(decode(&bytes), Err(NotOnnx::TooMany));
        // A length beyond the end, and a number without one.
        assert_eq!(decode(&[0x3a, 0xff, 0xff, 0xff, 0x0f, 0]), Err(NotOnnx::Bytes));
        assert_eq!(decode(&[0xff; 40]), Err(NotOnnx::Bytes));
    }
}
