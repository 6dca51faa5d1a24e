//! A table per rule, and the algebra against the oracle on random guilds.

use super::*;
use crate::model::{ChannelType, Overwrite, OverwriteKind};
use crate::{GuildId, RoleId, UserId};
use proptest::prelude::*;
use std::collections::BTreeMap;

type P = Permissions;

const GUILD: GuildId = GuildId::new(100);
const OWNER: UserId = UserId::new(1);
const USER: UserId = UserId::new(2);
const MODERATOR: RoleId = RoleId::new(201);
const MEMBER: RoleId = RoleId::new(202);

const READ: P = Permissions(P::VIEW_CHANNEL.0 | P::READ_MESSAGE_HISTORY.0);
const WRITE: P = Permissions(READ.0 | P::SEND_MESSAGES.0 | P::EMBED_LINKS.0 | P::ATTACH_FILES.0);

fn standing(member_roles: &[RoleId]) -> Standing<'_> {
    Standing { guild_id: GUILD, owner_id: OWNER, user_id: USER, member_roles, is_timed_out: false }
}

fn timed_out(member_roles: &[RoleId]) -> Standing<'_> {
    Standing { is_timed_out: true, ..standing(member_roles) }
}

fn roles(list: &[(RoleId, P)]) -> impl Fn(RoleId) -> Option<P> {
    move |id| list.iter().find(|(role, _)| *role == id).map(|(_, permissions)| *permissions)
}

fn everyone(permissions: P) -> [(RoleId, P); 1] {
    [(GUILD.everyone(), permissions)]
}

fn for_role(role: RoleId, allow: P, deny: P) -> Overwrite {
    Overwrite { id: role.0, kind: OverwriteKind::Role, allow, deny }
}

fn for_member(user: UserId, allow: P, deny: P) -> Overwrite {
    Overwrite { id: user.0, kind: OverwriteKind::Member, allow, deny }
}

/// The permissions in a text channel of a member with `member_roles`.
#[track_caller]
fn check(member_roles: &[RoleId], list: &[(RoleId, P)], overwrites: &[Overwrite], expected: P) {
    let actual = channel_permissions(&standing(member_roles), roles(list), ChannelType::Text, overwrites);
    assert_eq!(actual, expected);
}

#[test]
fn the_bits_have_their_documented_numbers() {
    for (name, bit, number) in [
        ("ADMINISTRATOR", P::ADMINISTRATOR, 0x8),
        ("VIEW_CHANNEL", P::VIEW_CHANNEL, 0x400),
        ("CONNECT", P::CONNECT, 0x10_0000),
        ("MANAGE_ROLES", P::MANAGE_ROLES, 0x1000_0000),
        ("MODERATE_MEMBERS", P::MODERATE_MEMBERS, 0x100_0000_0000),
        ("SET_VOICE_CHANNEL_STATUS", P::SET_VOICE_CHANNEL_STATUS, 0x1_0000_0000_0000),
        ("BYPASS_SLOWMODE", P::BYPASS_SLOWMODE, 0x10_0000_0000_0000),
    ] {
        assert_eq!(bit, Permissions(number), "{name}");
        assert!(Permissions::NAMES.contains(&(name, bit)));
    }
    assert_eq!(Permissions::NAMES.len(), 52, "53 bits, of which bit 47 is unused");
    assert!(Permissions::NAMES.iter().all(|(_, bit)| bit.0.count_ones() == 1));
    assert_eq!(Permissions::NAMES.iter().map(|(_, bit)| bit.0).sum::<u64>(), P::ALL.0, "no bit has two names");
    assert_eq!(P::ALL, Permissions((1 << 53) - 1).without(Permissions(1 << 47)));
}

#[test]
fn the_guild_permissions_are_those_of_all_roles_together() {
    let list = [(GUILD.everyone(), READ), (MODERATOR, P::KICK_MEMBERS), (MEMBER, P::SEND_MESSAGES)];
    assert_eq!(guild_permissions(&standing(&[]), roles(&list)), READ);
    assert_eq!(guild_permissions(&standing(&[MODERATOR]), roles(&list)), READ | P::KICK_MEMBERS);
    assert_eq!(guild_permissions(&standing(&[MEMBER, MODERATOR]), roles(&list)), READ | P::KICK_MEMBERS | P::SEND_MESSAGES);
}

