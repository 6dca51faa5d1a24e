// The REST client: one method per request the page makes. It knows no state and no React.

import { ApiError, readError } from "./error";
import type { AuditLog, Ban, Channel, CommandIndex, CurrentUser, EmojiRef, ForumTag, Guild, GuildEmoji, Id, Invite, LoginSession, Member, Message, NewPost, Overwrite, PrivateChannel, Recording, Role, StreamKey, Thread, ThreadChange, ThreadMember } from "./types";
import type { Region } from "../voice/regions";

const BASE = "/api/v10";
/** A request that was told to wait is repeated this often before its error is shown. */
const MAX_RATE_LIMIT_RETRIES = 3;
/** A longer wait than this is an answer, not a delay: the person is told instead. */
const MAX_RATE_LIMIT_WAIT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 20_000;
/** A few photos over a slow line. */
const UPLOAD_TIMEOUT_MS = 600_000;
export const HISTORY_PAGE = 50;

export interface Registration {
  username: string;
  /** `null`: an account without an address, which logs in by its name. */
  email: string | null;
  password: string;
}

export class ApiClient {
  #token: string | null = null;

  /** Called when an authenticated request is answered 401: the token is no longer good. */
  onUnauthorized: (() => void) | null = null;

  setToken(token: string | null): void {
    this.#token = token;
  }

  login(login: string, password: string) {
    return this.#send<{ token: string }>("POST", "/auth/login", { login, password });
  }
  register(form: Registration) {
    return this.#send<{ token: string }>("POST", "/auth/register", { ...form, consent: true });
  }
  logout() {
    return this.#send<void>("POST", "/auth/logout", {});
  }

  /** Only the fields given are changed; a new password answers with a new token. */
  updateMe(change: { global_name?: string | null; avatar?: string | null; password?: string; new_password?: string }) {
    return this.#send<CurrentUser & { token?: string }>("PATCH", "/users/@me", change);
  }
  sessions() {
    return this.#send<{ user_sessions: LoginSession[] }>("GET", "/auth/sessions");
  }
  logoutSessions(hashes: readonly string[], password: string) {
    return this.#send<void>("POST", "/auth/sessions/logout", { session_id_hashes: hashes, password });
  }

  streamKeys(channel: Id) {
    return this.#send<StreamKey[]>("GET", `/channels/${channel}/stream-keys`);
  }
  createStreamKey(channel: Id) {
    return this.#send<StreamKey>("POST", `/channels/${channel}/stream-keys`, {});
  }
  deleteStreamKey(channel: Id, key: Id) {
    return this.#send<void>("DELETE", `/channels/${channel}/stream-keys/${key}`);
  }

  recordings(channel: Id) {
    return this.#send<Recording[]>("GET", `/channels/${channel}/recordings`);
  }
  startRecording(channel: Id, video: boolean) {
    return this.#send<Recording>("POST", `/channels/${channel}/recordings`, { video });
  }
  stopRecording(channel: Id, recording: Id) {
    return this.#send<Recording>("POST", `/channels/${channel}/recordings/${recording}/stop`, {});
  }
  deleteRecording(channel: Id, recording: Id) {
    return this.#send<void>("DELETE", `/channels/${channel}/recordings/${recording}`);
  }

  voiceRegions() {
    return this.#send<Region[]>("GET", "/voice/regions");
  }

