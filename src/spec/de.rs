//! A serde deserializer over [`Node`]s that collects problems instead of stopping at the first.
//!
//! Serde's derived visitors give up at the first field that fails, and only they know the types of the others. So a value
//! that fails is noted and *skipped*, and the whole is read again as if that value were not there, until nothing fails
//! any more: every pass adds one node to the skipped ones, so it ends. What a container says after a part of it was
//! skipped, that a field is missing or a list too short, is a consequence and not reported; the container is skipped in
//! turn, so that what stands beside it is read too.
//!
//! Serde passes the names of a struct's fields and of an enum's variants, hence the suggestions. It also passes the names
//! of newtypes: those of [`crate::graph`]'s references are recorded with their places.

use std::cell::RefCell;
use std::collections::HashSet;

use schemars::JsonSchema;
use serde::de::{self, DeserializeOwned, Visitor};

use super::access::{Choice, Elements, Entries};
use super::coerce::{self, Number};
use super::error::Error;
use super::node::{Key, Node, Value};
use super::problem::{Place, Problem, Problems};
use super::references::{self, ReferenceUse};
use super::scalar::Scalar;
use super::schema;
use super::suggest::{did_you_mean, list, nearest};
use crate::graph::StageId;
use crate::quote::excerpt;

/// The most problems that are looked for in one value, one in each pass.
const MOST_PASSES: usize = 100;
/// The most nodes that are read in all passes over one value, unless the least passes are more.
const MOST_READ: usize = 1_000_000;
/// The least passes.
const LEAST_PASSES: usize = 10;

/// Reads a `T` from `node`, which stands under `key`. What is wrong is added to `problems`, and what refers to stages to
/// `references`, in as much of the node as can be read; `None` means that there were problems.
pub(super) fn read<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    key: Option<&Key>,
    problems: &mut Problems,
    references: &mut Vec<ReferenceUse>,
) -> Option<T> {
    let reader = Reader { required: schema::required_fields::<T>, is_full: problems.is_full(), state: RefCell::default() };
    let mut passes = (MOST_READ / node.size()).clamp(LEAST_PASSES, MOST_PASSES);
    let value = loop {
        let cursor = Cursor { node, key, bare: false, reader: &reader };
        passes -= 1;
        match T::deserialize(cursor) {
            Ok(value) => break Some(value),
            Err(Error::Again) if passes > 0 && !reader.is_full() => {}
            Err(Error::Again) => break None,
            Err(error) => {
                reader.fail(cursor, error);
                break None;
            }
        }
    };
    let state = reader.state.into_inner();
    references.extend(state.references);
    let is_well = state.problems.is_empty();
    problems.absorb(state.problems);
    value.filter(|_| is_well)
}

/// The one state behind all cursors of a tree.
pub(super) struct Reader {
    /// The fields without which a struct of this name and these fields cannot be read, as far as is known.
    required: fn(&str, &[&str]) -> Vec<String>,
    /// Whether as many problems were known before as are shown.
    is_full: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    problems: Problems,
    references: Vec<ReferenceUse>,
    /// Which references there are.
    known: HashSet<((usize, usize, usize), StageId)>,
    skipped: HashSet<*const Node>,
}

impl Reader {
    pub fn add(&self, place: &Place, message: String, help: Option<String>) {
        self.state.borrow_mut().problems.push(Problem { place: place.clone(), message, help });
    }

    /// Whether so many problems are known that no more are looked for, and no advice for them.
    pub fn is_full(&self) -> bool {
        self.is_full || self.state.borrow().problems.is_full()
    }

    fn is_skipped(&self, node: &Node) -> bool {
        self.state.borrow().skipped.contains(&std::ptr::from_ref(node))
    }

    /// Whether the node is incomplete because something in it is skipped.
    fn has_skipped(&self, node: &Node) -> bool {
        node.children().any(|child| self.is_skipped(child) || self.has_skipped(child))
    }