#[test]
fn a_role_that_does_not_exist_counts_for_nothing() {
    assert_eq!(guild_permissions(&standing(&[MODERATOR]), roles(&everyone(READ))), READ);
    assert_eq!(guild_permissions(&standing(&[MODERATOR]), roles(&[])), P::NONE);
}

#[test]
fn an_undocumented_bit_of_a_role_or_overwrite_is_not_held() {
    let undocumented = Permissions(1 << 47 | 1 << 60);
    assert_eq!(guild_permissions(&standing(&[]), roles(&everyone(READ | undocumented))), READ);
    check(&[], &everyone(READ), &[for_member(USER, undocumented, P::NONE)], READ);
}

#[test]
fn the_owner_holds_everything_everywhere() {
    let owner = Standing { user_id: OWNER, is_timed_out: true, ..standing(&[]) };
    assert_eq!(guild_permissions(&owner, roles(&[])), P::ALL);
    let overwrites = [for_member(OWNER, P::NONE, P::ALL), for_role(GUILD.everyone(), P::NONE, P::ALL)];
    for kind in [ChannelType::Text, ChannelType::Voice] {
        assert_eq!(channel_permissions(&owner, roles(&[]), kind, &overwrites), P::ALL);
    }
}

#[test]
fn an_administrator_holds_everything_everywhere() {
    let list = [(GUILD.everyone(), P::NONE), (MODERATOR, P::ADMINISTRATOR)];
    for administrator in [standing(&[MODERATOR]), timed_out(&[MODERATOR])] {
        assert_eq!(guild_permissions(&administrator, roles(&list)), P::ALL);
        let overwrites = [for_role(MODERATOR, P::NONE, P::ALL), for_member(USER, P::NONE, P::ALL)];
        assert_eq!(channel_permissions(&administrator, roles(&list), ChannelType::Voice, &overwrites), P::ALL);
    }
}

#[test]
fn no_overwrite_makes_an_administrator_or_gives_any_other_guild_wide_bit() {
    check(&[], &everyone(READ), &[for_member(USER, P::ADMINISTRATOR | P::BAN_MEMBERS, P::NONE)], READ);
    check(&[], &everyone(READ | P::KICK_MEMBERS), &[for_member(USER, P::NONE, P::KICK_MEMBERS)], READ | P::KICK_MEMBERS);
}

#[test]
fn overwrites_apply_from_everyone_over_roles_to_the_member() {
    let everyone_denies = for_role(GUILD.everyone(), P::NONE, P::SEND_MESSAGES);
    let everyone_allows = for_role(GUILD.everyone(), P::SEND_MESSAGES, P::NONE);
    let role_denies = for_role(MEMBER, P::NONE, P::SEND_MESSAGES);
    let role_allows = for_role(MEMBER, P::SEND_MESSAGES, P::NONE);
    let other_role_denies = for_role(MODERATOR, P::NONE, P::SEND_MESSAGES);
    let member_denies = for_member(USER, P::NONE, P::SEND_MESSAGES);
    let member_allows = for_member(USER, P::SEND_MESSAGES, P::NONE);
    let both = for_member(USER, P::SEND_MESSAGES, P::SEND_MESSAGES);

    let may_write = READ | P::SEND_MESSAGES;
    for (overwrites, expected) in [
        (vec![], may_write),
        (vec![everyone_denies], READ),
        (vec![everyone_denies, role_allows], may_write),
        (vec![role_denies, everyone_allows], READ),
        // Between roles an allow beats a deny, in either order.
        (vec![other_role_denies, role_allows], may_write),
        (vec![role_allows, other_role_denies], may_write),
        (vec![role_denies, member_allows], may_write),
        (vec![member_denies, role_allows], READ),
        (vec![member_denies, everyone_allows], READ),
        (vec![both], may_write),
    ] {
        check(&[MODERATOR, MEMBER], &everyone(may_write), &overwrites, expected);
    }
}

