//! Stage ids and typed references to the outputs of other stages.
//!
//! A field of type [`DataRef`], [`ModelRef`], … in a kind's options *is* an edge of the graph: the reader of
//! `pipeline.yaml` recognises these types by name, records where they stand, and checks that the stage they name makes
//! what they need.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::quote::excerpt;

/// The name of a stage: a letter, then letters, digits, `_` or `-`, at most 200 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^[A-Za-z][A-Za-z0-9_-]*$"))]
pub struct StageId(String);

impl StageId {
    /// The most characters of a name: files are called after it, with something behind it.
    const LONGEST: usize = 200;

    /// The plain text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut chars = text.chars();
        let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
        if !starts || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            Err(format!("`{}` is not a stage name: use a letter, then letters, digits, `_` or `-`", excerpt(text)))
        } else if text.len() > Self::LONGEST {
            let (shown, length, most) = (excerpt(text), text.len(), Self::LONGEST);
            Err(format!("`{shown}` is too long for a stage name: it has {length} characters, at most {most} are taken"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl<'de> Deserialize<'de> for StageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a stage makes, as far as another stage may ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Raw files on disk.
    Files,
    /// Labelled images in parts.
    Data,
    /// The best parameters of a search.
    Parameters,
    /// A trained model, or an ensemble of them.
    Model,
    /// A comparison of models.
    Comparison,
    /// ONNX files.
    Export,
    /// The result of a check.
    Verification,
    /// Predictions in a file.
    Scores,
    /// A page for people.
    Report,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "raw files",
            Self::Data => "data",
            Self::Parameters => "parameters",
            Self::Model => "a model",
            Self::Comparison => "a comparison",
            Self::Export => "an export",
            Self::Verification => "a verification",
            Self::Scores => "scores",
            Self::Report => "a report",
        })
    }
}

/// A reference to a stage: how the reader of `pipeline.yaml` finds the edges of the graph.
pub trait Reference {
    /// The name under which the type presents itself to a deserializer.
    const NAME: &'static str;
    /// What the stage it names must make; `None` for anything.
    const NEEDS: Option<Product>;
}

macro_rules! references {
    ($($(#[$doc:meta])* $name:ident needs $needs:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
            pub struct $name(StageId);

            impl $name {
                /// A reference to the stage `id`.
                pub fn new(id: StageId) -> Self {
                    Self(id)
                }

                /// The stage that is meant.
                pub fn stage(&self) -> &StageId {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl Reference for $name {
                const NAME: &'static str = stringify!($name);
                const NEEDS: Option<Product> = $needs;
            }
        )*

        /// What the reference type called `name` needs: `None` if no reference type has that name, `Some(None)` if any
        /// stage will do.
        pub fn reference_needs(name: &str) -> Option<Option<Product>> {
            match name {
                $($name::NAME => Some($name::NEEDS),)*
                _ => None,
            }
        }
    };
}

references! {
    /// Names a stage that makes raw files: `fetch`.
    FilesRef needs Some(Product::Files);
    /// Names a stage that makes data: `merge`, `split`, `augment`.
    DataRef needs Some(Product::Data);
    /// Names a stage that makes parameters: `tune`.
    ParametersRef needs Some(Product::Parameters);
    /// Names a stage that makes a model: `train`, `ensemble`.
    ModelRef needs Some(Product::Model);
    /// Names a stage that makes ONNX files: `export`.
    ExportRef needs Some(Product::Export);
    /// Names any stage.
    AnyRef needs None;
}

/// One model of an export, written `exported/ensemble`: the export stage, then the model in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z][A-Za-z0-9_-]*/[A-Za-z][A-Za-z0-9_-]*$"))]
pub struct ExportedModelRef {
    /// The stage that exports.
    pub export: ExportRef,
    /// The model, by the stage that made it.
    pub model: StageId,
}

impl ExportedModelRef {
    /// The name under which the type presents itself to a deserializer (as a newtype struct around a string).
    pub const NAME: &'static str = "ExportedModelRef";
}

impl From<ExportedModelRef> for String {
    fn from(reference: ExportedModelRef) -> Self {
        format!("{}/{}", reference.export, reference.model)
    }
}

impl FromStr for ExportedModelRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (export, model) = text.split_once('/').ok_or_else(|| {
            let text = excerpt(text);
            format!("`{text}` does not name an exported model: write `export stage/model`, as in `exported/ensemble`")
        })?;
        Ok(Self { export: ExportRef::new(export.parse()?), model: model.parse()? })
    }
}

impl<'de> Deserialize<'de> for ExportedModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ExportedModelRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exported model such as `exported/ensemble`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
                inner.deserialize_str(Self)
            }
        }
        deserializer.deserialize_newtype_struct(Self::NAME, Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_names_are_checked() {
        for good in ["basic", "cnn_a", "A-1"] {
            assert!(good.parse::<StageId>().is_ok(), "{good}");
        }
        assert!("a".repeat(200).parse::<StageId>().is_ok());
        for bad in ["", "1a", "a b", "a/b", "é", &"a".repeat(201)] {
            assert!(bad.parse::<StageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn references_are_plain_text_in_yaml_and_json() {
        let model: ModelRef = serde_json::from_str("\"basic\"").unwrap();
        assert_eq!(model.stage().as_str(), "basic");
        assert_eq!(serde_json::to_string(&model).unwrap(), "\"basic\"");
        let exported: ExportedModelRef = serde_json::from_str("\"exported/ensemble\"").unwrap();
        assert_eq!((exported.export.stage().as_str(), exported.model.as_str()), ("exported", "ensemble"));
        assert_eq!(serde_json::to_string(&exported).unwrap(), "\"exported/ensemble\"");
        assert!(serde_json::from_str::<ExportedModelRef>("\"exported\"").is_err());
    }

    #[test]
    fn reference_types_are_known_by_name() {
        assert_eq!(reference_needs("DataRef"), Some(Some(Product::Data)));
        assert_eq!(reference_needs("AnyRef"), Some(None));
        assert_eq!(reference_needs("String"), None);
    }
}
