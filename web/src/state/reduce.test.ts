import { describe, expect, it } from "vitest";
import type { GuildCreate, Message, User } from "../api/types";
import type { Dispatch } from "../gateway/protocol";
import { emptyModel, type Model } from "./model";
import { reduce, TYPING_MS } from "./reduce";
import { firstTextChannel, isGuildUnread, isUnread, mayInChannel, memberRow, mentionCount, occupants, placeName, privateChannels, timelineRows } from "./select";
import { Permission } from "./permissions";
import { emptyTimeline } from "./timeline";

const ada: User = { id: "1", username: "ada", global_name: "Ada" };
const bob: User = { id: "2", username: "bob", global_name: null };

function channel(id: string, type: number, position: number, overwrites: GuildCreate["channels"][0]["permission_overwrites"] = []) {
  return { id, type, guild_id: "10", name: `c${id}`, position, parent_id: null, topic: null, last_message_id: null, permission_overwrites: overwrites };
}

const everyone = { id: "10", name: "@everyone", permissions: String(Permission.viewChannel | Permission.sendMessages), position: 0, color: 0, hoist: false };
const guild: GuildCreate = {
  id: "10",
  name: "Clockmakers",
  owner_id: "1",
  roles: [everyone, { id: "11", name: "Masters", permissions: "0", position: 1, color: 0xff0000, hoist: true }],
  member_count: 2,
  members: [
    { user: ada, nick: null, roles: ["11"], joined_at: "" },
    { user: bob, nick: "Bobby", roles: [], joined_at: "" },
  ],
  channels: [channel("22", 2, 1), channel("20", 0, 1), channel("21", 0, 0, [{ id: "10", type: 0, allow: "0", deny: String(Permission.sendMessages) }])],
  voice_states: [],
  presences: [{ user: { id: "1" }, guild_id: "10", status: "online" }],
};

const context = { nowMs: 1_000, openChannels: ["21"] };

function play(dispatches: Dispatch[], model: Model = emptyModel): Model {
  return dispatches.reduce((state, dispatch) => reduce(state, dispatch, context), model);
}

const ready: Dispatch = {
  t: "READY",
  d: { session_id: "s", resume_gateway_url: "", user: { ...bob, email: null }, guilds: [{ id: "10", unavailable: true }] },
};
const welcome: Dispatch[] = [ready, { t: "GUILD_CREATE", d: guild }];

function message(id: string, authorId: User, channelId: string, extra: Partial<Message> = {}): Message {
  const base = { content: "hello", timestamp: "2026-11-21T10:00:00+00:00", edited_timestamp: null, mentions: [], type: 0 };
  return { ...base, id, channel_id: channelId, author: authorId, ...extra };
}

function inVoice(channelId: string | null): Dispatch {
  const flags = { deaf: false, mute: false, self_deaf: false, self_mute: true, suppress: false };
  return { t: "VOICE_STATE_UPDATE", d: { guild_id: "10", channel_id: channelId, user_id: "1", session_id: "s", ...flags } };
}

