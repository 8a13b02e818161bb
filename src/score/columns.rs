//! Which columns an output has, and what each holds for a row.

use super::{OutputColumn, Settings};
use crate::data::Label;
use crate::data::csv::Cells;
use crate::fault::Fault;
use crate::quote::excerpt;
use crate::units::Count;

/// What one column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Row,
    Label,
    Class,
    Confidence,
    /// The probability of a class.
    Probability(usize),
    /// The name of a class, by its rank from 0.
    TopClass(usize),
    TopProbability(usize),
    TrueLabel,
    /// A cell of the input, by its place among those passed through.
    Passed(usize),
}

/// One column of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) holds: Holds,
}

/// What a cell of the output is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Whole(u64),
    Number(f32),
    Text(&'a [u8]),
    Nothing,
}

/// The columns of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) list: Vec<Column>,
    needs_ranks: bool,
}

const ALL: [OutputColumn; 5] =
    [OutputColumn::Label, OutputColumn::Class, OutputColumn::Confidence, OutputColumn::Probabilities, OutputColumn::TrueLabel];

impl Columns {
    /// The columns that `settings` ask for: of a model with so many classes, for tables with or without labels.
    pub(super) fn new(settings: &Settings, classes: usize, has_labels: bool) -> Self {
        let mut list = own(&settings.output_columns, settings.top_k, classes, has_labels);
        let passed = settings.passthrough.iter().enumerate();
        list.extend(passed.map(|(index, name)| Column { name: name.clone(), holds: Holds::Passed(index) }));
        Self { list, needs_ranks: settings.top_k.is_some() }
    }

    /// Puts the classes in the order of their probabilities, the lower label first among equals, if a column needs that.
    pub(super) fn rank(&self, probabilities: &[f32], ranks: &mut Vec<usize>) {
        ranks.clear();
        if self.needs_ranks {
            ranks.extend(0..probabilities.len());
            ranks.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        }
    }
}

/// The columns that are asked for, all of them unless some are, without those passed through.
fn own(asked: &[OutputColumn], top_k: Option<Count>, classes: usize, has_labels: bool) -> Vec<Column> {
    let asked = if asked.is_empty() { &ALL[..] } else { asked };
    let mut list = Vec::new();
    let mut add = |name: String, holds| list.push(Column { name, holds });
    for column in asked {
        match column {
            OutputColumn::Row => add("row".to_owned(), Holds::Row),
            OutputColumn::Label => add("label".to_owned(), Holds::Label),
            OutputColumn::Class => add("class".to_owned(), Holds::Class),
            OutputColumn::Confidence => add("confidence".to_owned(), Holds::Confidence),
            OutputColumn::Probabilities => match top_k {
                None => (0..classes).for_each(|class| add(format!("p_{class}"), Holds::Probability(class))),
                Some(count) => (0..count.get()).for_each(|rank| {
                    add(format!("top_{}", rank + 1), Holds::TopClass(rank));
                    add(format!("p_top_{}", rank + 1), Holds::TopProbability(rank));
                }),
            },
            OutputColumn::TrueLabel if has_labels => add("true_label".to_owned(), Holds::TrueLabel),
            OutputColumn::TrueLabel => {}
        }
    }
    list
}

/// What makes no sense about the columns of an output, by the names of the options: more classes than there are, and two
/// columns of one name. `classes` is how many the model knows, if that is known.
pub(super) fn faults(asked: &[OutputColumn], passthrough: &[String], top_k: Option<Count>, classes: Option<usize>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some((count, classes)) = top_k.zip(classes).filter(|(count, classes)| count.get() > *classes) {
        let message = format!("the {count} most probable classes are asked for, but the model knows {classes} classes");
        return vec![Fault::new(&["top_k"], message, format!("ask for {classes} at most"))];
    }
    for (index, column) in asked.iter().enumerate() {
        if asked[..index].contains(column) {
            let message = "a column of the output is asked for twice";
            faults.push(Fault::new(&["output_columns", &index.to_string()], message, "name each once"));
        }
    }
    let own = own(asked, top_k.filter(|_| classes.is_some()), classes.unwrap_or(0), true);
    for (index, name) in passthrough.iter().enumerate() {
        let shown = excerpt(name);
        let mut add = |message: String, help: &str| {
            faults.push(Fault::new(&["passthrough", &index.to_string()], message, help));
        };
        if own.iter().any(|column| column.name == *name) {
            let message = format!("the column `{shown}` cannot be passed through: predictions have a column of that name");
            add(message, "leave it out, or ask for other columns of the output");
        } else if passthrough[..index].contains(name) {
            add(format!("the column `{shown}` is to be passed through twice"), "name each once");
        }
    }
    faults
}

/// What a model says of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction<'a> {
    pub(super) label: Label,
    pub(super) probabilities: &'a [f32],
    /// The classes, the most probable first; empty where no column needs it.
    pub(super) ranks: &'a [usize],
}

/// One row of the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) number: u64,
    pub(super) truth: Option<Label>,
    /// Nothing for a row that could not be scored.
    pub(super) prediction: Option<Prediction<'a>>,
    pub(super) passed: &'a Cells,
    /// The place of the row's first cell in `passed`.
    pub(super) first_passed: usize,
}

impl<'a> Row<'a> {
    /// The cell of a column.
    pub(super) fn value(&self, holds: Holds, classes: &'a [String]) -> Value<'a> {
        let name = |class: usize| Value::Text(classes[class].as_bytes());
        match (holds, self.prediction) {
            (Holds::Row, _) => Value::Whole(self.number),
            (Holds::TrueLabel, _) => self.truth.map_or(Value::Nothing, |label| Value::Whole(label.into())),
            (Holds::Passed(index), _) => Value::Text(self.passed.get(self.first_passed + index)),
            (_, None) => Value::Nothing,
            (Holds::Label, Some(prediction)) => Value::Whole(prediction.label.into()),
            (Holds::Class, Some(prediction)) => name(prediction.label.into()),
            (Holds::Confidence, Some(prediction)) => Value::Number(prediction.probabilities[usize::from(prediction.label)]),
            (Holds::Probability(class), Some(prediction)) => Value::Number(prediction.probabilities[class]),
            (Holds::TopClass(rank), Some(prediction)) => name(prediction.ranks[rank]),
            (Holds::TopProbability(rank), Some(prediction)) => Value::Number(prediction.probabilities[prediction.ranks[rank]]),
        }
    }
}
