//! `--max-memory`: how much memory stages may be estimated to need.

use super::exit::Failure;
use super::load::Source;
use crate::engine::{self, Clock, Limit, Plan, RunOptions, available_memory};
use crate::stages::{Budget, Needs};

/// How much memory a run may take.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Memory {
    /// Refuse a run of which a stage is estimated to need more memory than SIZE, as in 8GB or 512MiB, instead of more than
    /// the machine has available
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

impl Memory {
    /// Refuses a run of which a stage, or stages side by side, need more memory than there is.
    pub(super) fn check(
        &self,
        source: &Source,
        plan: &Plan,
        needs: &Needs,
        options: &RunOptions,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        let budget = self.budget(options.jobs.get());
        if needs.always_fit(&budget) {
            return Ok(());
        }
        let forecast = engine::forecast(plan, options, clock)?;
        let problems = needs.problems(&forecast.running(), plan.graph(), &budget);
        problems.or(()).map_err(|problems| source.show(&problems))
    }

    /// The limit that was given, or that of the machine.
    fn budget(&self, jobs: usize) -> Budget {
        let said = |said: &str| said.to_owned();
        if let Some(bytes) = self.max_memory {
            return Budget { bytes: Some(bytes), said: said("are allowed by `--max-memory`"), jobs };
        }
        match available_memory() {
            Some(available) => Budget {
                bytes: Some(available.bytes),
                said: said(match available.limit {
                    Limit::Machine => "are available on this machine",
                    Limit::Group => "are left to its control group (container)",
                    Limit::Process => "are left by the limits of the process (`ulimit`)",
                }),
                jobs,
            },
            None => Budget { bytes: None, said: String::new(), jobs },
        }
    }
}

/// A number of bytes: `8GB`, `8G` (10⁹), `512MiB` (2²⁰), `1.5 TB`.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size, as in `8GB` or `512MiB`");
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    if bytes >= 1.0 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("8GB", 8_000_000_000),
            ("8g", 8_000_000_000),
            ("512MiB", 512 << 20),
            ("1.5 TB", 1_500_000_000_000),
            ("4096", 4096),
            ("2Ki", 2048),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1GB", "1.2.3", "8 apples", "0", "nan", "inf"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
