import { describe, expect, it } from "vitest";
import type { GuildCreate, Message, Thread, User } from "../api/types";
import type { Dispatch } from "../gateway/protocol";
import { emptyModel, type Model } from "./model";
import { Permission } from "./permissions";
import { reduce } from "./reduce";
import { parseRoute, formatRoute } from "./route";
import { isGuildUnread, isUnread, mayInChannel, mayRunThread, mayWrite, mentionCount } from "./select";
import { activeThreads, listedThreads, taggedPosts } from "./threads";

const ada: User = { id: "1", username: "ada", global_name: "Ada" };
const bob: User = { id: "2", username: "bob", global_name: null };
const joined = { user_id: "2", join_timestamp: "2026-11-21T10:00:00+00:00", flags: 1 };

function thread(id: string, extra: Partial<Thread> = {}): Thread {
  const thread_metadata = { archived: false, archive_timestamp: "2026-11-21T10:00:00+00:00", auto_archive_duration: 4320, locked: false };
  return { id, type: 11, guild_id: "10", parent_id: "20", owner_id: "1", name: `t${id}`, last_message_id: null, message_count: 0, member_count: 1, flags: 0, applied_tags: [], thread_metadata, ...extra };
}

const permissions = String(Permission.viewChannel | Permission.sendMessages | Permission.readHistory);
const guild: GuildCreate = {
  id: "10",
  name: "Clockmakers",
  owner_id: "1",
  roles: [
    { id: "10", name: "@everyone", permissions, position: 0, color: 0, hoist: false },
    { id: "11", name: "Wardens", permissions: String(Permission.manageThreads | Permission.sendInThreads), position: 1, color: 0, hoist: false },
  ],
  member_count: 2,
  members: [
    { user: ada, nick: null, roles: [], joined_at: "" },
    { user: bob, nick: null, roles: [], joined_at: "" },
  ],
  channels: [{ id: "20", type: 0, guild_id: "10", name: "hall", position: 0, parent_id: null, topic: null, last_message_id: null, permission_overwrites: [] }],
  threads: [thread("30", { member: joined }), thread("31")],
  voice_states: [],
  presences: [],
};

function play(dispatches: Dispatch[], model: Model = emptyModel, openChannels: readonly string[] = []): Model {
  return dispatches.reduce((state, dispatch) => reduce(state, dispatch, { nowMs: 1_000, openChannels }), model);
}

const started = play([
  { t: "READY", d: { session_id: "s", resume_gateway_url: "", user: { ...bob, email: null }, guilds: [{ id: "10", unavailable: true }] } },
  { t: "GUILD_CREATE", d: guild },
]);

function message(id: string, channel: string, extra: Partial<Message> = {}): Dispatch {
  return { t: "MESSAGE_CREATE", d: { id, channel_id: channel, author: ada, content: "x", timestamp: "2026-11-21T10:00:00+00:00", edited_timestamp: null, mentions: [], type: 0, ...extra } };
}

