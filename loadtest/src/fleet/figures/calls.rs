//! What people in calls hear of a fleet's failures and works.

use super::report::{Gaps, Outage};
use super::{Hall, Room, state_of, until};
use crate::progress;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

pub const ROOMS: usize = 8;
pub const PEOPLE: usize = 3;
/// For emptying a node: moves are spread over most of it.
const DEADLINE_S: &str = "30";
/// How long is listened after an outage: what comes back may do harm, too.
const AFTERWARDS: Duration = Duration::from_secs(10);

impl Hall {
    /// The node with the most rooms, and these.
    fn fullest(&self) -> Result<(String, Vec<&Room>)> {
        let mut nodes: BTreeMap<String, Vec<&Room>> = BTreeMap::new();
        for room in &self.rooms {
            let endpoint = room.endpoint().context("everybody of a room is at one place")?;
            let node = self.fleet.node_at(&endpoint).context("rooms are on nodes that run")?;
            nodes.entry(node.to_owned()).or_default().push(room);
        }
        nodes.into_iter().max_by_key(|(_, rooms)| rooms.len()).context("there are rooms")
    }

    async fn serves(&self, node: &str) -> Result<()> {
        let is_serving = async || Ok(state_of(&self.fleet.operate(0, &["node", "list"])?, node) == "serving");
        until("the node to serve", is_serving).await.map(drop)
    }

    fn reset(&self) {
        self.rooms.iter().for_each(Room::reset);
    }

    /// Waits until these rooms are whole, and not there any more.
    async fn have_left(&self, rooms: &[String], node: &str) -> Result<()> {
        for room in self.rooms.iter().filter(|room| rooms.contains(&room.name)) {
            let is_elsewhere = async || {
                let endpoint = room.endpoint();
                let place = endpoint.as_deref().and_then(|endpoint| self.fleet.node_at(endpoint));
                Ok(room.is_whole() && place.is_some_and(|place| place != node))
            };
            until("everybody to hear each other elsewhere", is_elsewhere).await?;
        }
        Ok(())
    }

    fn gaps(&self, wanted: impl Fn(&Room) -> bool) -> Vec<Duration> {
        self.rooms.iter().filter(|room| wanted(room)).flat_map(Room::gaps).collect()
    }
}

/// Of those in rooms of the node, and of those elsewhere.
pub async fn kills(hall: &mut Hall, count: u32) -> Result<(Option<Gaps>, Option<Gaps>)> {
    let (mut gaps, mut elsewhere) = (Vec::new(), Vec::new());
    for number in 1..=count {
        hall.settle().await?;
        let (node, rooms) = hall.fullest()?;
        let rooms: Vec<String> = rooms.into_iter().map(|room| room.name.clone()).collect();
        progress(&format!("kill {number} of {count}: {node} with {} rooms", rooms.len()));
        hall.reset();
        hall.fleet.kill_node(&node)?;
        hall.have_left(&rooms, &node).await?;
        gaps.extend(hall.gaps(|room| rooms.contains(&room.name)));
        elsewhere.extend(hall.gaps(|room| !rooms.contains(&room.name)));
        hall.fleet.start_node(&node)?;
        hall.serves(&node).await?;
    }
    Ok((Gaps::of(count, gaps), Gaps::of(count, elsewhere)))
}

/// Of those who make before they break, of those who cannot, and of those in rooms elsewhere.
pub async fn drains(hall: &mut Hall, count: u32) -> Result<[Option<Gaps>; 3]> {
    let (mut seamless, mut others, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=count {
        hall.settle().await?;
        let (node, rooms) = hall.fullest()?;
        let rooms: Vec<String> = rooms.into_iter().map(|room| room.name.clone()).collect();
        progress(&format!("drain {number} of {count}: {node} with {} rooms", rooms.len()));
        hall.reset();
        tokio::task::spawn_blocking(hall.fleet.command(0, &["node", "drain", &node, "--deadline", DEADLINE_S])).await??;
        hall.have_left(&rooms, &node).await?;
        seamless.extend(hall.gaps(|room| rooms.contains(&room.name) && room.is_seamless));
        others.extend(hall.gaps(|room| rooms.contains(&room.name) && !room.is_seamless));
        elsewhere.extend(hall.gaps(|room| !rooms.contains(&room.name)));
        hall.fleet.operate(0, &["node", "undrain", &node])?;
        hall.serves(&node).await?;
    }
    Ok([seamless, others, elsewhere].map(|gaps| Gaps::of(count, gaps)))
}

/// Redis, the database and all control planes, one after the other.
pub async fn outages(hall: &mut Hall, seconds: u64) -> Result<Vec<Outage>> {
    let mut outages = Vec::new();
    for what in ["Redis", "the database", "all control planes"] {
        hall.settle().await?;
        progress(&format!("{what} down for {seconds} s"));
        hall.reset();
        match what {
            "Redis" => hall.fleet.redis.stop(),
            "the database" => hall.fleet.postgres.stop()?,
            _ => (0..hall.fleet.planes()).try_for_each(|plane| hall.fleet.kill_plane(plane))?,
        }
        sleep(Duration::from_secs(seconds)).await;
        let longest = |hall: &Hall| hall.rooms.iter().map(Room::longest_gap).max().unwrap_or_default();
        let during = longest(hall);
        hall.reset();
        match what {
            "Redis" => hall.fleet.redis.start_again()?,
            "the database" => hall.fleet.postgres.start_again()?,
            _ => (0..hall.fleet.planes()).try_for_each(|plane| hall.fleet.start_plane(plane))?,
        }
        sleep(AFTERWARDS).await;
        outages.push(Outage::new(what, seconds, during, longest(hall)));
    }
    Ok(outages)
}
