//! Sessions whose control plane ends on purpose wait in Redis for their clients, who come back at another one.
//!
//! Each is kept for as long as a session waits for its client, and taken once: whoever takes it has it. It can be taken only by the
//! token that it was opened with. What is in it has not been confirmed by the client, so Redis holds what people wrote, for
//! minutes, as the bus does.

use crate::hub::Left;
use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use std::time::Duration;
use tokio::time::timeout;

/// How long one trip to Redis may take. A client that comes back waits for it. Tests run on machines that do much else.
const ANSWER: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_secs(1) };
/// Most bytes of one session. A client that is further behind starts anew.
const MAX_SESSION: usize = 4 << 20;
/// Gives what the key has to who knows its token, once. `KEYS`: the session. `ARGV`: the token's hash.
const TAKE: &str = "if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return false end \
    local left = redis.call('HGET', KEYS[1], 'left') \
    redis.call('DEL', KEYS[1]) \
    return left";

/// Cheap to clone.
#[derive(Clone)]
pub struct Cloakroom {
    client: Client,
    prefix: String,
}

impl Cloakroom {
    /// `fleet` names the database.
    pub fn new(url: &str, fleet: &str) -> redis::RedisResult<Self> {
        Ok(Self { client: crate::bus::client(url)?, prefix: format!("guildhall:{fleet}:session") })
    }

    async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    fn key(&self, session_id: &str) -> String {
        format!("{}:{session_id}", self.prefix)
    }

    /// Leaves sessions there: all that are not too large, or none.
    pub async fn leave(&self, sessions: &[Left]) -> anyhow::Result<()> {
        let mut pipe = redis::pipe();
        for left in sessions {
            let body = serde_json::to_vec(left)?;
            if body.len() > MAX_SESSION {
                continue;
            }
            let key = self.key(&left.session.id);
            pipe.cmd("HSET").arg(&key).arg("token").arg(&left.session.token_hash).arg("left").arg(body).ignore();
            pipe.cmd("PEXPIRE").arg(&key).arg(crate::hub::core::RESUME_WINDOW.as_millis() as u64).ignore();
        }
        let leaving = async { pipe.query_async::<()>(&mut self.connect().await?).await.map_err(anyhow::Error::from) };
        timeout(ANSWER, leaving).await.context("Redis does not answer")?
    }

    /// Takes a session, by the token that it was opened with. `None`: it is not there, or not theirs, or Redis is away.
    pub async fn take(&self, session_id: &str, token_hash: &[u8; 32]) -> Option<Left> {
        let taking = async {
            let mut connection = self.connect().await?;
            let mut command = redis::cmd("EVAL");
            command.arg(TAKE).arg(1).arg(self.key(session_id)).arg(token_hash);
            command.query_async::<Option<Vec<u8>>>(&mut connection).await.map_err(anyhow::Error::from)
        };
        match timeout(ANSWER, taking).await {
            Ok(Ok(left)) => serde_json::from_slice(&left?).ok(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "sessions that another control plane left cannot be taken");
                None
            }
            Err(_) => None,
        }
    }
}