#[test]
fn an_overwrite_for_someone_else_changes_nothing() {
    let strangers = [
        for_role(MODERATOR, P::MANAGE_CHANNELS, P::VIEW_CHANNEL),
        for_member(OWNER, P::MANAGE_CHANNELS, P::VIEW_CHANNEL),
        // An id is only half of a target: a member overwrite with a role's id, and the other way round.
        for_member(UserId(MEMBER.0), P::MANAGE_CHANNELS, P::VIEW_CHANNEL),
        for_role(RoleId(USER.0), P::MANAGE_CHANNELS, P::VIEW_CHANNEL),
        for_member(UserId(GUILD.0), P::MANAGE_CHANNELS, P::VIEW_CHANNEL),
    ];
    check(&[MEMBER], &everyone(READ), &strangers, READ);
}

#[test]
fn an_overwrite_may_give_what_no_role_gives() {
    check(&[], &everyone(P::NONE), &[for_member(USER, READ, P::NONE)], READ);
}

#[test]
fn who_does_not_see_a_channel_may_do_nothing_in_it() {
    let overwrites = [for_role(GUILD.everyone(), P::NONE, P::VIEW_CHANNEL), for_member(USER, P::MANAGE_MESSAGES, P::NONE)];
    check(&[], &everyone(WRITE | P::MANAGE_CHANNELS | P::KICK_MEMBERS), &overwrites, P::NONE);
}

#[test]
fn who_may_not_send_may_not_attach_embed_speak_aloud_or_mention_everyone() {
    let loud = P::MENTION_EVERYONE | P::SEND_TTS_MESSAGES;
    let silenced = for_member(USER, P::NONE, P::SEND_MESSAGES);
    check(&[], &everyone(WRITE | loud | P::ADD_REACTIONS), &[silenced], READ | P::ADD_REACTIONS);
    check(&[], &everyone(WRITE | loud), &[], WRITE | loud);
}

#[test]
fn a_voice_channel_without_connect_is_only_seen() {
    let all_but_admin = P::ALL.without(P::ADMINISTRATOR);
    let list = everyone(all_but_admin);
    let closed = [for_role(GUILD.everyone(), P::NONE, P::CONNECT)];
    for kind in [ChannelType::Voice, ChannelType::Stage] {
        assert_eq!(channel_permissions(&standing(&[]), roles(&list), kind, &closed), P::VIEW_CHANNEL);
        assert_eq!(channel_permissions(&standing(&[]), roles(&list), kind, &[]), all_but_admin);
    }
    let hidden = [for_role(GUILD.everyone(), P::NONE, P::CONNECT | P::VIEW_CHANNEL)];
    assert_eq!(channel_permissions(&standing(&[]), roles(&list), ChannelType::Voice, &hidden), P::NONE);
    for kind in [ChannelType::Text, ChannelType::Category, ChannelType::Announcement, ChannelType::Forum] {
        let in_text = channel_permissions(&standing(&[]), roles(&list), kind, &closed);
        assert_eq!(in_text, all_but_admin.without(P::CONNECT), "CONNECT gates nothing in {kind:?}");
    }
}

#[test]
fn who_is_timed_out_may_only_read() {
    let list = everyone(WRITE | P::CONNECT | P::SPEAK | P::MANAGE_GUILD);
    assert_eq!(guild_permissions(&timed_out(&[]), roles(&list)), READ);
    let generous = [for_member(USER, P::SEND_MESSAGES | P::MANAGE_MESSAGES, P::NONE)];
    assert_eq!(channel_permissions(&timed_out(&[]), roles(&list), ChannelType::Text, &generous), READ);
    assert_eq!(channel_permissions(&timed_out(&[]), roles(&list), ChannelType::Voice, &generous), READ);
    let closed = [for_member(USER, P::NONE, P::CONNECT)];
    assert_eq!(channel_permissions(&timed_out(&[]), roles(&list), ChannelType::Voice, &closed), P::VIEW_CHANNEL);
    let hidden = [for_member(USER, P::NONE, P::VIEW_CHANNEL)];
    assert_eq!(channel_permissions(&timed_out(&[]), roles(&list), ChannelType::Text, &hidden), P::NONE);
}

