//! What a night is ordered to do.

use producer::Order;
use shared::data_key::KeyedHash;
use shared::ledger::{RunKind, Selection};

/// The whole date.
pub fn whole() -> Order {
    Order { kind: RunKind::Night, selection: Selection::default() }
}

/// The whole date, without writing: `--dry-run`.
pub fn dry() -> Order {
    Order { kind: RunKind::DryRun, ..whole() }
}

/// `--limit`.
pub fn first(limit: u32) -> Order {
    Order { selection: Selection { limit: Some(limit), ..Selection::default() }, ..whole() }
}

/// `--nik`.
pub fn of_niks(niks: &[KeyedHash]) -> Order {
    let niks = niks.iter().map(ToString::to_string).collect();
    Order { selection: Selection { niks, ..Selection::default() }, ..whole() }
}

/// `--reapply`.
pub fn reapplied() -> Order {
    Order { selection: Selection { reapply: true, ..Selection::default() }, ..whole() }
}
