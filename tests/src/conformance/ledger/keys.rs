//! The data key's change: nothing is met half changed, and nothing is left under the old one.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use shared::data_key::DataKeys;
use shared::domain::{Outcome, Reason};
use shared::ledger::{
    Act, Claim, Held, HeldKind, Intent, LedgerError, PruneTerms, Replay, RunKind, Selection, StrayMessage,
};
use shared::payload::Payload;
use shared::rekey::{Rekey, RekeyError, Rekeyed, Settled};

use super::stage::{JOB, OLD_KEY, Stage, key, new_run, nik};
use super::{LEASE, done};

const ON: &str = "2026-11-23";
const EARLIER: &str = "2026-11-20";
const NEW_KEY: &str = "new:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

const KINDS: [HeldKind; 7] = [
    HeldKind::Selection,
    HeldKind::Act,
    HeldKind::Row,
    HeldKind::DeadLetter,
    HeldKind::Intent,
    HeldKind::Stray,
    HeldKind::Newest,
];

fn keys(lines: &[&str]) -> DataKeys {
    DataKeys::parse(&SecretString::from(lines.join("\n"))).expect("keys")
}

fn rekey(stage: &Stage) -> Rekey {
    Rekey::new(stage.ledger().clone(), stage.keys().clone(), "here".into())
}

/// A process with a new line on top of `DATA_KEY` that has looked at the ledger.
async fn put_on_top(stage: &mut Stage) {
    stage.turn_key(keys(&[NEW_KEY, OLD_KEY]));
    assert_eq!(rekey(stage).settle("ops").await.expect("a key that fits"), Settled::Yes);
}

/// The same once the old line is gone.
async fn take_away(stage: &mut Stage) {
    stage.turn_key(keys(&[NEW_KEY]));
    assert_eq!(rekey(stage).settle("ops").await.expect("a key that fits"), Settled::Yes);
}

async fn all(stage: &Stage, kind: HeldKind) -> Vec<Held> {
    stage.ledger().held(kind, None, 1_000).await.expect("a list")
}

/// A closed night of one person with one number.
async fn applied(stage: &Stage, on: &str, who: u32, which: u32) {
    let run = stage.night(on, &[(2, who, which)]).await;
    stage.finish(run, 2, Outcome::Updated).await;
    assert!(stage.close(run).await);
}

/// What the ledger says by itself of a person's row.
async fn told(stage: &Stage, on: &str, who: u32, which: u32) -> Option<Outcome> {
    let run = stage.night(on, &[(2, who, which)]).await;
    let claim = stage.ask(key(run, 2), 0).await;
    let Claim::Settled(outcome) = claim else { panic!("{claim:?}") };
    assert!(stage.close(run).await);
    outcome
}

/// Both ways in which a person is recognised.
async fn is_recognised(stage: &Stage, who: u32, which: u32) {
    assert_eq!(told(stage, ON, who, which).await, Some(Outcome::SkippedAlreadyApplied));
    assert_eq!(told(stage, EARLIER, who, which + 50).await, Some(Outcome::Superseded));
}

pub(super) async fn a_run_of_another_key_is_refused(stage: Stage) {
    applied(&stage, ON, 1, 1).await;
    let fence = stage.lock(ON, "producer").await;
    let mut run = new_run(RunKind::Night, Selection::default());
    run.hashes = "new".into();
    let refused = stage.ledger().open_run(&fence, run).await.expect_err("hashes that do not compare");
    assert!(matches!(refused, LedgerError::OtherKey { .. }), "{refused:?}");
}

pub(super) async fn no_key_is_changed_while_a_run_is_unfinished(mut stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    put_on_top(&mut stage).await;
    let refused = async |stage: &Stage| {
        let error = rekey(stage).run("ops").await.expect_err("a run is unfinished");
        assert!(matches!(error, RekeyError::Ledger(LedgerError::Unfinished { run: other }) if other == run));
        assert_eq!(stage.ledger().key_state().await.expect("a state").expect("a key").next, None);
    };
    refused(&stage).await;
    stage.finish(run, 2, Outcome::Updated).await;
    stage.kill(key(run, 3), Reason::AmbiguousPatient).await;
    assert!(stage.close(run).await);
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    refused(&stage).await;
}

pub(super) async fn no_run_is_opened_or_replayed_while_the_key_is_changed(mut stage: Stage) {
    applied(&stage, ON, 1, 1).await;
    put_on_top(&mut stage).await;
    stage.ledger().begin_rekey("new").await.expect("to begin");
    let fence = stage.lock(ON, "producer").await;
    for hashes in ["stage", "new"] {
        let mut run = new_run(RunKind::Night, Selection::default());
        run.hashes = hashes.into();
        let refused = stage.ledger().open_run(&fence, run).await.expect_err("a change is under way");
        assert!(matches!(refused, LedgerError::Rekeying), "{refused:?}");
    }
    let refused = stage.ledger().replay(Replay::default()).await.expect_err("a change is under way");
    assert!(matches!(refused, LedgerError::Rekeying), "{refused:?}");
    assert!(!stage.ledger().end_rekey("stage").await.expect("an answer"), "that is not where it leads");
    assert!(stage.ledger().end_rekey("new").await.expect("an answer"));
}

