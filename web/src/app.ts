// The composition of the page and everything a person can do in it: requests go out through the API client, their results
// and all dispatches go into the one store. Components call these methods and read the stores; they hold no server state.

import { createStore } from "zustand/vanilla";
import { ApiClient, HISTORY_PAGE, type Registration } from "./api/client";
import { ApiError, sentence } from "./api/error";
import { type EmojiRef, type Id, type Invite, type LoginSession, type Message, type NewPost, type Recording, RelationshipType, type StreamKey, type Thread, type ThreadChange } from "./api/types";
import { GatewayConnection } from "./gateway/connection";
import { type Dispatch, Op } from "./gateway/protocol";
import { Interactions } from "./interactions";
import { emptyModel, type Model } from "./state/model";
import { reduce } from "./state/reduce";
import { formatRoute, parseRoute, type Route } from "./state/route";
import { firstTextChannel, usualCategory } from "./state/select";
import { isNewer, nonce } from "./state/snowflake";
import { putThread } from "./state/threads";
import { begin, discard, edit, emptyTimeline, fail, type Pending, receive, receivePage, remove, sameEmoji, type Timeline } from "./state/timeline";
import { VoiceEngine } from "./voice/engine";
import { Regions } from "./voice/regions";

const TOKEN_KEY = "guildhall.token";
/** TYPING_START holds ten seconds at the others; said again a little before. */
const TYPING_INTERVAL_MS = 8_000;
/** What is seen for less than this is not marked as read at the server. */
const ACK_DELAY_MS = 1_000;
/** Proposals that the gateway may add to the members that are known here. */
const FOUND_MEMBERS = 10;
/** How many pages of history are read to show one message in its place. */
const MAX_PAGES_BACK = 20;

/** What belongs to this page alone. */
export interface PageState {
  token: string | null;
  route: Route;
  /** Sentences for the person that belong to no form: shown for a while, read aloud once. */
  notices: readonly { id: number; text: string }[];
  /** The message that the history is to be scrolled to. */
  shown: { channelId: Id; messageId: Id } | null;
}

