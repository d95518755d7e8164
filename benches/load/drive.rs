//! Keeps so many calls in flight, each lane starting its next call when the one before was answered, and takes the times.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::Outcome;

/// What came of it.
pub(crate) struct Measured<R> {
    /// What the calls answered, in no order.
    pub(crate) answers: Vec<R>,
    /// How long each took, shortest first.
    pub(crate) latencies: Vec<Duration>,
    /// From the first call to the last answer.
    pub(crate) took: Duration,
}

impl<R> Measured<R> {
    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// The time that so many of a hundred took at the most, of times sorted from the shortest.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let place = (sorted.len() * percent / 100).min(last);
    sorted.get(place).copied().unwrap_or_default()
}

/// Works `items` off, `in_flight` at a time, until they are used up or `window` is over: what has begun by then is
/// finished. The first failure ends it. `call` is given the lane it runs in. What is left of the items comes back.
pub(crate) async fn drive<I, R, F>(
    items: I,
    in_flight: usize,
    window: Duration,
    call: impl Fn(usize, I::Item) -> F + Clone + Send + 'static,
) -> Outcome<(Measured<R>, I)>
where
    I: Iterator<Item: Send> + Send + 'static,
    R: Send + 'static,
    F: Future<Output = Outcome<R>> + Send,
{
    let items = Arc::new(Mutex::new(items));
    let mut lanes = JoinSet::new();
    let began = Instant::now();
    for lane in 0..in_flight {
        let (items, call) = (Arc::clone(&items), call.clone());
        lanes.spawn(async move {
            let mut done = Vec::with_capacity(4096);
            let mut now = Instant::now();
            while now.duration_since(began) < window {
                let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(item) = next else { break };
                let answer = call(lane, item).await?;
                let after = Instant::now();
                done.push((answer, after.duration_since(now)));
                now = after;
            }
            Outcome::Ok(done)
        });
    }
    let (mut answers, mut latencies) = (Vec::new(), Vec::new());
    while let Some(lane) = lanes.join_next().await {
        for (answer, latency) in lane?? {
            answers.push(answer);
            latencies.push(latency);
        }
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    let items = Arc::into_inner(items).ok_or("a lane still holds the items")?;
    let items = items.into_inner().unwrap_or_else(PoisonError::into_inner);
    let measured = Measured {
        answers,
        latencies,
        took,
    };
    Ok((measured, items))
}
