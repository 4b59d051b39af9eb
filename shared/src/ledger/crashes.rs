//! What claims that ended without a record mean for their row: most likely it ends the process that works on it.
//!
//! A crash takes down whatever else its process had in hand, so the count of one row says little while others are
//! with it. Hence two stages: first in company, then alone, where the count can mean only the row itself.

/// So many crashes, and a row is claimed only by a process that holds no other claim.
pub const CRASHES_IN_COMPANY: u32 = 3;

/// So many more of them alone, and it is given up as `poison_message`.
pub const CRASHES_ALONE: u32 = 3;

/// Whether a row with so many crashes may be claimed only alone.
pub(super) fn is_suspect(crashes: u32) -> bool {
    crashes >= CRASHES_IN_COMPANY
}

/// Whether a row with so many crashes is given up.
pub(super) fn is_poison(crashes: u32) -> bool {
    crashes >= CRASHES_IN_COMPANY + CRASHES_ALONE
}

/// What an operator reads of a row that is given up; `intended` is whether a write of it may have gone through.
pub(super) fn poison_error(crashes: u32, intended: bool) -> String {
    let alone = crashes.saturating_sub(CRASHES_IN_COMPANY);
    let doubt = if intended { "; whether its last write went through is not known" } else { "" };
    format!(
        "its processing ended the process {crashes} times, the last {alone} with no other row in hand{doubt}. Look \
         for the end of a process in the logs of that time; replay the row once the cause is mended"
    )
}
