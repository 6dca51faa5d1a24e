// Gateway dispatches into the model. Pure: the clock and the open channel come in as values.

import type { GuildCreate, Id, Member, Message, PrivateChannel, Status, User, VoiceState } from "../api/types";
import type { Dispatch, Ready } from "../gateway/protocol";
import { forgetList, membersIn, updateList } from "./memberList";
import { emptyModel, type GuildEntry, type MemberEntry, type Model, type Table, without } from "./model";
import { changeMembers, countMessage, forgetThreadsOf, putGuildThreads, putThread, syncThreads } from "./threads";
import { clearReactions, edit, emptyTimeline, react, receive, remove, type Timeline } from "./timeline";

/** How long one TYPING_START holds, as the API documents. */
export const TYPING_MS = 10_000;

export interface Context {
  nowMs: number;
  /** The channel and the thread on the screen, which are never unread. */
  openChannels: readonly Id[];
}

export function reduce(model: Model, dispatch: Dispatch, context: Context): Model {
  switch (dispatch.t) {
    case "READY":
      return ready(model, dispatch.d);
    case "GUILD_CREATE":
      return guildCreate(model, dispatch.d);
    case "GUILD_UPDATE":
      return patchGuild(model, dispatch.d.id, (guild) => ({ ...guild, ...dispatch.d }));
    case "GUILD_DELETE":
      return dispatch.d.unavailable === true
        ? patchGuild(model, dispatch.d.id, (guild) => ({ ...guild, isUnavailable: true }))
        : forgetGuild(model, dispatch.d.id);
    case "GUILD_ROLE_CREATE":
    case "GUILD_ROLE_UPDATE": {
      const { role } = dispatch.d;
      return patchGuild(model, dispatch.d.guild_id, (guild) => ({
        ...guild,
        roles: [...guild.roles.filter((other) => other.id !== role.id), role],
      }));
    }
    case "GUILD_ROLE_DELETE": {
      const { role_id } = dispatch.d;
      return patchGuild(model, dispatch.d.guild_id, (guild) => ({ ...guild, roles: guild.roles.filter((role) => role.id !== role_id) }));
    }
    case "GUILD_MEMBER_ADD":
      return patchGuild(putMember(model, dispatch.d.guild_id, dispatch.d), dispatch.d.guild_id, (guild) => ({
        ...guild,
        memberCount: guild.memberCount + 1,
      }));
    case "GUILD_MEMBER_UPDATE":
      return putMember(model, dispatch.d.guild_id, dispatch.d);
    case "GUILD_MEMBER_REMOVE":
      return removeMember(model, dispatch.d.guild_id, dispatch.d.user.id);
    case "CHANNEL_CREATE":
    case "CHANNEL_UPDATE":
      return "recipients" in dispatch.d ? putPrivate(model, dispatch.d) : { ...model, channels: { ...model.channels, [dispatch.d.id]: dispatch.d } };
    case "CHANNEL_DELETE":
      return forgetChannel(model, dispatch.d.id);
    case "CHANNEL_RECIPIENT_ADD":
    case "CHANNEL_RECIPIENT_REMOVE": {
      const { channel_id, user } = dispatch.d;
      const channel = model.privateChannels[channel_id];
      if (channel === undefined) return model;
      const others = channel.recipients.filter((other) => other.id !== user.id);
      return putPrivate(model, { ...channel, recipients: dispatch.t === "CHANNEL_RECIPIENT_ADD" ? [...others, user] : others });
    }
    case "THREAD_CREATE":
    case "THREAD_UPDATE":
      return { ...model, threads: putThread(model.threads, dispatch.d) };
    case "THREAD_DELETE":
      return forgetChannel(model, dispatch.d.id);
    case "THREAD_LIST_SYNC": {
      const { guild_id, channel_ids, threads, members } = dispatch.d;
      return { ...model, threads: syncThreads(model.threads, guild_id, channel_ids ?? null, threads, members) };
    }
    case "THREAD_MEMBERS_UPDATE":
      return { ...model, threads: changeMembers(model.threads, dispatch.d, model.me?.id ?? null) };
    case "GUILD_EMOJIS_UPDATE":
      return patchGuild(model, dispatch.d.guild_id, (guild) => ({ ...guild, emojis: dispatch.d.emojis }));
    case "GUILD_MEMBER_LIST_UPDATE":
      return { ...putMembers(model, dispatch.d.guild_id, membersIn(dispatch.d)), memberLists: updateList(model.memberLists, dispatch.d) };
    case "GUILD_MEMBERS_CHUNK":
      return putMembers(model, dispatch.d.guild_id, dispatch.d.members);
    case "RELATIONSHIP_ADD":
    case "RELATIONSHIP_UPDATE":
      return {
        ...model,
        relationships: { ...model.relationships, [dispatch.d.id]: { ...model.relationships[dispatch.d.id], ...dispatch.d } },
        users: learn(model.users, dispatch.d.user === undefined ? [] : [dispatch.d.user]),
      };
    case "RELATIONSHIP_REMOVE":
      return { ...model, relationships: without(model.relationships, dispatch.d.id) };
    case "MESSAGE_ACK": {
      const { channel_id, message_id, mention_count } = dispatch.d;
      return { ...model, readStates: { ...model.readStates, [channel_id]: { lastRead: message_id, mentions: mention_count ?? 0 } } };
    }
    case "MESSAGE_CREATE":
      return messageCreate(model, dispatch.d, context);
    case "MESSAGE_UPDATE":
      return patchTimeline(model, dispatch.d.channel_id, (timeline) => edit(timeline, dispatch.d));
    case "MESSAGE_DELETE":
      return patchTimeline(model, dispatch.d.channel_id, (timeline) => remove(timeline, [dispatch.d.id]));
    case "MESSAGE_DELETE_BULK":
      return patchTimeline(model, dispatch.d.channel_id, (timeline) => remove(timeline, dispatch.d.ids));
    case "MESSAGE_REACTION_ADD":
    case "MESSAGE_REACTION_REMOVE": {
      const { channel_id, message_id, emoji, user_id } = dispatch.d;
      const step = dispatch.t === "MESSAGE_REACTION_ADD" ? 1 : -1;
      return patchTimeline(model, channel_id, (timeline) => react(timeline, message_id, emoji, step, user_id === model.me?.id));
    }
    case "MESSAGE_REACTION_REMOVE_EMOJI":
      return patchTimeline(model, dispatch.d.channel_id, (timeline) => clearReactions(timeline, dispatch.d.message_id, dispatch.d.emoji));
    case "MESSAGE_REACTION_REMOVE_ALL":
      return patchTimeline(model, dispatch.d.channel_id, (timeline) => clearReactions(timeline, dispatch.d.message_id, null));
    case "TYPING_START":
      return typingStart(model, dispatch.d.channel_id, dispatch.d.user_id, context.nowMs);
    case "PRESENCE_UPDATE":
      return { ...model, presences: { ...model.presences, [dispatch.d.user.id]: dispatch.d.status } };
    case "USER_UPDATE":
      return { ...model, me: dispatch.d, users: { ...model.users, [dispatch.d.id]: dispatch.d } };
    case "VOICE_STATE_UPDATE":
      return voiceState(model, dispatch.d);
    default:
      return model;
  }
}

