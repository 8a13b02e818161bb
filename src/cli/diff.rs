//! `pipeline diff`: the figures of all models beside those of an earlier run or of another artifacts folder.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::figures::{self, Figures};
use super::text::{Cell, Paint, Style, Table, moment, print};

/// The arguments of `pipeline diff`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The artifacts folder to compare with; without it, the latest run that had other results
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,

    /// The artifacts folder
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
}

/// What is compared: name, JSON pointer, digits after the point, and whether more is better (`None` if neither is).
const COMPARED: [(&str, &str, usize, Option<bool>); 6] = [
    ("accuracy", "/test/accuracy", 4, Some(true)),
    ("macro F1", "/test/macro_f1", 4, Some(true)),
    ("loss", "/test/loss", 4, Some(false)),
    ("parameters", "/parameters", 0, None),
    ("FLOP per image", "/flops_per_image", 0, None),
    ("training seconds", "/train/seconds", 1, Some(false)),
];

/// Prints the comparison.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let now = figures::current(&arguments.artifacts)?;
    let (then, name) = match &arguments.other {
        Some(folder) => (figures::current(folder)?, format!("`{}`", folder.display())),
        None => match figures::previous(&arguments.artifacts)? {
            Some((run, figures)) => (figures, format!("the run of {}", moment(run))),
            None => {
                print("there is no earlier run with other results\n")?;
                return Ok(Exit::Done);
            }
        },
    };
    if let Some(empty) =
        [(&now, &format!("`{}`", arguments.artifacts.display())), (&then, &name)].iter().find(|side| side.0.is_empty())
    {
        return Err(Failure::new(Exit::Failed, format!("there are no metrics in {}", empty.1)));
    }
    print(&render(&then, &now, &name, Paint::stdout()))?;
    Ok(Exit::Done)
}

fn render(then: &[Figures], now: &[Figures], name: &str, paint: Paint) -> String {
    let head = ["model", "figure"].map(Cell::new).into_iter().chain(["before", "now", "change"].map(Cell::right));
    let mut table = Table::with_head(head);
    let find = |side: &[Figures], model: &str| side.iter().find(|one| one.model == model).cloned();
    let mut models: Vec<&str> = now.iter().chain(then).map(|one| one.model.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    models.retain(|model| seen.insert(*model));
    for model in models {
        let (then, now) = (find(then, model), find(now, model));
        let mut label = model;
        for (figure, pointer, digits, more_is_better) in COMPARED {
            let value = |side: &Option<Figures>| side.as_ref().and_then(|one| one.number(pointer));
            let (before, after) = (value(&then), value(&now));
            if before.is_none() && after.is_none() {
                continue;
            }
            let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
            let change = before.zip(after).map(|(before, after)| after - before);
            let text = change.map_or_else(String::new, |change| match change == 0.0 {
                true => "=".to_owned(),
                false => format!("{change:+.digits$}"),
            });
            let style = match (change, more_is_better) {
                (Some(change), Some(better)) if change != 0.0 => {
                    if (change > 0.0) == better {
                        Style::Green
                    } else {
                        Style::Red
                    }
                }
                _ => Style::Plain,
            };
            table.row([
                Cell::new(label).style(Style::Bold),
                Cell::new(figure),
                Cell::right(show(before)),
                Cell::right(show(after)),
                Cell::right(text).style(style),
            ]);
            label = "";
        }
    }
    format!("before: {name}\n\n{}{}", table.render(paint), figures::warning(now, paint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_side_by_side() {
        let (then, now) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        figures::tests::write(then.path(), "basic", 0.91);
        figures::tests::write(then.path(), "gone", 0.5);
        figures::tests::write(now.path(), "basic", 0.92);
        let side = |dir: &tempfile::TempDir| figures::current(dir.path()).unwrap();
        insta::assert_snapshot!(render(&side(&then), &side(&now), "`other`", Paint::none()), @"
        before: `other`

        model  figure             before      now   change
        basic  accuracy           0.9100   0.9200  +0.0100
               macro F1           0.9100   0.9200  +0.0100
               loss               0.2500   0.2500        =
               parameters         421642   421642        =
               FLOP per image    8400000  8400000        =
               training seconds    242.0    242.0        =
        gone   accuracy           0.5000        –
               macro F1           0.5000        –
               loss               0.2500        –
               parameters         421642        –
               FLOP per image    8400000        –
               training seconds    242.0        –
        ");
    }
}
