//! Faults of options that single values do not show: what a room finds wrong with the options that it defines, so that
//! whoever knows where they are written can point there.

/// One thing that is wrong with some options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The option at fault, by the keys and positions in lists that lead to it from the options that were checked.
    pub path: Vec<String>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do, to be read after a semicolon. Options that follow it do not have this fault any more.
    pub help: String,
}

impl Fault {
    /// A fault of the option at `path`.
    pub fn new(path: &[&str], message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { path: path.iter().map(|&part| part.to_owned()).collect(), message: message.into(), help: help.into() }
    }

    /// The same fault, seen from the options around those that were checked: `key` leads to them.
    pub fn below(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.help.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}; {}", self.message, self.help),
        }
    }
}

impl std::error::Error for Fault {}

/// The first of `faults` as an error, for work that is handed options which nobody has checked.
///
/// # Errors
/// The first fault, if there is one.
pub fn none(faults: Vec<Fault>) -> Result<(), Fault> {
    faults.into_iter().next().map_or(Ok(()), Err)
}
