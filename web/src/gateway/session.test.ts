import { describe, expect, it } from "vitest";
import { GatewaySession, HELLO_TIMEOUT_MS, type Input, type Output } from "./session";

const hello: Input = { kind: "frame", frame: { op: 10, d: { heartbeat_interval: 40_000 } } };
const ready: Input = {
  kind: "frame",
  frame: { op: 0, t: "READY", s: 1, d: { session_id: "abc", resume_gateway_url: "", user: { id: "1" }, guilds: [] } },
};

function dispatch(s: number): Input {
  return { kind: "frame", frame: { op: 0, t: "TYPING_START", s, d: {} } };
}

/** A session with random() = 0.5 and inputs fed at given moments. */
function run(script: [number, Input][]): { session: GatewaySession; outputs: Output[]; last: Output[] } {
  const session = new GatewaySession(() => 0.5);
  const outputs: Output[] = [];
  let last: Output[] = [];
  for (const [now, input] of script) {
    last = session.handle(now, input);
    outputs.push(...last);
  }
  return { session, outputs, last };
}

const start: Input = { kind: "start", token: "secret" };
const connected: [number, Input][] = [
  [0, start],
  [10, hello],
  [20, ready],
];

function sent(outputs: Output[]): number[] {
  return outputs.filter((output) => output.kind === "send").map((output) => output.frame.op);
}

describe("GatewaySession", () => {
  it("opens, identifies after Hello and is ready after READY", () => {
    const { outputs, session } = run(connected);
    expect(outputs.map((output) => (output.kind === "status" ? output.status : output.kind))).toEqual(["connecting", "open", "send", "dispatch", "ready"]);
    expect(sent(outputs)).toEqual([2]);
    expect(session.sessionId).toBe("abc");
  });

  it("sends no intents, as a user session has none", () => {
    const { outputs } = run(connected);
    const identify = outputs.find((output) => output.kind === "send");
    expect(identify?.frame.d).toMatchObject({ token: "secret" });
    expect(identify?.frame.d).not.toHaveProperty("intents");
  });

  it("beats first after a random part of the interval, then once per interval, with the last sequence", () => {
    const { session } = run([...connected, [30, dispatch(7)]]);
    expect(session.nextTimeout()).toBe(10 + 20_000);
    expect(session.handle(20_010, { kind: "tick" })).toEqual([{ kind: "send", frame: { op: 1, d: 7 } }]);
    session.handle(20_020, { kind: "frame", frame: { op: 11, d: null } });
    expect(session.nextTimeout()).toBe(60_010);
    expect(sent(session.handle(60_010, { kind: "tick" }))).toEqual([1]);
  });

  it("drops a connection whose heartbeat was not answered, and resumes it", () => {
    const { session } = run([...connected, [20_010, { kind: "tick" }]]);
    expect(session.handle(60_010, { kind: "tick" })).toEqual([
      { kind: "close", code: 4000 },
      { kind: "status", status: "waiting" },
    ]);
    expect(session.handle(60_010, { kind: "tick" })).toEqual([{ kind: "status", status: "resuming" }, { kind: "open" }]);
    expect(session.handle(60_020, hello)).toEqual([{ kind: "send", frame: { op: 6, d: { token: "secret", session_id: "abc", seq: 1 } } }]);
  });

  it("waits longer after each failed attempt, and from the start again once it was ready", () => {
    const { session } = run(connected);
    const waits: number[] = [];
    let now = 100;
    for (let attempt = 0; attempt < 9; attempt += 1) {
      session.handle(now, { kind: "closed", code: 1006 });
      const until = session.nextTimeout() ?? Number.NaN;
      waits.push(until - now);
      now = until;
      session.handle(now, { kind: "tick" });
    }
    expect(waits).toEqual([375, 750, 1500, 3000, 6000, 12_000, 22_500, 22_500, 22_500]);
    session.handle(now, hello);
    session.handle(now, { kind: "frame", frame: { op: 0, t: "RESUMED", s: 2, d: null } });
    session.handle(now, { kind: "closed", code: 1006 });
    expect(session.nextTimeout()).toBe(now + 375);
  });

  it("goes at once when the network comes back", () => {
    const { session } = run([...connected, [100, { kind: "closed", code: 1006 }]]);
    expect(session.handle(101, { kind: "online" })).toContainEqual({ kind: "open" });
  });

  it.each([4007, 4009, 1000])("identifies anew after close %i, which ends the session", (code) => {
    const { session } = run([...connected, [100, { kind: "closed", code }], [60_000, { kind: "tick" }]]);
    expect(sent(session.handle(60_010, hello))).toEqual([2]);
  });

  it("identifies anew after an invalid session, and resumes when the server says that it can", () => {
    for (const [isResumable, op] of [[false, 2], [true, 6]] as const) {
      const { session } = run([...connected, [100, { kind: "frame", frame: { op: 9, d: isResumable } }]]);
      expect(session.nextTimeout()).toBe(100 + 875);
      session.handle(975, { kind: "tick" });
      expect(sent(session.handle(980, hello))).toEqual([op]);
    }
  });

  it("resumes at once when the server asks for a reconnect", () => {
    const { session, last } = run([...connected, [100, { kind: "frame", frame: { op: 7, d: null } }]]);
    expect(last).toContainEqual({ kind: "close", code: 4000 });
    expect(session.nextTimeout()).toBe(100);
  });

  it("answers a heartbeat that the server asks for", () => {
    const { last } = run([...connected, [100, { kind: "frame", frame: { op: 1, d: null } }]]);
    expect(last).toEqual([{ kind: "send", frame: { op: 1, d: 1 } }]);
  });

  it.each([
    [4004, "unauthorized"],
    [4013, "refused"],
  ])("stops for good after close %i", (code, status) => {
    const { session, last } = run([...connected, [100, { kind: "closed", code }]]);
    expect(last).toEqual([{ kind: "status", status }]);
    expect(session.nextTimeout()).toBeNull();
    expect(session.handle(200, { kind: "tick" })).toEqual([]);
  });

  it("gives up a server that never says Hello", () => {
    const { session } = run([[0, start]]);
    expect(session.nextTimeout()).toBe(HELLO_TIMEOUT_MS);
    expect(session.handle(HELLO_TIMEOUT_MS, { kind: "tick" })).toContainEqual({ kind: "close", code: 4000 });
  });

  it("ignores frames of a connection that it gave up", () => {
    const { session } = run([...connected, [100, { kind: "frame", frame: { op: 7, d: null } }]]);
    expect(session.handle(101, dispatch(9))).toEqual([]);
  });
});
