//! Makes a failing plan smaller, for whoever has to understand it.

use super::plan::Plan;

/// Tries at most.
const TRIES: u32 = 400;

/// The smallest plan found that still fails.
pub fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut smallest = plan.clone();
    let mut tries = 0;
    loop {
        let smaller = candidates(&smallest).into_iter().find(|candidate| {
            tries += 1;
            tries <= TRIES && fails(candidate)
        });
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Plans with less in them: first without much, then without little.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut candidates = Vec::new();
    for without in stretches(plan.events.len()) {
        let mut smaller = plan.clone();
        smaller.events.drain(without);
        candidates.push(smaller);
    }
    for without in stretches(plan.rows.len()) {
        let mut smaller = plan.clone();
        smaller.rows.drain(without);
        candidates.push(smaller);
    }
    if plan.workers > 1 {
        candidates.push(Plan { workers: plan.workers - 1, ..plan.clone() });
    }
    candidates
}

/// Halves, quarters and so on of so many.
fn stretches(count: usize) -> Vec<std::ops::Range<usize>> {
    let mut stretches = Vec::new();
    let mut length = count / 2;
    while length > 0 {
        stretches.extend((0..count).step_by(length).map(|at| at..(at + length).min(count)));
        length /= 2;
    }
    if count == 1 {
        stretches.push(0..1);
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::plan::What;

    #[test]
    fn what_has_nothing_to_do_with_a_failure_is_left_out() {
        let plan =
            (0..).map(Plan::of).find(|plan| plan.events.len() > 6 && plan.rows.len() > 9).expect("one");
        let is_start = |plan: &Plan| plan.events.iter().any(|event| matches!(event.what, What::Start { .. }));
        let smallest = shrink(&plan, |plan| is_start(plan) && plan.rows.iter().any(|row| row.number > 0));
        assert_eq!((smallest.events.len(), smallest.rows.len()), (1, 1), "{smallest:?}");
    }
}
