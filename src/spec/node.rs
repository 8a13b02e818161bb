//! The text as a tree that remembers where everything stands. It does not know what keys mean.

use super::problem::Place;
use super::scalar::{Scalar, resolve};
use crate::quote::excerpt;

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

impl Key {
    /// Its text, fit for a message.
    pub fn shown(&self) -> String {
        excerpt(&self.text)
    }
}

/// A value and where it stands: a scalar with its quotes, a collection at its start, a blank value at its key.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `plain` is without quotes: such a scalar may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file, each key once.
    Mapping(Vec<(Key, Node)>),
}

impl Node {
    /// JSON as a tree, all of it at `place`.
    pub fn from_json(json: &serde_json::Value, place: &Place) -> Self {
        use serde_json::Value as Json;
        let scalar = |text: String, plain| Value::Scalar { text, plain };
        let value = match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => scalar(json.to_string(), true),
            Json::String(text) => scalar(text.clone(), false),
            Json::Array(items) => Value::List(items.iter().map(|item| Self::from_json(item, place)).collect()),
            Json::Object(fields) => {
                let key = |text: &String| Key { text: text.clone(), place: place.clone() };
                Value::Mapping(fields.iter().map(|(name, value)| (key(name), Self::from_json(value, place))).collect())
            }
        };
        Self { place: place.clone(), value }
    }

    /// What stands under `key` in a mapping.
    pub fn get(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(other, _)| other.text == key).map(|(key, node)| (key, node)),
            _ => None,
        }
    }

    /// What stands under `key` in a mapping, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Mapping(entries) => entries.iter_mut().find(|(other, _)| other.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Nothing was written: `epochs:` and then the end of the line.
    pub fn is_blank(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if text.is_empty())
    }

    /// The meaning of a scalar; `None` for collections.
    pub fn scalar(&self) -> Option<(Scalar, &str)> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some((resolve(text), text)),
            Value::Scalar { text, plain: false } => Some((Scalar::Text, text)),
            _ => None,
        }
    }

    /// Nodes directly below this one.
    pub fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.value {
            Value::Scalar { .. } => Box::new(std::iter::empty()),
            Value::List(nodes) => Box::new(nodes.iter()),
            Value::Mapping(entries) => Box::new(entries.iter().map(|(_, node)| node)),
        }
    }

    /// Levels of nodes: 1 for a scalar.
    pub fn height(&self) -> usize {
        1 + self.children().map(Self::height).max().unwrap_or(0)
    }

    /// The number of nodes, this one included.
    pub fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// Where to point when the whole node is meant, which stands under `key`: a mapping or a list is best shown by the key
    /// before it.
    pub fn spot<'a>(&'a self, key: Option<&'a Key>) -> &'a Place {
        match (&self.value, key) {
            (Value::List(_) | Value::Mapping(_), Some(key)) => &key.place,
            _ => &self.place,
        }
    }

    /// The place of what `path` leads to, through keys and positions in lists; of the nearest node above where the path
    /// ends early. This node stands under `key`.
    pub fn find<'a>(&'a self, key: Option<&'a Key>, path: &[&str]) -> &'a Place {
        let next = path.split_first().and_then(|(first, rest)| match &self.value {
            Value::Mapping(_) => self.get(first).map(|(key, node)| node.find(Some(key), rest)),
            Value::List(nodes) => {
                first.parse::<usize>().ok().and_then(|index| nodes.get(index)).map(|node| node.find(None, rest))
            }
            Value::Scalar { .. } => None,
        });
        next.unwrap_or_else(|| self.spot(key))
    }

    /// What stands here, for a sentence such as ``not the text `abc` ``.
    pub fn describe(&self) -> String {
        match (&self.value, self.scalar()) {
            (Value::List(_), _) => "a list".to_owned(),
            (Value::Mapping(_), _) => "a mapping".to_owned(),
            (_, Some((Scalar::Null, ""))) | (_, None) => "nothing".to_owned(),
            (_, Some((Scalar::Null | Scalar::Bool(_), text))) => format!("`{text}`"),
            (_, Some((Scalar::Integer(_) | Scalar::Float(_), text))) => format!("the number {}", excerpt(text)),
            (_, Some((Scalar::Text, text))) if text.chars().count() > 40 || text.contains(char::is_control) => "text".to_owned(),
            (_, Some((Scalar::Text, text))) => format!("the text `{text}`"),
        }
    }
}
