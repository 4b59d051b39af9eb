//! Questions that are numbers, under paused time.

use std::sync::Mutex;

use super::*;
use crate::limiter::{LimiterConfig, Verdict};
use crate::pause::PauseTerms;

/// A question: its key, and its weight in bytes.
#[derive(Clone, Debug, PartialEq)]
struct Number(String, usize);

impl Question for Number {
    fn key(&self) -> &str {
        &self.0
    }

    fn weight(&self) -> usize {
        self.1
    }
}

fn number(key: u32) -> Number {
    Number(key.to_string(), 1)
}

/// A gatherer whose requests take a second each and answer every key with itself; and what was sent.
struct Stage {
    gatherer: Gatherer<Number, String>,
    sent: Arc<Mutex<Vec<Vec<String>>>>,
    size: Arc<BatchSize>,
    pause: Arc<Pause>,
    limiter: Limiter,
}

impl Stage {
    fn new(most: usize, in_flight: usize) -> Self {
        let terms = GatherTerms { most, linger: Duration::from_millis(5) };
        let limiter = Limiter::new(LimiterConfig {
            max_concurrency: in_flight,
            max_rps: None,
            initial_concurrency: in_flight,
        });
        let pause = Arc::new(Pause::until_probed(PauseTerms::default()));
        pause.end();
        let sent = Arc::<Mutex<Vec<Vec<String>>>>::default();
        let log = sent.clone();
        let send = move |batch: Vec<Number>| {
            let keys: Vec<String> = batch.into_iter().map(|number| number.0).collect();
            log.lock().unwrap().push(keys.clone());
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let told = keys.into_iter().map(|key| Told::Answered(Ok(key), 0)).collect();
                Outcome { told, sample: Sample { verdict: Verdict::Ignored, class: 0 }, fit: Fit::Unclear }
            }
        };
        let size = Arc::new(BatchSize::on_trial(most));
        size.proven();
        let gatherer = Gatherer::start(terms, size.clone(), limiter.clone(), pause.clone(), send);
        Self { gatherer, sent, size, pause, limiter }
    }

    fn sizes(&self) -> Vec<usize> {
        self.sent.lock().unwrap().iter().map(Vec::len).collect()
    }

    /// Asks, with so much time left.
    async fn ask(&self, question: Number, left: Duration) -> Told<String> {
        self.gatherer.ask(question, Instant::now() + left).await
    }

    async fn answered(&self, question: Number) -> bool {
        let key = question.0.clone();
        matches!(self.ask(question, HOUR).await, Told::Answered(Ok(answer), _) if answer == key)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn all<T>(asked: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut asked: Vec<_> = asked.into_iter().map(Box::pin).collect();
    let mut told: Vec<Option<T>> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, told) in asked.iter_mut().zip(told.iter_mut()) {
            if told.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *told = Some(answer);
            }
        }
        match told.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(told.iter_mut().map(|told| told.take().unwrap()).collect()),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn who_asks_together_goes_together_and_each_gets_its_own_answer() {
    let stage = Stage::new(50, 4);
    let begun = Instant::now();
    assert!(all((0..120).map(|at| stage.answered(number(at)))).await.into_iter().all(|right| right));
    assert_eq!(stage.sizes(), [50, 50, 20]);
    assert!(begun.elapsed() < Duration::from_millis(1100), "side by side");
    // A lone one waits for a moment, not for company.
    let begun = Instant::now();
    assert!(stage.answered(number(1)).await);
    assert_eq!(begun.elapsed(), Duration::from_millis(1005));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_no_more_rows_than_the_server_takes() {
    let stage = Stage::new(50, 4);
    stage.size.note(50, Fit::TooMany);
    assert!(all((0..60).map(|at| stage.answered(number(at)))).await.into_iter().all(|right| right));
    assert_eq!(stage.sizes(), [25, 25, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_fills_while_it_waits_for_a_permit() {
    let stage = Stage::new(50, 1);
    let late = async |after: u64, key: u32| {
        tokio::time::sleep(Duration::from_millis(after)).await;
        stage.answered(number(key)).await
    };
    let asked = (0..20_u32).map(|key| late(u64::from(key) * 40, key));
    assert!(all(asked).await.into_iter().all(|right| right));
    assert_eq!(stage.sizes(), [1, 19], "one permit, and it was taken for a second");
}

#[tokio::test(start_paused = true)]
async fn one_key_is_never_twice_in_a_request() {
    let stage = Stage::new(50, 4);
    let keys = [1, 2, 1, 3, 1];
    assert!(all(keys.map(|key| stage.answered(number(key)))).await.into_iter().all(|right| right));
    let sent: Vec<_> = stage.sent.lock().unwrap().iter().map(|keys| keys.join(" ")).collect();
    assert_eq!(sent, ["1 2 3", "1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_so_many_bytes_and_a_larger_one_goes_alone() {
    let stage = Stage::new(50, 4);
    let sizes = [MOST_BYTES / 2, MOST_BYTES / 2, 1, MOST_BYTES * 3, 1];
    let asked =
        sizes.into_iter().enumerate().map(|(key, size)| stage.answered(Number(key.to_string(), size)));
    assert!(all(asked).await.into_iter().all(|right| right));
    let sent: Vec<_> = stage.sent.lock().unwrap().iter().map(|keys| keys.join(" ")).collect();
    assert_eq!(sent, ["0 1", "2 4", "3"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_for_a_row_whose_time_is_up() {
    let stage = Stage::new(50, 1);
    let held = stage.limiter.acquire().await;
    let begun = Instant::now();
    let (short, long, ()) = tokio::join!(
        async { (stage.ask(number(1), Duration::from_secs(10)).await, begun.elapsed()) },
        stage.answered(number(2)),
        async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(held);
        },
    );
    assert!(matches!(short.0, Told::TooLate), "{:?}", short.0);
    assert_eq!(short.1, Duration::from_secs(10), "told in time, not when the permit came");
    assert!(long);
    assert_eq!(*stage.sent.lock().unwrap(), [["2"]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_while_paused_or_for_a_row_that_was_stopped() {
    let stage = Stage::new(50, 1);
    stage.pause.begin(crate::pause::Paused::found(shared::ledger::GateKind::Systemic, "a test".into()));
    assert!(matches!(stage.ask(number(1), HOUR).await, Told::Paused));
    stage.pause.end();
    let held = stage.limiter.acquire().await;
    let stopped = tokio::time::timeout(Duration::from_secs(1), stage.ask(number(2), HOUR)).await;
    assert!(stopped.is_err());
    drop(held);
    assert!(stage.answered(number(3)).await);
    assert_eq!(*stage.sent.lock().unwrap(), [["3"]]);
}
