//! What the options of a stage say together, whatever it reads. It is judged for every stage, also where what it reads is
//! at fault, so that one run of the program shows all mistakes.

use std::path::Path;

use super::super::kind::StageKind;
use super::Checker;
use crate::data::classes;
use crate::data::csv::CsvOptions;
use crate::data::fetch::FetchOptions;
use crate::fs::names;
use crate::graph::StageId;
use crate::spec::StageSpec;

impl Checker<'_> {
    pub(super) fn alone(&mut self, stage: &StageSpec<StageKind>) {
        let id = &stage.id;
        match &stage.kind {
            StageKind::Fetch(options) => self.fetch(id, options),
            StageKind::Merge(options) => {
                if let Some(classes) = &options.classes {
                    self.faults(id, &["classes"], classes::faults(classes));
                }
                self.columns(id, &options.columns);
            }
            StageKind::Split(options) => self.faults(id, &[], options.faults()),
            StageKind::Train(options) => self.faults(id, &[], options.settings().faults()),
            StageKind::Distill(options) => self.faults(id, &[], options.settings().faults()),
            StageKind::Tune(options) => self.faults(id, &["train"], options.train.faults()),
            StageKind::Score(options) => {
                self.columns(id, &options.columns);
                let classes = self.facts.models.get(&options.model.model).and_then(|model| model.classes.as_ref()).map(Vec::len);
                self.faults(id, &[], options.faults(classes));
            }
            _ => {}
        }
    }

    fn fetch(&mut self, id: &StageId, options: &FetchOptions) {
        self.folder(id, &["dir"], &options.dir);
        self.faults(id, &[], options.faults());
    }

    /// A folder that is to be made or written to.
    fn folder(&mut self, id: &StageId, path: &[&str], folder: &Path) {
        if let Some((message, help)) = names::fault(folder, "") {
            self.problem(id, path, message, help);
        } else if let Some(obstacle) = names::obstacle(folder) {
            let message = format!("there can be no folder at `{}`: `{}` is something else", folder.display(), obstacle.display());
            self.problem(id, path, message, "name a folder");
        }
    }

    fn columns(&mut self, id: &StageId, columns: &CsvOptions) {
        self.faults(id, &["columns"], columns.faults());
    }
}