  updateGuild(guild: Id, change: { name?: string; icon?: string | null }) {
    return this.#send<Guild>("PATCH", `/guilds/${guild}`, change);
  }
  deleteGuild(guild: Id) {
    return this.#send<void>("DELETE", `/guilds/${guild}`);
  }
  createEmoji(guild: Id, name: string, image: string) {
    return this.#send<GuildEmoji>("POST", `/guilds/${guild}/emojis`, { name, image, roles: [] });
  }
  deleteEmoji(guild: Id, emoji: Id) {
    return this.#send<void>("DELETE", `/guilds/${guild}/emojis/${emoji}`);
  }
  bans(guild: Id) {
    return this.#send<Ban[]>("GET", `/guilds/${guild}/bans?limit=1000`);
  }
  unban(guild: Id, user: Id) {
    return this.#send<void>("DELETE", `/guilds/${guild}/bans/${user}`);
  }
  auditLog(guild: Id, before: Id | null) {
    return this.#send<AuditLog>("GET", `/guilds/${guild}/audit-logs?limit=50${before === null ? "" : `&before=${before}`}`);
  }
  kick(guild: Id, user: Id, reason: string) {
    return this.#send<void>("DELETE", `/guilds/${guild}/members/${user}`, undefined, reason);
  }
  ban(guild: Id, user: Id, deleteSeconds: number, reason: string) {
    return this.#send<void>("PUT", `/guilds/${guild}/bans/${user}`, { delete_message_seconds: deleteSeconds }, reason);
  }
  timeOut(guild: Id, user: Id, until: string | null, reason: string) {
    return this.#send<Member>("PATCH", `/guilds/${guild}/members/${user}`, { communication_disabled_until: until }, reason);
  }
  setRole(guild: Id, user: Id, role: Id, isGranted: boolean) {
    return this.#send<void>(isGranted ? "PUT" : "DELETE", `/guilds/${guild}/members/${user}/roles/${role}`);
  }

  createRole(guild: Id, name: string) {
    return this.#send<Role>("POST", `/guilds/${guild}/roles`, { name });
  }
  updateRole(guild: Id, role: Id, change: Partial<Pick<Role, "name" | "color" | "hoist" | "mentionable" | "permissions">>) {
    return this.#send<Role>("PATCH", `/guilds/${guild}/roles/${role}`, change);
  }
  moveRole(guild: Id, role: Id, position: number) {
    return this.#send<Role[]>("PATCH", `/guilds/${guild}/roles`, [{ id: role, position }]);
  }
  deleteRole(guild: Id, role: Id) {
    return this.#send<void>("DELETE", `/guilds/${guild}/roles/${role}`);
  }
  updateChannel(channel: Id, change: ChannelChange) {
    return this.#send<Channel>("PATCH", `/channels/${channel}`, change);
  }
  deleteChannel(channel: Id) {
    return this.#send<unknown>("DELETE", `/channels/${channel}`);
  }
  putOverwrite(channel: Id, target: Id, overwrite: Omit<Overwrite, "id">) {
    return this.#send<void>("PUT", `/channels/${channel}/permissions/${target}`, overwrite);
  }
  deleteOverwrite(channel: Id, target: Id) {
    return this.#send<void>("DELETE", `/channels/${channel}/permissions/${target}`);
  }

  createGuild(name: string) {
    return this.#send<Guild>("POST", "/guilds", { name });
  }
  leaveGuild(guild: Id) {
    return this.#send<void>("DELETE", `/users/@me/guilds/${guild}`);
  }
  createChannel(guild: Id, name: string, type: number, category: Id | null) {
    return this.#send<Channel>("POST", `/guilds/${guild}/channels`, { name, type, parent_id: category });
  }

  createInvite(channel: Id) {
    return this.#send<Invite>("POST", `/channels/${channel}/invites`, { max_age: 604_800, max_uses: 0 });
  }
  invite(code: string) {
    return this.#send<Invite>("GET", `/invites/${encodeURIComponent(code)}?with_counts=true`);
  }
  acceptInvite(code: string) {
    return this.#send<Invite>("POST", `/invites/${encodeURIComponent(code)}`, {});
  }

