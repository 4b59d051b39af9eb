//! Several workers on one server, who do not know of each other.

use super::{assert_used, each};

#[tokio::test(start_paused = true)]
async fn four_workers_share_a_rate_fairly() {
    each("four-workers", |scenario, night| {
        let fairness = night.fairness(30..300);
        assert!(fairness > 0.95, "Jain's index {fairness}");
        assert_used(night, 30..300, scenario.capacity(), 0.95, 0.01);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_comes_late_gets_its_share() {
    each("a-late-worker", |scenario, night| {
        let fairness = night.fairness(120..300);
        assert!(fairness > 0.95, "Jain's index {fairness}");
        assert_used(night, 120..300, scenario.capacity(), 0.95, 0.01);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn four_workers_share_a_number_in_flight_and_a_queue() {
    each("four-workers-number", |scenario, night| {
        let fairness = night.fairness(120..300);
        assert!(fairness > 0.9, "Jain's index {fairness}");
        assert_used(night, 120..300, scenario.capacity(), 0.78, 0.012);
    })
    .await;
    each("four-workers-slots", |scenario, night| {
        let fairness = night.fairness(120..300);
        assert!(fairness > 0.65, "Jain's index {fairness}");
        assert_used(night, 120..300, scenario.capacity(), 0.97, 0.0);
    })
    .await;
}
