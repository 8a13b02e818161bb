//! The parts of containers, as serde asks for them: entries of mappings, elements of lists, the options of a choice.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer as _, Visitor};

use super::de::{Cursor, Reader};
use super::error::Error;
use super::node::{Key, Node, Value};

/// The entries of a mapping, for serde.
pub(super) struct Entries<'a, I> {
    pub entries: I,
    pub value: Option<(&'a Key, &'a Node)>,
    pub reader: &'a Reader,
}

impl<'a, 'de, I: Iterator<Item = (&'a Key, &'a Node)>> de::MapAccess<'de> for Entries<'a, I> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some((key, node)) = self.value else { return Ok(None) };
        // A key is read as text under itself; what is wrong with it is shown at the key, and its value is skipped.
        let as_node = Node { place: key.place.clone(), value: Value::Scalar { text: key.text.clone(), plain: false } };
        let cursor = Cursor { node: &as_node, key: None, bare: false, reader: self.reader };
        seed.deserialize(cursor).map(Some).map_err(|error| {
            if let Some((message, help)) = cursor.explain(error) {
                self.reader.add(&key.place, message, help);
            }
            self.reader.skip(node);
            Error::Again
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, node) = self.value.take().expect("serde asks for a value after its key");
        self.reader.part(node, Some(key), |cursor| seed.deserialize(cursor))
    }
}

/// The elements of a list, for serde.
pub(super) struct Elements<'a, I> {
    pub nodes: I,
    pub key: Option<&'a Key>,
    pub reader: &'a Reader,
}

impl<'a, 'de, I: ExactSizeIterator<Item = &'a Node>> de::SeqAccess<'de> for Elements<'a, I> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        // A collection in a list stands under no key of its own: it is shown at its start.
        let under = |node: &Node| self.key.filter(|_| matches!(node.value, Value::Scalar { .. }));
        self.nodes.next().map(|node| self.reader.part(node, under(node), |cursor| seed.deserialize(cursor))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len())
    }
}

/// A chosen variant: `cosine`, or `cosine: { … }`.
pub(super) struct Choice<'a> {
    pub name: &'a str,
    pub content: Option<(&'a Key, &'a Node)>,
    pub cursor: Cursor<'a>,
}

impl<'de> de::EnumAccess<'de> for Choice<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl Choice<'_> {
    /// Reads the options; for a bare name, none.
    fn options<T>(self, read: impl FnOnce(Cursor<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match self.content {
            Some((key, node)) => self.cursor.reader.part(node, Some(key), read),
            None => read(Cursor { bare: true, ..self.cursor }),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        let Some((key, _)) = self.content else { return Ok(()) };
        let name = self.name;
        self.cursor.reader.add(&key.place, format!("`{name}` has no options"), Some(format!("write just `{name}`")));
        Err(Error::Reported)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.options(|cursor| seed.deserialize(cursor))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.options(|cursor| cursor.tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.options(|cursor| cursor.fields("", fields, visitor))
    }
}
