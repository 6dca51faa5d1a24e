//! Two control planes on one PostgreSQL and one Redis, and the networks between them.

use super::faults::{Fault, Place};
use super::wire::{Weather, Wire};
use crate::server::Server;
use guildhall_loadtest::Rest;
use guildhall_loadtest::fleet::{Postgres, Redis};

/// As many as matter: what two do to each other, any two of more do.
pub const PLANES: usize = 2;

/// One control plane, with networks of its own.
pub struct Plane {
    pub server: Server,
    to_database: Wire,
    to_redis: Wire,
}

/// All processes. They end in this order.
pub struct Cluster {
    pub planes: [Plane; PLANES],
    postgres: Postgres,
    redis: Redis,
}

impl Cluster {
    pub async fn start() -> Self {
        let postgres = Postgres::start().expect("PostgreSQL starts");
        let redis = Redis::start().expect("Redis starts");
        let first = Plane::start(&postgres, &redis, None).await;
        let second = Plane::start(&postgres, &redis, Some(&first.server)).await;
        Self { planes: [first, second], postgres, redis }
    }

    /// Nobody's view of each control plane's API.
    pub fn doors(&self) -> [Rest; PLANES] {
        self.planes.each_ref().map(|plane| Rest::new(&plane.server.base()).expect("a client"))
    }

    pub fn begin(&mut self, fault: &Fault) {
        match *fault {
            Fault::Kill(plane) => self.planes[plane].server.kill_9(),
            Fault::Pause(plane) => self.planes[plane].server.pause(),
            Fault::Network(plane, place, weather) => self.planes[plane].network(place, weather),
            Fault::Redis => self.redis.stop(),
            Fault::Postgres => self.postgres.stop().expect("it can be stopped at any moment"),
        }
    }

    pub fn end(&mut self, fault: &Fault) {
        match *fault {
            Fault::Kill(plane) => self.planes[plane].server.restart(),
            Fault::Pause(plane) => self.planes[plane].server.go_on(),
            Fault::Network(plane, place, _) => self.planes[plane].network(place, Weather::Fair),
            Fault::Redis => self.redis.start_again().expect("Redis starts"),
            Fault::Postgres => self.postgres.start_again().expect("PostgreSQL recovers from a crash"),
        }
    }
}

impl Plane {
    async fn start(postgres: &Postgres, redis: &Redis, beside: Option<&Server>) -> Self {
        let (to_database, to_redis) = (Wire::to(&postgres.socket()).await, Wire::to(&redis.socket()).await);
        let database = format!("postgres://guildhall@{}/postgres", to_database.address());
        let redis = format!("redis://{}", to_redis.address());
        let arguments = ["--role", "control-plane", "--nodes-listen", "127.0.0.1:0", "--rate-limits", "off"];
        let arguments =
            [&arguments[..], &["--connections-per-address", "0", "--database", &database, "--redis", &redis]].concat();
        let server = match beside {
            None => Server::start_with(&arguments),
            Some(first) => {
                let data = tempfile::Builder::new().prefix("guildhall-test-").tempdir().expect("a temporary folder");
                Server::start_restored(data, first.owner().clone(), &arguments)
            }
        };
        Self { server, to_database, to_redis }
    }

    fn network(&self, place: Place, weather: Weather) {
        if place != Place::Redis {
            self.to_database.set(weather);
        }
        if place != Place::Database {
            self.to_redis.set(weather);
        }
    }
}