describe("reduce", () => {
  it("fills the tables from READY and GUILD_CREATE", () => {
    const model = play(welcome);
    expect(model.guildOrder).toEqual(["10"]);
    expect(Object.keys(model.channels)).toHaveLength(3);
    expect(firstTextChannel(model, "10")).toBe("21");
    expect(memberRow(model, "10", "1")).toEqual({ userId: "1", name: "Ada", status: "online", isBot: false, isOwner: true, color: 0xff0000 });
    expect(memberRow(model, "10", "2")).toMatchObject({ name: "Bobby", status: "offline", isOwner: false, color: 0 });
  });

  it("starts histories anew with a new session, but keeps what is being sent", () => {
    const pending = { nonce: "1", content: "x", author: bob, replyTo: null, files: [], sentAtMs: 0, failure: null };
    const before: Model = { ...play(welcome), timelines: { "20": { ...emptyTimeline, load: "loaded", messages: [message("30", ada, "20")], pending: [pending] } } };
    const model = play([ready], before);
    expect(model.timelines["20"]).toEqual({ ...emptyTimeline, pending: [pending] });
    expect(model.guilds["10"]?.name).toBe("Clockmakers");
  });

  it("forgets a guild that was left, and only hides one that is unavailable", () => {
    expect(play([...welcome, { t: "GUILD_DELETE", d: { id: "10", unavailable: true } }]).guilds["10"]?.isUnavailable).toBe(true);
    const gone = play([...welcome, { t: "GUILD_DELETE", d: { id: "10" } }]);
    expect([gone.guildOrder, Object.keys(gone.channels), Object.keys(gone.members)]).toEqual([[], [], []]);
  });

  it("marks a channel unread when someone else writes in one that is not open", () => {
    const model = play([...welcome, { t: "MESSAGE_CREATE", d: message("30", ada, "20") }]);
    expect([isUnread(model, "20"), isUnread(model, "21"), model.readStates["20"]?.mentions]).toEqual([true, false, 0]);
    expect(isGuildUnread(model, "10")).toBe(true);
    expect(isUnread(play([...welcome, { t: "MESSAGE_CREATE", d: message("30", bob, "20") }]), "20")).toBe(false);
    expect(isUnread(play([...welcome, { t: "MESSAGE_CREATE", d: message("30", ada, "21") }]), "21")).toBe(false);
    const acked = play([{ t: "MESSAGE_ACK", d: { channel_id: "20", message_id: "30" } }], model);
    expect([isUnread(acked, "20"), isGuildUnread(acked, "10")]).toEqual([false, false]);
  });

  it("counts what names this user, and every message of a conversation", () => {
    const mention = message("30", ada, "20", { mentions: [bob] });
    const talk = { id: "50", type: 1, last_message_id: null, recipients: [ada] };
    const model = play([...welcome, { t: "CHANNEL_CREATE", d: talk }, { t: "MESSAGE_CREATE", d: mention }, { t: "MESSAGE_CREATE", d: message("31", ada, "50") }]);
    expect([mentionCount(model, "10"), mentionCount(model, null)]).toEqual([1, 1]);
    expect([placeName(model, "50"), placeName(model, "20"), privateChannels(model).map(({ id }) => id)]).toEqual(["Ada", "c20", ["50"]]);
    expect(play([{ t: "CHANNEL_DELETE", d: talk }], model).privateChannels).toEqual({});
  });

  it("shows who types until their message comes, and never oneself", () => {
    const typing: Dispatch = { t: "TYPING_START", d: { channel_id: "21", user_id: "1", timestamp: 0 } };
    expect(play([...welcome, typing]).typing["21"]).toEqual({ "1": context.nowMs + TYPING_MS });
    expect(play([...welcome, typing, { t: "MESSAGE_CREATE", d: message("30", ada, "21") }]).typing["21"]).toEqual({});
    expect(play([...welcome, { t: "TYPING_START", d: { channel_id: "21", user_id: "2", timestamp: 0 } }]).typing).toEqual({});
  });

  it("counts members as they come and go", () => {
    const carol = { id: "3", username: "carol", global_name: null };
    const joined = play([...welcome, { t: "GUILD_MEMBER_ADD", d: { guild_id: "10", user: carol, nick: null, roles: [], joined_at: "" } }]);
    expect([joined.guilds["10"]?.memberCount, joined.members["10"]?.["3"]?.userId]).toEqual([3, "3"]);
    const left = play([{ t: "GUILD_MEMBER_REMOVE", d: { guild_id: "10", user: carol } }], joined);
    expect([left.guilds["10"]?.memberCount, left.members["10"]?.["3"]]).toEqual([2, undefined]);
  });

  it("follows voice states from channel to channel and out", () => {
    expect(occupants(play([...welcome, inVoice("22")]), "10", "22").map((state) => state.user_id)).toEqual(["1"]);
    expect(occupants(play([...welcome, inVoice("22"), inVoice(null)]), "10", "22")).toEqual([]);
  });

  it("ignores dispatches that it does not know", () => {
    const model = play(welcome);
    expect(reduce(model, { t: "SOMETHING_NEW", d: {} } as unknown as Dispatch, context)).toBe(model);
  });
});

describe("permissions", () => {
  it("lets a denial of @everyone in a channel win over the guild, and nothing over the owner", () => {
    const model = play(welcome);
    expect(mayInChannel(model, "20", Permission.sendMessages)).toBe(true);
    expect(mayInChannel(model, "21", Permission.sendMessages)).toBe(false);
    expect(mayInChannel({ ...model, me: { ...ada, email: null } }, "21", Permission.sendMessages)).toBe(true);
  });
});

function at(id: string, author: User, timestamp: string): Message {
  return message(id, author, "21", { timestamp });
}

describe("timelineRows", () => {
  it("starts a run per author, gap and day", () => {
    const rows = timelineRows(
      [
        at("1", ada, "2026-11-20T12:00:00Z"),
        at("2", ada, "2026-11-20T12:01:00Z"),
        at("3", bob, "2026-11-20T12:02:00Z"),
        at("4", bob, "2026-11-20T12:20:00Z"),
        at("5", bob, "2026-11-22T12:21:00Z"),
      ],
      [{ nonce: "n", content: "x", author: bob, replyTo: null, files: [], sentAtMs: 0, failure: null }],
    );
    expect(rows.map((row) => (row.kind === "day" ? "day" : `${row.kind} ${row.isFirst}`))).toEqual([
      "day",
      "message true",
      "message false",
      "message true",
      "message true",
      "day",
      "message true",
      "pending false",
    ]);
  });
});
