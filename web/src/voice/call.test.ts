import { describe, expect, it } from "vitest";
import {
  AUDIO_TIMEOUT_MS,
  Call,
  type CallInput,
  type CallOutput,
  DISMISSED_WAIT_MS,
  FORMER_MS,
  MAX_ATTEMPTS,
  PLACE_TIMEOUT_MS,
  SERVER_TIMEOUT_MS,
} from "./call";

const place = { guildId: "10", channelId: "20" };
const join: CallInput = { kind: "join", place };
const server: CallInput = { kind: "server", guildId: "10", token: "t", endpoint: "node:1" };
const connect: CallOutput = {
  kind: "connect",
  credentials: { endpoint: "node:1", token: "t", serverId: "10", userId: "1", sessionId: "s" },
  isBeside: false,
};
const move: CallInput = { kind: "server", guildId: "10", token: "u", endpoint: "node:2" };
const beside: CallOutput = {
  kind: "connect",
  credentials: { endpoint: "node:2", token: "u", serverId: "10", userId: "1", sessionId: "s" },
  isBeside: true,
};
const besideAudio: CallInput = { kind: "audio", isBeside: true };

function state(channel: string | null): CallInput {
  return { kind: "state", state: { guild_id: "10", channel_id: channel, user_id: "1", session_id: "s" } };
}

function mutes(isMuted: boolean, isDeafened: boolean): CallInput {
  return { kind: "mutes", mutes: { isMuted, isDeafened } };
}

function ask(channel: string | null, self_mute = false, self_deaf = false, self_video = false): CallOutput {
  return { kind: "place", request: { guild_id: "10", channel_id: channel, self_mute, self_deaf, self_video } };
}

function connected(): Call {
  const call = new Call(() => 0.5);
  for (const input of [join, state("20"), server, { kind: "audio" } as const]) call.handle(0, input);
  return call;
}

/** Connected at 0, told at 5 that the room moves. */
function moving(): Call {
  const call = connected();
  call.handle(5, move);
  return call;
}

