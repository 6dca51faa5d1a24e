//! Bodies on their way into memory: each within its size and its time, all together within a budget.

use super::error::{ApiError, Result};
use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt;
use guildhall_protocol::ErrorCode;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// KiB of all bodies that are being read, beyond what each has for nothing: a handful of the largest pictures.
const BUDGET_KIB: usize = 64 * 1024;
/// What every body has for nothing. Messages are smaller, so when the budget is spent only what is large has to come back.
const FREE: usize = 16 * 1024;
/// A body has so long, and longer if it may be large: a slow line makes 32 KiB a second.
const LEAST_TIME: Duration = Duration::from_secs(30);
const SLOW_LINE: usize = 32 * 1024;

static BUDGET: Semaphore = Semaphore::const_new(BUDGET_KIB);

/// A body's share of the budget, given back when it is dropped.
#[derive(Default)]
pub struct Share(Option<SemaphorePermit<'static>>);

impl Share {
    /// The body is so large by now. 503: the budget is spent.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        self.grow_within(&BUDGET, bytes)
    }

    fn grow_within(&mut self, budget: &'static Semaphore, bytes: usize) -> Result<()> {
        let held = self.0.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = bytes.saturating_sub(FREE).div_ceil(1024).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| ErrorCode::RequestTooLarge)?;
        let more = budget.try_acquire_many(missing).map_err(|_| ErrorCode::Unavailable)?;
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }
}

/// Reads a whole body of at most `most` bytes. 413: there are more; 408: they come too slowly; 503: too many others are
/// being read.
pub async fn read(body: Body, most: usize) -> Result<(Vec<u8>, Share)> {
    read_within(body, most, LEAST_TIME.max(Duration::from_secs((most / SLOW_LINE) as u64))).await
}

async fn read_within(body: Body, most: usize, time: Duration) -> Result<(Vec<u8>, Share)> {
    tokio::time::timeout(time, collect(body, most)).await.unwrap_or_else(|_| Err(too_slow()))
}

async fn collect(body: Body, most: usize) -> Result<(Vec<u8>, Share)> {
    let (mut stream, mut bytes, mut share) = (body.into_data_stream(), Vec::new(), Share::default());
    while let Some(more) = stream.next().await {
        // Nothing came for a while, or the client is gone.
        let more = more.map_err(|_| too_slow())?;
        let size = bytes.len() + more.len();
        if size > most {
            return Err(ErrorCode::RequestTooLarge.into());
        }
        share.grow(size)?;
        bytes.extend_from_slice(&more);
    }
    Ok((bytes, share))
}

fn too_slow() -> ApiError {
    ApiError::Other(StatusCode::REQUEST_TIMEOUT, "The body took too long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures_util::stream;
    use std::time::Instant;

    fn status(error: ApiError) -> u16 {
        match error {
            ApiError::Code(code) => code.status(),
            ApiError::Other(status, _) => status.as_u16(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_has_its_time_and_no_more() {
        const TIME: Duration = Duration::from_millis(50);
        let begin = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let started = Instant::now();
        let read_begin = read_within(Body::from_stream(begin.chain(stream::pending())), 1000, TIME).await;
        assert_eq!(read_begin.map(drop).map_err(status), Err(408));
        assert!(started.elapsed() >= TIME);
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken), 1000).await.map(drop).map_err(status), Err(408));
        assert_eq!(read(Body::from(vec![0; 1001]), 1000).await.map(drop).map_err(status), Err(413));
        assert_eq!(read(Body::from(vec![7; 1000]), 1000).await.expect("it fits").0, [7; 1000]);
    }

    #[test]
    fn bodies_share_a_budget_and_small_ones_need_none() {
        static BUDGET: Semaphore = Semaphore::const_new(100);
        let (mut first, mut second) = (Share::default(), Share::default());
        first.grow_within(&BUDGET, FREE).expect("for nothing");
        assert_eq!(BUDGET.available_permits(), 100);
        first.grow_within(&BUDGET, FREE + 1).expect("a KiB");
        first.grow_within(&BUDGET, FREE + 60 * 1024).expect("59 more");
        assert_eq!(BUDGET.available_permits(), 40);
        assert_eq!(second.grow_within(&BUDGET, FREE + 41 * 1024).map_err(status), Err(503));
        second.grow_within(&BUDGET, FREE).expect("a small one is always taken");
        drop(first);
        second.grow_within(&BUDGET, FREE + 100 * 1024).expect("it was given back");
    }
}
