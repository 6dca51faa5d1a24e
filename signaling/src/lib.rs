//! The voice WebSocket: who may join, under which keys, and who hears of it. It drives the media engine and knows no packet.

mod limits;
mod replay;
mod rooms;
mod session;
mod tokens;
