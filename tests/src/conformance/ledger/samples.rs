//! The series of a run, and the instants of its timeline.

use std::time::Duration;

use shared::domain::Outcome;
use shared::ledger::{Closing, LimiterSample, RunId, Sample};

use super::STALE;
use super::stage::{Stage, closing, key};

const ON: &str = "2026-11-23";

/// Longer than points are apart at first, on a clock that runs by itself too.
const LATER: Duration = Duration::from_secs(30);

fn sample(updated: u64) -> Sample {
    Sample { updated, unwritten: 1, dead_lettered: 2, open: 3, ready: Some(4), waiting: None }
}

async fn add(stage: &Stage, run: RunId, updated: u64) -> bool {
    stage.ledger().add_sample(run, &sample(updated)).await.expect("to add a sample")
}

pub(super) async fn a_series_moves_apart_as_it_grows(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let other = stage.night("2026-11-24", &[(2, 2, 2)]).await;
    assert!(add(&stage, run, 0).await);
    assert!(!add(&stage, run, 1).await, "so soon");
    assert!(add(&stage, other, 7).await, "each run has a series of its own");
    for updated in 2..100 {
        stage.advance(LATER).await;
        assert!(add(&stage, run, updated).await, "{updated}");
    }
    let samples = stage.ledger().samples(run).await.expect("samples");
    assert_eq!(samples.len(), 99);
    assert!(samples.iter().map(|point| point.number).eq(1..=99));
    assert!(samples.is_sorted_by(|earlier, later| earlier.at < later.at));
    assert_eq!(samples[1].sample, sample(2));
    assert_eq!(samples[1].workers, 0);
    // A second was enough at first; after ninety points it is none.
    stage.advance(Duration::from_secs(1)).await;
    assert!(!add(&stage, run, 100).await);
    assert_eq!(stage.ledger().samples(other).await.expect("samples").len(), 1);
}

pub(super) async fn a_series_belongs_to_an_open_run(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    assert!(add(&stage, run, 0).await);
    stage.finish(run, 2, Outcome::Updated).await;
    assert!(stage.close(run).await);
    stage.advance(LATER).await;
    assert!(!add(&stage, run, 1).await, "it is closed");
    assert_eq!(stage.ledger().samples(run).await.expect("samples").len(), 1, "what was seen is kept");
}

pub(super) async fn workers_add_to_the_newest_point(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let add_limiter = async |after, limit, in_flight| {
        let limiter = LimiterSample { limit, in_flight };
        stage.ledger().add_limiter(run, after, limiter).await.expect("an answer")
    };
    assert_eq!(add_limiter(0, 10.5, 10).await, None, "there is no point yet");
    assert!(add(&stage, run, 0).await);
    assert_eq!(add_limiter(0, 10.5, 10).await, Some(1));
    assert_eq!(add_limiter(1, 10.5, 10).await, None, "this worker was there");
    assert_eq!(add_limiter(0, 20.25, 5).await, Some(1), "another was not");
    stage.advance(LATER).await;
    assert!(add(&stage, run, 1).await);
    assert_eq!(add_limiter(1, 8.0, 8).await, Some(2));
    let samples = stage.ledger().samples(run).await.expect("samples");
    let of = |index: usize| (samples[index].workers, samples[index].limiter);
    assert_eq!(of(0), (2, LimiterSample { limit: 30.75, in_flight: 15 }));
    assert_eq!(of(1), (1, LimiterSample { limit: 8.0, in_flight: 8 }));
}

pub(super) async fn a_run_is_published_once_every_row_is(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let note = async || stage.ledger().note_all_published(run).await.expect("an answer");
    let at = async || stage.ledger().run(run).await.expect("an answer").expect("the run").published_at;
    assert!(!note().await);
    stage.due().await;
    stage.ledger().note_published(&[key(run, 2)], STALE).await.expect("to note");
    assert!(!note().await, "one is not confirmed");
    assert_eq!(at().await, None);
    stage.ledger().note_published(&[key(run, 3)], STALE).await.expect("to note");
    assert!(note().await);
    let first = at().await.expect("an instant");
    stage.advance(LATER).await;
    stage.ledger().forget_published(run).await.expect("to forget");
    assert!(!note().await);
    stage.due().await;
    stage.ledger().note_published(&[key(run, 2), key(run, 3)], STALE).await.expect("to note");
    assert!(!note().await, "the first time stands");
    assert_eq!(at().await, Some(first));
}

pub(super) async fn a_run_tells_when_it_wrote(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3)]).await;
    let writes = async || stage.ledger().writes(run).await.expect("an answer");
    assert_eq!(writes().await, None);
    for (row, outcome) in [(2, Outcome::Unchanged), (3, Outcome::Updated), (4, Outcome::Updated)] {
        stage.finish(run, row, outcome).await;
        stage.advance(LATER).await;
    }
    let (first, last) = writes().await.expect("two writes");
    assert!(last.duration_since(first).as_secs() >= 30, "the row that was unchanged is no write");
    let closed_at = stage.ledger().now().await.expect("the time");
    let closing = Closing { closed_at, writes: Some((first, last)), ..closing() };
    assert!(stage.ledger().close_run(run, &closing).await.expect("an answer"));
    let run = stage.ledger().run(run).await.expect("an answer").expect("the run");
    assert_eq!((run.first_write_at, run.last_write_at), (Some(first), Some(last)));
}