describe("threads", () => {
  it("come with the guild, and go with their channel", () => {
    expect(activeThreads(started.threads, "20").map(({ id }) => id)).toEqual(["31", "30"]);
    expect(listedThreads(started.threads, "20", null).map(({ id }) => id)).toEqual(["30"]);
    expect(listedThreads(started.threads, "20", "31").map(({ id }) => id)).toEqual(["30", "31"]);
    const channel = guild.channels[0];
    expect(play(channel === undefined ? [] : [{ t: "CHANNEL_DELETE", d: channel }], started).threads).toEqual({});
    expect(play([{ t: "GUILD_DELETE", d: { id: "10" } }], started).threads).toEqual({});
    expect(Object.keys(play([{ t: "THREAD_DELETE", d: { id: "30" } }], started).threads)).toEqual(["31"]);
  });

  it("keep one's own membership through updates that do not say it", () => {
    const renamed = play([{ t: "THREAD_UPDATE", d: thread("30", { name: "new" }) }], started);
    expect([renamed.threads["30"]?.name, renamed.threads["30"]?.member]).toEqual(["new", joined]);
    const left = play([{ t: "THREAD_MEMBERS_UPDATE", d: { id: "30", member_count: 0, removed_member_ids: ["2"] } }], started);
    expect([left.threads["30"]?.member, left.threads["30"]?.member_count]).toEqual([undefined, 0]);
    const back = play([{ t: "THREAD_MEMBERS_UPDATE", d: { id: "30", member_count: 2, added_members: [joined] } }], left);
    expect([back.threads["30"]?.member, back.threads["30"]?.member_count]).toEqual([joined, 2]);
    const others = play([{ t: "THREAD_MEMBERS_UPDATE", d: { id: "30", member_count: 2, removed_member_ids: ["1"] } }], started);
    expect(others.threads["30"]?.member).toEqual(joined);
  });

  it("are archived out of the lists, and stay for who looks at one", () => {
    const resting = thread("30", { thread_metadata: { ...thread("30").thread_metadata, archived: true } });
    const model = play([{ t: "THREAD_UPDATE", d: resting }], started);
    expect(activeThreads(model.threads, "20").map(({ id }) => id)).toEqual(["31"]);
    expect(listedThreads(model.threads, "20", null)).toEqual([]);
    expect(play([{ t: "GUILD_CREATE", d: { ...guild, threads: [] } }], model).threads).toEqual({ "30": { ...resting, member: joined } });
  });

  it("are replaced by a list for the channels that it is about", () => {
    const sync: Dispatch = { t: "THREAD_LIST_SYNC", d: { guild_id: "10", channel_ids: ["20"], threads: [thread("32")], members: [{ ...joined, id: "32" }] } };
    const model = play([{ t: "THREAD_CREATE", d: thread("40", { parent_id: "21" }) }, sync], started);
    expect(Object.keys(model.threads).toSorted()).toEqual(["32", "40"]);
    expect(model.threads["32"]?.member?.user_id).toBe("2");
  });

  it("are unread for those who are in them, and count what is written", () => {
    const model = play([message("50", "30"), message("51", "31"), message("52", "30", { mentions: [bob] })], started);
    expect([isUnread(model, "30"), isUnread(model, "31"), isGuildUnread(model, "10"), mentionCount(model, "10")]).toEqual([true, false, true, 1]);
    expect([model.threads["30"]?.message_count, model.threads["30"]?.last_message_id]).toEqual([2, "52"]);
    expect(isUnread(play([message("50", "30")], started, ["20", "30"]), "30")).toBe(false);
    expect(play([message("50", "30", { type: 21 })], started).threads["30"]?.message_count).toBe(0);
  });

  it("take their rights from the channel, with one of their own to write", () => {
    const of = (model: Model) => [mayInChannel(model, "30", Permission.readHistory), mayWrite(model, "30"), mayRunThread(model, thread("30"))];
    expect(of(started)).toEqual([true, false, false]);
    const warden = play([{ t: "GUILD_MEMBER_UPDATE", d: { guild_id: "10", user: bob, nick: null, roles: ["11"], joined_at: "" } }], started);
    expect(of(warden)).toEqual([true, true, true]);
    const locked = play([{ t: "THREAD_UPDATE", d: thread("30", { thread_metadata: { ...thread("30").thread_metadata, locked: true } }) }], warden);
    expect(mayWrite(locked, "30")).toBe(true);
    const role = { id: "11", name: "Writers", permissions: String(Permission.sendInThreads), position: 1, color: 0, hoist: false };
    const writer = play([{ t: "GUILD_ROLE_UPDATE", d: { guild_id: "10", role } }], locked);
    expect([mayWrite(writer, "30"), mayWrite(writer, "31")]).toEqual([false, true]);
  });

  it("are shown by their tags, the pinned one first", () => {
    const posts = [thread("33", { applied_tags: ["1"] }), thread("32", { applied_tags: ["2", "3"] }), thread("31", { flags: 2, applied_tags: ["3"] })];
    const shown = (tags: readonly string[]) => taggedPosts(posts, tags).map((post) => post.id);
    expect([shown([]), shown(["1"]), shown(["1", "3"]), shown(["9"])]).toEqual([["31", "33", "32"], ["33"], ["31", "33", "32"], []]);
  });

  it("have an address beside their channel's", () => {
    const route = { name: "guild", guildId: "10", channelId: "20", threadId: "30" } as const;
    expect(formatRoute(route)).toBe("/channels/10/20/threads/30");
    expect(parseRoute("/channels/10/20/threads/30")).toEqual(route);
    expect([parseRoute("/channels/10/20"), parseRoute("/channels/10")]).toEqual([
      { ...route, threadId: null },
      { ...route, channelId: null, threadId: null },
    ]);
    expect(formatRoute({ ...route, channelId: null, threadId: null })).toBe("/channels/10");
  });
});
