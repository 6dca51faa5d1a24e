// What components read from the model, derived and never stored.

import { type Channel, ChannelType, type Id, type Message, type PrivateChannel, type Status, type Thread, type VoiceState } from "../api/types";
import type { Model } from "./model";
import { channelPermissions, guildPermissions, has, inThread, Permission, PRIVATE_PERMISSIONS } from "./permissions";
import { compareIds, isNewer } from "./snowflake";
import type { Pending } from "./timeline";

export function displayName(model: Pick<Model, "users" | "members">, guild: Id | null, user: Id): string {
  const nick = guild === null ? null : (model.members[guild]?.[user]?.nick ?? null);
  const face = model.users[user];
  return nick ?? face?.global_name ?? face?.username ?? "Someone";
}

function byPosition(a: Channel, b: Channel): number {
  return a.position - b.position || compareIds(a.id, b.id);
}

export interface ChannelGroup {
  category: Channel | null;
  text: Channel[];
  voice: Channel[];
}

/** The sidebar's order: channels without a category, then each category; in each, text before voice. */
export function channelGroups(channels: Model["channels"], guild: Id): ChannelGroup[] {
  const all = Object.values(channels).filter((channel) => channel.guild_id === guild).toSorted(byPosition);
  const categories = all.filter((channel) => channel.type === ChannelType.category);
  const groups = [null, ...categories].map((category) => {
    const inside = all.filter((channel) => channel.type !== ChannelType.category && parent(channel, categories) === (category?.id ?? null));
    return {
      category,
      text: inside.filter((channel) => channel.type !== ChannelType.voice),
      voice: inside.filter((channel) => channel.type === ChannelType.voice),
    };
  });
  return groups.filter((group) => group.category !== null || group.text.length + group.voice.length > 0);
}

function parent(channel: Channel, categories: readonly Channel[]): Id | null {
  return categories.some((category) => category.id === channel.parent_id) ? channel.parent_id : null;
}

export function firstTextChannel(model: Pick<Model, "channels">, guild: Id): Id | null {
  for (const group of channelGroups(model.channels, guild)) {
    if (group.text[0] !== undefined) return group.text[0].id;
  }
  return null;
}

/** The category in which the first channel of a type is. */
export function usualCategory(channels: Model["channels"], guild: Id, type: number): Id | null {
  const inOrder = channelGroups(channels, guild).flatMap((group) => group.text.concat(group.voice));
  return inOrder.find((channel) => channel.type === type)?.parent_id ?? null;
}

type Reading = Pick<Model, "channels" | "threads" | "privateChannels" | "readStates">;

/** The guild of a channel or a thread. */
function guildOf(model: Pick<Model, "channels" | "threads">, id: Id): Id | null {
  return (model.channels[id] ?? model.threads[id])?.guild_id ?? null;
}

/**
 * Whether there is a message that was not read. Where nothing was ever marked, what was there at the start is read; so is a
 * thread that one is not in.
 */
export function isUnread(model: Reading, id: Id): boolean {
  const thread = model.threads[id];
  if (thread !== undefined && thread.member === undefined) return false;
  const newest = (model.channels[id] ?? thread ?? model.privateChannels[id])?.last_message_id ?? null;
  const mark = model.readStates[id];
  return newest !== null && mark !== undefined && isNewer(newest, mark.lastRead);
}

export function isGuildUnread(model: Reading, guild: Id): boolean {
  return Object.keys(model.readStates).some((id) => guildOf(model, id) === guild && isUnread(model, id));
}

/** Unread messages that name this user, in a guild; `null`: in private channels. */
export function mentionCount(model: Reading, guild: Id | null): number {
  let count = 0;
  for (const [id, state] of Object.entries(model.readStates)) {
    const isInside = guild === null ? model.privateChannels[id] !== undefined : guildOf(model, id) === guild;
    if (isInside) count += state.mentions;
  }
  return count;
}

/** Private channels, the one with the newest message first. */
export function privateChannels(model: Pick<Model, "privateChannels">): PrivateChannel[] {
  return Object.values(model.privateChannels).toSorted((a, b) => compareIds(b.last_message_id ?? b.id, a.last_message_id ?? a.id));
}

/** What a place is called; a conversation by who is in it. */
export function placeName(model: Pick<Model, "channels" | "threads" | "privateChannels" | "users" | "members">, id: Id): string {
  const channel = model.privateChannels[id];
  if (channel === undefined) return (model.channels[id] ?? model.threads[id])?.name ?? "";
  if (channel.name !== undefined && channel.name !== null && channel.name !== "") return channel.name;
  return channel.recipients.map((user) => displayName(model, null, user.id)).join(", ") || "Nobody else";
}

/** What mentions stand for, in plain text. */
export function mentionName(model: Pick<Model, "users" | "members" | "guilds" | "channels" | "threads">, guildId: Id | null, kind: "user" | "role" | "channel", id: Id): string {
  if (kind === "user") return displayName(model, guildId, id);
  if (kind === "channel") return (model.channels[id] ?? model.threads[id])?.name ?? "unknown channel";
  return model.guilds[guildId ?? ""]?.roles.find((role) => role.id === id)?.name ?? "unknown role";
}