export class App {
  readonly store = createStore<Model>()(() => emptyModel);
  readonly page = createStore<PageState>()(() => ({
    token: localStorage.getItem(TOKEN_KEY),
    route: parseRoute(location.pathname),
    notices: [],
    shown: null,
  }));
  /** What was written and not sent, by channel. */
  readonly drafts = new Map<Id, string>();
  /** What the names in them stand for: by channel, what was chosen from a list of proposals. */
  readonly chosen = new Map<Id, Map<string, string>>();
  readonly #api = new ApiClient();
  readonly #gateway = new GatewayConnection({
    dispatch: (dispatch) => this.#onDispatch(dispatch),
    status: (gateway) => {
      this.store.setState({ gateway });
      if (gateway === "unauthorized") this.#forgetToken();
    },
  });
  readonly voice = new VoiceEngine(this.#gateway, new Regions(() => this.#api.voiceRegions()));
  readonly interactions = new Interactions(
    this.#api,
    () => this.#gateway.sessionId,
    (text) => this.notify(text),
  );
  /** Where each guild was left, so that coming back opens the same channel. */
  readonly #lastChannel = new Map<Id, Id>();
  readonly #ackTimers = new Map<Id, ReturnType<typeof setTimeout>>();
  /** What of a member list is on the screen: said to the gateway, and said again after a new session. */
  #watched: { guildId: Id; channelId: Id; ranges: readonly [number, number][] } | null = null;
  #typingSaid: { channel: Id; atMs: number } | null = null;
  #noticeId = 0;

  constructor() {
    this.#api.onUnauthorized = () => this.#forgetToken();
    // What came while the page was in the background is read when it is looked at.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") openIn(this.page.getState().route).forEach((open) => this.#markRead(open));
    });
    window.addEventListener("popstate", () => this.#enter(parseRoute(location.pathname)));
    const { token } = this.page.getState();
    if (token !== null) this.#useToken(token);
  }

  // Accounts.

  async login(login: string, password: string): Promise<void> {
    this.#useToken((await this.#api.login(login, password)).token);
  }

  /** Makes an account; with an invite, goes where it leads. */
  async register(form: Registration, invite: string | null): Promise<void> {
    this.#useToken((await this.#api.register(form)).token);
    // The account exists either way: a stale invite is a notice, not a failed registration.
    if (invite !== null) await this.acceptInvite(invite).catch((error: unknown) => this.notify(`The invite was not used. ${sentence(error)}`));
  }

  async logout(): Promise<void> {
    this.voice.leave();
    // Gone from this browser in any case; a server that cannot be reached keeps a token that nobody has any more.
    await this.#api.logout().catch(() => undefined);
    this.#forgetToken();
    this.go({ name: "home" });
  }

  async updateMe(change: { global_name?: string | null; avatar?: string | null }): Promise<void> {
    await this.#api.updateMe(change);
  }

  /** Every other session ends; this one goes on with a new token. */
  async changePassword(password: string, newPassword: string): Promise<void> {
    const { token } = await this.#api.updateMe({ password, new_password: newPassword });
    if (token !== undefined) this.#useToken(token);
  }

  async sessions(): Promise<readonly LoginSession[]> {
    return (await this.#api.sessions()).user_sessions;
  }

  async logoutSessions(hashes: readonly string[], password: string): Promise<void> {
    await this.#api.logoutSessions(hashes, password);
  }

  streamKeys(channel: Id): Promise<readonly StreamKey[]> {
    return this.#api.streamKeys(channel);
  }

  createStreamKey(channel: Id): Promise<StreamKey> {
    return this.#api.createStreamKey(channel);
  }

  async deleteStreamKey(channel: Id, key: Id): Promise<void> {
    await this.#api.deleteStreamKey(channel, key);
  }

  recordings(channel: Id): Promise<readonly Recording[]> {
    return this.#api.recordings(channel);
  }

  async startRecording(channel: Id, video: boolean): Promise<void> {
    await this.#api.startRecording(channel, video);
  }

  async stopRecording(channel: Id, recording: Id): Promise<void> {
    await this.#api.stopRecording(channel, recording);
  }

  async deleteRecording(channel: Id, recording: Id): Promise<void> {
    await this.#api.deleteRecording(channel, recording);
  }

  // Places.

  go(route: Route): void {
    if (formatRoute(route) !== location.pathname) history.pushState(null, "", formatRoute(route));
    this.#enter(route);
  }

  openGuild(guildId: Id): void {
    const channels = this.store.getState().channels;
    const last = this.#lastChannel.get(guildId);
    const channelId = last !== undefined && channels[last] !== undefined ? last : firstTextChannel(this.store.getState(), guildId);
    this.go({ name: "guild", guildId, channelId, threadId: null });
  }

  openChannel(guildId: Id, channelId: Id): void {
    this.go({ name: "guild", guildId, channelId, threadId: null });
  }

  /** Opens a thread beside its channel; one that is not known here (an archived one) is fetched. */
  async openThread(guildId: Id, threadId: Id): Promise<void> {
    let thread = this.store.getState().threads[threadId];
    if (thread === undefined) {
      try {
        thread = await this.#api.thread(threadId);
        this.learnThread(thread);
      } catch (error) {
        this.notify(`The thread was not opened. ${sentence(error)}`);
        return;
      }
    }
    this.go({ name: "guild", guildId, channelId: thread.parent_id, threadId });
  }

  closeThread(): void {
    const { route } = this.page.getState();
    if (route.name === "guild") this.go({ ...route, threadId: null });
  }

  /** A thread that a request answered with. */
  learnThread(thread: Thread): void {
    this.store.setState(({ threads }) => ({ threads: putThread(threads, thread) }));
  }

  /** Starts a thread, from a message or by itself, and opens it. */
  async startThread(guildId: Id, channelId: Id, from: Message | null, name: string, type: number): Promise<void> {
    const thread = await (from === null ? this.#api.startFreeThread(channelId, name, type) : this.#api.startThread(channelId, from.id, name));
    this.learnThread(thread);
    await this.openThread(guildId, thread.id);
  }

  /** Posts in a forum, and opens the post. */
  async post(guildId: Id, channelId: Id, post: NewPost): Promise<void> {
    const thread = await this.#api.startPost(channelId, post);
    this.learnThread(thread);
    await this.openThread(guildId, thread.id);
  }

  async changeThread(thread: Thread, change: ThreadChange): Promise<void> {
    await this.#attempt("The thread was not changed.", async () => this.learnThread(await this.#api.changeThread(thread.id, change)));
  }

  async deleteThread(thread: Thread): Promise<void> {
    await this.#attempt("The thread was not deleted.", () => this.#api.deleteThread(thread.id));
  }

  async joinThread(thread: Thread): Promise<void> {
    await this.#attempt("You did not join.", () => this.#api.joinThread(thread.id));
  }

  async leaveThread(thread: Thread): Promise<void> {
    await this.#attempt("You did not leave.", () => this.#api.leaveThread(thread.id));
  }

  get threads(): Pick<ApiClient, "threadMembers" | "addToThread" | "removeFromThread"> {
    return this.#api;
  }

  /** A page of the archive of a channel, public threads and the private ones that one is in. */
  async archivedThreads(channelId: Id, before: string | null): Promise<{ threads: readonly Thread[]; hasMore: boolean }> {
    const open = await this.#api.archivedThreads(channelId, "public", before);
    // Private ones are few: their one page comes with the first of the others.
    const own = before === null ? await this.#api.archivedThreads(channelId, "joined", null) : { threads: [] };
    const threads = [...open.threads, ...own.threads].toSorted((a, b) => b.thread_metadata.archive_timestamp.localeCompare(a.thread_metadata.archive_timestamp));
    return { threads, hasMore: open.has_more };
  }

  // Member lists.

  /** Asks for members whose name begins so; they come by the gateway, and into the model. */
  findMembers(guildId: Id, query: string): void {
    this.#gateway.send(Op.requestMembers, { guild_id: guildId, query, limit: FOUND_MEMBERS });
  }

  /** Says which lines of the member list of a channel are on the screen; the gateway keeps them up to date. */
  watchMembers(guildId: Id, channelId: Id, ranges: readonly [number, number][]): void {
    this.#watched = { guildId, channelId, ranges };
    this.#sayWatched();
  }

  unwatchMembers(): void {
    if (this.#watched !== null) this.#gateway.send(Op.guildSubscription, { guild_id: this.#watched.guildId, channels: {} });
    this.#watched = null;
  }

  #sayWatched(): void {
    if (this.#watched === null) return;
    const { guildId, channelId, ranges } = this.#watched;
    this.#gateway.send(Op.guildSubscription, { guild_id: guildId, channels: { [channelId]: ranges } });
  }

  async createGuild(name: string): Promise<void> {
    const guild = await this.#api.createGuild(name);
    this.openGuild(guild.id);
  }

  async leaveGuild(guildId: Id): Promise<void> {
    await this.#api.leaveGuild(guildId);
    this.go({ name: "home" });
  }

  async createChannel(guildId: Id, name: string, type: number, categoryId: Id | null): Promise<void> {
    const category = categoryId ?? usualCategory(this.store.getState().channels, guildId, type);
    const channel = await this.#api.createChannel(guildId, name, type, category);
    this.openChannel(guildId, channel.id);
  }

  // People.

  openPrivate(channelId: Id): void {
    this.go({ name: "private", channelId });
  }

  /** Opens the conversation with one, or a new group of several. */
  async startPrivate(recipients: readonly Id[]): Promise<void> {
    const channel = await this.#api.openPrivate(recipients);
    this.store.setState(({ privateChannels }) => ({ privateChannels: { ...privateChannels, [channel.id]: channel } }));
    this.openPrivate(channel.id);
  }

  /** Hides a conversation, or leaves a group. */
  async closePrivate(channelId: Id): Promise<void> {
    await this.#attempt("The conversation was not closed.", () => this.#api.closePrivate(channelId));
  }

  async renamePrivate(channelId: Id, name: string): Promise<void> {
    await this.#api.renamePrivate(channelId, name);
  }

  async addRecipient(channelId: Id, user: Id): Promise<void> {
    await this.#api.addRecipient(channelId, user);
  }

  async requestFriend(username: string): Promise<void> {
    await this.#api.requestFriend(username);
  }

  async acceptFriend(user: Id): Promise<void> {
    await this.#attempt("The request was not accepted.", () => this.#api.putRelationship(user, null));
  }

  async block(user: Id): Promise<void> {
    await this.#attempt("Nobody was blocked.", () => this.#api.putRelationship(user, RelationshipType.blocked));
  }

  /** Ends a friendship, a block, or a request of either side. */
  async endRelationship(user: Id): Promise<void> {
    await this.#attempt("Nothing was changed.", () => this.#api.deleteRelationship(user));
  }

  async #attempt(failure: string, request: () => Promise<unknown>): Promise<void> {
    try {
      await request();
    } catch (error) {
      this.notify(`${failure} ${sentence(error)}`);
    }
  }

  // Running a guild.

  /** The requests of the guild's settings and of moderation, which keep their results in the form that asked. */
  get guilds(): Pick<ApiClient, "updateGuild" | "deleteGuild" | "createRole" | "updateRole" | "moveRole" | "deleteRole" | "updateChannel" | "deleteChannel" | "putOverwrite" | "deleteOverwrite" | "createEmoji" | "deleteEmoji" | "bans" | "unban" | "auditLog" | "kick" | "ban" | "timeOut" | "setRole"> {
    return this.#api;
  }

  createInvite(channelId: Id): Promise<Invite> {
    return this.#api.createInvite(channelId);
  }

  invite(code: string): Promise<Invite> {
    return this.#api.invite(code);
  }

  async acceptInvite(code: string): Promise<void> {
    const { guild } = await this.#api.acceptInvite(code);
    this.openGuild(guild.id);
  }

  // Messages.

  /** Loads the newest page of a channel; does nothing when it is there or on its way. */
  async loadTimeline(channelId: Id): Promise<void> {
    const timeline = this.store.getState().timelines[channelId] ?? emptyTimeline;
    if (timeline.load === "loading" || timeline.load === "loaded") return;
    this.#patch(channelId, (old) => ({ ...old, load: "loading" }));
    await this.#loadPage(channelId, null);
  }

  async loadOlder(channelId: Id): Promise<void> {
    const timeline = this.store.getState().timelines[channelId];
    const oldest = timeline?.messages[0];
    if (timeline?.load === "loaded" && timeline.hasOlder && oldest !== undefined) await this.#loadPage(channelId, oldest.id);
  }

  async send(channelId: Id, content: string, replyTo: Message | null = null, files: readonly File[] = []): Promise<void> {
    const author = this.store.getState().me;
    if (author !== null) await this.sendAgain(channelId, { nonce: nonce(Date.now(), Math.random), content, author, replyTo, files, sentAtMs: 0, failure: null });
  }

  /** Sends what was not sent: the same key makes it one message even if the first try arrived. */
  async sendAgain(channelId: Id, pending: Pending): Promise<void> {
    const { nonce: key, content, replyTo, files } = pending;
    this.#typingSaid = null;
    this.#patch(channelId, (timeline) => begin(timeline, { ...pending, sentAtMs: Date.now(), failure: null }));
    try {
      const message = await this.#api.sendMessage(channelId, content, key, replyTo?.id ?? null, files);
      this.#patch(channelId, (timeline) => receive(timeline, { ...message, nonce: key }));
    } catch (error) {
      this.#patch(channelId, (timeline) => fail(timeline, key, sentence(error)));
    }
  }

  discard(channelId: Id, key: string): void {
    this.#patch(channelId, (timeline) => discard(timeline, key));
  }

  async edit(message: Message, content: string): Promise<void> {
    this.#patch(message.channel_id, (timeline) => edit(timeline, { id: message.id, content }));
    try {
      const edited = await this.#api.editMessage(message.channel_id, message.id, content);
      this.#patch(message.channel_id, (timeline) => edit(timeline, edited));
    } catch (error) {
      this.#patch(message.channel_id, (timeline) => edit(timeline, message));
      this.notify(`Your change was not saved. ${sentence(error)}`);
    }
  }

  async delete(message: Message): Promise<void> {
    try {
      await this.#api.deleteMessage(message.channel_id, message.id);
      this.#patch(message.channel_id, (timeline) => remove(timeline, [message.id]));
    } catch (error) {
      this.notify(`The message was not deleted. ${sentence(error)}`);
    }
  }

  /** Adds this user's reaction, or takes it back. */
  async toggleReaction(message: Message, emoji: EmojiRef): Promise<void> {
    const isMine = message.reactions?.some((reaction) => reaction.me && sameEmoji(reaction.emoji, emoji)) === true;
    try {
      if (isMine) await this.#api.removeReaction(message.channel_id, message.id, emoji);
      else await this.#api.addReaction(message.channel_id, message.id, emoji);
    } catch (error) {
      this.notify(`Your reaction was not saved. ${sentence(error)}`);
    }
  }

  async togglePin(message: Message): Promise<void> {
    try {
      if (message.pinned === true) await this.#api.unpin(message.channel_id, message.id);
      else await this.#api.pin(message.channel_id, message.id);
    } catch (error) {
      this.notify(`The pin was not changed. ${sentence(error)}`);
    }
  }

  /** The pinned messages of a channel, the last pinned first. */
  async pins(channelId: Id): Promise<readonly Message[]> {
    return (await this.#api.pins(channelId)).items.map((item) => item.message);
  }

  async search(guildId: Id, params: URLSearchParams, offset: number): Promise<{ total_results: number; messages: Message[] }> {
    const { total_results, messages } = await this.#api.search(guildId, params, offset);
    this.#learnAuthors(messages.flat());
    return { total_results, messages: messages.flat() };
  }

  /** Opens a message where it was written: history is paged back until it is there. */
  async showMessage(guildId: Id | null, message: Message): Promise<void> {
    const { channel_id, id } = message;
    if (guildId === null) this.openPrivate(channel_id);
    else if (this.store.getState().channels[channel_id] !== undefined) this.openChannel(guildId, channel_id);
    else await this.openThread(guildId, channel_id);
    await this.loadTimeline(channel_id);
    for (let page = 0; page < MAX_PAGES_BACK; page += 1) {
      const timeline = this.store.getState().timelines[channel_id];
      const oldest = timeline?.messages[0];
      if (timeline === undefined || oldest === undefined || !isNewer(oldest.id, id) || !timeline.hasOlder) break;
      // Each page begins where the last one ended.
      // oxlint-disable-next-line no-await-in-loop
      await this.loadOlder(channel_id);
    }
    const isHere = this.store.getState().timelines[channel_id]?.messages.some((other) => other.id === id) === true;
    if (isHere) this.page.setState({ shown: { channelId: channel_id, messageId: id } });
    else this.notify("That message lies too far back to be shown in its place.");
  }

  typing(channelId: Id): void {
    const now = Date.now();
    const said = this.#typingSaid;
    if (said !== null && said.channel === channelId && now - said.atMs < TYPING_INTERVAL_MS) return;
    this.#typingSaid = { channel: channelId, atMs: now };
    void this.#api.typing(channelId).catch(() => undefined);
  }

  // Notices.

  notify(text: string): void {
    this.#noticeId += 1;
    const notice = { id: this.#noticeId, text };
    this.page.setState(({ notices }) => ({ notices: [...notices.slice(-2), notice] }));
  }

  dismiss(id: number): void {
    this.page.setState(({ notices }) => ({ notices: notices.filter((notice) => notice.id !== id) }));
  }

  async #loadPage(channelId: Id, before: Id | null): Promise<void> {
    try {
      const page = await this.#api.messages(channelId, before);
      this.#patch(channelId, (timeline) => receivePage(timeline, page, before, HISTORY_PAGE));
      this.#learnAuthors(page);
    } catch (error) {
      this.#patch(channelId, (timeline) => ({ ...timeline, load: before === null ? "failed" : timeline.load }));
      if (before !== null) this.notify(`Older messages could not be loaded. ${sentence(error)}`);
    }
  }

  /** History has authors who are members no more; they need a face too. */
  #learnAuthors(messages: readonly Message[]): void {
    const { users } = this.store.getState();
    const unknown = messages.map((message) => message.author).filter((author) => users[author.id] === undefined);
    if (unknown.length > 0) this.store.setState({ users: { ...Object.fromEntries(unknown.map((user) => [user.id, user])), ...users } });
  }

  #patch(channelId: Id, change: (timeline: Timeline) => Timeline): void {
    this.store.setState(({ timelines }) => ({ timelines: { ...timelines, [channelId]: change(timelines[channelId] ?? emptyTimeline) } }));
  }

  #onDispatch(dispatch: Dispatch): void {
    const { route } = this.page.getState();
    const openChannels = document.visibilityState === "visible" ? openIn(route) : [];
    this.store.setState((model) => reduce(model, dispatch, { nowMs: Date.now(), openChannels }), true);
    this.voice.onDispatch(dispatch);
    this.interactions.onDispatch(dispatch);
    // What is on the screen may have come, or gone, with this event.
    const isLeft = dispatch.t === "GUILD_DELETE" && dispatch.d.unavailable !== true && route.name === "guild" && route.guildId === dispatch.d.id;
    if (isLeft) this.#enter({ name: "home" });
    else if (dispatch.t === "GUILD_CREATE" || dispatch.t === "CHANNEL_DELETE" || dispatch.t === "THREAD_DELETE" || dispatch.t === "READY") this.#enter(route);
    if (dispatch.t === "MESSAGE_CREATE" && openChannels.includes(dispatch.d.channel_id) && dispatch.d.author.id !== this.store.getState().me?.id) this.#ackSoon(dispatch.d.channel_id);
    if (dispatch.t === "RESUMED" || (dispatch.t === "GUILD_CREATE" && dispatch.d.id === this.#watched?.guildId)) this.#sayWatched();
    // The list is not what it was: it is asked for anew.
    if (dispatch.t === "GUILD_MEMBER_LIST_UPDATE" && dispatch.d.ops.some((op) => op.op === "INVALIDATE")) this.#sayWatched();
  }

  /** Shows a route, or the nearest place to it that exists. */
  #enter(wanted: Route): void {
    const route = this.#resolve(wanted);
    if (formatRoute(route) !== location.pathname) history.replaceState(null, "", formatRoute(route));
    if (route.name === "guild" && route.channelId !== null) {
      const { channelId } = route;
      this.#lastChannel.set(route.guildId, channelId);
      this.#markRead(channelId);
      if (route.threadId !== null) this.#enterThread(route.threadId);
    }
    if (route.name === "private") this.#markRead(route.channelId);
    if (formatRoute(route) !== formatRoute(this.page.getState().route) || route.name !== this.page.getState().route.name) this.page.setState({ route });
  }

  /** A thread of the address bar that is not known here is archived, or gone. */
  #enterThread(threadId: Id): void {
    if (this.store.getState().threads[threadId] !== undefined) {
      this.#markRead(threadId);
      return;
    }
    if (!this.store.getState().isLoaded) return;
    this.#api.thread(threadId).then(
      (thread) => this.learnThread(thread),
      () => this.closeThread(),
    );
  }

  /** What is on the screen is read: here at once, at the server when the reading goes on for a moment. */
  #markRead(channelId: Id): void {
    const { channels, threads, privateChannels, readStates } = this.store.getState();
    const newest = (channels[channelId] ?? threads[channelId] ?? privateChannels[channelId])?.last_message_id ?? null;
    const mark = readStates[channelId];
    if (newest === null || (mark?.lastRead === newest && mark.mentions === 0)) return;
    this.store.setState({ readStates: { ...readStates, [channelId]: { lastRead: newest, mentions: 0 } } });
    this.#ackSoon(channelId);
  }

  #ackSoon(channelId: Id): void {
    clearTimeout(this.#ackTimers.get(channelId));
    const ack = () => {
      this.#ackTimers.delete(channelId);
      const lastRead = this.store.getState().readStates[channelId]?.lastRead;
      // A mark that is lost is made again by the next message.
      if (lastRead !== undefined) void this.#api.ack(channelId, lastRead).catch(() => undefined);
    };
    this.#ackTimers.set(channelId, setTimeout(ack, ACK_DELAY_MS));
  }

  #resolve(route: Route): Route {
    const { isLoaded, guilds, channels, threads, privateChannels } = this.store.getState();
    if (route.name === "private" && isLoaded && privateChannels[route.channelId] === undefined) return { name: "friends" };
    if (route.name !== "guild" || !isLoaded) return route;
    // A guild that was just joined arrives by its GUILD_CREATE a moment after the answer; until then the route waits.
    if (guilds[route.guildId] === undefined || (route.channelId !== null && channels[route.channelId] !== undefined)) return route;
    // A link to a thread as if it were a channel.
    const thread = route.channelId === null ? undefined : threads[route.channelId];
    if (thread !== undefined) return { ...route, channelId: thread.parent_id, threadId: thread.id };
    return { ...route, channelId: firstTextChannel(this.store.getState(), route.guildId), threadId: null };
  }

  #useToken(token: string): void {
    localStorage.setItem(TOKEN_KEY, token);
    this.#api.setToken(token);
    this.page.setState({ token });
    this.#gateway.start(token);
  }

  #forgetToken(): void {
    localStorage.removeItem(TOKEN_KEY);
    this.#api.setToken(null);
    this.#gateway.stop();
    this.voice.leave();
    this.drafts.clear();
    this.chosen.clear();
    this.#lastChannel.clear();
    this.page.setState({ token: null });
    this.store.setState(emptyModel, true);
  }
}

/** The channels and threads that a route shows. */
function openIn(route: Route): readonly Id[] {
  if (route.name === "private") return [route.channelId];
  return route.name === "guild" ? [route.channelId, route.threadId].filter((id) => id !== null) : [];
}

/** Whether an error says that the invite is not (or no longer) good. */
export function isUnknownInvite(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

