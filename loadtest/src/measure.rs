//! What is measured, and how. Everything that judges packets is a value fed with times; clocks, sockets and `/proc` are read
//! elsewhere ([`probe`] is the shell that reads the server).

pub mod book;
pub mod figures;
pub mod health;
pub mod picture;
pub mod player;
pub mod probe;
pub mod series;
pub mod stamp;
pub mod stream;
