// The main gateway's frames: opcodes, close codes and the dispatches that the page understands.

import type { Channel, CurrentUser, EmojiRef, Guild, GuildCreate, GuildEmoji, Id, Member, MemberListUpdate, Message, Modal, OptionChoice, Presence, PrivateChannel, ReadState, Relationship, Role, Thread, ThreadMember, User, VoiceState } from "../api/types";
import type { MembersChange } from "../state/threads";

export const Op = {
  dispatch: 0,
  heartbeat: 1,
  identify: 2,
  voiceState: 4,
  resume: 6,
  reconnect: 7,
  requestMembers: 8,
  invalidSession: 9,
  hello: 10,
  heartbeatAck: 11,
  /** What of a guild is on the screen. */
  guildSubscription: 14,
} as const;

export interface Frame {
  op: number;
  d: unknown;
  s?: number | null;
  t?: string | null;
}

/** The token is no longer good: log in again. */
export const CLOSE_AUTHENTICATION_FAILED = 4004;
/** Sent by us for a connection that we mean to resume; 1000 would end the session. */
export const CLOSE_RESUMABLE = 4000;

/** After these no attempt with the same request can succeed. */
export function isFatalClose(code: number): boolean {
  return code === CLOSE_AUTHENTICATION_FAILED || (code >= 4010 && code <= 4014);
}

/** After these the session is gone, but a new one may be asked for. */
export function endsSession(code: number): boolean {
  return code === 1000 || code === 1001 || code === 4007 || code === 4009;
}

export interface Ready {
  session_id: string;
  resume_gateway_url: string;
  user: CurrentUser;
  guilds: { id: Id; unavailable?: boolean }[];
  private_channels?: PrivateChannel[];
  relationships?: Relationship[];
  read_state?: { entries: ReadState[] };
}

export interface ReactionChange {
  channel_id: Id;
  message_id: Id;
  emoji: EmojiRef;
}

/** Every dispatch that the page acts on; others are ignored by the reducer. */
export type Dispatch =
  | { t: "READY"; d: Ready }
  | { t: "RESUMED"; d: unknown }
  | { t: "GUILD_CREATE"; d: GuildCreate }
  | { t: "GUILD_UPDATE"; d: Guild }
  | { t: "GUILD_DELETE"; d: { id: Id; unavailable?: boolean } }
  | { t: "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE"; d: { guild_id: Id; role: Role } }
  | { t: "GUILD_ROLE_DELETE"; d: { guild_id: Id; role_id: Id } }
  | { t: "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE"; d: Member & { guild_id: Id } }
  | { t: "GUILD_MEMBER_REMOVE"; d: { guild_id: Id; user: User } }
  | { t: "CHANNEL_CREATE" | "CHANNEL_UPDATE"; d: Channel | PrivateChannel }
  | { t: "CHANNEL_DELETE"; d: Channel | PrivateChannel }
  | { t: "CHANNEL_RECIPIENT_ADD" | "CHANNEL_RECIPIENT_REMOVE"; d: { channel_id: Id; user: User } }
  | { t: "THREAD_CREATE" | "THREAD_UPDATE"; d: Thread }
  | { t: "THREAD_DELETE"; d: { id: Id } }
  | { t: "THREAD_LIST_SYNC"; d: { guild_id: Id; channel_ids?: Id[]; threads: Thread[]; members: (ThreadMember & { id: Id })[] } }
  | { t: "THREAD_MEMBERS_UPDATE"; d: MembersChange }
  | { t: "GUILD_EMOJIS_UPDATE"; d: { guild_id: Id; emojis: GuildEmoji[] } }
  | { t: "GUILD_MEMBERS_CHUNK"; d: { guild_id: Id; members: Member[] } }
  | { t: "GUILD_MEMBER_LIST_UPDATE"; d: MemberListUpdate }
  | { t: "RELATIONSHIP_ADD" | "RELATIONSHIP_UPDATE"; d: Relationship }
  | { t: "RELATIONSHIP_REMOVE"; d: { id: Id } }
  | { t: "MESSAGE_ACK"; d: { channel_id: Id; message_id: Id; mention_count?: number; manual?: boolean } }
  | { t: "MESSAGE_CREATE"; d: Message }
  | { t: "MESSAGE_UPDATE"; d: Partial<Message> & { id: Id; channel_id: Id } }
  | { t: "MESSAGE_DELETE"; d: { id: Id; channel_id: Id } }
  | { t: "MESSAGE_DELETE_BULK"; d: { ids: Id[]; channel_id: Id } }
  | { t: "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE"; d: ReactionChange & { user_id: Id } }
  | { t: "MESSAGE_REACTION_REMOVE_EMOJI"; d: ReactionChange }
  | { t: "MESSAGE_REACTION_REMOVE_ALL"; d: { channel_id: Id; message_id: Id } }
  | { t: "INTERACTION_SUCCESS" | "INTERACTION_FAILURE"; d: { id: Id; nonce?: string } }
  | { t: "INTERACTION_MODAL_CREATE"; d: Modal }
  | { t: "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE"; d: { nonce: string; choices: OptionChoice[] } }
  | { t: "TYPING_START"; d: { channel_id: Id; user_id: Id; timestamp: number } }
  | { t: "PRESENCE_UPDATE"; d: Presence }
  | { t: "USER_UPDATE"; d: CurrentUser }
  | { t: "VOICE_STATE_UPDATE"; d: VoiceState }
  | { t: "VOICE_SERVER_UPDATE"; d: { token: string; guild_id: Id; endpoint: string | null } };