    /// Notes the error of a value, unless it is a consequence of others, and skips the value from now on.
    fn fail(&self, cursor: Cursor<'_>, error: Error) {
        if !self.has_skipped(cursor.node)
            && let Some((message, help)) = cursor.explain(error)
        {
            self.add(cursor.node.spot(cursor.key), message, help);
        }
        self.skip(cursor.node);
    }

    pub fn skip(&self, node: &Node) {
        self.state.borrow_mut().skipped.insert(node);
    }

    /// Reads a part of a container. A failure is noted, and the part skipped in the next pass.
    pub fn part<T>(&self, node: &Node, key: Option<&Key>, read: impl FnOnce(Cursor<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.is_skipped(node) {
            return Err(Error::Reported);
        }
        let cursor = Cursor { node, key, bare: false, reader: self };
        read(cursor).map_err(|error| {
            if !matches!(error, Error::Again) {
                self.fail(cursor, error);
            }
            Error::Again
        })
    }
}

/// A node that is about to be read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub node: &'a Node,
    /// The key under which it stands; in a list, that of the list.
    pub key: Option<&'a Key>,
    /// The node is the name of a variant, and what is read are that variant's options, of which none were given.
    pub bare: bool,
    pub reader: &'a Reader,
}

impl<'a> Cursor<'a> {
    /// The key under which this stands, or the word for what has none.
    fn name(&self) -> String {
        self.key.map_or("this".to_owned(), |key| format!("`{}`", key.shown()))
    }

    /// The error that `wanted` is needed here, and something else given.
    fn unfit(&self, wanted: &str, advice: Option<String>) -> Error {
        if self.bare {
            let name = self.node.scalar().map_or_else(String::new, |(_, text)| excerpt(text));
            return Error::Text(format!("`{name}` needs {wanted}"), Some(format!("write `{name}: …`")));
        }
        if self.node.is_blank() {
            let message = self.key.map_or("a value is missing".to_owned(), |key| format!("`{}` has no value", key.shown()));
            return Error::Text(message, Some(format!("give {wanted}")));
        }
        Error::Text(format!("{} needs {wanted}, not {}", self.name(), self.node.describe()), advice)
    }

    /// An error as a message and its help; `None` if it has been explained already.
    pub fn explain(&self, error: Error) -> Option<(String, Option<String>)> {
        match error {
            Error::Text(message, help) => Some((message, help)),
            Error::Refused(message) => {
                let what = self.key.map_or_else(String::new, |key| format!("`{}`: ", key.shown()));
                Some((what + &message, None))
            }
            Error::Missing(field) => Some((format!("`{field}` is missing"), None)),
            Error::Unfit(wanted) => self.explain(self.unfit(&wanted, None)),
            Error::Again | Error::Reported => None,
        }
    }

    fn number<T: Number>(&self) -> Result<T, Error> {
        let number = self.node.scalar().filter(|_| !self.bare).and_then(|(scalar, text)| T::from_scalar(scalar, text));
        number.unwrap_or_else(|| Err(self.unfit(T::WANTED, coerce::to_number(self.node, T::WHOLE))))
    }

