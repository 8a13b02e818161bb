//! Exit codes, and the one error type of the command line.

use std::process::ExitCode;

use crate::engine::{EngineError, Outcome, Signal};
use crate::progress::Interrupted;

/// How the program ends. The codes are published: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: everything asked for was done.
    Done,
    /// 1: a stage failed, or the system refused something.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: `pipeline.yaml` has problems.
    Invalid,
    /// 4: a gate or a verification failed.
    Gate,
    /// 5: the cache or an artifact is damaged.
    Corrupt,
    /// 6: another run holds the lock.
    Held,
    /// 10: `plan --exit-code` found work.
    Work,
    /// 128 + the signal's number: interrupted.
    Interrupted(Signal),
}

impl Exit {
    /// The number the shell sees.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::Gate => 4,
            Self::Corrupt => 5,
            Self::Held => 6,
            Self::Work => 10,
            Self::Interrupted(signal) => 128 + signal.number(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed => Self::Failed,
            Outcome::Gate => Self::Gate,
            Outcome::Corrupt => Self::Corrupt,
            Outcome::Interrupted(signal) => Self::Interrupted(signal),
        }
    }
}

/// Why a verb could not do its work: what is said to the user, and how the program ends.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) exit: Exit,
    /// The text, without `error:` before it; none if everything has been said.
    pub(super) text: Option<String>,
}

impl Failure {
    /// A failure with a text.
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: Some(text.into()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<Interrupted>() {
            return Self { exit: Exit::Interrupted(Signal::Interrupt), text: None };
        }
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let exit = match error {
            EngineError::Held { .. } => Exit::Held,
            EngineError::NoCache { .. } | EngineError::UnknownStage { .. } | EngineError::NotReady { .. } => Exit::Usage,
            EngineError::OutOfDate(_) => Exit::Gate,
            EngineError::Corrupt(_) => Exit::Corrupt,
            EngineError::System(error) => return error.into(),
        };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_codes() {
        let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Invalid, Exit::Gate, Exit::Corrupt, Exit::Held, Exit::Work];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 10]);
        assert_eq!([Signal::Interrupt, Signal::Terminate].map(|signal| Exit::Interrupted(signal).code()), [130, 143]);
    }

    #[test]
    fn every_error_of_the_engine_has_its_code() {
        let stage: crate::graph::StageId = "basic".parse().unwrap();
        let damage = || anyhow::anyhow!("damaged");
        for (error, exit) in [
            (EngineError::Held { folder: "artifacts".into() }, Exit::Held),
            (EngineError::NoCache { folder: "artifacts".into() }, Exit::Usage),
            (EngineError::UnknownStage { stage: stage.clone(), nearest: None }, Exit::Usage),
            (EngineError::NotReady { stage, why: String::new() }, Exit::Usage),
            (EngineError::OutOfDate(Vec::new()), Exit::Gate),
            (EngineError::Corrupt(damage()), Exit::Corrupt),
            (EngineError::System(damage()), Exit::Failed),
            (EngineError::System(Interrupted.into()), Exit::Interrupted(Signal::Interrupt)),
        ] {
            let text = format!("{error:?}");
            assert_eq!(Failure::from(error).exit, exit, "{text}");
        }
    }
}
