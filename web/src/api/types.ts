// The wire objects that the page reads: only the fields it uses, with the names of the REST and gateway API (v10).

/** A snowflake as a decimal string; JavaScript numbers lose bits above 2^53. */
export type Id = string;

export interface User {
  id: Id;
  username: string;
  global_name: string | null;
  bot?: boolean;
  /** The hash of the picture; `null`: none. */
  avatar?: string | null;
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
  mentionable?: boolean;
  /** A bot's own: nobody gives or deletes it. */
  managed?: boolean;
}

export const ChannelType = { text: 0, private: 1, voice: 2, group: 3, category: 4, announcement: 5, announcementThread: 10, publicThread: 11, privateThread: 12, stage: 13, forum: 15 } as const;

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
  /** Seconds; 0: no slow mode. */
  rate_limit_per_user?: number;
  last_message_id: Id | null;
  permission_overwrites: Overwrite[];
  /** While a voice channel is recorded. */
  recording?: { id: Id; user_id: Id; started_at: string; video: boolean };
  flags?: number;
  /** Of a forum. */
  available_tags?: ForumTag[];
}

/** Of a forum: every post bears a tag. */
export const REQUIRE_TAG = 1 << 4;
/** Of a post: its forum shows it above the others. */
export const PINNED_POST = 1 << 1;

/** What posts of a forum can be marked with. */
export interface ForumTag {
  id: Id;
  name: string;
  /** Only those who manage threads put it on and take it off. */
  moderated: boolean;
  emoji_id: Id | null;
  emoji_name: string | null;
}

/** One's own membership of a thread. */
export interface ThreadMember {
  user_id: Id;
  join_timestamp: string;
  flags: number;
  /** Where it was asked for. */
  member?: Member;
}

/** A conversation beside a channel's. */
export interface Thread {
  id: Id;
  type: number;
  guild_id: Id;
  parent_id: Id;
  owner_id: Id;
  name: string;
  last_message_id: Id | null;
  /** Without the first one. */
  message_count: number;
  member_count: number;
  thread_metadata: { archived: boolean; archive_timestamp: string; auto_archive_duration: number; locked: boolean; invitable?: boolean };
  flags: number;
  /** Of a post in a forum. */
  applied_tags: Id[];
  /** Absent: this user is not in it. */
  member?: ThreadMember;
}

export interface ThreadChange {
  name?: string;
  archived?: boolean;
  locked?: boolean;
  applied_tags?: readonly Id[];
  flags?: number;
}

/** A post of a forum as it is written. */
export interface NewPost {
  title: string;
  content: string;
  tags: readonly Id[];
  files: readonly File[];
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
  icon?: string | null;
  emojis?: GuildEmoji[];
}

/** A line of a member list: a heading, or a member with how they are. */
export interface MemberListItem {
  group?: { id: string; count: number };
  member?: Member & { presence?: { status: string } };
}

export interface MemberListUpdate {
  guild_id: Id;
  id: string;
  member_count: number;
  online_count: number;
  /** Roles, `online` and `offline`, in their order. */
  groups: { id: string; count: number }[];
  ops: (
    | { op: "SYNC"; range: [number, number]; items: MemberListItem[] }
    | { op: "INVALIDATE"; range: [number, number] }
    | { op: "INSERT" | "UPDATE"; index: number; item: MemberListItem }
    | { op: "DELETE"; index: number }
  )[];
}

export interface GuildEmoji {
  id: Id;
  name: string;
  animated?: boolean;
}

export interface GuildCreate extends Guild {
  unavailable?: boolean;
  member_count: number;
  members: Member[];
  channels: Channel[];
  threads?: Thread[];
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
  /** 0 default, 7 a member joined, 19 reply; the rest in `ui/chat/SystemLine.tsx`. */
  type: number;
  nonce?: string | number;
  flags?: number;
  pinned?: boolean;
  attachments?: Attachment[];
  embeds?: Embed[];
  components?: Component[];
  /** Absent when there are none. */
  reactions?: Reaction[];
  message_reference?: { type?: number; message_id?: Id; channel_id?: Id; guild_id?: Id };
  /** `null`: it was deleted. */
  referenced_message?: Message | null;
  message_snapshots?: { message: Partial<Message> }[];
  webhook_id?: Id;
  /** What was started from it. */
  thread?: Thread;
  application_id?: Id;
  interaction_metadata?: { id: Id; type: number; user: User; name?: string };
  interaction?: { name: string; user: User };
}

/** A Unicode emoji has no id. */
export interface EmojiRef {
  id: Id | null;
  name: string | null;
  animated?: boolean;
}

export interface Reaction {
  emoji: EmojiRef;
  count: number;
  me: boolean;
}

export interface Attachment {
  id: Id;
  filename: string;
  description?: string | null;
  content_type?: string | null;
  /** Bytes. */
  size: number;
  url: string;
  proxy_url?: string;
  width?: number | null;
  height?: number | null;
}