describe("Call", () => {
  it("asks for a place and connects when both answers are here, in either order", () => {
    for (const answers of [
      [state("20"), server],
      [server, state("20")],
    ]) {
      const call = new Call(() => 0.5);
      expect(call.handle(0, join)).toEqual([ask("20")]);
      expect(call.status).toBe("joining");
      const outputs = answers.flatMap((input) => call.handle(1, input));
      expect(outputs).toEqual([connect]);
      expect(call.status).toBe("connecting");
      call.handle(2, { kind: "audio" });
      expect(call.status).toBe("connected");
    }
  });

  it("waits in the channel while no voice server has room, and goes when it is called", () => {
    const nowhere: CallInput = { kind: "server", guildId: "10", token: "", endpoint: null };
    const call = connected();
    expect(call.handle(5, nowhere)).toEqual([{ kind: "disconnect" }]);
    expect(call.nextTimeout()).toBe(5 + SERVER_TIMEOUT_MS);
    expect(call.handle(30_000, server)).toEqual([connect]);
    call.handle(30_001, { kind: "audio" });
    call.handle(40_000, nowhere);
    expect(call.handle(40_000 + SERVER_TIMEOUT_MS, { kind: "tick" })).toContainEqual(ask(null));
    expect(call.failure).toContain("No voice server has room");
  });

  it("goes to the node that it is called to while it pauses", () => {
    const call = connected();
    call.handle(5, { kind: "ended", end: "lost" });
    expect(call.status).toBe("reconnecting");
    expect(call.handle(6, server)).toEqual([connect]);
  });

  it("leaves by its own will", () => {
    const call = connected();
    expect(call.handle(5, { kind: "leave" })).toEqual([{ kind: "disconnect" }, ask(null)]);
    expect(call.status).toBe("idle");
    expect(call.handle(6, state(null))).toEqual([]);
  });

  it("ends when someone takes the user out of the channel", () => {
    const call = connected();
    expect(call.handle(5, state(null))).toEqual([{ kind: "disconnect" }]);
    expect(call.status).toBe("idle");
  });

  it("follows when someone moves the user to another channel", () => {
    const call = connected();
    expect(call.handle(5, state("21"))).toEqual([{ kind: "disconnect" }]);
    expect(call.handle(6, server)).toEqual([connect]);
    expect(call.place).toEqual({ guildId: "10", channelId: "21" });
    expect(call.status).toBe("reconnecting");
  });

  it("waits when the room's new node is not known yet, and goes there when it is", () => {
    const call = connected();
    expect(call.handle(5, { kind: "server", guildId: "10", token: "", endpoint: null })).toEqual([{ kind: "disconnect" }]);
    expect(call.handle(6, server)).toEqual([connect]);
  });

  it("switches channels without hearing its own echo of the old place", () => {
    const call = connected();
    expect(call.handle(5, { kind: "join", place: { guildId: "10", channelId: "21" } })).toEqual([{ kind: "disconnect" }, ask("21")]);
    expect(call.handle(6, state(null))).toEqual([]);
    expect(call.handle(7, state("21"))).toEqual([]);
    expect(call.handle(8, server)).toEqual([connect]);
  });

  it("fails with a reason when nothing answers, and leaves nothing behind", () => {
    const call = new Call(() => 0.5);
    call.handle(0, join);
    expect(call.handle(PLACE_TIMEOUT_MS, { kind: "tick" })).toEqual([{ kind: "disconnect" }, ask(null)]);
    expect(call.status).toBe("failed");
    expect(call.failure).toContain("full");
  });

  it("asks for a new token when the session is lost, a few times", () => {
    const call = connected();
    let now = 10;
    const outputs: CallOutput[] = [];
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt += 1) {
      expect(call.handle(now, { kind: "ended", end: "lost" })).toEqual([{ kind: "disconnect" }]);
      expect(call.status).toBe("reconnecting");
      now = call.nextTimeout() ?? Number.NaN;
      outputs.push(...call.handle(now, { kind: "tick" }));
      call.handle(now, state("20"));
      call.handle(now, server);
    }
    expect(outputs).toEqual(Array.from({ length: MAX_ATTEMPTS - 1 }, () => ask("20")));
    expect(call.handle(now, { kind: "ended", end: "lost" })).toEqual([{ kind: "disconnect" }, ask(null)]);
    expect(call.status).toBe("failed");
  });

  it("waits after a dismissal to learn whether it was a move, and leaves if nothing comes", () => {
    const call = connected();
    expect(call.handle(5, { kind: "ended", end: "dismissed" })).toEqual([{ kind: "disconnect" }]);
    expect(call.handle(6, state("21"))).toEqual([{ kind: "disconnect" }]);
    expect(call.handle(7, server)).toEqual([connect]);
    const alone = connected();
    alone.handle(5, { kind: "ended", end: "dismissed" });
    alone.handle(5 + DISMISSED_WAIT_MS, { kind: "tick" });
    expect(alone.status).toBe("idle");
  });

  it("lets another page of the same user have the call, and does not ask the gateway for anything", () => {
    const call = connected();
    expect(call.handle(5, { kind: "taken" })).toEqual([{ kind: "disconnect" }]);
    expect(call.status).toBe("idle");
    expect(call.handle(6, { kind: "ended", end: "dismissed" })).toEqual([]);
  });

  it("joins again after a new gateway session, and keeps talking through a resumed one", () => {
    const call = connected();
    expect(call.handle(5, { kind: "gateway", isNewSession: false })).toEqual([]);
    expect(call.status).toBe("connected");
    expect(call.handle(6, { kind: "gateway", isNewSession: true })).toEqual([{ kind: "disconnect" }, ask("20")]);
  });

  it("tells the gateway its mutes only while it has a place, and only when they change something", () => {
    const call = new Call(() => 0.5);
    expect(call.handle(0, mutes(true, false))).toEqual([]);
    expect(call.handle(1, join)).toEqual([ask("20", true)]);
    expect(call.handle(2, mutes(false, false))).toEqual([ask("20")]);
    expect(call.handle(3, mutes(false, true))).toEqual([ask("20", true, true)]);
    // The same flags again would read as a lost connection.
    expect(call.handle(4, mutes(true, true))).toEqual([]);
    expect(call.handle(5, { kind: "film", isFilming: true })).toEqual([ask("20", true, true, true)]);
    expect(call.handle(6, { kind: "film", isFilming: true })).toEqual([]);
  });
});

