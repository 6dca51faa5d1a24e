use super::fixture::{ANN, BOB, GUILD, NOW, OWNER, channel, member, overwrite, role};
use super::*;
use guildhall_protocol::model::{OverwriteKind, timestamp};

const HALL: ChannelId = ChannelId::new(200);
const VAULT: ChannelId = ChannelId::new(201);
const KEEPER: RoleId = RoleId::new(300);

/// Everyone sees the hall; the vault is for keepers. Ann keeps, Bob does not.
fn state() -> State {
    let mut guild = Guild::new(GUILD, "guild".to_owned(), OWNER);
    guild.roles = vec![
        role(GUILD.everyone(), Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES),
        role(KEEPER, Permissions::KICK_MEMBERS),
    ];
    let vault = vec![
        overwrite(GUILD.everyone(), OverwriteKind::Role, Permissions::NONE, Permissions::VIEW_CHANNEL),
        overwrite(KEEPER, OverwriteKind::Role, Permissions::VIEW_CHANNEL, Permissions::NONE),
    ];
    State::new(Snapshot {
        guild,
        threads: Vec::new(),
        channels: vec![channel(HALL, Vec::new()), channel(VAULT, vault)],
        members: vec![member(OWNER, &[]), member(ANN, &[KEEPER]), member(BOB, &[])],
        seq: 7,
    })
}

/// Which channels each of the three sees after the events.
fn check(events: &[Event], expected: [&[ChannelId]; 3]) {
    let mut state = state();
    events.iter().for_each(|event| state.apply(event));
    let mut views = Views::of(&state);
    for (user, expected) in [OWNER, ANN, BOB].into_iter().zip(expected) {
        assert_eq!(&*views.seen_by(user), expected, "user {user} after {events:?}");
        for channel in [HALL, VAULT] {
            let includes = Viewers::of(&state, channel, Permissions::VIEW_CHANNEL).include(user);
            assert_eq!(includes, expected.contains(&channel), "user {user}, channel {channel} after {events:?}");
        }
    }
}

#[test]
fn roles_and_overwrites_say_who_sees_what() {
    const BOTH: &[ChannelId] = &[HALL, VAULT];
    let member_update = |id, roles: &[RoleId]| Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(id, roles)) };
    let role_update = |permissions| Event::RoleUpdate { guild_id: GUILD, role: Box::new(role(KEEPER, permissions)) };
    let vault_for = |overwrites| Event::ChannelUpdate { channel: Box::new(channel(VAULT, overwrites)) };

    check(&[], [BOTH, BOTH, &[HALL]]);
    check(&[member_update(BOB, &[KEEPER])], [BOTH, BOTH, BOTH]);
    check(&[member_update(BOB, &[KEEPER]), member_update(BOB, &[])], [BOTH, BOTH, &[HALL]]);
    check(&[member_update(ANN, &[])], [BOTH, &[HALL], &[HALL]]);
    check(&[Event::RoleDelete { guild_id: GUILD, role_id: KEEPER }], [BOTH, &[HALL], &[HALL]]);
    check(&[role_update(Permissions::ADMINISTRATOR)], [BOTH, BOTH, &[HALL]]);
    check(&[vault_for(Vec::new())], [BOTH, BOTH, BOTH]);
    // An overwrite that names a member takes him out of his class.
    let alone = overwrite(BOB, OverwriteKind::Member, Permissions::NONE, Permissions::VIEW_CHANNEL);
    check(&[vault_for(vec![alone])], [BOTH, BOTH, &[HALL]]);
    check(&[Event::ChannelDelete { channel: Box::new(channel(VAULT, Vec::new())) }], [&[HALL], &[HALL], &[HALL]]);
    let user = Box::new(User::new(ANN, "ann".to_owned(), None, false));
    check(&[Event::MemberRemove { guild_id: GUILD, user }], [BOTH, &[], &[HALL]]);
    check(&[Event::GuildUpdate { guild: Box::new(Guild::new(GUILD, "renamed".to_owned(), BOB)) }], [&[HALL], BOTH, BOTH]);
}

#[test]
fn a_timeout_takes_rights_until_its_time_has_come() {
    let mut state = state();
    let mut ann = member(ANN, &[KEEPER]);
    ann.communication_disabled_until = Some(timestamp(NOW + 1_000));
    state.apply(&Event::MemberUpdate { guild_id: GUILD, member: Box::new(ann) });
    assert!(!state.channel_permissions(ANN, HALL, NOW).contains(Permissions::SEND_MESSAGES));
    assert!(state.channel_permissions(ANN, HALL, NOW).contains(Permissions::VIEW_CHANNEL));
    assert!(state.channel_permissions(ANN, HALL, NOW + 1_000).contains(Permissions::SEND_MESSAGES));
    assert!(!state.permissions(ANN, NOW).contains(Permissions::KICK_MEMBERS));
}

#[test]
fn strangers_and_unknown_channels_have_no_permissions() {
    let state = state();
    assert_eq!(state.permissions(UserId::new(9), NOW), Permissions::NONE);
    assert_eq!(state.channel_permissions(ANN, ChannelId::new(9), NOW), Permissions::NONE);
    assert_eq!(state.permissions(OWNER, NOW), Permissions::ALL);
}

#[test]
fn ranks_follow_the_highest_role() {
    let state = state();
    let rank = |user| state.rank(user).expect("a member");
    assert!(rank(OWNER).can_act_on(rank(ANN)));
    assert!(rank(ANN).can_act_on(rank(BOB)));
    assert!(!rank(BOB).can_act_on(rank(BOB)));
    assert_eq!(state.rank(UserId::new(9)), None);
}

#[test]
fn a_guild_update_without_roles_keeps_them() {
    let mut state = state();
    state.apply(&Event::GuildUpdate { guild: Box::new(Guild::new(GUILD, "renamed".to_owned(), OWNER)) });
    assert_eq!(state.guild().name, "renamed");
    assert_eq!(state.guild().roles.len(), 2);
}

#[test]
fn a_changed_account_changes_its_membership() {
    let mut state = state();
    state.apply(&Event::UserUpdate { user: Box::new(User::new(ANN, "anna".to_owned(), None, false)) });
    assert_eq!(state.member(ANN).expect("a member").user.username, "anna");
    assert_eq!(state.member(ANN).expect("a member").roles, [KEEPER]);
}

#[test]
fn classes_are_counted_and_their_places_reused() {
    let mut classes = Classes::default();
    let keeper = classes.enter(&[KEEPER]);
    let both = classes.enter(&[KEEPER, GUILD.everyone()]);
    assert_eq!(classes.enter(&[GUILD.everyone(), KEEPER]), both, "the order of roles does not matter");
    classes.leave(keeper);
    let none = classes.enter(&[]);
    assert_eq!(none, keeper, "the place of an empty class is used again");
    assert_ne!(classes.enter(&[KEEPER]), none);
    assert_eq!(classes.len(), 3);
}