export interface Embed {
  type?: string;
  title?: string;
  description?: string;
  url?: string;
  timestamp?: string;
  color?: number;
  author?: { name: string; url?: string };
  footer?: { text: string };
  image?: { url: string; width?: number; height?: number };
  thumbnail?: { url: string };
  fields?: { name: string; value: string; inline?: boolean }[];
}

export const ComponentType = {
  actionRow: 1,
  button: 2,
  stringSelect: 3,
  textInput: 4,
  userSelect: 5,
  roleSelect: 6,
  mentionableSelect: 7,
  channelSelect: 8,
  section: 9,
  text: 10,
  thumbnail: 11,
  gallery: 12,
  file: 13,
  separator: 14,
  container: 17,
  label: 18,
} as const;

export interface SelectOption {
  label: string;
  value: string;
  description?: string;
  emoji?: EmojiRef;
  default?: boolean;
}

/** Any component: which fields it has depends on its type. */
export interface Component {
  type: number;
  id?: number;
  custom_id?: string;
  components?: Component[];
  component?: Component;
  accessory?: Component;
  style?: number;
  label?: string;
  description?: string;
  emoji?: EmojiRef;
  url?: string;
  disabled?: boolean;
  placeholder?: string;
  options?: SelectOption[];
  channel_types?: number[];
  min_values?: number;
  max_values?: number;
  required?: boolean;
  value?: string;
  min_length?: number;
  max_length?: number;
  content?: string;
  media?: { url: string };
  items?: { media: { url: string }; description?: string }[];
  file?: { url: string };
  divider?: boolean;
  accent_color?: number | null;
  spoiler?: boolean;
}

export interface Invite {
  code: string;
  guild: { id: Id; name: string; icon?: string | null };
  channel: { id: Id; name: string } | null;
  inviter?: User | null;
  approximate_member_count?: number;
  approximate_presence_count?: number;
}

export const OptionType = {
  subCommand: 1,
  subCommandGroup: 2,
  string: 3,
  integer: 4,
  boolean: 5,
  user: 6,
  channel: 7,
  role: 8,
  mentionable: 9,
  number: 10,
  attachment: 11,
} as const;

export interface OptionChoice {
  name: string;
  value: string | number;
}

export interface CommandOption {
  type: number;
  name: string;
  description: string;
  required?: boolean;
  choices?: OptionChoice[];
  options?: CommandOption[];
  autocomplete?: boolean;
  channel_types?: number[];
}

export interface Command {
  id: Id;
  application_id: Id;
  version: Id;
  /** 1 slash command, 2 on a user, 3 on a message. */
  type: number;
  name: string;
  description: string;
  options?: CommandOption[];
}

/** An option as it is sent: a value, or what is inside a subcommand. */
export interface CommandOptionValue {
  type: number;
  name: string;
  value?: string | number | boolean;
  options?: CommandOptionValue[];
  focused?: boolean;
}

export interface CommandIndex {
  applications: { id: Id; name: string; icon: string | null; bot_id?: Id }[];
  application_commands: Command[];
}

export interface Modal {
  id: Id;
  nonce?: string;
  channel_id: Id;
  custom_id: string;
  title: string;
  application: { id: Id; name?: string };
  components: Component[];
}

/** A conversation outside of guilds: of two, or of a group. */
export interface PrivateChannel {
  id: Id;
  /** 1 of two, 3 of a group. */
  type: number;
  last_message_id: Id | null;
  /** Everyone but this user. */
  recipients: User[];
  /** Groups only. */
  name?: string | null;
  owner_id?: Id;
}

export const RelationshipType = { friend: 1, blocked: 2, incoming: 3, outgoing: 4 } as const;

export interface Relationship {
  /** The other account's. */
  id: Id;
  type: number;
  user: User;
  nickname: string | null;
}

export interface ReadState {
  /** The channel's. */
  id: Id;
  last_message_id: Id | null;
  mention_count: number;
}

export interface LoginSession {
  id_hash: string;
  approx_last_used_time: string;
  client_info: { os: string | null; platform: string | null; location?: string | null };
}

/** `key` is there only when it was just made. */
export interface StreamKey {
  id: Id;
  name: string;
  created_at: string;
  key?: string;
  whip_url: string;
  whep_url: string;
}

/** A recording of a voice channel. */
export interface Recording {
  id: Id;
  user_id: Id;
  state: "recording" | "ending" | "done" | "interrupted";
  started_at: string;
  ended_at: string | null;
  expires_at: string | null;
  tracks: RecordingTrack[];
}

/** What one user said or showed. */
export interface RecordingTrack {
  user_id: Id;
  kind: "voice" | "camera" | "screen";
  /** From the recording's beginning. */
  start_ms: number;
  length_ms: number;
  size: number;
  lost_packets: number;
  filename: string;
  /** Works without a token, for a day. */
  url: string;
}

export interface Ban {
  reason: string | null;
  user: User;
}

export interface AuditLogEntry {
  id: Id;
  action_type: number;
  user_id: Id | null;
  target_id: string | null;
  reason?: string;
  changes?: { key: string; old_value?: unknown; new_value?: unknown }[];
}

export interface AuditLog {
  audit_log_entries: AuditLogEntry[];
  users: User[];
}