export interface MemberRow {
  userId: Id;
  name: string;
  status: Status;
  isBot: boolean;
  isOwner: boolean;
  color: number;
}

/** How a member stands in the list. */
export function memberRow(model: Pick<Model, "guilds" | "members" | "users" | "presences">, guildId: Id, userId: Id): MemberRow {
  const guild = model.guilds[guildId];
  const held = model.members[guildId]?.[userId]?.roles ?? [];
  const coloured = (guild?.roles ?? []).filter((role) => role.color !== 0 && held.includes(role.id)).toSorted((a, b) => b.position - a.position);
  return {
    userId,
    name: displayName(model, guildId, userId),
    status: model.presences[userId] ?? "offline",
    isBot: model.users[userId]?.bot === true,
    isOwner: guild?.owner_id === userId,
    color: coloured[0]?.color ?? 0,
  };
}

/** The heading of a group of the member list. */
export function groupTitle(model: Pick<Model, "guilds">, guildId: Id, group: string): string {
  if (group === "online") return "Online";
  if (group === "offline") return "Offline";
  return model.guilds[guildId]?.roles.find((role) => role.id === group)?.name ?? "Members";
}

/** Who is in a voice channel, in a stable order. */
export function occupants(model: Pick<Model, "voiceStates" | "users" | "members">, guild: Id, channel: Id): VoiceState[] {
  return Object.values(model.voiceStates[guild] ?? {})
    .filter((state) => state.channel_id === channel)
    .toSorted((a, b) => displayName(model, guild, a.user_id).localeCompare(displayName(model, guild, b.user_id)));
}

export function mayInGuild(model: Pick<Model, "guilds" | "members" | "me">, guildId: Id, permission: bigint): boolean {
  const guild = model.guilds[guildId];
  if (guild === undefined || model.me === null) return false;
  return has(guildPermissions(guild, model.me.id, model.members[guildId]?.[model.me.id]?.roles ?? []), permission);
}

type Rights = Pick<Model, "guilds" | "channels" | "threads" | "privateChannels" | "members" | "me">;

/** In a channel, a conversation or a thread. */
export function mayInChannel(model: Rights, channelId: Id, permission: bigint): boolean {
  const thread = model.threads[channelId];
  if (thread !== undefined) return mayInChannel(model, thread.parent_id, inThread(permission));
  if (model.privateChannels[channelId] !== undefined) return has(PRIVATE_PERMISSIONS, permission);
  const channel = model.channels[channelId];
  const guild = channel === undefined ? undefined : model.guilds[channel.guild_id];
  if (channel === undefined || guild === undefined || model.me === null) return false;
  const roles = model.members[guild.id]?.[model.me.id]?.roles ?? [];
  return has(channelPermissions(guild, channel, model.me.id, roles), permission);
}

/** Whether this user may write there: a locked thread is for those who manage threads. */
export function mayWrite(model: Rights, channelId: Id): boolean {
  const isLocked = model.threads[channelId]?.thread_metadata.locked === true;
  return mayInChannel(model, channelId, Permission.sendMessages) && (!isLocked || mayInChannel(model, channelId, Permission.manageThreads));
}

/** Whoever started a thread runs it, beside those who manage threads. */
export function mayRunThread(model: Rights, thread: Thread): boolean {
  return thread.owner_id === model.me?.id || mayInChannel(model, thread.id, Permission.manageThreads);
}

export type TimelineRow =
  | { kind: "day"; key: string; atMs: number }
  | { kind: "message"; key: string; message: Message; isFirst: boolean }
  | { kind: "pending"; key: string; pending: Pending; isFirst: boolean };

/** Messages of one author closer than this share one header. */
const GROUP_MS = 7 * 60_000;

/** Messages and pending sends as rows: a divider per day, a header per run of one author. */
export function timelineRows(messages: readonly Message[], pending: readonly Pending[]): TimelineRow[] {
  const rows: TimelineRow[] = [];
  let author: Id | null = null;
  let lastMs = 0;
  const starts = (authorId: Id, atMs: number) => {
    const isNewDay = new Date(atMs).toDateString() !== new Date(lastMs).toDateString();
    if (isNewDay) rows.push({ kind: "day", key: `day-${new Date(atMs).toDateString()}`, atMs });
    const isFirst = isNewDay || authorId !== author || atMs - lastMs > GROUP_MS;
    author = authorId;
    lastMs = atMs;
    return isFirst;
  };
  for (const message of messages) {
    // An answer says who it is from: what it answers stands above it. So does a webhook, which speaks by many names.
    if (message.referenced_message !== undefined || message.webhook_id !== undefined) author = null;
    const isFirst = starts(message.author.id, Date.parse(message.timestamp));
    // A notice is a line of its own: whoever speaks next gets a header again.
    if (message.type !== 0 && message.type !== 19 && message.type !== 20 && message.type !== 21) author = null;
    rows.push({ kind: "message", key: message.id, message, isFirst });
  }
  for (const item of pending) {
    rows.push({ kind: "pending", key: item.nonce, pending: item, isFirst: starts(item.author.id, Math.max(item.sentAtMs, lastMs)) });
  }
  return rows;
}
