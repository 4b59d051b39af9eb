//! How a program ends: the exit statuses of the outside contract, and what is said with them.

use std::fmt::Display;
use std::process::ExitCode;

use crate::error_chain;
use crate::signals::Signal;

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0: finished, no dead letters.
    Done,
    /// 1: an unexpected failure; starting again carries the run on.
    Failed,
    /// 2: bad flags or settings; nothing was started.
    BadSettings,
    /// 3: finished, with dead letters to look at.
    DeadLetters,
    /// 4: another live process holds the lock of this job and date.
    Locked,
    /// 5: stopped by a guard or a systemic failure.
    Stopped,
    /// 130 or 143: interrupted, drained cleanly.
    Interrupted(Signal),
}

impl Status {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadSettings => 2,
            Self::DeadLetters => 3,
            Self::Locked => 4,
            Self::Stopped => 5,
            Self::Interrupted(Signal::Interrupt) => 130,
            Self::Interrupted(Signal::Terminate) => 143,
        }
    }

    /// The status of two commands done one after the other: the graver one.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done, other) => other,
            (Self::DeadLetters, other) if other != Self::Done => other,
            (this, _) => this,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// Bad flags or settings: said once, all of them, before anything was touched.
pub fn refuse(problems: impl IntoIterator<Item = impl Display>) -> Status {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    Status::BadSettings
}

/// An unexpected failure, with its causes.
pub fn fail(error: &dyn std::error::Error) -> Status {
    tracing::error!(error = error_chain(error), "failed; starting again carries the run on");
    Status::Failed
}
