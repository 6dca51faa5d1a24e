//! Events that come in any order are given out in one.

use super::order::Order;
use crate::event::{Committed, Event};
use guildhall_protocol::GuildId;

fn events(count: usize) -> Vec<Committed> {
    let event = Event::GuildDelete { guild_id: GuildId::new(5) };
    vec![Committed { topic: event.topic(), seq: 1, event }; count]
}

/// The numbers of what is given out now.
fn given(order: &mut Order) -> Vec<i64> {
    order.next().map(|(first, events)| (first..).take(events.len()).collect()).unwrap_or_default()
}

#[test]
fn what_comes_early_waits_for_what_is_missing() {
    let mut order = Order::after(4);
    order.take(7, events(2));
    order.take(6, events(1));
    assert!(given(&mut order).is_empty());
    assert_eq!((order.waiting(), order.first(), order.last(), order.applied()), (3, Some(6), 8, 4));
    order.take(5, events(1));
    assert_eq!(given(&mut order), [5, 6, 7, 8]);
    assert_eq!((order.waiting(), order.first(), order.last(), order.applied()), (0, None, 8, 8));
}

#[test]
fn what_is_known_already_is_left_out() {
    let mut order = Order::after(4);
    order.take(3, events(3));
    assert_eq!(given(&mut order), [5]);
    order.take(4, events(2));
    order.take(7, events(1));
    order.take(7, events(1));
    assert_eq!((given(&mut order), order.waiting()), (vec![], 1));
}

#[test]
fn lost_events_are_passed_over() {
    let mut order = Order::after(4);
    order.take(7, events(1));
    order.take(9, events(1));
    order.go_past(7);
    assert_eq!((given(&mut order), order.first()), (vec![], Some(9)));
    order.take(8, events(1));
    assert_eq!(given(&mut order), [8, 9]);
}