fn rank(member_roles: &[RoleId], positions: &[(RoleId, i32)]) -> Rank {
    let position_of = |id| positions.iter().find(|(role, _)| *role == id).map(|(_, position)| *position);
    Rank::of_member(&standing(member_roles), position_of)
}

#[test]
fn a_member_ranks_as_their_highest_role() {
    let positions = [(GUILD.everyone(), 0), (MODERATOR, 5), (MEMBER, 2)];
    let moderator = Rank::of_role(GUILD, MODERATOR, 5);
    let member = Rank::of_role(GUILD, MEMBER, 2);
    assert_eq!(rank(&[MEMBER, MODERATOR], &positions), moderator);
    assert_eq!(rank(&[MEMBER], &positions), member);
    assert_eq!(rank(&[], &positions), Rank::Everyone);
    assert_eq!(rank(&[RoleId::new(999)], &positions), Rank::Everyone, "a role that does not exist lifts nobody");
    let owner = Rank::of_member(&Standing { user_id: OWNER, ..standing(&[]) }, |_| None);

    let ascending = [Rank::of_role(GUILD, GUILD.everyone(), 0), member, moderator, owner];
    for (low, lower) in ascending.iter().enumerate() {
        for (high, higher) in ascending.iter().enumerate() {
            assert_eq!(higher.can_act_on(*lower), high > low, "{higher:?} on {lower:?}: only strictly below oneself");
        }
    }
}

#[test]
fn at_equal_positions_the_lower_id_ranks_higher() {
    let (older, newer) = (Rank::of_role(GUILD, RoleId::new(300), 4), Rank::of_role(GUILD, RoleId::new(301), 4));
    assert!(older.can_act_on(newer));
    assert!(!newer.can_act_on(older));
    assert!(Rank::of_role(GUILD, RoleId::new(301), 5).can_act_on(older), "the position comes first");
}

#[test]
fn every_role_is_above_everyone_even_at_position_zero() {
    let bottom = Rank::of_role(GUILD, RoleId::new(300), 0);
    let everyone = Rank::of_role(GUILD, GUILD.everyone(), 0);
    assert!(bottom.can_act_on(everyone));
    assert!(!everyone.can_act_on(bottom));
}

#[test]
fn only_held_bits_of_a_role_may_be_switched() {
    let held = P::MANAGE_ROLES | P::SEND_MESSAGES;
    assert!(may_change_role(held, P::NONE, P::SEND_MESSAGES));
    assert!(may_change_role(held, P::SEND_MESSAGES, P::NONE));
    assert!(may_change_role(held, P::BAN_MEMBERS, P::BAN_MEMBERS | P::SEND_MESSAGES), "what stays does not matter");
    assert!(!may_change_role(held, P::NONE, P::BAN_MEMBERS));
    assert!(!may_change_role(held, P::BAN_MEMBERS, P::NONE));
    assert!(may_change_role(P::ALL, P::NONE, Permissions(u64::MAX)), "unknown bits are dropped before they are stored");
}

