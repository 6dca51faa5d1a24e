// The wire objects that the page reads: only the fields it uses, with the names of the REST and gateway API (v10).

/** A snowflake as a decimal string; JavaScript numbers lose bits above 2^53. */
export type Id = string;

export interface User {
  id: Id;
  username: string;
  global_name: string | null;
  bot?: boolean;
}

export interface CurrentUser extends User {
  email: string | null;
}

export interface Member {
  user: User;
  nick: string | null;
  roles: Id[];
  joined_at: string;
}

export interface Role {
  id: Id;
  name: string;
  /** A decimal bit set. */
  permissions: string;
  position: number;
  color: number;
  hoist: boolean;
}

export const ChannelType = { text: 0, voice: 2, category: 4 } as const;

export interface Overwrite {
  id: Id;
  /** 0 role, 1 member. */
  type: number;
  allow: string;
  deny: string;
}

export interface Channel {
  id: Id;
  type: number;
  guild_id: Id;
  name: string;
  position: number;
  parent_id: Id | null;
  topic: string | null;
  last_message_id: Id | null;
  permission_overwrites: Overwrite[];
}

export interface VoiceState {
  guild_id: Id;
  /** `null`: left voice. */
  channel_id: Id | null;
  user_id: Id;
  member?: Member;
  session_id: string;
  deaf: boolean;
  mute: boolean;
  self_deaf: boolean;
  self_mute: boolean;
  suppress: boolean;
}

export type Status = "online" | "idle" | "dnd" | "offline";

export interface Presence {
  user: { id: Id };
  guild_id: Id;
  status: Status;
}

export interface Guild {
  id: Id;
  name: string;
  owner_id: Id;
  roles: Role[];
}

export interface GuildCreate extends Guild {
  unavailable?: boolean;
  member_count: number;
  members: Member[];
  channels: Channel[];
  voice_states: VoiceState[];
  presences: Presence[];
}

export interface Message {
  id: Id;
  channel_id: Id;
  guild_id?: Id;
  author: User;
  content: string;
  timestamp: string;
  edited_timestamp: string | null;
  mentions: User[];
  /** 0 default, 7 a member joined, 19 reply. */
  type: number;
  nonce?: string | number;
}

export interface Invite {
  code: string;
  guild: { id: Id; name: string };
  channel: { id: Id; name: string } | null;
  inviter?: User | null;
  approximate_member_count?: number;
  approximate_presence_count?: number;
}
