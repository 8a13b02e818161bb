//! What a user can set so that a table is read as it is meant. Said in the words of whoever asks: a pipeline has `columns:`, the
//! command line has options.

use super::{Delimiter, Header, PixelPattern};

/// An option of [`CsvOptions`](super::CsvOptions) or of the images, and the value that would settle something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `label`: the name of the label column, or its place.
    Label(String),
    /// `pixels`.
    Pixels(PixelPattern),
    /// `header`.
    Header(Header),
    /// `ignore`.
    Ignore(Vec<String>),
    /// `delimiter`.
    Delimiter(Delimiter),
    /// A column to copy to the predictions; only where there are predictions.
    PassThrough(String),
}

/// What to set, and in which case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The case: "to pass over it".
    pub case: String,
    /// The option.
    pub setting: Setting,
}

impl Advice {
    /// In this case, set that.
    pub(super) fn new(case: impl Into<String>, setting: Setting) -> Self {
        Self { case: case.into(), setting }
    }
}

/// How an option is written by the user who is spoken to; `None` if there is no such option.
pub type Wording = fn(&Setting) -> Option<String>;

/// Something that was found or decided without being asked for, or a fault, with what a user can do about it.
pub trait Advised {
    /// What is said, without advice.
    fn said(&self) -> String;

    /// What can be set.
    fn advice(&self) -> Vec<Advice>;

    /// One line: what is said, and the advice in a user's own words.
    fn in_words(&self, wording: Wording) -> String {
        let mut line = self.said();
        for Advice { case, setting } in self.advice() {
            if let Some(written) = wording(&setting) {
                line += &format!("; {case}, set {written}");
            }
        }
        line
    }
}

/// Something that was found in a table, or decided about it, without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub(super) text: String,
    pub(super) advice: Option<Advice>,
}

impl Advised for Note {
    fn said(&self) -> String {
        self.text.clone()
    }

    fn advice(&self) -> Vec<Advice> {
        self.advice.iter().cloned().collect()
    }
}

/// As `pipeline.yaml` writes it.
pub fn in_yaml(setting: &Setting) -> Option<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let columns = |option: &str, value: String| Some(format!("`columns: {{ {option}: {value} }}`"));
    match setting {
        Setting::Label(name) => columns("label", quoted(name)),
        Setting::Pixels(pattern) => columns("pixels", quoted(&pattern.to_string())),
        Setting::Header(header) => columns("header", header.word().to_owned()),
        Setting::Ignore(names) => {
            columns("ignore", format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")))
        }
        Setting::Delimiter(delimiter) => columns("delimiter", delimiter.word().to_owned()),
        Setting::PassThrough(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_so_that_yaml_takes_them() {
        let ignore = Setting::Ignore(vec!["Unnamed: 0".to_owned(), "it's".to_owned(), String::new()]);
        assert_eq!(in_yaml(&ignore).unwrap(), r#"`columns: { ignore: ["Unnamed: 0", "it's", ""] }`"#);
        assert_eq!(in_yaml(&Setting::Header(Header::No)).unwrap(), "`columns: { header: no }`");
    }
}
