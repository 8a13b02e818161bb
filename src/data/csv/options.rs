//! The options that say how the columns of a CSV file are to be understood.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::PixelPattern;
use crate::fault::Fault;
use crate::quote::excerpt;

/// How the columns of a CSV file are to be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// The column that holds the label: its name, or its place: `first`, `last` or a number, counted from 1. A column of that name
    /// comes before a place.
    #[serde(deserialize_with = "column")]
    #[schemars(schema_with = "column_schema")]
    pub label: String,
    /// The names of the pixel columns. `{n}` stands for the number of the pixel, through the channels, then the rows, then the
    /// columns of the image; or `{row}` and `{column}` (and `{channel}`) for its place. They count from 0 or 1. Where no column is
    /// called `pixel{n}`, other names that count all pixels are recognised, and told.
    pub pixels: PixelPattern,
    /// Whether the first row holds the names of the columns. Without names, the columns are the pixels, and if there are more columns than
    /// pixels, the label before or behind them, and before all a column that counts the rows.
    pub header: Header,
    /// Other columns that may be there and are passed over, by their names; `*` stands for all. In a table without a header, by their places:
    /// `first`, `last` or a number, counted from 1.
    #[serde(deserialize_with = "columns")]
    #[schemars(schema_with = "columns_schema")]
    pub ignore: Vec<String>,
    /// What stands between two columns.
    #[serde(skip_serializing_if = "Delimiter::is_auto")]
    pub delimiter: Delimiter,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            label: USUAL_LABEL.to_owned(),
            pixels: PixelPattern::usual(),
            header: Header::Auto,
            ignore: Vec::new(),
            delimiter: Delimiter::Auto,
        }
    }
}

impl CsvOptions {
    /// What contradicts itself: a label that is called like a pixel.
    pub fn faults(&self) -> Vec<Fault> {
        let is_pixel = self.pixels.fits(&self.label);
        let fault = || {
            let (label, pixels) = (excerpt(&self.label), excerpt(&self.pixels.to_string()));
            let message = format!("`{label}` is the label's name, and by `{pixels}` that of a pixel");
            Fault::new(&["label"], message, "name the label's column, or give the pixels another pattern")
        };
        is_pixel.then(fault).into_iter().collect()
    }
}

/// The name of the label column, unless options say otherwise.
pub(super) const USUAL_LABEL: &str = "label";

/// Whether the first row of a CSV file holds the names of its columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// It does if the label or a pixel column is named there, if few of its cells are numbers, or if these count the columns.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: the first row is an image.
    No,
}

impl Header {
    /// As options write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTruth;
        impl Visitor<'_> for WordOrTruth {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `yes` or `no`")
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<Header, E> {
                Ok(if truth { Header::Yes } else { Header::No })
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Header, E> {
                match word {
                    "auto" => Ok(Header::Auto),
                    "yes" | "true" => Ok(Header::Yes),
                    "no" | "false" => Ok(Header::No),
                    other => Err(E::unknown_variant(other, &["auto", "yes", "no"])),
                }
            }
        }
        deserializer.deserialize_any(WordOrTruth)
    }
}

impl JsonSchema for Header {
    fn schema_name() -> Cow<'static, str> {
        "Header".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whether the first row of a CSV file holds the names of its columns.",
            "oneOf": [
                {
                    "description": "It does if the label or a pixel column is named there, if few of its cells are numbers, or if \
                        these count the columns.",
                    "type": "string", "const": "auto",
                },
                { "description": "It does.", "type": "string", "const": "yes" },
                { "description": "It does not: the first row is an image.", "type": "string", "const": "no" },
                { "description": "As `yes`, `no`.", "type": "boolean" },
            ],
        })
    }
}

/// What stands between two columns of a CSV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delimiter {
    /// Whichever of these stands most often in the first row.
    #[default]
    Auto,
    /// A comma.
    #[serde(alias = ",")]
    Comma,
    /// A semicolon.
    #[serde(alias = ";")]
    Semicolon,
    /// A tab.
    #[serde(alias = "\t")]
    Tab,
    /// A vertical bar.
    #[serde(alias = "|")]
    Bar,
    /// A space.
    #[serde(alias = " ")]
    Space,
}

impl Delimiter {
    /// All that can stand between columns; of two that stand there equally often, the first is meant.
    pub(super) const ALL: [Self; 5] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Bar, Self::Space];

    /// The character; that of [`Delimiter::Auto`] is the usual one.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Auto | Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Bar => b'|',
            Self::Space => b' ',
        }
    }

    /// As options write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Comma => "comma",
            Self::Semicolon => "semicolon",
            Self::Tab => "tab",
            Self::Bar => "bar",
            Self::Space => "space",
        }
    }

    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// The name of a column or its place: text, or a whole number as the text that it is written as.
#[derive(Deserialize)]
#[serde(transparent)]
struct ColumnText(#[serde(deserialize_with = "column")] String);

fn column<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct TextOrNumber;
    impl Visitor<'_> for TextOrNumber {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a column, `first`, `last` or a number")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(TextOrNumber)
}

fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<ColumnText>::deserialize(deserializer)?.into_iter().map(|ColumnText(text)| text).collect())
}

fn column_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }] })
}

fn columns_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": column_schema(generator) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_defaults_of_fashion_mnist() {
        let options: CsvOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(options, CsvOptions::default());
        // What is written here is part of the keys of stages: an option that is left alone must not change them.
        assert_eq!(
            serde_json::to_string(&options).unwrap(),
            r#"{"label":"label","pixels":"pixel{n}","header":"auto","ignore":[]}"#
        );
        assert!(serde_json::from_str::<CsvOptions>(r#"{"labels": "x"}"#).is_err());
    }

    #[test]
    fn options_are_read_as_people_write_them() {
        let read = |text: &str| serde_json::from_str::<CsvOptions>(text).unwrap();
        assert_eq!(read(r#"{"header": true}"#).header, Header::Yes);
        assert_eq!(read(r#"{"header": "no"}"#).header, Header::No);
        assert_eq!(read(r#"{"delimiter": ";"}"#).delimiter, Delimiter::Semicolon);
        assert_eq!(read(r#"{"delimiter": "tab", "label": 17}"#).label, "17");
        assert_eq!(read(r#"{"ignore": [1, "last"]}"#).ignore, ["1", "last"]);
        let options = read(r#"{"delimiter": "bar"}"#);
        assert_eq!(serde_json::from_value::<CsvOptions>(serde_json::to_value(&options).unwrap()).unwrap(), options);
    }
}