/**
 * A new session: what the old one knew may have gaps, so everything but the shape of the page starts anew. Guilds keep
 * their last known face until their GUILD_CREATE arrives; messages that are still being sent stay.
 */
function ready(model: Model, welcome: Ready): Model {
  const order = [
    ...model.guildOrder.filter((id) => welcome.guilds.some((guild) => guild.id === id)),
    ...welcome.guilds.map((guild) => guild.id).filter((id) => !model.guildOrder.includes(id)),
  ];
  const isKept = (id: Id) => order.includes(id);
  const timelines: Record<Id, Timeline> = {};
  for (const [channel, timeline] of Object.entries(model.timelines)) {
    if (timeline.pending.length > 0) timelines[channel] = { ...emptyTimeline, pending: timeline.pending };
  }
  return {
    ...emptyModel,
    gateway: model.gateway,
    me: welcome.user,
    isLoaded: true,
    guildOrder: order,
    guilds: keepIf(model.guilds, isKept),
    channels: Object.fromEntries(Object.entries(model.channels).filter(([, channel]) => isKept(channel.guild_id))),
    threads: Object.fromEntries(Object.entries(model.threads).filter(([, thread]) => isKept(thread.guild_id))),
    members: keepIf(model.members, isKept),
    users: {
      ...learn(model.users, [...(welcome.private_channels ?? []).flatMap((channel) => channel.recipients), ...(welcome.relationships ?? []).map((relationship) => relationship.user)]),
      [welcome.user.id]: welcome.user,
    },
    presences: model.presences,
    privateChannels: Object.fromEntries((welcome.private_channels ?? []).map((channel) => [channel.id, channel])),
    relationships: Object.fromEntries((welcome.relationships ?? []).map((relationship) => [relationship.id, relationship])),
    readStates: Object.fromEntries((welcome.read_state?.entries ?? []).map(({ id, last_message_id, mention_count }) => [id, { lastRead: last_message_id ?? "0", mentions: mention_count }])),
    timelines,
  };
}

