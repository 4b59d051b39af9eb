//! The ledger's suite: the table of its cases, and what an adapter gives them to work with.
//!
//! Cases speak of leases in whole minutes and let time pass only through [`Adapter::advance`], so that an
//! adapter whose clock runs by itself (a database's) passes them too.

mod claims;
mod crashes;
mod dead_letters;
mod due;
mod fleet;
mod intents;
mod keys;
mod lock;
mod lookout;
mod newest;
mod outbox;
mod pages;
mod postgres;
mod prune;
mod records;
mod replays;
mod samples;
mod snapshot;
mod sqlite;
mod stage;
mod views;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::Ledger;

pub use postgres::Postgres;
pub use sqlite::{SqliteInMemory, SqliteOnFile};
pub use stage::{JOB, LEASE, RETAKE, STALE, Stage, closing, date, done, nik, number, plain};

use super::published;

/// An adapter under test, on an empty ledger of its own.
#[async_trait]
pub trait Adapter: Send + Sync {
    /// The ledger.
    fn ledger(&self) -> &Arc<dyn Ledger>;

    /// Lets the ledger's clock go on by so much.
    async fn advance(&self, by: Duration);
}

/// Every case of the ledger's suite, handed to the macro named first, after the arguments given here.
#[macro_export]
macro_rules! ledger_cases {
    ([$($with:tt)+] $($argument:tt)*) => {
        $($with)+! {
            $($argument)*
            lock {
                one_holder_at_a_time,
                a_lease_that_ran_out_is_taken_over_with_a_higher_epoch,
                a_former_holder_writes_nothing,
                a_holder_past_its_lease_writes_nothing,
                a_renewed_lease_runs_anew,
                a_lost_lease_is_not_renewed,
                a_lock_given_back_is_free_at_once,
                a_former_holder_gives_nothing_back,
                a_holder_that_comes_again_fences_off_its_former_self,
                of_many_starters_one_gets_the_lock,
            }
            snapshot {
                runs_are_ordered_as_they_are_opened,
                a_run_is_remembered_as_it_was_opened,
                seeding_again_replaces_the_range,
                nothing_is_seeded_into_a_complete_snapshot,
                completing_again_changes_nothing,
                a_limit_keeps_the_first_rows_of_the_sheet,
                a_limit_cuts_after_conflicts_are_decided,
                different_numbers_for_one_nik_reject_all_its_rows,
                the_first_of_equal_rows_stands_for_the_others,
                two_equal_rows_and_a_different_one_are_all_rejected,
                rejected_rows_are_nobodys_duplicates,
                one_number_for_two_niks_is_no_conflict,
                runs_do_not_make_each_others_duplicates,
                an_empty_sheet_is_a_whole_run,
                a_bad_seed_leaves_the_snapshot_as_it_was,
                a_dry_run_can_be_abandoned_and_a_night_cannot,
            }
            due {
                nothing_is_due_before_the_snapshot_is_complete,
                rows_come_due_in_the_sheets_order,
                rows_that_ended_at_seeding_are_never_due,
                a_due_row_carries_its_sealed_payload,
                a_row_never_confirmed_comes_again_ever_later,
                a_confirmed_row_comes_again_when_stale_and_the_queue_is_idle,
                a_healthy_backlog_is_not_published_again,
                a_backlog_that_is_lost_late_comes_due_within_eight_retakes,
                forgotten_rows_are_due_at_once,
                one_run_is_swept_or_every_open_one,
                one_kind_of_run_is_swept_or_every_kind,
                two_sweeps_at_once_take_no_row_twice,
                a_claimed_row_is_left_alone_within_its_lease,
                an_expired_claim_is_revoked_and_published_as_a_new_turn,
                a_retrying_row_comes_due_only_after_its_time,
                a_failed_row_whose_burial_got_lost_comes_due,
                a_late_confirmation_does_not_hide_a_returned_row,
                a_late_confirmation_does_not_hide_a_retrying_row,
                a_late_confirmation_does_not_hide_a_row_whose_message_died,
                a_confirmation_of_an_older_generation_is_ignored,
            }
            claims {
                a_claim_hands_over_the_row,
                a_second_claim_hears_what_is_left_of_the_lease,
                of_many_claims_at_once_one_gets_the_row,
                answers_come_in_the_order_asked,
                one_nik_is_leased_once_across_runs_and_dates,
                a_nik_is_free_again_when_its_row_is_recorded,
                an_expired_lease_is_claimed_with_a_higher_epoch,
                a_message_of_an_older_turn_is_stale,
                a_message_of_an_older_generation_is_stale,
                a_message_of_no_row_is_stale,
                a_message_of_an_abandoned_run_is_stale,
                a_settled_row_is_not_claimed,
                a_failed_row_is_not_claimed_but_names_its_reason,
            }
            crashes {
                a_row_that_crashes_in_company_is_claimed_only_alone,
                a_claim_alone_is_like_any_other,
                a_row_that_crashes_alone_too_is_given_up,
                a_row_that_is_given_up_holds_no_nik,
                a_row_that_is_given_up_says_why,
                a_dry_runs_row_is_given_up_too,
                nothing_is_given_up_within_a_lease,
                the_sweep_makes_no_difference_to_crashes,
                crashes_are_counted_for_each_row_alone,
                what_is_overtaken_is_not_given_up,
                a_record_forgives_the_crashes_before_it,
                a_replay_forgives_the_crashes_before_it,
            }
            outbox {
                a_run_keeps_the_report_it_was_closed_with,
                a_run_that_is_not_closed_gives_no_notice,
                a_change_of_state_is_told_once,
                notices_wait_in_their_order_until_they_are_posted,
                a_stray_is_kept_once_and_sealed,
                the_ledgers_clock_goes_on,
                the_latest_notice_is_found_by_how_its_key_begins,
            }
            newest {
                the_newest_success_is_kept,
                an_older_success_recorded_later_does_not_replace_it,
                a_newest_success_leads_to_its_payload,
                what_is_applied_already_is_skipped,
                a_number_corrected_back_on_one_day_is_applied_again,
                an_older_date_is_superseded,
                an_earlier_snapshot_of_the_date_is_superseded,
                a_row_settled_by_the_ledger_keeps_no_earlier_error,
                a_newer_date_applies_the_same_number_again,
                a_reapplying_run_skips_nothing,
                a_reapplying_run_of_an_older_date_is_superseded_all_the_same,
                outcomes_without_a_write_are_no_success,
                a_dry_run_changes_no_record,
                a_dry_run_is_told_what_a_night_would_be_told,
            }
            intents {
                a_standing_intent_comes_with_the_next_claim,
                the_latest_intent_stands,
                an_intent_outlives_a_retry,
                an_intent_belongs_to_its_generation,
                no_intent_past_the_lease,
                no_intent_for_another_epoch,
                an_intent_keeps_an_applied_number_from_being_skipped,
                an_intent_is_looked_at_even_when_a_newer_success_stands,
            }
            records {
                done_is_the_end,
                a_dry_runs_row_keeps_the_number_it_would_replace,
                every_outcome_and_reason_is_understood_again,
                a_counted_retry_uses_an_attempt_and_starts_a_turn,
                an_uncounted_retry_uses_no_attempt,
                a_returned_row_is_due_at_once,
                a_failed_row_waits_for_its_burial,
                a_record_of_another_epoch_is_refused,
                a_record_counts_once,
                a_record_past_the_lease_stands_while_nobody_took_over,
                a_record_is_refused_once_another_row_took_the_nik,
                a_batch_takes_what_it_can,
                requests_and_warnings_add_up,
            }
            dead_letters {
                a_failed_row_becomes_one_dead_letter,
                burying_again_changes_nothing,
                a_message_that_died_alone_sends_its_row_back,
                a_claimed_row_is_not_buried,
                a_dry_run_leaves_no_dead_letter,
                a_run_closes_once_and_only_when_all_is_done,
                of_many_closers_one_closes,
            }
            replays {
                a_replay_opens_one_new_generation,
                two_replays_at_once_open_one_generation,
                a_replayed_row_starts_afresh,
                a_replayed_row_counts_once_by_its_newest_generation,
                a_replayed_row_can_die_again,
                a_replay_is_narrowed_by_nik,
                a_replay_is_narrowed_by_date,
                a_replay_is_narrowed_by_reason,
                a_replay_is_narrowed_by_row,
                a_replayed_row_can_be_superseded,
                a_replay_leaves_the_run_closed,
                a_replay_under_way_leaves_its_run_unfinished,
                the_newest_replays_tell_how_far_they_are,
                a_number_said_again_is_newer_than_a_dead_letter_before_it,
            }
            prune {
                what_is_young_stays,
                an_old_run_goes_in_batches_and_at_last_itself,
                a_newest_success_outlives_its_rows,
                the_next_run_of_a_deleted_date_is_newer_than_what_was_applied,
                open_dead_letters_go_only_after_they_were_announced,
                a_run_with_a_row_under_replay_stays,
                a_run_whose_dead_letter_is_young_stays,
                an_unfinished_run_stays,
                an_abandoned_dry_run_goes,
                another_jobs_runs_stay,
                notices_acts_and_strays_go_by_their_age,
                when_it_last_ran_is_remembered,
            }
            keys {
                a_run_of_another_key_is_refused,
                no_key_is_changed_while_a_run_is_unfinished,
                no_run_is_opened_or_replayed_while_the_key_is_changed,
                everything_comes_under_the_newest_key,
                what_was_applied_is_known_before_within_and_after_a_change,
                a_change_that_another_process_is_at_is_waited_for,
                a_process_without_the_key_that_is_needed_is_refused,
                a_newest_success_outlives_its_row_through_two_changes,
                what_is_damaged_is_counted_and_left,
            }
            fleet {
                a_gate_stands_until_it_lapses,
                a_gate_tells_when_it_lapses,
                a_gate_can_be_opened,
                a_gate_that_is_shut_meanwhile_is_not_opened,
                a_gate_that_is_shut_after_it_was_opened_stands,
                a_deeper_gate_is_not_renamed_by_a_shallower_one,
                a_deeper_gate_replaces_a_shallower_one,
                a_gate_is_prolonged_by_its_own_kind,
                a_gate_is_never_shortened,
                a_shallower_gate_may_last_longer,
                a_lapsed_gate_yields_to_any,
                a_duty_has_one_holder_at_a_time,
                a_duty_is_kept_by_renewing_it,
            }
            lookout {
                a_pause_and_its_end_are_told_once_each_by_whoever_looks,
                a_pause_that_comes_back_soon_is_one,
                a_guard_is_told_at_once_and_a_wait_that_is_asked_for_is_not,
                a_pause_is_not_over_because_nobody_is_left_to_prolong_it,
                a_standstill_is_told_and_that_rows_end_again,
                a_night_that_comes_out_of_a_pause_does_not_stand_still_yet,
                many_dead_letters_are_told_and_that_they_are_done,
                another_jobs_trouble_is_not_ours,
            }
            views {
                a_run_nobody_opened_is_not_there,
                unfinished_runs_come_oldest_date_first,
                runs_come_newest_first,
                rows_are_paged_and_filtered,
                dead_letters_are_paged_and_filtered,
                a_job_stands_by_its_newest_night_and_its_last_whole_success,
                the_rows_that_ended_last_are_counted_over_nights,
                no_more_than_a_thousand_rows_are_recent,
                a_tally_counts_what_rows_became,
                progress_counts_what_is_on_its_way,
                progress_counts_what_the_queue_may_not_have,
                an_act_is_noted,
            }
            pages {
                what_is_counted_is_kept,
                counts_begin_with_the_snapshot,
                a_page_goes_forwards_and_backwards,
                rows_are_filtered_by_what_became_of_them,
                runs_are_paged_newest_first,
                the_runs_of_a_stretch_of_dates,
                a_history_of_failures_and_a_good_end,
                a_history_over_a_replay,
                what_the_ledger_settles_has_an_end_too,
                a_claim_that_was_given_back_is_no_attempt,
                dead_letters_in_groups,
                a_page_of_dead_letters,
                whose_data_was_in_hand_between_two_instants,
                acts_of_a_run_and_of_all,
                a_gate_tells_since_when,
            }
            samples {
                a_series_moves_apart_as_it_grows,
                a_series_belongs_to_an_open_run,
                workers_add_to_the_newest_point,
                a_run_is_published_once_every_row_is,
                a_run_tells_when_it_wrote,
            }
        }
    };
}

ledger_cases!([published] cases);

/// Makes the tests of one adapter: `ledger_suite!(name, paused, Adapter::new())`, with `real` instead of `paused`
/// where tokio's time must run.
#[macro_export]
macro_rules! ledger_suite {
    ($name:ident, paused, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::ledger_cases!([$crate::suite_tests] (start_paused = true) ledger cases ($adapter));
        }
    };
    ($name:ident, real, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::ledger_cases!([$crate::suite_tests] () ledger cases ($adapter));
        }
    };
}
