//! `kill -9` at each named failpoint.

use rand::Rng as _;
use shared::testing::Failpoint;
use simulators::{FaultPlan, Rate};

use super::producers;
use super::stage::Stage;

/// Whoever passes the point first dies there, worker or producer; others die there too, if they come by before they
/// are told otherwise. All are started again without it.
pub(super) async fn killed_at(stage: &mut Stage, point: Failpoint) {
    if point == Failpoint::Replayed {
        return producers::killed_replaying(stage).await;
    }
    if point == Failpoint::PutOff {
        // Below half, or it would be the server's trouble and no row's.
        stage.fhir(FaultPlan { error_500: Rate::of(0.3), ..FaultPlan::default() });
    }
    // Every night passes the point so often, whichever of its processes does.
    let most = match point {
        Failpoint::Claimed
        | Failpoint::Intended
        | Failpoint::Written
        | Failpoint::Recorded
        | Failpoint::Settle => 6,
        Failpoint::Failed | Failpoint::Buried | Failpoint::PutOff => 1,
        _ => 0,
    };
    let passes = stage.dice.random_range(0..=most);
    stage.arm(point, passes, "return");
    stage.start(2);
    stage.until(&format!("a death at {}", point.as_str()), async |it: &Stage| it.fleet.deaths > 0).await;
    stage.fhir(FaultPlan::default());
}
