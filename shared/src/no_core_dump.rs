//! A crash must not leave the memory of a process behind: NIKs, numbers and keys are in clear there.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Switches core dumps off, for good: nobody can raise the hard limit again without privileges.
///
/// The limit alone would not do where dumps are piped to a program (systemd-coredump, apport): the kernel does not look
/// at it then. A process that is not dumpable is not dumped either way, and nobody of the same user can attach to it
/// or read its environment.
pub(crate) fn apply() -> rustix::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
