//! The journal of a study: one JSON line for its settings, one for every epoch of a trial, one for every trial.
//!
//! A line is a digest and JSON: the digest is of the JSON and of the digest before it, so that a line that was changed, taken
//! out or moved is noticed. A line is appended and synced before the study goes on, so whatever was reported is on disk. A
//! crash can tear the last line, and no other; a torn line is dropped when the journal is opened, since what it said will
//! be said again. From a damaged line on, everything is dropped, and [`Journal::damage`] says so. Numbers are written so that
//! they read back to the last bit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
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
    /// What was wrong with the journal that was found, if anything was: what it said from there on is lost.
    pub(super) damage: Option<String>,
    /// The digest of the last line.
    last: Option<Digest>,
}

impl Journal {
    /// Opens the journal in `folder`, or begins one.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(super) fn open(folder: &Path, settings: Digest) -> Result<Self> {
        let path = folder.join(FILE);
        let mut journal = Self { path, trials: Vec::new(), reports: Vec::new(), damage: None, last: None };
        let text = if fs::stamp(&journal.path).is_some() { fs::read(&journal.path)? } else { Vec::new() };
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let good = journal.replay(&text[..whole], settings);
        if good == 0 {
            journal.last = None;
            let line = journal.next_line(&Line::Study { settings })?;
            fs::write(&journal.path, line)?;
        } else if good < text.len() {
            fs::write(&journal.path, &text[..good])?;
        }
        Ok(journal)
    }

    /// Forgets the trials from `trial` on, and the running one.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) fn cut(&mut self, trial: usize, why: String) -> Result<()> {
        let text = fs::read(&self.path)?;
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let is_before = |line: &&[u8]| match parse(line) {
            Some((_, Line::Study { .. })) => true,
            Some((_, Line::Epoch { trial: number, .. })) => number < trial,
            Some((_, Line::Trial(record))) => record.trial < trial,
            None => false,
        };
        let kept: Vec<&[u8]> = lines.take_while(is_before).collect();
        self.last = kept.last().and_then(|line| parse(line)).map(|(digest, _)| digest);
        fs::write(&self.path, kept.concat())?;
        self.trials.truncate(trial);
        self.reports.clear();
        self.damage = Some(why);
        Ok(())
    }

    /// Takes in the whole lines of a journal and says how many bytes of it are good: all, or those before a damaged line.
    fn replay(&mut self, text: &[u8], settings: Digest) -> usize {
        let mut good = 0;
        for (number, bytes) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let damage = |what: &str| Some(format!("`{}` {what} in line {}", self.path.display(), number + 1));
            let Some((digest, entry)) = parse(bytes) else {
                self.damage = damage("is damaged");
                return good;
            };
            let is_next = match &entry {
                Line::Study { settings: written } => number == 0 && *written == settings,
                Line::Epoch { trial, .. } => number > 0 && *trial == self.trials.len(),
                Line::Trial(record) => number > 0 && record.trial == self.trials.len(),
            };
            if !is_next || digest != chained(self.last, json_of(bytes)) {
                self.damage = damage("does not go on from what is before it");
                return good;
            }
            match entry {
                Line::Study { .. } => {}
                Line::Epoch { report, .. } => self.take_report(report),
                Line::Trial(record) => {
                    self.trials.push(record);
                    self.reports.clear();
                }
            }
            self.last = Some(digest);
            good += bytes.len();
        }
        good
    }

    /// The text of a line that goes on from the last one.
    fn next_line(&mut self, line: &Line) -> Result<String> {
        let json = serde_json::to_string(line).context("cannot write a line of the trial journal as JSON")?;
        let digest = chained(self.last, json.as_bytes());
        self.last = Some(digest);
        Ok(format!("{digest} {json}\n"))
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        let line = self.next_line(line)?;
        fs::append_line(&self.path, line.trim_end())
    }

    /// Keeps a report of the running trial.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(super) fn keep_report(&mut self, report: Report) -> Result<()> {
        self.append(&Line::Epoch { trial: self.trials.len(), report })?;
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
        self.append(&Line::Trial(record.clone()))?;
        self.trials.push(record);
        self.reports.clear();
        Ok(())
    }
}

/// The digest of a line of this JSON that follows a line with the digest `before`.
fn chained(before: Option<Digest>, json: &[u8]) -> Digest {
    let before = before.map(|digest| digest.to_string()).unwrap_or_default();
    Digest::of_bytes(&[before.as_bytes(), b" ", json].concat())
}

/// The JSON of a line, which stands behind 64 digits and a blank.
fn json_of(line: &[u8]) -> &[u8] {
    line.get(65..).unwrap_or_default().trim_ascii_end()
}

/// What a whole line says, and its digest as it stands there.
fn parse(line: &[u8]) -> Option<(Digest, Line)> {
    let digest = std::str::from_utf8(line.get(..64)?).ok()?.parse().ok()?;
    if line[64..].first() != Some(&b' ') {
        return None;
    }
    Some((digest, serde_json::from_slice(json_of(line)).ok()?))
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
        TrialRecord {
            trial,
            parameters,
            status: Status::Finished,
            value: Some(value),
            reason: None,
            reports: vec![report(1, value)],
        }
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
        let json: Vec<&str> = text.lines().map(|line| &line[65..]).collect();
        insta::assert_snapshot!(json.join("\n"), @r#"
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
    fn from_a_line_on_that_was_changed_everything_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = String::from_utf8(written(folder.path())).unwrap();
        let path = folder.path().join(FILE);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let check = |damaged: String, line: usize, kept: (usize, usize)| {
            fs::write(&path, &damaged).unwrap();
            let journal = open(folder.path()).unwrap();
            let damage = journal.damage.unwrap();
            assert!(damage.ends_with(&format!("in line {line}")), "{damage}");
            assert_eq!((journal.trials.len(), journal.reports.len()), kept, "{damage}");
            let journal = open(folder.path()).unwrap();
            assert_eq!((journal.damage, journal.trials.len(), journal.reports.len()), (None, kept.0, kept.1));
        };
        check(text.replacen("\"value\":0.1", "\"value\":0.2", 1), 2, (0, 0));
        check(text.replacen("0.3333333333333333", "0.3333333333333334", 1), 4, (1, 0));
        check(text.replacen("\"status\":\"finished\"", "\"status\":\"pruned\"", 1), 3, (0, 1));
        check([lines[0], lines[2], lines[3]].concat(), 2, (0, 0)); // a line taken out
        check([lines[0], lines[1], lines[1], lines[2]].concat(), 3, (0, 1)); // a line twice
        check(lines[1..].concat(), 1, (0, 0));
        let without_digests: String = lines.iter().map(|line| &line[65..]).collect();
        check(without_digests, 1, (0, 0)); // as earlier versions wrote it
        for place in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            let journal = open(folder.path()).unwrap();
            assert!(journal.damage.is_some(), "byte {place}");
        }
    }

    #[test]
    fn a_journal_of_other_settings_is_not_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let journal = Journal::open(folder.path(), Digest::of_bytes(b"others")).unwrap();
        assert!(journal.damage.is_some() && journal.trials.is_empty());
    }

    #[test]
    fn trials_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let text = written(folder.path());
        let mut journal = open(folder.path()).unwrap();
        journal.cut(0, "why".to_owned()).unwrap();
        journal.keep_report(report(1, 0.1)).unwrap();
        journal.keep_trial(record(0, 0.1)).unwrap();
        journal.keep_report(report(1, 1.0 / 3.0)).unwrap();
        assert_eq!(fs::read(&folder.path().join(FILE)).unwrap(), text);
    }
}
