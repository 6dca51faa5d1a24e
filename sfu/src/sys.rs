//! The only place of the workspace where `unsafe` is allowed: what safe Rust has no words for, behind safe functions.
//!
//! - [`aead`]: AEAD contexts of aws-lc held by value, so that a listener's key schedule lies in the listener's own block
//!   (the safe wrapper keeps it behind a pointer and has no XChaCha20-Poly1305).
//! - [`net`]: `recvmmsg` and `sendmmsg`, which the standard library does not have.
//! - [`thread`]: epoll with an eventfd, pinning, prefetching.
//!
//! Every `unsafe` block says what makes it sound. Nothing here knows what a packet means.
#![allow(unsafe_code)]

pub mod aead;
pub mod net;
pub mod thread;
