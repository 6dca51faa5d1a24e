//! Text, guilds, permissions, presence, and who may join which voice room.
//!
//! The database is the truth: a mutation commits its rows and its events in one transaction, and only then do sessions hear
//! of it. Handlers authorize through [`guild::State`], the one place that answers what a user may do in a guild.

mod api;
pub mod app;
pub mod atlas;
pub mod audit;
mod bus;
pub mod event;
pub mod files;
pub mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gateway;
pub mod guild;
pub mod histogram;
pub mod hub;
pub mod ids;
pub mod presence;
pub mod probes;
mod recordings;
pub mod requests;
mod settings;
pub mod siblings;
pub mod store;
mod tail;
mod tally;
pub mod voice;

pub use app::{Config, ControlPlane, OwnerCredentials, Registration, Vitals, database_file};
pub use bus::check_url as check_bus_url;
pub use recordings::KeeperStats;
