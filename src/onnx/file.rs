//! A model as bytes, and back.

use prost::Message;

use super::ModelProto;

/// The most bytes of a file, those of protobuf itself.
pub const MOST_BYTES: u64 = (1 << 31) - 1;
/// The most messages in a file: nodes, attributes, constants. Two bytes can make one of hundreds in memory.
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
    if messages(bytes, &MODEL, MOST_LEVELS) > MOST_MESSAGES {
        return Err(NotOnnx::TooMany);
    }
    ModelProto::decode(bytes).map_err(|_| NotOnnx::Bytes)
}

/// Which fields of a message are messages that hold further ones, each with those of its own. Weights lie in none of these.
struct Fields(&'static [(u64, &'static Self)]);

static MODEL: Fields = Fields(&[(7, &GRAPH), (20, &TRAINING), (25, &FUNCTION)]);
static TRAINING: Fields = Fields(&[(1, &GRAPH), (2, &GRAPH)]);
static FUNCTION: Fields = Fields(&[(7, &NODE)]);
static GRAPH: Fields = Fields(&[(1, &NODE), (5, &LEAF), (11, &VALUE), (12, &VALUE), (13, &VALUE), (14, &LEAF), (15, &SPARSE)]);
static NODE: Fields = Fields(&[(5, &ATTRIBUTE)]);
static ATTRIBUTE: Fields =
    Fields(&[(5, &LEAF), (6, &GRAPH), (10, &LEAF), (11, &GRAPH), (15, &TYPE), (22, &SPARSE), (23, &SPARSE)]);
static VALUE: Fields = Fields(&[(2, &TYPE)]);
static TYPE: Fields = Fields(&[(1, &SHAPED)]);
static SHAPED: Fields = Fields(&[(2, &LEAF)]);
static SPARSE: Fields = Fields(&[(1, &LEAF), (2, &LEAF)]);
static LEAF: Fields = Fields(&[]);

/// The most levels of messages in messages that protobuf's reader follows.
const MOST_LEVELS: usize = 100;

/// The number of fields in a message, those in the messages that `inside` names included, `levels` deep. What follows bytes that are
/// none is not counted: they are refused later.
fn messages(mut bytes: &[u8], inside: &Fields, levels: usize) -> usize {
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
            3 | 4 => continue, // the ends of a group, which the reader passes over
            5 => 4,
            _ => break,
        };
        let Some((content, rest)) = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)) else { break };
        if tag & 7 == 2
            && levels > 0
            && let Some((_, inside)) = inside.0.iter().find(|(field, _)| *field == tag >> 3)
        {
            count += messages(content, inside, levels - 1);
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
        let count = messages(&encode(&model), &MODEL, MOST_LEVELS);
        let attributes: usize = graph.node.iter().map(|node| node.attribute.len()).sum();
        assert!(count > graph.node.len() + graph.initializer.len() + attributes && count < 300, "{count}");

        let field = |tag: &[u8], content: &[u8]| {
            let mut bytes = tag.to_vec();
            prost::encoding::encode_varint(content.len() as u64, &mut bytes);
            bytes.extend(content);
            bytes
        };
        let many = |tag: u8| [tag, 0].repeat(MOST_MESSAGES + 1);
        let nodes = field(&[0x3a], &many(0x0a));
        let behind_a_group = [&[0xa3, 0x06, 0xa4, 0x06], nodes.as_slice()].concat();
        let in_a_function = field(&[0xca, 0x01], &field(&[0x3a], &many(0x2a)));
        let in_a_graph_of_an_attribute = field(&[0x3a], &field(&[0x0a], &field(&[0x2a], &field(&[0x32], &many(0x0a)))));
        let in_a_shape = field(&[0x3a], &field(&[0x6a], &field(&[0x12], &field(&[0x0a], &field(&[0x12], &many(0x0a))))));
        for bytes in [nodes, behind_a_group, in_a_function, in_a_graph_of_an_attribute, in_a_shape] {
            assert_eq!(decode(&bytes), Err(NotOnnx::TooMany));
        }
        // Graphs in attributes in graphs, written from the innermost on.
        let mut deep = Vec::new();
        for tag in [0x32, 0x2a, 0x0a].into_iter().cycle().take(300_000).chain([0x3a]) {
            let mut head = vec![tag];
            prost::encoding::encode_varint(deep.len() as u64, &mut head);
            deep.extend(head.into_iter().rev());
        }
        deep.reverse();
        assert_eq!(decode(&deep), Err(NotOnnx::Bytes));
        // A length beyond the end, and a number without one.
        assert_eq!(decode(&[0x3a, 0xff, 0xff, 0xff, 0x0f, 0]), Err(NotOnnx::Bytes));
        assert_eq!(decode(&[0xff; 40]), Err(NotOnnx::Bytes));
    }
}
