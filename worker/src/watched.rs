//! The FHIR server as the health and metrics pages tell of it.

use std::sync::Arc;

use shared::metrics::{Load, Part};

use crate::limiter::Limiter;
use crate::pause::Pause;
use crate::worker::Worker;

struct FhirSide {
    limiter: Limiter,
    pause: Arc<Pause>,
}

impl Part for FhirSide {
    fn name(&self) -> &'static str {
        "FHIR server"
    }

    fn ready(&self) -> Result<(), String> {
        self.pause.reason().map_or(Ok(()), |paused| Err(paused.gate.reason))
    }

    fn load(&self) -> Load {
        let state = self.limiter.snapshot();
        Load { limit: state.limit, in_flight: state.in_flight as f64, pace: state.pace_rps }
    }
}

impl Worker {
    /// What this worker adds to its process's page.
    pub fn part(&self) -> Arc<dyn Part> {
        let server = &self.rows.server;
        Arc::new(FhirSide { limiter: server.limiter.clone(), pause: server.pause.clone() })
    }
}
