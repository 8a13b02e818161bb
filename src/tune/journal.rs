//! The journal of a study: one JSON line for its settings, one for every epoch of a trial, one for every trial.
//!
//! A line is appended and synced before the study goes on, so whatever was reported is on disk. A crash can tear the last
//! line, and no other; a torn line is dropped when the journal is opened, since what it said will be said again. A
//! damaged line elsewhere is an error. Numbers are written so that they read back to the last bit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Report, TrialRecord};
use crate::digest::Digest;
use crate::fs;

const FILE: &str = "trials.jsonl";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// The first line: what study this is.
    Study {
        /// The digest of its settings.
        settings: Digest,
    },
    /// An epoch of the running trial.
    Epoch {
        /// Which trial, from 0.
        trial: usize,
        /// What it reported.
        report: Report,
    },
    /// A trial that has ended.
    Trial(TrialRecord),
}

/// What was done so far, in memory and on disk.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// The trials that have ended, in order.
    pub(super) trials: Vec<TrialRecord>,
    /// What the next trial reported before it was interrupted.
    pub(super) reports: Vec<Report>,
}

impl Journal {
    /// Opens the journal in `folder`, or begins one.
    ///
    /// # Errors
    /// When the journal is of other settings, damaged, or cannot be read or written.
    pub(super) fn open(folder: &Path, settings: Digest) -> Result<Self> {
        let path = folder.join(FILE);
        let mut journal = Self { path, trials: Vec::new(), reports: Vec::new() };
        let text = if fs::stamp(&journal.path).is_some() { fs::read(&journal.path)? } else { Vec::new() };
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut good = journal.replay(&text[..whole], settings)?;
        if good == 0 {
            fs::write(&journal.path, line(&Line::Study { settings })? + "\n")?;
            good = text.len();
        }
        if good < text.len() {
            fs::write(&journal.path, &text[..good])?;
        }
        Ok(journal)
    }

    /// Takes in the whole lines of a journal and says how many bytes of it are good: all, or all but the last line.
    fn replay(&mut self, text: &[u8], settings: Digest) -> Result<usize> {
        let mut good = 0;
        for (number, bytes) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let place = || format!("`{}`, line {}", self.path.display(), number + 1);
            let is_last = good + bytes.len() == text.len();
            let entry = match serde_json::from_slice(bytes) {
                Ok(entry) => entry,
                Err(_) if is_last => return Ok(good),
                Err(error) => {
                    return Err(error).with_context(|| format!("{} is damaged; remove the file to begin anew", place()));
                }
            };
            match entry {
                Line::Study { settings: written } if number == 0 => ensure!(
                    written == settings,
                    "`{}` is the journal of a search with other settings; remove it to begin anew",
                    self.path.display()
                ),
                Line::Epoch { trial, report } if number > 0 && trial == self.trials.len() => self.take_report(report),
                Line::Trial(record) if number > 0 && record.trial == self.trials.len() => {
                    self.trials.push(record);
                    self.reports.clear();
                }
                _ => bail!("{} is out of order; remove the file to begin anew", place()),
            }
            good += bytes.len();
        }
        Ok(good)
    }

    /// Keeps a report of the running trial.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) fn keep_report(&mut self, report: Report) -> Result<()> {
        fs::append_line(&self.path, &line(&Line::Epoch { trial: self.trials.len(), report })?)?;
        self.take_report(report);
        Ok(())
    }

    /// A report of an epoch that was reported before replaces that one and those after it.
    fn take_report(&mut self, report: Report) {
        self.reports.retain(|known| known.epoch < report.epoch);
        self.reports.push(report);
    }

    /// Keeps a trial that has ended.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) fn keep_trial(&mut self, record: TrialRecord) -> Result<()> {
        fs::append_line(&self.path, &line(&Line::Trial(record.clone()))?)?;
        self.trials.push(record);
        self.reports.clear();
        Ok(())
    }
}

