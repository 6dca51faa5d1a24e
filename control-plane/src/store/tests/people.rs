use super::{World, conflict, message, open, person};
use crate::event::{Event, PrivateNews};
use crate::store::{Conflict, NewMessage, RECIPIENTS};
use guildhall_protocol::model::User;
use guildhall_protocol::{ChannelId, UserId};

fn note(channel: ChannelId, author: &User, content: &str) -> NewMessage {
    let message = message(channel, author.clone(), content);
    NewMessage { guild_id: None, message, member: None, files: Vec::new(), enforced_nonce: None }
}

#[tokio::test]
async fn a_group_is_full_with_a_hundred_people() {
    let world = World::new().await;
    let mut others: Vec<UserId> = Vec::new();
    for number in 1..RECIPIENTS {
        others.push(person(&world.store, &format!("person{number}")).await.id);
    }
    let last = others.pop().expect("98 are left");
    let group = world.store.create_group(world.alice.id, others).await.unwrap();
    world.store.add_recipient(group.id, world.alice.clone(), last).await.unwrap();
    assert_eq!(conflict(world.store.add_recipient(group.id, world.alice.clone(), last).await), Conflict::Full);
    let found = world.store.find_private_channel(group.id).await.unwrap().expect("it was made");
    assert_eq!(found.recipients.len(), RECIPIENTS);
    assert_eq!(found.recipients[0].id, world.alice.id, "who came first is first");
}

#[tokio::test]
async fn a_private_channel_keeps_one_order_across_a_restart() {
    let world = World::new().await;
    let bob = person(&world.store, "bob").await;
    let dm = world.store.open_dm(world.alice.id, bob.id).await.unwrap();
    assert_eq!(world.store.open_dm(bob.id, world.alice.id).await.unwrap().id, dm.id);
    world.store.close_dm(dm.id, bob.id).await.unwrap();
    world.store.create_message(note(dm.id, &world.alice, "one")).await.unwrap();
    world.store.create_message(note(dm.id, &bob, "two")).await.unwrap();
    world.store.close().await;
    let (store, published) = open(&world.place).await;
    store.create_message(note(dm.id, &world.alice, "three")).await.unwrap();
    let told = |list: &std::sync::Mutex<Vec<crate::event::Committed>>| -> Vec<(u64, String)> {
        let list = list.lock().unwrap();
        let of_dm = list.iter().filter(|committed| committed.topic == crate::event::Topic::Channel(dm.id));
        let name = |event: &Event| match event {
            Event::PrivateChannel { news: PrivateNews::Opened { users }, .. } => format!("opened for {}", users.len()),
            Event::PrivateChannel { news: PrivateNews::Closed { .. }, .. } => "closed".to_owned(),
            Event::MessageCreate { message, .. } => message.content.clone(),
            other => format!("{other:?}"),
        };
        of_dm.map(|committed| (committed.seq, name(&committed.event))).collect()
    };
    let before = ["opened for 1", "opened for 1", "closed", "opened for 1", "one", "two"];
    let expected: Vec<(u64, String)> = before.iter().zip(1..).map(|(name, seq)| (seq, (*name).to_owned())).collect();
    assert_eq!(told(&world.published), expected);
    assert_eq!(told(&published), [(7, "three".to_owned())]);
    let list = store.private_channels_of(bob.id).await.unwrap();
    assert_eq!((list.len(), list[0].id), (1, dm.id));
    let stranger = person(&store, "stranger").await;
    assert_eq!(
        conflict(store.create_message(note(dm.id, &stranger, "x")).await),
        Conflict::Missing,
        "who is not in it writes nothing"
    );
}