#[test]
fn only_held_bits_of_an_overwrite_may_be_switched() {
    let held = P::MANAGE_ROLES | P::VIEW_CHANNEL | P::SEND_MESSAGES;
    let may = |held, overwrites: &[Overwrite], before: Option<Overwrite>, after: Option<Overwrite>| {
        may_change_overwrite(&standing(&[MEMBER]), held, overwrites, before.as_ref(), after.as_ref())
    };
    let send = for_role(MODERATOR, P::SEND_MESSAGES, P::NONE);
    let no_send = for_role(MODERATOR, P::NONE, P::SEND_MESSAGES);
    let connect = for_role(MODERATOR, P::CONNECT, P::NONE);
    let no_connect = for_role(MODERATOR, P::NONE, P::CONNECT);

    assert!(may(held, &[], None, Some(send)));
    assert!(may(held, &[send], Some(send), Some(no_send)));
    assert!(may(held, &[send], Some(send), None));
    for forbidden in [connect, no_connect] {
        assert!(!may(held, &[], None, Some(forbidden)));
        assert!(!may(held, &[forbidden], Some(forbidden), None));
        assert!(may(held, &[forbidden], Some(forbidden), Some(forbidden)));
    }
    assert!(!may(held.without(P::MANAGE_ROLES), &[], None, Some(send)), "it takes MANAGE_ROLES at all");
    assert!(may(held, &[], None, Some(for_role(MODERATOR, P::ADMINISTRATOR, P::NONE))), "has no effect in a channel");

    for handed_over in [
        for_member(USER, P::MANAGE_ROLES, P::NONE),
        for_role(MEMBER, P::MANAGE_ROLES, P::NONE),
        for_role(GUILD.everyone(), P::MANAGE_ROLES, P::NONE),
    ] {
        assert!(may(held, &[handed_over], None, Some(connect)), "{handed_over:?} hands the channel over");
    }
    for for_someone_else in [for_member(OWNER, P::MANAGE_ROLES, P::NONE), for_role(MODERATOR, P::MANAGE_ROLES, P::NONE)] {
        assert!(!may(held, &[for_someone_else], None, Some(connect)));
    }
}

/// Random guilds are small on purpose: few ids, so that roles, overwrites and members meet.
#[derive(Clone, Debug)]
struct World {
    roles: BTreeMap<RoleId, P>,
    member_roles: Vec<RoleId>,
    user: UserId,
    is_timed_out: bool,
    kind: ChannelType,
    overwrites: Vec<Overwrite>,
}

impl World {
    fn standing(&self) -> Standing<'_> {
        Standing {
            guild_id: GUILD,
            owner_id: OWNER,
            user_id: self.user,
            member_roles: &self.member_roles,
            is_timed_out: self.is_timed_out,
        }
    }

    fn guild(&self) -> P {
        guild_permissions(&self.standing(), |id| self.roles.get(&id).copied())
    }

    fn channel(&self) -> P {
        channel_permissions(&self.standing(), |id| self.roles.get(&id).copied(), self.kind, &self.overwrites)
    }
}

/// Bits with the ones that gate others made likely, and ADMINISTRATOR rare: it would hide every other rule.
fn bits() -> impl Strategy<Value = P> {
    let gates = P::VIEW_CHANNEL | P::CONNECT | P::SEND_MESSAGES;
    let administrator = prop_oneof![30 => Just(P::NONE), 1 => Just(P::ADMINISTRATOR)];
    (any::<u64>(), any::<u64>(), any::<u64>(), administrator).prop_map(move |(a, b, gated, administrator)| {
        let sparse = Permissions(a & b).without(P::ADMINISTRATOR);
        sparse | (gates & Permissions(gated)) | administrator
    })
}

fn a_role() -> impl Strategy<Value = RoleId> {
    prop_oneof![1 => Just(GUILD.everyone()), 4 => (201u64..205).prop_map(RoleId::new)]
}

fn an_overwrite() -> impl Strategy<Value = Overwrite> {
    // An overwrite's bits are all likely, ADMINISTRATOR too: there it must have no effect.
    let target = prop_oneof![
        4 => a_role().prop_map(|role| (role.0, OverwriteKind::Role)),
        2 => (1u64..4).prop_map(|user| (UserId::new(user).0, OverwriteKind::Member)),
        1 => (1u64..4).prop_map(|user| (UserId::new(user).0, OverwriteKind::Role)),
        1 => a_role().prop_map(|role| (role.0, OverwriteKind::Member)),
    ];
    (target, any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|((id, kind), a, b, c)| Overwrite {
        id,
        kind,
        allow: Permissions(a & b),
        deny: Permissions(b & c),
    })
}

