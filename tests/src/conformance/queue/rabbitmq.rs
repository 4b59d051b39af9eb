//! RabbitMQ as the suite's adapter: a vhost of its own, and a ladder of short rungs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::Reason;
use shared::queue::Queue;
use shared::queue::rabbitmq::{RabbitMqConfig, RabbitMqQueue, Stray, Strays};

use super::Adapter;
use crate::services::Vhost;

const WAIT: Duration = Duration::from_millis(500);

/// The longest wait in the process: none of the suite's settled ones, but those of its load.
const IN_PROCESS: Duration = Duration::from_millis(100);

/// Rungs of the suite's waits (one, four, sixteen and twenty of [`WAIT`]), and some between for the jitter.
const LADDER: [u64; 6] = [100, 500, 800, 2_000, 8_000, 10_000];

/// What tests use unless they are about something else.
///
/// # Panics
/// The address is none.
pub fn test_config(url: &str) -> RabbitMqConfig {
    let mut config = RabbitMqConfig::new(url).expect("an address");
    config.queues.ladder = LADDER.map(Duration::from_millis).to_vec();
    config.waits.in_process = IN_PROCESS;
    config.waits.back_off_most = Duration::from_secs(1);
    config
}

/// Strays that were kept: their `message_id`s and bodies.
#[derive(Default)]
pub struct KeptStrays {
    kept: Mutex<Vec<(Option<String>, Vec<u8>)>>,
    refusing: std::sync::atomic::AtomicUsize,
}

impl KeptStrays {
    /// Keeps nothing the first `times` times it is asked.
    pub fn refusing(times: usize) -> Self {
        Self { refusing: times.into(), ..Self::default() }
    }

    /// What was kept so far.
    pub fn kept(&self) -> Vec<(Option<String>, Vec<u8>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Strays for KeptStrays {
    async fn keep(&self, stray: &Stray) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.refusing.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err("not now".into());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((stray.message_id.clone(), stray.body.clone()));
        Ok(())
    }
}

/// The RabbitMQ queue as the suite's adapter.
pub struct RabbitMq {
    queue: Arc<dyn Queue>,
    /// Removed after the queue, whose connections end with it.
    _vhost: Vhost,
}

impl RabbitMq {
    /// An empty one.
    pub async fn new() -> Self {
        let vhost = Vhost::new().await;
        let queue = RabbitMqQueue::new(test_config(vhost.url()), Arc::new(KeptStrays::default()));
        Self { queue: Arc::new(queue), _vhost: vhost }
    }
}

impl Adapter for RabbitMq {
    fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }

    fn wait(&self) -> Duration {
        WAIT
    }

    fn death(&self, _: Reason) -> String {
        "rejected".into()
    }
}
