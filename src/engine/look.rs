//! A look at results that cannot be written: an artifacts folder that was delivered, or lies on a medium that is read only.
//! If everything is there, that is all a run has to find out.

use std::io::ErrorKind;

use anyhow::anyhow;

use super::clock::Clock;
use super::error::EngineError;
use super::events::{Event, Events};
use super::forecast::{Fate, Forecast};
use super::plan::Plan;
use super::run::{Outcome, StageReport, Status, Summary};

/// Whether an error says that nothing may be written where something was to be.
pub(super) fn is_read_only(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem))
}

/// The run that does nothing, if there is nothing to do; `refused` is why it could not do anything.
///
/// # Errors
/// What there would be to do, and that it cannot be done.
pub(super) fn look(
    plan: &Plan,
    forecast: &Forecast,
    refused: &anyhow::Error,
    events: &dyn Events,
    clock: &dyn Clock,
) -> Result<Summary, EngineError> {
    let started = clock.now();
    let mut stages = Vec::new();
    events.on(&Event::RunStarted { pipeline: plan.name(), stages: forecast.outlooks.len() });
    for outlook in &forecast.outlooks {
        let work = match &outlook.fate {
            Fate::Cached { restores, .. } if restores.is_empty() => {
                events.on(&Event::Cached { stage: &outlook.stage });
                let stage = outlook.stage.clone();
                stages.push(StageReport { stage, kind: outlook.kind, status: Status::Cached, key: outlook.key, seconds: 0.0 });
                continue;
            }
            Fate::Cached { restores, .. } => format!("publishes {}", restores.join(", ")),
            other => format!("must run: {}", other.why()),
        };
        return Err(EngineError::System(anyhow!(
            "{refused:#}; a folder that cannot be written is good enough where nothing is to be done, but stage `{}` {work}",
            outlook.stage
        )));
    }
    events.on(&Event::RunFinished { outcome: Outcome::Done });
    let seconds = clock.now().saturating_sub(started).as_secs_f64();
    Ok(Summary { outcome: Outcome::Done, stages, seconds, peak_memory: None })
}
