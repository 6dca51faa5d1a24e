//! What one listener's network carries, who gets it, and when each packet leaves. Pure machines: they read no clock, do no
//! I/O, allocate nothing once they know the rate, and know one listener each, so that nobody's bad network touches anybody else.
//!
//! - [`ledger`] numbers and remembers what was sent; [`feedback`] reads what the listener tells of it (and tells publishers
//!   the same of what they send).
//! - [`delay`] and [`loss`] judge arrivals and losses, [`probe`] asks for more, and [`estimator`] makes one estimate of them.
//!   `dispersion` sees how much may leave at once.
//! - [`allocator`] chooses a layer for each video slot within the estimate.
//! - [`pacer`] spreads what is sent.
//!
//! The life of a listener with video (`engine/room/downlink.rs`):
//!
//! 1. One [`estimator::Estimator`], one [`allocator::Allocator`] and one [`pacer::Pacer`] are made with it, and for each
//!    publisher with transport-wide numbers one [`feedback::Arrivals`].
//! 2. RTCP arrives: each message ([`feedback::for_each_feedback`]) goes to [`estimator::Estimator::feedback`]. Then the
//!    estimate's `pace_bps` goes to the pacer ([`pacer::Pacer::set`], with [`estimator::Estimator::probe`] and
//!    [`estimator::Estimator::burst`]) and its `bps` to the allocator, whose sum's `next_bps` goes back to
//!    [`estimator::Estimator::set_wanted`]. The allocator is asked, too, when wishes, tracks or layers change, and a few times a
//!    second, because it goes up in steps of time.
//! 3. A video packet is chosen for the listener: [`pacer::Pacer::push_video`]. Audio is sent at once.
//! 4. The worker wakes at the earlier of both machines' `next_timeout`, calls [`estimator::Estimator::handle_timeout`], and
//!    takes from [`pacer::Pacer::pop`] what leaves now. Each packet that gets a transport-wide number gets it from
//!    [`estimator::Estimator::sent`] when it is written.
//!
//! Audio carries no transport-wide numbers (its feedback would cost more than it tells), so the estimate is what is left
//! beside it, and nothing is subtracted for it.

pub mod allocator;
pub mod delay;
mod dispersion;
pub mod estimator;
pub mod feedback;
pub mod ledger;
pub mod loss;
mod meter;
pub mod pacer;
pub mod probe;
