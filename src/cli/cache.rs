//! `pipeline cache`: lists, checks and cleans the cache.

use std::path::PathBuf;

use clap::Subcommand;

use super::exit::{Exit, Failure};
use super::progress::{Mode, Standalone};
use super::signals;
use super::text::{Cell, Paint, Style, Table, bytes, count, print};
use crate::engine::{self, SystemClock};

/// The arguments of `pipeline cache`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List what the cache holds
    Ls(Folder),
    /// Read everything in the cache again and move what is damaged to quarantine; exit with code 5 if anything is
    Verify(Folder),
    /// Remove everything that the present results do not need
    Gc(Folder),
}

#[derive(Clone, Debug, clap::Args)]
struct Folder {
    /// The artifacts folder
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
}

/// Does what the verb says.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.verb {
        Verb::Ls(folder) => list(folder),
        Verb::Verify(folder) => verify(folder),
        Verb::Gc(folder) => clean(folder),
    }
}

fn list(folder: &Folder) -> Result<Exit, Failure> {
    let listed = engine::list(&folder.artifacts)?;
    let mut table = Table::with_head([
        Cell::new("stage"),
        Cell::new("kind"),
        Cell::right("files"),
        Cell::right("size"),
        Cell::new("key"),
        Cell::new("state"),
    ]);
    let mut total = 0;
    for one in &listed {
        let (stage, kind, files, size) = match &one.manifest {
            Ok(manifest) => {
                total += manifest.bytes();
                let stage = manifest.stage.to_string();
                (stage, manifest.kind.clone(), manifest.files.len().to_string(), bytes(manifest.bytes()))
            }
            Err(_) => ("?".to_owned(), String::new(), String::new(), String::new()),
        };
        let (state, style) = match (&one.manifest, one.is_current) {
            (Err(_), _) => ("damaged", Style::Red),
            (_, true) => ("current", Style::Green),
            (_, false) => ("older", Style::Dim),
        };
        table.row([
            Cell::new(stage),
            Cell::new(kind).style(Style::Dim),
            Cell::right(files),
            Cell::right(size),
            Cell::new(one.key.short()).style(Style::Dim),
            Cell::new(state).style(style),
        ]);
    }
    let sum = format!("{} in {}", bytes(total), count(listed.len(), "result"));
    print(&if listed.is_empty() {
        "the cache is empty\n".to_owned()
    } else {
        format!("{}\n{sum}\n", table.render(Paint::stdout()))
    })?;
    Ok(Exit::Done)
}

fn verify(folder: &Folder) -> Result<Exit, Failure> {
    let (clock, cancel) = (SystemClock::new(), signals::listen()?);
    let name = "cache".parse().map_err(anyhow::Error::msg)?;
    let progress = Standalone::new(Mode::Auto, &name, &clock, &cancel);
    let damaged = engine::verify(&folder.artifacts, &clock, &progress)?;
    drop(progress);
    if damaged.is_empty() {
        print("every result in the cache is as it was stored\n")?;
        return Ok(Exit::Done);
    }
    let lines = damaged.iter().map(|(key, what, moved)| format!("  {}: {what}; moved to `{}`", key.short(), moved.display()));
    let text = format!(
        "{} damaged:\n{}\n",
        if damaged.len() == 1 { "1 result is".to_owned() } else { format!("{} results are", damaged.len()) },
        lines.collect::<Vec<_>>().join("\n")
    );
    Err(Failure::new(Exit::Corrupt, text + "`pipeline run` makes them again"))
}

fn clean(folder: &Folder) -> Result<Exit, Failure> {
    let cleaned = engine::clean(&folder.artifacts)?;
    let mut parts = vec![format!("{} ({})", count(cleaned.objects, "older result"), bytes(cleaned.bytes))];
    if cleaned.scratch > 0 {
        parts.push(count(cleaned.scratch, "checkpoint folder"));
    }
    if cleaned.quarantined > 0 {
        parts.push(format!("{} in quarantine", count(cleaned.quarantined, "damaged result")));
    }
    print(&format!("removed {}\n", parts.join(", ")))?;
    Ok(Exit::Done)
}