pub(super) async fn everything_comes_under_the_newest_key(mut stage: Stage) {
    let asked_for = Selection { niks: vec![stage.nik_hash(1).to_string()], ..Selection::default() };
    let run = stage.run_of(ON, RunKind::Night, asked_for, &[(2, 1, 1), (3, 2, 2)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    let old = stage.keys().clone();
    let intent = Intent {
        key: claimed.key,
        epoch: claimed.epoch,
        patient: old.seal_text(&claimed.key.place(), "patient-1"),
        version: "7".into(),
        sealed_before: old.seal(&claimed.key.place(), b"[]"),
    };
    stage.ledger().record_intents(&[intent]).await.expect("to record an intent");
    stage.record(&claimed, done(Outcome::Updated)).await;
    stage.kill(key(run, 3), Reason::AmbiguousPatient).await;
    assert!(stage.close(run).await);
    let detail = json!({ "niks": [stage.nik_hash(2).as_str(), "stage:0123456789abcdef0123456789abcdef"] });
    stage.ledger().note_act(Act { who: "ops".into(), act: "replay".into(), detail }).await.expect("to note");
    let stray = StrayMessage {
        queue: "work".into(),
        message_id: None,
        content_type: None,
        fault: "no JSON".into(),
        sealed: old.seal(&StrayMessage::place("work", None), b"a body"),
    };
    stage.ledger().keep_stray(&stray).await.expect("to keep");

    put_on_top(&mut stage).await;
    let changed = rekey(&stage).run("ops").await.expect("to change").expect("nobody else is at it");
    let expected =
        Rekeyed { rows: 2, dead_letters: 1, intents: 1, strays: 1, newest_successes: 1, texts: 2, left: 0 };
    assert_eq!(changed, expected);
    take_away(&mut stage).await;
    let new = stage.keys().clone();
    for kind in KINDS {
        for held in all(&stage, kind).await {
            let text = format!("{held:?}").replace("stage:0123456789abcdef0123456789abcdef", "");
            assert!(!text.contains("stage:"), "{text}");
            match held {
                Held::Row { key, sealed, digests, nik, .. } => {
                    let payload = Payload::open(&new, &key, &sealed).expect("a payload");
                    assert_eq!(payload.nik.map(|it| new.nik_hash(&it)), nik);
                    new.open_digests(&digests.expect("digests")).expect("digests");
                }
                Held::DeadLetter { key, sealed, nik: hash, .. } => {
                    assert_eq!(hash, new.nik_hash(&nik(2)));
                    Payload::open(&new, &key, &sealed).expect("a payload");
                }
                Held::Intent { key, patient, before } => {
                    assert_eq!(new.open_text(&key.place(), &patient).expect("a name"), "patient-1");
                    assert_eq!(new.open(&key.place(), &before).expect("a telecom"), b"[]");
                }
                Held::Stray { place, sealed, .. } => {
                    assert_eq!(new.open(&place, &sealed).expect("a body"), b"a body");
                }
                Held::Newest { nik: hash, .. } => assert_eq!(hash, new.nik_hash(&nik(1))),
                Held::Selection { json, .. } => {
                    assert!(json.contains(new.nik_hash(&nik(1)).as_str()), "{json}")
                }
                Held::Act { json, .. } if json.contains("niks") => {
                    assert!(json.contains(new.nik_hash(&nik(2)).as_str()), "{json}");
                }
                Held::Act { .. } => {}
            }
        }
    }
    let nothing = rekey(&stage).run("ops").await.expect("to change").expect("nobody else is at it");
    assert_eq!(nothing, Rekeyed::default(), "all of it is under the newest key");
    is_recognised(&stage, 1, 1).await;
}

pub(super) async fn what_was_applied_is_known_before_within_and_after_a_change(mut stage: Stage) {
    for who in 1..=3 {
        applied(&stage, ON, who, who).await;
    }
    put_on_top(&mut stage).await;
    is_recognised(&stage, 1, 1).await;

    // Cut off in the middle: some tables are done, some of the persons, and the rest is not.
    stage.ledger().begin_rekey("new").await.expect("to begin");
    stage.keys().hash_under("new").expect("it is one of them");
    let half = rekey(&stage);
    half.batch(HeldKind::Row, None, &mut Rekeyed::default()).await.expect("a batch");
    let newest = all(&stage, HeldKind::Newest).await;
    assert_eq!(newest.len(), 3);
    let person = stage.ledger().held(HeldKind::Newest, Some(&newest[0]), 1).await.expect("a person");
    assert_eq!(person.len(), 1);
    half.batch(HeldKind::Newest, Some(&newest[1]), &mut Rekeyed::default()).await.expect("a batch");
    let under_new = async |stage: &Stage| {
        let newest = all(stage, HeldKind::Newest).await;
        newest.iter().filter(|held| matches!(held, Held::Newest { nik, .. } if nik.key() == "new")).count()
    };
    assert_eq!(under_new(&stage).await, 1);

    // The next start, which carries it on before it opens a run.
    put_on_top(&mut stage).await;
    assert_eq!(under_new(&stage).await, 3);
    assert_eq!(stage.keys().hashes_under(), "new");
    for who in 1..=3 {
        is_recognised(&stage, who, who).await;
    }
    take_away(&mut stage).await;
    for who in 1..=3 {
        is_recognised(&stage, who, who).await;
    }
}

pub(super) async fn a_change_that_another_process_is_at_is_waited_for(mut stage: Stage) {
    applied(&stage, ON, 1, 1).await;
    put_on_top(&mut stage).await;
    assert!(stage.ledger().hold_duty("rekey", "elsewhere", LEASE).await.expect("an answer"));
    stage.ledger().begin_rekey("new").await.expect("to begin");
    assert_eq!(rekey(&stage).run("ops").await.expect("an answer"), None);
    assert_eq!(rekey(&stage).settle("ops").await.expect("an answer"), Settled::Elsewhere);
    stage.advance(LEASE + Duration::from_secs(60)).await;
    assert_eq!(rekey(&stage).settle("ops").await.expect("an answer"), Settled::Yes, "it died");
}

pub(super) async fn a_process_without_the_key_that_is_needed_is_refused(mut stage: Stage) {
    applied(&stage, ON, 1, 1).await;
    stage.turn_key(keys(&[NEW_KEY]));
    let refused = rekey(&stage).settle("ops").await.expect_err("hashes of an unknown key");
    assert!(error_names(&refused, "stage"), "{refused:?}");
    let refused = rekey(&stage).run("ops").await.expect_err("values of an unknown key");
    assert!(error_names(&refused, "stage"), "{refused:?}");
    stage.turn_key(keys(&[OLD_KEY]));
    let refused = rekey(&stage).settle("ops").await.expect_err("a change to an unknown key");
    assert!(matches!(&refused, RekeyError::Other { next, .. } if next == "new"), "{refused:?}");
    put_on_top(&mut stage).await;
    is_recognised(&stage, 1, 1).await;
}

fn error_names(error: &RekeyError, key: &str) -> bool {
    shared::error_chain(error).contains(&format!("'{key}'"))
}

pub(super) async fn a_newest_success_outlives_its_row_through_two_changes(mut stage: Stage) {
    const DAY: Duration = Duration::from_secs(86_400);
    applied(&stage, ON, 1, 1).await;
    stage.advance(DAY).await;
    applied(&stage, "2026-12-30", 9, 9).await;
    stage.advance(DAY * 31).await;
    let terms = PruneTerms { job: JOB.into(), keep: DAY * 30, announce: DAY * 3, limit: 1_000 };
    while !stage.ledger().prune(&terms).await.expect("to prune").is_nothing() {}
    assert!(all(&stage, HeldKind::Row).await.is_empty(), "every row is gone");

    put_on_top(&mut stage).await;
    let changed = rekey(&stage).run("ops").await.expect("to change").expect("nobody else is at it");
    assert_eq!((changed.newest_successes, changed.left), (2, 0));
    const THIRD: &str = "third:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    stage.turn_key(keys(&[THIRD, NEW_KEY]));
    let changed = rekey(&stage).run("ops").await.expect("to change").expect("nobody else is at it");
    assert_eq!((changed.newest_successes, changed.left), (2, 0));
    stage.turn_key(keys(&[THIRD]));
    is_recognised(&stage, 1, 1).await;
}

pub(super) async fn what_is_damaged_is_counted_and_left(mut stage: Stage) {
    let damaged = StrayMessage {
        queue: "work".into(),
        message_id: None,
        content_type: None,
        fault: "no JSON".into(),
        sealed: stage.keys().seal(b"another place", b"a body"),
    };
    stage.ledger().keep_stray(&damaged).await.expect("to keep");
    applied(&stage, ON, 1, 1).await;
    put_on_top(&mut stage).await;
    let changed = rekey(&stage).run("ops").await.expect("to change").expect("nobody else is at it");
    assert_eq!((changed.left, changed.strays, changed.rows), (1, 0, 1));
    let keys: Arc<DataKeys> = stage.keys().clone();
    assert_eq!(keys.hashes_under(), "new");
}