/** Those of the users that were unknown. */
function learn(users: Table<User>, found: readonly User[]): Table<User> {
  const unknown = found.filter((user) => users[user.id] === undefined);
  return unknown.length === 0 ? users : { ...users, ...Object.fromEntries(unknown.map((user) => [user.id, user])) };
}

function putPrivate(model: Model, channel: PrivateChannel): Model {
  return { ...model, privateChannels: { ...model.privateChannels, [channel.id]: channel }, users: learn(model.users, channel.recipients) };
}

/** A channel, a thread or a conversation; a channel takes its threads along. */
function forgetChannel(model: Model, id: Id): Model {
  const { threads, gone } = forgetThreadsOf(without(model.threads, id), id);
  return {
    ...model,
    channels: without(model.channels, id),
    threads,
    privateChannels: without(model.privateChannels, id),
    timelines: [id, ...gone].reduce((table, each) => without(table, each), model.timelines),
    typing: without(model.typing, id),
  };
}

/** Many at once, with how they are where that is said. */
function putMembers(model: Model, guild: Id, found: readonly (Member & { presence?: { status: string } })[]): Model {
  const users = { ...model.users };
  const members = { ...model.members[guild] };
  const presences = { ...model.presences };
  for (const member of found) {
    users[member.user.id] = member.user;
    members[member.user.id] = entry(member);
    if (member.presence !== undefined) presences[member.user.id] = member.presence.status as Status;
  }
  return { ...model, users, presences, members: { ...model.members, [guild]: members } };
}

function keepIf<T>(table: Table<T>, isKept: (id: Id) => boolean): Table<T> {
  return Object.fromEntries(Object.entries(table).filter(([id]) => isKept(id)));
}

function guildCreate(model: Model, guild: GuildCreate): Model {
  const users: Record<Id, User> = { ...model.users };
  const members: Record<Id, MemberEntry> = {};
  for (const member of guild.members) {
    users[member.user.id] = member.user;
    members[member.user.id] = entry(member);
  }
  const channels: Table<Model["channels"][Id]> = Object.fromEntries([
    ...Object.entries(model.channels).filter(([, channel]) => channel.guild_id !== guild.id),
    ...guild.channels.map((channel) => [channel.id, { ...channel, guild_id: guild.id }] as const),
  ]);
  const presences: Record<Id, Model["presences"][Id]> = { ...model.presences };
  for (const id of Object.keys(members)) presences[id] = "offline";
  for (const presence of guild.presences) presences[presence.user.id] = presence.status;
  const voiceStates: Record<Id, VoiceState> = {};
  for (const state of guild.voice_states) {
    if (state.channel_id !== null) voiceStates[state.user_id] = { ...state, guild_id: guild.id };
  }
  const face: GuildEntry = {
    id: guild.id,
    name: guild.name,
    owner_id: guild.owner_id,
    roles: guild.roles,
    icon: guild.icon ?? null,
    emojis: guild.emojis ?? [],
    memberCount: guild.member_count,
    isUnavailable: guild.unavailable === true,
  };
  return {
    ...model,
    users,
    channels,
    threads: putGuildThreads(model.threads, guild.id, guild.threads ?? []),
    presences,
    guildOrder: model.guildOrder.includes(guild.id) ? model.guildOrder : [...model.guildOrder, guild.id],
    guilds: { ...model.guilds, [guild.id]: face },
    members: { ...model.members, [guild.id]: members },
    voiceStates: { ...model.voiceStates, [guild.id]: voiceStates },
  };
}

function forgetGuild(model: Model, id: Id): Model {
  const gone = Object.values(model.channels).filter((channel) => channel.guild_id === id);
  const goneThreads = Object.values(model.threads).filter((thread) => thread.guild_id === id);
  return {
    ...model,
    guildOrder: model.guildOrder.filter((other) => other !== id),
    guilds: without(model.guilds, id),
    members: without(model.members, id),
    voiceStates: without(model.voiceStates, id),
    memberLists: forgetList(model.memberLists, id),
    channels: gone.reduce((table, channel) => without(table, channel.id), model.channels),
    threads: goneThreads.reduce((table, thread) => without(table, thread.id), model.threads),
    timelines: [...gone, ...goneThreads].reduce((table, channel) => without(table, channel.id), model.timelines),
  };
}