  /** Newest first, as the API answers. */
  messages(channel: Id, before: Id | null) {
    const cursor = before === null ? "" : `&before=${before}`;
    return this.#send<Message[]>("GET", `/channels/${channel}/messages?limit=${HISTORY_PAGE}${cursor}`);
  }
  /** `enforce_nonce` makes a repeated send harmless: the server answers with the message it already has. */
  sendMessage(channel: Id, content: string, nonce: string, replyTo: Id | null, files: readonly File[]) {
    const reference = replyTo === null ? {} : { message_reference: { message_id: replyTo, fail_if_not_exists: false } };
    const payload = { content, nonce, enforce_nonce: true, ...reference };
    return this.#send<Message>("POST", `/channels/${channel}/messages`, files.length === 0 ? payload : withFiles(files, (attachments) => ({ ...payload, attachments })));
  }
  addReaction(channel: Id, message: Id, emoji: EmojiRef) {
    return this.#send<void>("PUT", `/channels/${channel}/messages/${message}/reactions/${emojiPath(emoji)}/@me`);
  }
  removeReaction(channel: Id, message: Id, emoji: EmojiRef) {
    return this.#send<void>("DELETE", `/channels/${channel}/messages/${message}/reactions/${emojiPath(emoji)}/@me`);
  }
  editMessage(channel: Id, message: Id, content: string) {
    return this.#send<Message>("PATCH", `/channels/${channel}/messages/${message}`, { content });
  }
  deleteMessage(channel: Id, message: Id) {
    return this.#send<void>("DELETE", `/channels/${channel}/messages/${message}`);
  }
  ack(channel: Id, message: Id) {
    return this.#send<unknown>("POST", `/channels/${channel}/messages/${message}/ack`, { token: null });
  }
  /** One recipient: the conversation of two. More: a new group. */
  openPrivate(recipients: readonly Id[]) {
    return this.#send<PrivateChannel>("POST", "/users/@me/channels", recipients.length === 1 ? { recipient_id: recipients[0] } : { recipients });
  }
  closePrivate(channel: Id) {
    return this.#send<unknown>("DELETE", `/channels/${channel}`);
  }
  renamePrivate(channel: Id, name: string) {
    return this.#send<PrivateChannel>("PATCH", `/channels/${channel}`, { name });
  }
  addRecipient(channel: Id, user: Id) {
    return this.#send<void>("PUT", `/channels/${channel}/recipients/${user}`);
  }
  requestFriend(username: string) {
    return this.#send<void>("POST", "/users/@me/relationships", { username });
  }
  /** Asks or accepts (no type), or blocks (2). */
  putRelationship(user: Id, type: number | null) {
    return this.#send<void>("PUT", `/users/@me/relationships/${user}`, type === null ? {} : { type });
  }
  deleteRelationship(user: Id) {
    return this.#send<void>("DELETE", `/users/@me/relationships/${user}`);
  }
  /** Each result is a list of one message. */
  search(guild: Id, params: URLSearchParams, offset: number) {
    const query = new URLSearchParams(params);
    if (offset > 0) query.set("offset", String(offset));
    return this.#send<{ total_results: number; messages: Message[][] }>("GET", `/guilds/${guild}/messages/search?${query}`);
  }
  pins(channel: Id) {
    return this.#send<{ items: { pinned_at: string; message: Message }[] }>("GET", `/channels/${channel}/messages/pins`);
  }
  pin(channel: Id, message: Id) {
    return this.#send<void>("PUT", `/channels/${channel}/messages/pins/${message}`);
  }
  unpin(channel: Id, message: Id) {
    return this.#send<void>("DELETE", `/channels/${channel}/messages/pins/${message}`);
  }
  /** A thread that the gateway did not tell of: an archived one. */
  thread(thread: Id) {
    return this.#send<Thread>("GET", `/channels/${thread}`);
  }
  startThread(channel: Id, message: Id, name: string) {
    return this.#send<Thread>("POST", `/channels/${channel}/messages/${message}/threads`, { name });
  }
  /** Without a message. */
  startFreeThread(channel: Id, name: string, type: number) {
    return this.#send<Thread>("POST", `/channels/${channel}/threads`, { name, type });
  }
  /** In a forum: a thread with its first message. */
  startPost(channel: Id, { title, content, tags, files }: NewPost) {
    const post = (attachments: object) => ({ name: title, applied_tags: tags, message: { content, ...attachments } });
    return this.#send<Thread>("POST", `/channels/${channel}/threads`, files.length === 0 ? post({}) : withFiles(files, (attachments) => post({ attachments })));
  }
  changeThread(thread: Id, change: ThreadChange) {
    return this.#send<Thread>("PATCH", `/channels/${thread}`, change);
  }
  deleteThread(thread: Id) {
    return this.#send<unknown>("DELETE", `/channels/${thread}`);
  }
  joinThread(thread: Id) {
    return this.#send<void>("PUT", `/channels/${thread}/thread-members/@me`);
  }
  leaveThread(thread: Id) {
    return this.#send<void>("DELETE", `/channels/${thread}/thread-members/@me`);
  }
  addToThread(thread: Id, user: Id) {
    return this.#send<void>("PUT", `/channels/${thread}/thread-members/${user}`);
  }
  removeFromThread(thread: Id, user: Id) {
    return this.#send<void>("DELETE", `/channels/${thread}/thread-members/${user}`);
  }
  threadMembers(thread: Id) {
    return this.#send<ThreadMember[]>("GET", `/channels/${thread}/thread-members?with_member=true&limit=100`);
  }
  /** The last archived first. `joined`: the private ones that one is in. */
  archivedThreads(channel: Id, which: "public" | "joined", before: string | null) {
    const path = which === "public" ? "threads/archived/public" : "users/@me/threads/archived/private";
    return this.#send<{ threads: Thread[]; has_more: boolean }>("GET", `/channels/${channel}/${path}?limit=50${before === null ? "" : `&before=${encodeURIComponent(before)}`}`);
  }
  commandIndex(guild: Id) {
    return this.#send<CommandIndex>("GET", `/guilds/${guild}/application-command-index`);
  }
  interact(interaction: object) {
    return this.#send<void>("POST", "/interactions", interaction);
  }
  typing(channel: Id) {
    return this.#send<void>("POST", `/channels/${channel}/typing`);
  }

