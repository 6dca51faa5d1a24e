//! Windows that control planes count in together: rate limits in Redis, in one step for each request.
//!
//! Redis decides, so a caller has one allowance however many control planes they reach. If it does not answer soon, nobody waits:
//! each control plane counts by itself, as one that is alone does, and a caller then has as many allowances as there are control
//! planes, and no more. What nobody is logged in for (wrong paths, wrong tokens) is counted in the same way, by address.

use crate::api::rate_limit::{Identity, Limit, Verdict};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a request waits for Redis: ten times what a busy one takes. Tests run on machines that do much else.
const ANSWER: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_millis(100) };
/// How long a connection may take to come about; one request waits for it.
const CONNECT: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_millis(500) };
/// How long Redis is left alone after it did not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts in each window, until one is full: a refused request does not count there. A window begins with its first request.
/// `KEYS`: windows. `ARGV`: for each, how many in how many milliseconds. Answers for each that was looked at: whether it had room,
/// how many it has now, and the milliseconds until it ends.
const SCRIPT: &str = "local answer = {} \
    for i, key in ipairs(KEYS) do \
      local most, left = tonumber(ARGV[2 * i - 1]), redis.call('PTTL', key) \
      local used = tonumber(redis.call('GET', key) or '0') \
      if left <= 0 then used = 0; left = tonumber(ARGV[2 * i]) end \
      local has_room = used < most \
      if has_room then used = used + 1; redis.call('SET', key, used, 'PX', left) end \
      answer[#answer + 1] = has_room and 1 or 0; answer[#answer + 1] = used; answer[#answer + 1] = left \
      if not has_room then break end \
    end \
    return answer";

/// What is counted for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub identity: Identity,
    pub bucket: &'static str,
    /// The guild or channel that it is counted for alone; 0 if there is none.
    pub major: u64,
    pub limit: Limit,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Tally(Arc<Inner>);

struct Inner {
    client: Client,
    /// Of every key.
    prefix: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Whoever holds it connects; not before this time.
    connecting: tokio::sync::Mutex<Option<Instant>>,
}

impl Tally {
    /// Connects when it is first asked. `fleet` names the database.
    pub fn new(url: &str, fleet: &str) -> redis::RedisResult<Self> {
        let (client, prefix) = (crate::bus::client(url)?, format!("guildhall:{fleet}:limit"));
        Ok(Self(Arc::new(Inner { client, prefix, connection: Mutex::default(), connecting: tokio::sync::Mutex::default() })))
    }

    /// Counts one request in all of the windows, up to the first that is full; the verdict of each that was looked at. `None`:
    /// Redis is away.
    pub async fn take(&self, windows: &[Window]) -> Option<Vec<Verdict>> {
        self.run(windows, |limit| limit.requests).await
    }

    /// What the first of the windows has left, without counting.
    pub async fn look(&self, windows: &[Window]) -> Option<Vec<Verdict>> {
        // No window has room for a request when none is allowed.
        self.run(windows, |_| 0).await
    }

    async fn run(&self, windows: &[Window], most: impl Fn(&Limit) -> u32) -> Option<Vec<Verdict>> {
        let mut connection = self.connection().await?;
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(windows.len());
        for window in windows {
            command.arg(self.key(window));
        }
        for Window { limit, .. } in windows {
            command.arg(most(limit)).arg(limit.per.as_millis() as u64);
        }
        let Ok(Ok(answer)) = timeout(ANSWER, command.query_async::<Vec<i64>>(&mut connection)).await else {
            tracing::warn!("Redis does not count requests; each control plane counts for itself until it does");
            self.known().take();
            *self.0.connecting.lock().await = Some(Instant::now() + PATIENCE);
            return None;
        };
        let verdict = |(of, Window { limit, .. }): (&[i64], &Window)| Verdict {
            limit: limit.requests,
            remaining: limit.requests.saturating_sub(u32::try_from(of[1]).unwrap_or(u32::MAX)),
            reset_after: Duration::from_millis(of[2].unsigned_abs()),
            is_allowed: of[0] == 1,
        };
        Some(answer.chunks_exact(3).zip(windows).map(verdict).collect())
    }

