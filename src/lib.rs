//! The server binary's parts: settings, data directory, certificate, listener, health checks and web page, composed by [`serve`].

pub mod backup;
pub mod config;
pub mod data;
#[cfg(test)]
mod deployment;
pub mod doctor;
pub mod doors;
pub mod listener;
pub mod nodes;
pub mod operations;
pub mod operator;
pub mod serve;
pub mod tls;
mod watched;
pub mod web;