fn a_world() -> impl Strategy<Value = World> {
    let kind = prop_oneof![
        Just(ChannelType::Text),
        Just(ChannelType::Voice),
        Just(ChannelType::Stage),
        Just(ChannelType::Category),
        Just(ChannelType::Announcement),
        Just(ChannelType::Forum),
    ];
    let user = prop_oneof![1 => Just(OWNER), 12 => Just(USER)];
    (
        proptest::collection::btree_map(a_role(), bits(), 0..5),
        proptest::collection::vec(a_role(), 0..4),
        user,
        proptest::bool::weighted(0.2),
        kind,
        proptest::collection::vec(an_overwrite(), 0..6),
    )
        .prop_map(|(roles, member_roles, user, is_timed_out, kind, overwrites)| World {
            roles,
            member_roles,
            user,
            is_timed_out,
            kind,
            overwrites,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_algebra_agrees_with_the_oracle(world in a_world()) {
        prop_assert_eq!(oracle::names(world.guild()), oracle::guild(&world.standing(), &world.roles));
        let slowly = oracle::channel(&world.standing(), &world.roles, world.kind, &world.overwrites);
        prop_assert_eq!(oracle::names(world.channel()), slowly);
        prop_assert_eq!(world.guild() | world.channel(), (world.guild() | world.channel()).known());
    }

    #[test]
    fn the_order_of_roles_and_overwrites_does_not_matter(world in a_world()) {
        let mut turned = world.clone();
        turned.member_roles.reverse();
        turned.overwrites.reverse();
        prop_assert_eq!(turned.guild(), world.guild());
        prop_assert_eq!(turned.channel(), world.channel());
    }

    #[test]
    fn an_overwrite_that_only_denies_never_adds(world in a_world(), deny in bits(), kind in any::<bool>()) {
        let before = world.channel();
        let mut world = world;
        world.overwrites.push(if kind { for_member(USER, P::NONE, deny) } else { for_role(MEMBER, P::NONE, deny) });
        prop_assert!(before.contains(world.channel()));
    }

    #[test]
    fn ranks_are_a_total_order_in_which_no_two_roles_are_equal(
        roles in proptest::collection::btree_map(100u64..110, 0i32..4, 2..8)
    ) {
        let ranks: Vec<Rank> = roles.iter().map(|(id, position)| Rank::of_role(GUILD, RoleId::new(*id), *position)).collect();
        for (i, a) in ranks.iter().enumerate() {
            prop_assert!(!a.can_act_on(*a));
            for b in &ranks[i + 1..] {
                prop_assert_ne!(a.can_act_on(*b), b.can_act_on(*a));
            }
        }
    }

    #[test]
    fn permissions_survive_the_wire_as_string_and_are_read_from_a_number_too(bits in any::<u64>()) {
        let permissions = Permissions(bits);
        let text = serde_json::to_string(&permissions).unwrap();
        prop_assert_eq!(&text, &format!("\"{bits}\""));
        prop_assert_eq!(serde_json::from_str::<Permissions>(&text).unwrap(), permissions);
        prop_assert_eq!(serde_json::from_str::<Permissions>(&bits.to_string()).unwrap(), permissions);
        prop_assert_eq!(serde_json::from_value::<Permissions>(serde_json::json!(bits)).unwrap(), permissions);
    }
}

#[test]
fn what_is_not_a_decimal_number_of_64_bits_is_not_permissions() {
    for text in
        ["\"\"", "\"-1\"", "-1", "\"0x8\"", "\"18446744073709551616\"", "18446744073709551616", "1.5", "null", "true", "[]"]
    {
        assert!(serde_json::from_str::<Permissions>(text).is_err(), "{text}");
    }
}

#[test]
fn a_set_is_printed_by_its_names() {
    assert_eq!(format!("{:?}", P::KICK_MEMBERS | P::VIEW_CHANNEL), "{KICK_MEMBERS, VIEW_CHANNEL}");
}
