//! `pipeline plan`: what would run, and why.

use super::exit::{Exit, Failure};
use super::load::Source;
use super::memory::Memory;
use super::text::{Cell, Paint, Style, Table, bytes, count, json, print};
use crate::engine::{self, Fate, Forecast, RunOptions, SystemClock};
use crate::stages::Needs;

/// The arguments of `pipeline plan`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    memory: Memory,

    /// Exit with code 10 if a stage would run
    #[arg(long)]
    exit_code: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the forecast of a run.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (plan, needs) = arguments.source.load_with_needs()?;
    let (options, clock) = (RunOptions::default(), SystemClock::new());
    arguments.memory.check(&arguments.source, &plan, &needs, &options, &clock)?;
    let forecast = engine::forecast(&plan, &options, &clock)?;
    if arguments.json {
        print(&json(&forecast)?)?;
    } else {
        print(&render(&forecast, Paint::stdout()))?;
        print(&memory(&forecast, &needs))?;
    }
    Ok(if arguments.exit_code && forecast.has_work() { Exit::Work } else { Exit::Done })
}

/// One line per stage and one for all of them.
pub(super) fn render(forecast: &Forecast, paint: Paint) -> String {
    let mut table = Table::default();
    for outlook in &forecast.outlooks {
        let (word, style) = fate(&outlook.fate);
        table.row([
            Cell::new(&outlook.stage).style(Style::Bold),
            Cell::new(outlook.kind).style(Style::Dim),
            Cell::new(word).style(style),
            Cell::new(why(&outlook.fate)),
        ]);
    }
    format!("{}\n{}\n", table.render(paint), paint.text(Style::Bold, sentence(forecast)))
}

/// Why it is so, or what will be done beside; empty if there is nothing to say.
pub(super) fn why(fate: &Fate) -> String {
    match fate {
        Fate::Cached { restores, .. } if !restores.is_empty() => format!("puts back {}", restores.join(", ")),
        other => other.why(),
    }
}

/// The memory that the run is estimated to need.
pub(super) fn memory(forecast: &Forecast, needs: &Needs) -> String {
    needs.largest(forecast.running()).map_or_else(String::new, |(stage, need)| {
        format!("memory: about {}, in `{stage}`; {} of it for {}\n", bytes(need.bytes), bytes(need.largest_bytes), need.largest)
    })
}

/// A fate in one or two words.
pub(super) fn fate(fate: &Fate) -> (&'static str, Style) {
    match fate {
        Fate::Cached { .. } => ("cached", Style::Green),
        Fate::Runs { .. } => ("runs", Style::Yellow),
        Fate::Depends { .. } => ("may run", Style::Yellow),
        Fate::Fails { .. } => ("fails", Style::Red),
    }
}

fn sentence(forecast: &Forecast) -> String {
    let number = |wanted: fn(&Fate) -> bool| forecast.outlooks.iter().filter(|outlook| wanted(&outlook.fate)).count();
    let runs = number(|fate| matches!(fate, Fate::Runs { .. }));
    let may = number(|fate| matches!(fate, Fate::Depends { .. }));
    let fails = number(|fate| matches!(fate, Fate::Fails { .. }));
    let cached = number(|fate| matches!(fate, Fate::Cached { .. }));
    if runs + may + fails == 0 {
        return format!("nothing to do: {} cached", count(cached, "stage"));
    }
    let parts = [(runs, "to run"), (may, "that may have to"), (fails, "that cannot"), (cached, "cached")];
    let said: Vec<String> = parts.iter().filter(|part| part.0 > 0).map(|(number, word)| format!("{number} {word}")).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::engine::{Outlook, Reason};

    fn outlook(stage: &str, kind: &'static str, fate: Fate) -> Outlook {
        Outlook { stage: stage.parse().unwrap(), kind, key: None, parts: None, fate }
    }

    fn cached(restores: &[&str]) -> Fate {
        let restores = restores.iter().map(|place| (*place).to_owned()).collect();
        Fate::Cached { output: Digest::of_bytes(b""), restores }
    }

    #[test]
    fn a_plan_in_columns() {
        let changed = Reason::ParameterChanged { path: "epochs".to_owned(), old: Some(12.into()), new: Some(14.into()) };
        let upstream = Reason::UpstreamRuns { input: "advanced".parse().unwrap() };
        let outlooks = vec![
            outlook("raw", "fetch", cached(&[])),
            outlook("basic", "train", cached(&["basic/model.onnx"])),
            outlook("advanced", "train", Fate::Runs { reasons: vec![changed, Reason::Forced] }),
            outlook("ensemble", "ensemble", Fate::Depends { reasons: vec![upstream] }),
            outlook("scored", "score", Fate::Fails { error: "cannot open `x.csv`".to_owned() }),
        ];
        insta::assert_snapshot!(render(&Forecast { outlooks }, Paint::none()), @"
        raw       fetch     cached
        basic     train     cached   puts back basic/model.onnx
        advanced  train     runs     parameter epochs: 12 → 14, forced
        ensemble  ensemble  may run  input `advanced` will change
        scored    score     fails    cannot open `x.csv`

        1 to run, 1 that may have to, 1 that cannot, 2 cached
        ");
    }

    #[test]
    fn nothing_to_do_is_said_so() {
        let text = sentence(&Forecast { outlooks: vec![outlook("raw", "fetch", cached(&[]))] });
        assert_eq!(text, "nothing to do: 1 stage cached");
    }
}
