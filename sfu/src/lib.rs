//! The media engine: workers, rooms, forwarding. It knows rooms and peers, never guilds.
//!
//! [`Sfu`] is the small handle that signaling drives; everything behind it runs on worker threads that own their UDP socket,
//! peers and rooms and take no lock.
