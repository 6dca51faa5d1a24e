//! Keys that belong to the database and not to one data folder, and the names of those who share it.

use super::engine::{Connection, Engine};
use super::{Location, Result, Store};
use sqlx::{ConnectOptions as _, Connection as _};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The first half of the advisory locks that stand for issuer keys, a random choice.
const ISSUERS: i32 = 0x6973_7375;
/// How long a process of before may take to let go of its key: the server notices a connection's end at once, unless the machine
/// went with it.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(250);

/// An issuer key that nobody else on the database uses as long as this lives.
#[must_use]
pub struct HeldIssuer {
    _connection: Connection,
}

impl Store {
    /// The key of this name, made when it is first asked for.
    pub async fn secret(&self, name: &'static str) -> Result<Vec<u8>> {
        self.secret_or(name, None).await
    }

    /// The key of this name; if there is none yet, the one that is offered, or a new one.
    pub async fn secret_or(&self, name: &'static str, offered: Option<[u8; 32]>) -> Result<Vec<u8>> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut made = [0; 32];
                aws_lc_rs::rand::fill(&mut made).expect("the system has randomness");
                sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                    .bind(name)
                    .bind(&offered.unwrap_or(made)[..])
                    .execute(tx.sql())
                    .await?;
                Ok(sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1").bind(name).fetch_one(tx.sql()).await?)
            })
        })
        .await
    }

    /// What the database is called among others; the same for every control plane on it.
    pub async fn fleet_name(&self) -> Result<String> {
        const BYTES: usize = 8;
        Ok(self.secret("fleet").await?.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Location {
    /// Holds an issuer key against others on a shared database. `None`: another process has it.
    pub async fn hold_issuer(&self, issuer: u64) -> anyhow::Result<Option<HeldIssuer>> {
        let mut connection = self.writer_options()?.connect().await?;
        if connection.engine() == Engine::Sqlite {
            return Ok(Some(HeldIssuer { _connection: connection }));
        }
        let number = i64::from((issuer ^ issuer >> 32) as i32);
        let take = async {
            // The number goes as all numbers do, and is cast where it is used.
            while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1::INTEGER, $2::INTEGER)")
                .bind(ISSUERS)
                .bind(number)
                .fetch_one(&mut connection)
                .await?
            {
                sleep(RETRY).await;
            }
            Ok::<_, sqlx::Error>(())
        };
        match timeout(PATIENCE, take).await {
            Ok(taken) => taken?,
            Err(_) => {
                let _ = connection.close().await; // it holds nothing
                return Ok(None);
            }
        }
        Ok(Some(HeldIssuer { _connection: connection }))
    }
}
