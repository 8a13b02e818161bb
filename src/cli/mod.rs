//! The command line: one file per verb. The only room that prints, and that picks exit codes.

mod cache;
mod dag;
mod diff;
mod exit;
mod explain;
mod figures;
mod init;
mod load;
mod memory;
mod merge_shards;
mod metrics;
mod plan;
mod progress;
mod run;
mod schema;
mod score;
mod signals;
mod status;
mod text;
#[cfg(test)]
mod toy;
mod wording;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::exit::{Exit, Failure};
use self::text::{Paint, Style, complain, print};
use crate::panics;

const AFTER_HELP: &str = "\
Exit codes:
  0  done                                   5  damaged cache or artifact
  1  a stage failed                         6  another run holds the lock
  2  wrong usage                           10  `plan --exit-code` found work
  3  problems in pipeline.yaml        130/143  interrupted: run again to go on
  4  a gate or a verification failed           (`score`: with --resume)";

/// One YAML file takes labelled images to verified ONNX classifiers and scored CSV files.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the stages whose results are not in the cache
    Run(run::Arguments),
    /// Say what would run and why, without running anything
    Plan(plan::Arguments),
    /// Say how the stages stand and how the last run went
    Status(status::Arguments),
    /// Say everything about one stage: why it would run, what its result depends on, what needs it
    Explain(explain::Arguments),
    /// Draw the graph of stages
    Dag(dag::Arguments),
    /// Classify the rows of CSV files with an ONNX model
    Score(score::Arguments),
    /// Put the predictions of all shards of a run together
    MergeShards(merge_shards::Arguments),
    /// Run up to the stages that write ONNX files
    Export(run::KindArguments),
    /// Run up to the stages that verify ONNX files
    Verify(run::KindArguments),
    /// Show the figures of all models
    Metrics(metrics::Arguments),
    /// Compare the figures of all models with those of an earlier run or another artifacts folder
    Diff(diff::Arguments),
    /// Run up to the stages that write reports
    Report(run::KindArguments),
    /// List, check or clean the cache
    Cache(cache::Arguments),
    /// Print the JSON schema of pipeline.yaml, for editors
    Schema(schema::Arguments),
    /// Write a commented pipeline.yaml to start from
    Init(init::Arguments),
}

/// Runs the program with the arguments of the process.
///
/// A panic ends it with exit code 1 and one line: results that were finished are kept, and another call goes on from there.
pub fn main() -> ExitCode {
    panics::keep();
    let exit = std::panic::catch_unwind(|| signals::tame().map_err(Failure::from).and_then(|()| dispatch()));
    let result = exit.unwrap_or_else(|panic| {
        let text = format!(
            "the program met a fault of its own or of the system: {}; what was finished is kept: call it again, and report this \
             if it comes back (RUST_BACKTRACE=1 tells more)",
            panics::describe(&*panic)
        );
        Err(Failure::new(Exit::Failed, text))
    });
    result.unwrap_or_else(report).into()
}

fn dispatch() -> Result<Exit, Failure> {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return Ok(refuse(&error)),
    };
    match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Plan(arguments) => plan::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Dag(arguments) => dag::run(&arguments),
        Verb::Score(arguments) => score::run(&arguments),
        Verb::MergeShards(arguments) => merge_shards::run(&arguments),
        Verb::Export(arguments) => run::run_kind(&arguments, "export"),
        Verb::Verify(arguments) => run::run_kind(&arguments, "verify"),
        Verb::Metrics(arguments) => metrics::run(&arguments),
        Verb::Diff(arguments) => diff::run(&arguments),
        Verb::Report(arguments) => run::run_kind(&arguments, "report"),
        Verb::Cache(arguments) => cache::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Init(arguments) => init::run(&arguments),
    }
}

/// Shows what clap has to say: help and version go to standard output and are no error.
fn refuse(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        complain(error.to_string().trim_end());
        Exit::Usage
    } else {
        print(&error.to_string()).map_or(Exit::Failed, |()| Exit::Done)
    }
}

fn report(failure: Failure) -> Exit {
    if let Some(text) = failure.text {
        complain(&format!("{} {text}", Paint::stderr().text(Style::Red, "error:")));
    }
    failure.exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    /// Every page of help, also those of verbs of verbs, as a terminal of 80 columns shows it.
    fn pages(mut command: clap::Command, found: &mut Vec<(String, String)>) {
        let mut page = command.clone().term_width(80);
        found.push((page.get_name().to_owned(), page.render_long_help().to_string()));
        found.push((page.get_name().to_owned(), page.render_help().to_string()));
        for verb in command.get_subcommands_mut() {
            pages(verb.clone(), found);
        }
    }

    #[test]
    fn help_fits_80_columns_and_shows_every_brace() {
        let mut found = Vec::new();
        pages(Arguments::command(), &mut found);
        assert!(found.len() > 30);
        for (name, page) in &found {
            for line in page.lines() {
                assert!(line.chars().count() <= 80, "`{name}`: {line}");
            }
            // clap takes `{n}` in a text for the end of a line.
            assert_eq!(page.matches('`').count() % 2, 0, "`{name}` has an odd number of backquotes:\n{page}");
        }
        let score = found.iter().find(|(name, _)| name == "score").unwrap();
        assert!(score.1.contains("[default: pixel{n}]"), "{}", score.1);
    }

    #[test]
    fn help_tells_of_each_verb() {
        for verb in ["run", "cache", "merge-shards"] {
            let error = parse(&format!("pipeline help {verb}")).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{verb}");
            assert!(error.to_string().contains("Usage:"), "{error}");
        }
        assert_eq!(parse("pipeline help nothing").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn every_verb_is_understood() {
        for line in [
            "pipeline run",
            "pipeline run p.yaml -f -k -j 2 -S advanced.epochs=3 -S seed=7 --progress json --data-dir data --locked",
            "pipeline run -s basic --no-cache",
            "pipeline run --until basic --until advanced -n",
            "pipeline run --downstream parts",
            "pipeline plan p.yaml --exit-code --json",
            "pipeline status",
            "pipeline explain basic p.yaml",
            "pipeline dag --format mermaid",
            "pipeline score --model m.onnx --input x*.csv --output y.csv",
            "pipeline score -m m.onnx -i x.csv -o y.jsonl --on-error null --rejects r.csv --max-errors 9 --top-k 3 --resume",
            "pipeline score -m m.onnx -i x.csv -o y --format parquet --columns row,class,probabilities --shard 2/4",
            "pipeline score -m m.onnx -i x.csv --label -1 --pixels -{n} --ignore -a --ignore --b --passthrough -id",
            "pipeline merge-shards -o y.csv y1.csv y2.csv --rejects r.csv",
            "pipeline export",
            "pipeline verify p.yaml",
            "pipeline report",
            "pipeline metrics --json --artifacts other",
            "pipeline diff other",
            "pipeline cache ls",
            "pipeline cache verify",
            "pipeline cache gc",
            "pipeline schema",
            "pipeline schema --markdown",
            "pipeline init p.yaml",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "pipeline",
            "pipeline fly",
            "pipeline run -j 0",
            "pipeline run --single a --until b",
            "pipeline run --single 1a",
            "pipeline run --progress loud",
            "pipeline explain",
            "pipeline score --model m.onnx",
            "pipeline score -m m.onnx -i x.csv --shard 5/4",
            "pipeline score -m m.onnx -i x.csv --columns labels",
            "pipeline merge-shards y1.csv",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