    fn text(&self, wanted: &str) -> Result<&'a str, Error> {
        match self.node.scalar() {
            Some((Scalar::Text, text)) if !self.bare => Ok(text),
            _ => Err(self.unfit(wanted, coerce::to_text(self.node))),
        }
    }

    fn list(&self, wanted: &str) -> Result<&'a [Node], Error> {
        match &self.node.value {
            Value::List(nodes) => Ok(nodes),
            _ => Err(self.unfit(wanted, None)),
        }
    }

    fn entries(&self, wanted: &str) -> Result<&'a [(Key, Node)], Error> {
        match &self.node.value {
            Value::Mapping(entries) => Ok(entries),
            _ if self.bare => Ok(&[]),
            _ => Err(self.unfit(wanted, None)),
        }
    }

    /// Reads a mapping with known keys. `name` is that of the struct.
    pub fn fields<'de, V: Visitor<'de>>(self, name: &str, fields: &[&str], visitor: V) -> Result<V::Value, Error> {
        if self.node.is_blank()
            && let Some(key) = self.key
        {
            let help = "give options in the form `{ key: value }`, or `{}` where all have defaults".to_owned();
            return Err(Error::Text(format!("`{}` has no value", key.shown()), Some(help)));
        }
        let entries = self.entries("options in the form `{ key: value }`")?;
        let mut known = Vec::with_capacity(entries.len());
        let mut absent = HashSet::new();
        for (key, node) in entries {
            if !fields.contains(&key.text.as_str()) {
                if !self.reader.is_full() {
                    // The field that was meant is given, if under a wrong name.
                    absent.extend(nearest(&key.text, fields.iter().copied()));
                }
                self.unknown_key(key, node, fields);
            } else if self.reader.is_skipped(node) {
                absent.insert(key.text.as_str());
            } else {
                known.push((key, node));
            }
        }
        visitor.visit_map(Entries { entries: known.into_iter(), value: None, reader: self.reader }).map_err(|error| {
            let Error::Missing(field) = error else { return error };
            let mut missing = if self.reader.is_full() { Vec::new() } else { (self.reader.required)(name, fields) };
            if !missing.iter().any(|other| other == field) {
                missing.push(field.to_owned());
            }
            missing.retain(|field| !absent.contains(field.as_str()) && !entries.iter().any(|(key, _)| key.text == *field));
            self.missing_fields(&missing)
        })
    }

    fn unknown_key(&self, key: &Key, node: &Node, fields: &[&str]) {
        let owner = self.key.map_or(String::new(), |owner| format!(" in `{}`", owner.shown()));
        let help = match key.text.split_once(':') {
            Some((name, value)) if node.is_blank() && fields.contains(&name) => {
                Some(format!("put a blank after the `:`, as in `{name}: {}`", excerpt(value)))
            }
            _ if self.reader.is_full() => None,
            _ if fields.is_empty() => Some("remove it; there are no options".to_owned()),
            _ => did_you_mean(&key.text, fields, "known here are"),
        };
        self.reader.add(&key.place, format!("`{}` is not known{owner}", key.shown()), help);
    }

    fn missing_fields(&self, missing: &[String]) -> Error {
        if missing.is_empty() {
            return Error::Reported;
        }
        let fields = list(missing);
        let are = if missing.len() == 1 { "is" } else { "are" };
        if self.bare {
            let name = self.node.scalar().map_or_else(String::new, |(_, text)| excerpt(text));
            let entries = missing.iter().map(|field| format!("{field}: …")).collect::<Vec<_>>().join(", ");
            let help = format!("write `{name}: {{ {entries} }}`");
            self.reader.add(&self.node.place, format!("{fields} {are} missing in `{name}`"), Some(help));
        } else {
            let owner = self.key.map_or(String::new(), |key| format!(" in `{}`", key.shown()));
            self.reader.add(self.node.spot(self.key), format!("{fields} {are} missing{owner}"), None);
        }
        Error::Reported
    }

    /// The entry that chooses a variant. A key beside it most likely belongs in it.
    fn chosen(&self, entries: &'a [(Key, Node)], variants: &[&str]) -> Result<(&'a Key, &'a Node), Error> {
        if let [(key, node)] = entries {
            return Ok((key, node));
        }
        let (choices, others): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| variants.contains(&key.text.as_str()));
        match &choices[..] {
            [(choice, node)] => {
                for (key, _) in others {
                    let help = format!("if it belongs in `{}`, indent it further", choice.shown());
                    self.reader.add(&key.place, format!("`{}` stands beside `{}`", key.shown(), choice.shown()), Some(help));
                }
                Ok((choice, node))
            }
            _ => {
                let given: Vec<_> = entries.iter().map(|(key, _)| &key.text).collect();
                let found = if given.is_empty() { "and has none".to_owned() } else { format!("and has {}", list(&given)) };
                let help = format!("choose one of {}", list(variants));
                Err(Error::Text(format!("{} needs exactly one choice {found}", self.name()), Some(help)))
            }
        }
    }

    fn elements<'de, V: Visitor<'de>>(self, nodes: &[Node], visitor: V) -> Result<V::Value, Error> {
        let nodes: Vec<&Node> = nodes.iter().filter(|node| !self.reader.is_skipped(node)).collect();
        visitor.visit_seq(Elements { nodes: nodes.into_iter(), key: self.key, reader: self.reader })
    }

    pub fn tuple<'de, V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let wanted = format!("a list of {length}");
        let nodes = self.list(&wanted)?;
        if nodes.len() != length {
            return Err(Error::Text(format!("{} needs {wanted}, and this list has {}", self.name(), nodes.len()), None));
        }
        self.elements(nodes, visitor)
    }
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $type:ty;)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.number::<$type>()?)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Cursor<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            _ if self.bare => self.deserialize_map(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Mapping(_) => self.deserialize_map(visitor),
            Value::Scalar { .. } if self.node.is_blank() => Err(self.unfit("a value", None)),
            Value::Scalar { text, .. } => match self.node.scalar().map_or(Scalar::Text, |(scalar, _)| scalar) {
                Scalar::Null => visitor.visit_unit(),
                Scalar::Bool(value) => visitor.visit_bool(value),
                Scalar::Integer(value) => match (u64::try_from(value), i64::try_from(value)) {
                    (Ok(value), _) => visitor.visit_u64(value),
                    (_, Ok(value)) => visitor.visit_i64(value),
                    _ => visitor.visit_f64(self.number()?),
                },
                Scalar::Float(_) => visitor.visit_f64(self.number()?),
                Scalar::Text => visitor.visit_str(text),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.scalar() {
            Some((Scalar::Bool(value), _)) if !self.bare => visitor.visit_bool(value),
            _ => Err(self.unfit("`true` or `false`", coerce::to_bool(self.node))),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut characters = self.text("one character")?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => visitor.visit_char(character),
            _ => Err(self.unfit("one character", None)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("text")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    /// `null` and `~` mean none. A value that was left out may be a slip, and is an error everywhere.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.scalar() {
            Some((Scalar::Null, text)) if !text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.scalar() {
            Some((Scalar::Null, text)) if !text.is_empty() => visitor.visit_unit(),
            _ => Err(self.unfit("`null`", None)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if references::is_reference(name) {
            let text = self.text(references::WANTED)?;
            if let Some(found) = references::found(name, text, self.key, &self.node.place) {
                let state = &mut *self.reader.state.borrow_mut();
                // A node is read in several passes.
                if state.known.insert((found.place.identity(), found.stage.clone())) {
                    state.references.push(found);
                }
            }
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.elements(self.list("a list")?, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.tuple(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.entries("a mapping in the form `{ key: value }`")?;
        let entries: Vec<_> =
            entries.iter().filter(|(_, node)| !self.reader.is_skipped(node)).map(|(key, node)| (key, node)).collect();
        visitor.visit_map(Entries { entries: entries.into_iter(), value: None, reader: self.reader })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, place, content) = match &self.node.value {
            Value::Mapping(entries) => {
                let (key, node) = self.chosen(entries, variants)?;
                (key.text.as_str(), &key.place, Some((key, node)))
            }
            Value::Scalar { text, .. } if !self.bare && !self.node.is_blank() => (text.as_str(), &self.node.place, None),
            _ => return Err(self.unfit(&format!("one of {}", list(variants)), None)),
        };
        if !variants.contains(&name) {
            let message = match self.key {
                Some(key) => format!("`{}` cannot be `{}`", key.shown(), excerpt(name)),
                None => format!("`{}` is not known here", excerpt(name)),
            };
            let help = if self.reader.is_full() { None } else { did_you_mean(name, variants, "it can be") };
            self.reader.add(place, message, help);
            return Err(Error::Reported);
        }
        visitor.visit_enum(Choice { name, content, cursor: self })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