    fn key(&self, Window { identity, bucket, major, .. }: &Window) -> String {
        let who = match identity {
            Identity::User(user) => format!("u{user}"),
            Identity::Webhook(hash) => format!("w{hash:x}"),
            Identity::Address(address) => format!("a{address}"),
        };
        format!("{}:{bucket}:{major}:{who}", self.0.prefix)
    }

    fn known(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.0.connection.lock().expect("nothing panics while it holds the connection")
    }

    async fn connection(&self) -> Option<MultiplexedConnection> {
        let known = self.known().clone();
        if known.is_some() {
            return known;
        }
        // Somebody else connects; this request is counted here.
        let mut not_before = self.0.connecting.try_lock().ok()?;
        if not_before.is_some_and(|then| then > Instant::now()) {
            return None;
        }
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        match self.0.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                *self.known() = Some(connection.clone());
                Some(connection)
            }
            Err(_) => {
                *not_before = Some(Instant::now() + PATIENCE);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Window};
    use crate::api::rate_limit::{Identity, Limit};
    use crate::store::testing::Redis;
    use guildhall_protocol::UserId;
    use std::time::Duration;

    fn window(bucket: &'static str, requests: u32, per: Duration) -> Window {
        Window { identity: Identity::User(UserId::new(1)), bucket, major: 0, limit: Limit { requests, per } }
    }

    #[tokio::test]
    async fn two_count_together_and_neither_waits_for_a_redis_that_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(folder.path());
        let [one, other] = ["x", "x"].map(|fleet| Tally::new(&redis.url(), fleet).unwrap());
        let elsewhere = Tally::new(&redis.url(), "y").unwrap();
        let hour = Duration::from_secs(3600);
        let (wide, narrow) = (window("wide", 9, hour), window("narrow", 3, hour));
        let first = loop {
            // Until it has started.
            match one.take(&[wide, narrow]).await {
                Some(verdicts) => break verdicts,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let read = |verdicts: &[crate::api::rate_limit::Verdict]| {
            verdicts.iter().map(|it| (it.is_allowed, it.limit, it.remaining)).collect::<Vec<_>>()
        };
        assert_eq!(read(&first), [(true, 9, 8), (true, 3, 2)]);
        assert!(first[1].reset_after <= hour && !first[1].reset_after.is_zero());
        assert_eq!(read(&other.take(&[wide, narrow]).await.unwrap()), [(true, 9, 7), (true, 3, 1)]);
        assert_eq!(read(&one.take(&[wide, narrow]).await.unwrap()), [(true, 9, 6), (true, 3, 0)]);
        let refused = other.take(&[wide, narrow]).await.unwrap();
        assert_eq!(read(&refused), [(true, 9, 5), (false, 3, 0)]);
        let short = window("short", 1, Duration::from_millis(1));
        assert!(one.take(&[short]).await.unwrap()[0].is_allowed);
        while !other.take(&[short]).await.unwrap()[0].is_allowed {
            // Whoever waits as told gets through.
        }
        let full = window("full", 0, Duration::from_secs(60));
        let verdicts = one.take(&[full, wide]).await.unwrap();
        assert_eq!((verdicts.len(), verdicts[0].is_allowed), (1, false), "what comes after is not counted");
        let looked = one.look(&[wide]).await.unwrap()[0].remaining;
        assert_eq!(one.look(&[wide]).await.unwrap()[0].remaining, looked, "looking costs nothing");
        assert_eq!(elsewhere.take(&[wide]).await.unwrap()[0].remaining, 8, "another fleet");
        drop(redis);
        assert_eq!(one.take(&[wide]).await, None);
        assert_eq!(one.take(&[wide]).await, None);
    }
}