  async #send<T>(method: string, path: string, body?: object, reason = "", attempt = 0): Promise<T> {
    try {
      return await this.#once<T>(method, path, body, reason);
    } catch (error) {
      const waitMs = error instanceof ApiError ? error.retryAfterMs : null;
      if (waitMs === null || waitMs > MAX_RATE_LIMIT_WAIT_MS || attempt >= MAX_RATE_LIMIT_RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      return this.#send<T>(method, path, body, reason, attempt + 1);
    }
  }

  async #once<T>(method: string, path: string, body: object | undefined, reason: string): Promise<T> {
    const token = this.#token;
    const headers: Record<string, string> = {};
    if (token !== null) headers["Authorization"] = token;
    if (reason !== "") headers["X-Audit-Log-Reason"] = encodeURIComponent(reason);
    const timeoutMs = body instanceof FormData ? UPLOAD_TIMEOUT_MS : REQUEST_TIMEOUT_MS;
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(timeoutMs) };
    if (body instanceof FormData) {
      init.body = body;
    } else if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    let response: Response;
    let text: string;
    try {
      response = await fetch(BASE + path, init);
      text = await response.text();
    } catch {
      throw new ApiError(0, 0, "The server cannot be reached.");
    }
    const json = parse(text);
    if (response.ok) return json as T;
    if (response.status === 401 && token !== null && token === this.#token) this.onUnauthorized?.();
    throw readError(response.status, json, response.headers.get("Retry-After"));
  }
}

/** Tags without an id are new. */
export interface ChannelChange {
  name?: string;
  topic?: string | null;
  rate_limit_per_user?: number;
  available_tags?: readonly (Omit<ForumTag, "id"> & { id?: Id })[];
  flags?: number;
}

/** As the API writes an emoji in a path: `name:id`, or the character itself. */
function emojiPath(emoji: EmojiRef): string {
  return encodeURIComponent(emoji.id === null ? (emoji.name ?? "") : `${emoji.name ?? "_"}:${emoji.id}`);
}

function withFiles(files: readonly File[], payload: (attachments: object[]) => object): FormData {
  const form = new FormData();
  const attachments = files.map((file, id) => ({ id, filename: file.name }));
  form.set("payload_json", JSON.stringify(payload(attachments)));
  files.forEach((file, id) => form.set(`files[${id}]`, file, file.name));
  return form;
}

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