function patchGuild(model: Model, id: Id, change: (guild: GuildEntry) => GuildEntry): Model {
  const guild = model.guilds[id];
  return guild === undefined ? model : { ...model, guilds: { ...model.guilds, [id]: change(guild) } };
}

function entry(member: Member): MemberEntry {
  return { userId: member.user.id, nick: member.nick, roles: member.roles };
}

function putMember(model: Model, guild: Id, member: Member): Model {
  const ofGuild = { ...model.members[guild], [member.user.id]: entry(member) };
  return {
    ...model,
    users: { ...model.users, [member.user.id]: member.user },
    members: { ...model.members, [guild]: ofGuild },
  };
}

function removeMember(model: Model, guild: Id, user: Id): Model {
  return patchGuild(
    {
      ...model,
      members: { ...model.members, [guild]: without(model.members[guild] ?? {}, user) },
      voiceStates: { ...model.voiceStates, [guild]: without(model.voiceStates[guild] ?? {}, user) },
    },
    guild,
    (face) => ({ ...face, memberCount: Math.max(0, face.memberCount - 1) }),
  );
}

function patchTimeline(model: Model, channel: Id, change: (timeline: Timeline) => Timeline): Model {
  const timeline = model.timelines[channel];
  if (timeline === undefined) return model;
  const changed = change(timeline);
  return changed === timeline ? model : { ...model, timelines: { ...model.timelines, [channel]: changed } };
}

function messageCreate(model: Model, message: Extract<Dispatch, { t: "MESSAGE_CREATE" }>["d"], context: Context): Model {
  const channel = message.channel_id;
  const next = patchTimeline(model, channel, (timeline) => receive(timeline, message));
  return {
    ...next,
    users: next.users[message.author.id] === undefined ? { ...next.users, [message.author.id]: message.author } : next.users,
    typing: stopTyping(next.typing, channel, message.author.id),
    channels: withNewest(next.channels, channel, message.id),
    threads: countMessage(next.threads, message),
    privateChannels: withNewest(next.privateChannels, channel, message.id),
    readStates: read(model, message, context),
  };
}

function withNewest<T extends { last_message_id: Id | null }>(table: Table<T>, id: Id, message: Id): Table<T> {
  const channel = table[id];
  return channel === undefined ? table : { ...table, [id]: { ...channel, last_message_id: message } };
}

/** What one writes oneself, or has on the screen, is read; what names this user elsewhere is counted. */
function read(model: Model, message: Message, context: Context): Model["readStates"] {
  const channel = message.channel_id;
  const me = model.me?.id;
  const before = model.readStates[channel];
  if (message.author.id === me || context.openChannels.includes(channel)) return { ...model.readStates, [channel]: { lastRead: message.id, mentions: 0 } };
  const isForMe = model.privateChannels[channel] !== undefined || message.mentions.some((user) => user.id === me);
  // Without a mark everything up to now counts as read.
  const lastRead = before?.lastRead ?? (model.channels[channel] ?? model.threads[channel])?.last_message_id ?? "0";
  return { ...model.readStates, [channel]: { lastRead, mentions: (before?.mentions ?? 0) + (isForMe ? 1 : 0) } };
}

function typingStart(model: Model, channel: Id, user: Id, nowMs: number): Model {
  if (user === model.me?.id) return model;
  return { ...model, typing: { ...model.typing, [channel]: { ...model.typing[channel], [user]: nowMs + TYPING_MS } } };
}

function stopTyping(typing: Model["typing"], channel: Id, user: Id): Model["typing"] {
  const inChannel = typing[channel];
  if (inChannel === undefined || !(user in inChannel)) return typing;
  return { ...typing, [channel]: without(inChannel, user) };
}

function voiceState(model: Model, state: VoiceState): Model {
  const inGuild = model.voiceStates[state.guild_id] ?? {};
  const { member, ...bare } = state;
  const changed = state.channel_id === null ? without(inGuild, state.user_id) : { ...inGuild, [state.user_id]: bare };
  const next = { ...model, voiceStates: { ...model.voiceStates, [state.guild_id]: changed } };
  return member === undefined ? next : putMember(next, state.guild_id, member);
}
