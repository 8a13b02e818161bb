//! The engine, tested from outside with a toy stage that joins texts.

mod belonging;
mod keys;
mod results;
mod rot;
mod running;
mod safety;
mod standing_still;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fs;
use crate::graph::StageId;
use crate::seed::Seed;

/// What a toy does in place of plain work.
#[derive(Clone)]
enum Act {
    /// Joins the texts of its inputs and files and appends its suffix.
    Join,
    /// Writes the same text whatever its suffix is.
    Same,
    /// Writes another text every time.
    Vary(Arc<AtomicU64>),
    /// Writes half of its output, then fails.
    Fail,
    /// Writes its output and says that it does not pass.
    Gate,
    /// Writes half of its output, then panics.
    Panic,
    /// Leaves a checkpoint and waits to be interrupted; finishes if it finds a checkpoint.
    Checkpoint,
    /// Says that it was interrupted when nobody asked.
    GiveUp,
    /// Reads its files, replaces the first by this text and writes what it has read.
    Replace(&'static str),
    /// Says that it has read its files with this content.
    Claim(&'static str),
    /// Leaves something in the scratch folder and succeeds.
    Litter,
    /// Meets the other toy that holds the same meeting, or fails after some seconds.
    Meet(Arc<Meeting>),
}

#[derive(Default)]
struct Meeting {
    present: Mutex<usize>,
    arrival: std::sync::Condvar,
}

impl Meeting {
    fn attend(&self) -> bool {
        let mut present = self.present.lock().unwrap();
        *present += 1;
        self.arrival.notify_all();
        let (present, _) = self.arrival.wait_timeout_while(present, Duration::from_secs(5), |here| *here < 2).unwrap();
        *present >= 2
    }
}

/// A stage whose output is one file, `text`.
#[derive(Clone)]
struct Toy {
    id: StageId,
    kind: &'static str,
    version: u32,
    suffix: String,
    inputs: Vec<StageId>,
    reads: Vec<PathBuf>,
    outside: Option<PathBuf>,
    superseded: Option<&'static str>,
    seeded: bool,
    publishes: Vec<(&'static str, String)>,
    act: Act,
}

impl Stage for Toy {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn parameters(&self) -> serde_json::Value {
        json!({ "suffix": self.suffix })
    }

    fn inputs(&self) -> Vec<StageId> {
        self.inputs.clone()
    }

    fn is_seeded(&self) -> bool {
        self.seeded
    }

    fn reads(&self, _inputs: &BTreeMap<StageId, PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
        Ok(self.reads.clone())
    }

    fn measurements(&self) -> Vec<PathBuf> {
        vec!["seconds".into()]
    }

    fn superseded(&self, _out: &Path) -> Option<String> {
        self.superseded.map(str::to_owned)
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let mut text = String::new();
        for input in &self.inputs {
            text += &fs::read_text(&context.input(input)?.join("text"))?;
        }
        for path in &self.reads {
            text += &fs::read_text(path)?;
        }
        text += &self.suffix;
        if self.seeded {
            text += &context.seed.value().to_string();
        }
        let checkpoint = context.scratch.join("checkpoint");
        match &self.act {
            Act::Join => {}
            Act::Same => text = "same".to_owned(),
            Act::Vary(count) => {
                let count = count.fetch_add(1, Ordering::SeqCst);
                fs::write(&context.out.join("seconds"), count.to_string())?;
                if self.suffix == "vary" {
                    text += &count.to_string();
                }
            }
            Act::Fail | Act::Panic => {
                fs::write(&context.out.join("half"), "half")?;
                if matches!(self.act, Act::Panic) {
                    panic!("no more ideas");
                }
                return Err(anyhow::anyhow!("no luck").into());
            }
            Act::Gate => {
                fs::write(&context.out.join("text"), "too bad")?;
                return Err(StageError::Gate("accuracy 0.1 is below 0.9".to_owned()));
            }
            Act::Checkpoint if checkpoint.exists() => text += "resumed",
            Act::Checkpoint => {
                fs::write(&checkpoint, "step 1")?;
                for _ in 0..5000 {
                    context.progress.check()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                return Err(anyhow::anyhow!("nobody interrupted it").into());
            }
            Act::Replace(other) => fs::write(&self.reads[0], other)?,
            Act::Claim(content) => {
                let digest = crate::digest::Digest::of_bytes(content.as_bytes());
                context.check_read(&self.reads.iter().map(|path| (path.clone(), digest)).collect())?;
            }
            Act::Litter => fs::write(&context.scratch.join("litter"), "")?,
            Act::GiveUp => return Err(StageError::Interrupted),
            Act::Meet(meeting) => {
                if !meeting.attend() {
                    return Err(anyhow::anyhow!("nobody came").into());
                }
            }
        }
        if let Some(path) = &self.outside {
            fs::write(path, &text)?;
            write_outside(context.out, &[OutsideFile::of(path)?])?;
        }
        fs::write(&context.out.join("text"), text)?;
        Ok(())
    }

    fn publish(&self, _id: &StageId, _out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        Ok(self.publishes.iter().map(|(file, place)| (PathBuf::from(file), PathBuf::from(place))).collect())
    }
}

/// A clock that goes on by a second whenever it is asked, far after any file was written.
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Keeps what it hears as text, and asks a run to stop when a stage of this name starts.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<String>>,
    stop_at: Option<&'static str>,
    cancel: Cancel,
}

impl Events for Listener {
    fn on(&self, event: &Event<'_>) {
        let line = match event {
            Event::Started { stage, .. } => {
                if self.stop_at == Some(stage.as_str()) {
                    self.cancel.request(Signal::Interrupt);
                }
                format!("started {stage}")
            }
            Event::Warning { stage: Some(stage), line } => format!("warning of {stage}: {line}"),
            Event::Warning { stage: None, line } => format!("warning: {line}"),
            Event::Restored { stage, places } => format!("restored {} of {stage}", places.join(" ")),
            Event::Failed { stage, error, .. } => format!("failed {stage}: {error}"),
            Event::Skipped { stage, missing } => {
                format!("skipped {stage} for {:?}", missing.iter().map(StageId::as_str).collect::<Vec<_>>())
            }
            Event::Finished { stage, unchanged: true, .. } => format!("unchanged {stage}"),
            _ => return,
        };
        self.heard.lock().unwrap().push(line);
    }
}

/// A pipeline of toys in a temporary folder.
struct Bench {
    dir: tempfile::TempDir,
    toys: Vec<Toy>,
    seed: u64,
    options: RunOptions,
    clock: Ticks,
    heard: Vec<String>,
}

impl Bench {
    /// Toys as `name: input input`, separated by commas.
    fn new(text: &str) -> Self {
        let toy = |text: &str| {
            let (name, inputs) = text.split_once(':').unwrap_or((text, ""));
            let id = |name: &str| name.trim().parse::<StageId>().unwrap();
            Toy {
                id: id(name),
                kind: "toy",
                version: 1,
                suffix: format!("{},", name.trim()),
                inputs: inputs.split_whitespace().map(id).collect(),
                reads: Vec::new(),
                outside: None,
                superseded: None,
                seeded: false,
                publishes: Vec::new(),
                act: Act::Join,
            }
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            toys: text.split(',').map(toy).collect(),
            seed: 42,
            options: RunOptions::default(),
            clock: Ticks(AtomicU64::new(1 << 40)),
            heard: Vec::new(),
        }
    }

    fn toy(&mut self, name: &str) -> &mut Toy {
        self.toys.iter_mut().find(|toy| toy.id.as_str() == name).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn artifact(&self, name: &str) -> PathBuf {
        self.path("artifacts").join(name)
    }

    fn plan(&self) -> Plan {
        let stage = |toy: &Toy| PlannedStage { id: toy.id.clone(), stage: Box::new(toy.clone()) };
        let stages = self.toys.iter().map(stage).collect();
        Plan::new("toys", Seed::new(self.seed), self.path("artifacts"), stages).unwrap()
    }

    fn try_run_with(&mut self, listener: Listener) -> Result<Summary, EngineError> {
        let cancel = listener.cancel.clone();
        let result = run(&self.plan(), &self.options, &listener, &self.clock, &cancel);
        self.heard = listener.heard.into_inner().unwrap();
        result
    }

    fn try_run(&mut self) -> Result<Summary, EngineError> {
        self.try_run_with(Listener::default())
    }

    /// Runs to the end and says which stages were run, in running order.
    fn ran(&mut self) -> String {
        let summary = self.try_run().unwrap();
        assert_eq!(summary.outcome, Outcome::Done, "{:?}", self.heard);
        names_where(&summary, |status| matches!(status, Status::Ran { .. }))
    }

    /// Asserts that the forecast names exactly the stages that then run.
    fn runs(&mut self, expected: &str) {
        let forecast: Vec<String> =
            self.forecast().outlooks.iter().filter(|one| one.fate.why() != "").map(|one| one.stage.to_string()).collect();
        assert_eq!(forecast.join(" "), expected, "the forecast");
        assert_eq!(self.ran(), expected, "the run");
    }

    fn forecast(&self) -> Forecast {
        forecast(&self.plan(), &self.options, &self.clock).unwrap()
    }

    /// Why a stage would run.
    fn why(&self, name: &str) -> String {
        self.forecast().outlook(&name.parse().unwrap()).unwrap().fate.why()
    }

    /// The folder with the output of a stage that has run.
    fn output(&self, name: &str) -> PathBuf {
        let lock = self.lock();
        let key = lock.stages[&name.parse::<StageId>().unwrap()].key;
        self.artifact(".cache/objects").join(key.to_string()).join("files")
    }

    fn text(&self, name: &str) -> String {
        fs::read_text(&self.output(name).join("text")).unwrap()
    }

    fn lock(&self) -> PipelineLock {
        PipelineLock::read(&self.path("artifacts")).unwrap().unwrap()
    }

    /// Changes the last byte of a file as failing storage does: the memory of stamps takes the file for what it was.
    fn rot(&self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let digest = crate::digest::Digest::of_bytes(&bytes);
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
        let stamps = stamps::Stamps::open(self.artifact(".cache/stamps.json"), self.clock.now());
        stamps.remember(path, digest);
        stamps.save().unwrap();
    }

    fn jobs(&mut self, jobs: usize) {
        self.options.jobs = NonZeroUsize::new(jobs).unwrap();
    }
}

fn names_where(summary: &Summary, wanted: impl Fn(&Status) -> bool) -> String {
    let reports = summary.stages.iter().filter(|report| wanted(&report.status));
    reports.map(|report| report.stage.as_str()).collect::<Vec<_>>().join(" ")
}

/// Writes a file in place and gives it the time of modification that it had.
#[cfg(unix)]
pub(super) fn change_unseen(path: &Path, text: &str) {
    let modified = path.metadata().unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(20)); // times of files go on in steps of up to ten milliseconds
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(modified)).unwrap();
}