fn line(line: &Line) -> Result<String> {
    serde_json::to_string(line).context("cannot write a line of the trial journal as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::{Parameters, Status};
    use crate::units::Epochs;

    const SETTINGS: &[u8] = b"settings";

    fn open(folder: &Path) -> Result<Journal> {
        Journal::open(folder, Digest::of_bytes(SETTINGS))
    }

    fn report(epoch: u64, value: f64) -> Report {
        Report { epoch: Epochs::new(epoch).unwrap(), value }
    }

    fn record(trial: usize, value: f64) -> TrialRecord {
        let parameters = Parameters::from([("dropout".to_owned(), value.into())]);
        TrialRecord { trial, parameters, status: Status::Finished, value: Some(value), reports: vec![report(1, value)] }
    }

    /// A journal of one trial and of one epoch of the next.
    fn written(folder: &Path) -> Vec<u8> {
        let mut journal = open(folder).unwrap();
        journal.keep_report(report(1, 0.1)).unwrap();
        journal.keep_trial(record(0, 0.1)).unwrap();
        journal.keep_report(report(1, 1.0 / 3.0)).unwrap();
        fs::read(&folder.join(FILE)).unwrap()
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = String::from_utf8(written(folder.path())).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"study":{"settings":"258a33ca92c4a1d023af0087e1fec776a05a038269e89da6a9446dfdbdbce0cb"}}
        {"epoch":{"trial":0,"report":{"epoch":1,"value":0.1}}}
        {"trial":{"trial":0,"parameters":{"dropout":0.1},"status":"finished","value":0.1,"reports":[{"epoch":1,"value":0.1}]}}
        {"epoch":{"trial":1,"report":{"epoch":1,"value":0.3333333333333333}}}
        "#);
        let journal = open(folder.path()).unwrap();
        assert_eq!(journal.trials, [record(0, 0.1)]);
        assert_eq!(journal.reports, [report(1, 1.0 / 3.0)]);
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let text = written(folder.path());
        let path = folder.path().join(FILE);
        for length in (0..text.len()).step_by(13) {
            fs::write(&path, &text[..length]).unwrap();
            let journal = open(folder.path()).unwrap();
            let whole = text[..length].iter().filter(|&&byte| byte == b'\n').count();
            let expected = [(0, 0), (0, 0), (0, 1), (1, 0)][whole];
            assert_eq!((journal.trials.len(), journal.reports.len()), expected, "cut to {length} bytes");
            let lines = fs::read(&path).unwrap();
            assert!(lines.ends_with(b"\n") && text.starts_with(&lines), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_last_line_of_other_bytes_is_dropped_too() {
        let folder = tempfile::tempdir().unwrap();
        let text = written(folder.path());
        let path = folder.path().join(FILE);
        fs::write(&path, [&text[..], b"\0\0\0\n"].concat()).unwrap();
        assert_eq!(open(folder.path()).unwrap().reports.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), text);
    }

    #[test]
    fn an_epoch_reported_again_replaces_it_and_those_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path()).unwrap();
        for (epoch, value) in [(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25)] {
            journal.keep_report(report(epoch, value)).unwrap();
        }
        assert_eq!(journal.reports, [report(1, 0.1), report(2, 0.25)]);
        assert_eq!(open(folder.path()).unwrap().reports, journal.reports);
    }

    #[test]
    fn damage_elsewhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = String::from_utf8(written(folder.path())).unwrap();
        let path = folder.path().join(FILE);
        let check = |text: String, expected: &str| {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", open(folder.path()).unwrap_err()).replace(&path.display().to_string(), "FILE");
            assert!(error.starts_with(expected), "{error}");
        };
        check(text.replace("\"epoch\":{\"trial\":0", "\"epoch\":{\"trail\":0"), "`FILE`, line 2 is damaged; remove the file");
        check(text.replace("{\"trial\":{\"trial\":0", "{\"trial\":{\"trial\":1"), "`FILE`, line 3 is out of order");
        check(text.split_inclusive('\n').skip(1).collect(), "`FILE`, line 1 is out of order");
        fs::write(&path, &text).unwrap();
        let error = Journal::open(folder.path(), Digest::of_bytes(b"others")).unwrap_err().to_string();
        assert!(error.contains("is the journal of a search with other settings"), "{error}");
    }
}