describe("Call while its room moves to another node", () => {
  it("goes on at the old one until there is audio by the new one, and leaves that when the server ends it", () => {
    const call = connected();
    expect(call.handle(5, move)).toEqual([beside]);
    expect(call.status).toBe("connected");
    expect(call.handle(300, besideAudio)).toEqual([{ kind: "switch" }]);
    expect(call.handle(2_000, { kind: "ended", end: "dismissed", isBeside: true })).toEqual([{ kind: "part" }]);
    expect(call.status).toBe("connected");
    expect(call.nextTimeout()).toBeNull();
  });

  it.each([
    ["lost", { kind: "ended", end: "lost", isBeside: true }],
    ["silent", { kind: "silent", isBeside: true }],
  ] as [string, CallInput][])("parts with the old one when it is %s", (_, over) => {
    const call = moving();
    call.handle(300, besideAudio);
    expect(call.handle(2_000, over)).toEqual([{ kind: "part" }]);
    expect(call.handle(2_001, over)).toEqual([]);
    expect(call.status).toBe("connected");
  });

  it("parts with the old one after a while by itself", () => {
    const call = moving();
    call.handle(300, besideAudio);
    expect(call.nextTimeout()).toBe(300 + FORMER_MS);
    expect(call.handle(300 + FORMER_MS, { kind: "tick" })).toEqual([{ kind: "part" }]);
    expect(call.nextTimeout()).toBeNull();
  });

  it("shows nothing of it when the server ends the old one a moment too early", () => {
    const call = moving();
    expect(call.handle(100, { kind: "ended", end: "dismissed" })).toEqual([]);
    expect(call.handle(200, { kind: "silent" })).toEqual([]);
    expect(call.status).toBe("connected");
    expect(call.handle(300, besideAudio)).toEqual([{ kind: "switch" }, { kind: "part" }]);
    expect(call.nextTimeout()).toBeNull();
  });

  it.each([
    ["lost", { kind: "ended", end: "lost" }],
    ["silent", { kind: "silent" }],
  ] as [string, CallInput][])("waits for the new one when the old one is %s", (_, over) => {
    const call = moving();
    expect(call.handle(100, over)).toEqual([{ kind: "switch" }, { kind: "part" }]);
    expect(call.status).toBe("reconnecting");
    expect(call.handle(300, { kind: "audio" })).toEqual([]);
    expect(call.status).toBe("connected");
  });

  it.each([
    ["is lost", { kind: "ended", end: "lost", isBeside: true }, 100],
    ["has no path", { kind: "silent", isBeside: true }, 100],
    ["has no audio in time", { kind: "tick" }, 5 + AUDIO_TIMEOUT_MS],
  ] as [string, CallInput, number][])("makes everything anew when the new one %s", (_, input, at) => {
    const call = moving();
    expect(call.handle(at, input)).toEqual([{ kind: "disconnect" }]);
    expect(call.status).toBe("reconnecting");
    expect(call.handle(call.nextTimeout() ?? Number.NaN, { kind: "tick" })).toEqual([ask("20")]);
  });

  it("goes to yet another node instead, before and after the switch", () => {
    const before = moving();
    expect(before.handle(100, move)).toEqual([beside]);
    expect(before.nextTimeout()).toBe(100 + AUDIO_TIMEOUT_MS);
    expect(before.handle(200, besideAudio)).toEqual([{ kind: "switch" }]);
    expect(before.handle(400, move)).toEqual([beside]);
    expect(before.handle(500, besideAudio)).toEqual([{ kind: "switch" }]);
    expect(before.status).toBe("connected");
  });

  it.each([
    ["no node has it for now", { kind: "server", guildId: "10", token: "", endpoint: null }, "reconnecting"],
    ["the user is moved to another channel", state("21"), "reconnecting"],
    ["the user is put out", state(null), "idle"],
    ["the new node puts the user out", { kind: "ended", end: "dismissed", isBeside: true }, "reconnecting"],
  ] as [string, CallInput, string][])("closes everything when %s", (_, input, status) => {
    const call = moving();
    expect(call.handle(100, input)).toEqual([{ kind: "disconnect" }]);
    expect(call.status).toBe(status);
  });

  it("leaves and tells its mutes as ever", () => {
    const call = moving();
    expect(call.handle(100, mutes(true, false))).toEqual([ask("20", true)]);
    expect(call.handle(200, { kind: "leave" })).toEqual([{ kind: "disconnect" }, ask(null, true)]);
  });
});
