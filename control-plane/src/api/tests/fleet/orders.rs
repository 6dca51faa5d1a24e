//! What operators say of voice nodes holds at every control plane, and after a restart.

use super::super::World;
use crate::fleet::views::Standing;
use crate::hub::world::hello;
use crate::hub::{Hub, NodeError};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{FromNode, NodeId, ToNode};
use std::time::Duration;
use tokio::sync::mpsc;

/// The node's ends of its line to one control plane.
type Line = (mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>);

async fn dial(hub: &Hub) -> Line {
    let (to_node, mut for_node) = mpsc::channel(64);
    let (of_node, from_node) = mpsc::channel(64);
    // As if it were in this process, so that it is not lost on a slow machine.
    let hello = FromNode::Hello { hello: hello("eu-1", "eu", "", 1), rooms: Vec::new(), sittings: Vec::new() };
    of_node.send(hello).await.unwrap();
    let hub = hub.clone();
    tokio::spawn(async move { hub.serve_node(from_node, to_node).await });
    assert!(matches!(for_node.recv().await, Some(ToNode::Welcome { .. })));
    (of_node, for_node)
}

async fn standing(world: &World) -> Standing {
    let hub = world.control_plane.hub();
    hub.follow_orders().await;
    hub.nodes().into_iter().find(|node| node.id == "eu-1".into()).expect("it has dialled").state
}

#[tokio::test]
async fn an_order_given_to_one_control_plane_holds_at_all_and_at_those_that_come_later() {
    let a = World::on_postgres(None).await;
    let b = a.beside().await;
    let node = NodeId::from("eu-1");
    let (at_a, at_b) = (a.control_plane.hub(), b.control_plane.hub());
    assert_eq!(at_a.drain_node(&node, Duration::from_secs(60)).await, Err(NodeError::UnknownNode));
    let lines = (dial(at_a).await, dial(at_b).await);
    at_a.drain_node(&node, Duration::from_secs(60)).await.unwrap();
    assert_eq!((standing(&a).await, standing(&b).await), (Standing::Draining, Standing::Draining));
    let later = a.beside().await;
    later.control_plane.hub().follow_orders().await;
    let _line = dial(later.control_plane.hub()).await;
    assert_eq!(standing(&later).await, Standing::Draining);
    at_b.undrain_node(&node, true).await.unwrap();
    assert_eq!((standing(&a).await, standing(&b).await), (Standing::Cordoned, Standing::Cordoned));
    at_b.undrain_node(&node, false).await.unwrap();
    assert_eq!((standing(&a).await, standing(&later).await), (Standing::Serving, Standing::Serving));
    // A node that leaves by itself stays if an operator says so.
    let (of_node, _) = &lines.0;
    of_node.send(FromNode::Leaving { within_ms: 60_000 }).await.unwrap();
    let leaving = async {
        while standing(&a).await != Standing::Draining {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), leaving).await.expect("it leaves");
    at_a.undrain_node(&node, false).await.unwrap();
    assert_eq!(standing(&a).await, Standing::Serving);
}

#[tokio::test]
async fn a_room_that_is_pinned_at_one_control_plane_is_pinned_at_all_and_at_those_that_come_later() {
    let a = World::on_postgres(None).await;
    let b = a.beside().await;
    let room: ChannelId = a.voice.parse().unwrap();
    let (at_a, at_b, node) = (a.control_plane.hub(), b.control_plane.hub(), NodeId::from("eu-1"));
    assert_eq!(at_a.pin_room(room, Some(node.clone())).await, Err(NodeError::UnknownNode));
    let _line = dial(at_a).await;
    at_a.pin_room(room, Some(node.clone())).await.unwrap();
    let later = a.beside().await;
    for hub in [at_a, at_b, later.control_plane.hub()] {
        hub.follow_orders().await;
        assert_eq!(hub.why(room).0.pinned_to.as_ref(), Some(&node));
    }
    at_b.pin_room(room, None).await.unwrap();
    at_a.follow_orders().await;
    assert_eq!(at_a.why(room).0.pinned_to, None);
}
