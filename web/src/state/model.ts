// The normalised state of the page: one table per kind of entity, keyed by id. Components select from it; only the
// reducer (gateway dispatches) and the actions (requests) write it.

import type { Channel, CurrentUser, Guild, Id, PrivateChannel, Relationship, Status, Thread, User, VoiceState } from "../api/types";
import type { GatewayStatus } from "../gateway/session";
import type { MemberList } from "./memberList";
import type { Timeline } from "./timeline";

export type Table<T> = Readonly<Record<Id, T>>;

export interface GuildEntry extends Guild {
  memberCount: number;
  /** The server cannot serve it just now. */
  isUnavailable: boolean;
}

/** A membership without its user, which lives in `users`. */
export interface MemberEntry {
  userId: Id;
  nick: string | null;
  roles: readonly Id[];
}

export interface Model {
  me: CurrentUser | null;
  gateway: GatewayStatus;
  /** Whether READY came at least once: before it there is nothing to show but a splash. */
  isLoaded: boolean;
  /** The guilds in the order in which this page learned of them. */
  guildOrder: readonly Id[];
  guilds: Table<GuildEntry>;
  channels: Table<Channel>;
  /** The active threads, and archived ones that were opened. */
  threads: Table<Thread>;
  users: Table<User>;
  /** By guild, then by user. */
  members: Table<Table<MemberEntry>>;
  /** By guild: the part of its member list that this page asked for. */
  memberLists: Table<MemberList>;
  presences: Table<Status>;
  /** By guild, then by user; only those who are in a channel. */
  voiceStates: Table<Table<VoiceState>>;
  timelines: Table<Timeline>;
  /** By channel, then by user: until when (milliseconds) "is typing" holds. */
  typing: Table<Table<number>>;
  privateChannels: Table<PrivateChannel>;
  /** By the other account's id. */
  relationships: Table<Relationship>;
  /** By channel: the newest message that was read, and how many unread ones name this user. */
  readStates: Table<{ lastRead: Id; mentions: number }>;
}

export const emptyModel: Model = {
  me: null,
  gateway: "offline",
  isLoaded: false,
  guildOrder: [],
  guilds: {},
  channels: {},
  threads: {},
  users: {},
  members: {},
  memberLists: {},
  presences: {},
  voiceStates: {},
  timelines: {},
  typing: {},
  privateChannels: {},
  relationships: {},
  readStates: {},
};

export function without<T>(table: Table<T>, id: Id): Table<T> {
  if (!(id in table)) return table;
  const { [id]: _, ...rest } = table;
  return rest;
}
