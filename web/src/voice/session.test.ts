import { describe, expect, it } from "vitest";
import type { Credentials, VoiceFrame } from "./protocol";
import { MAX_RESUMES, NEGOTIATION_TIMEOUT_MS, type VoiceInput, type VoiceOutput, VoiceSession } from "./session";

const credentials: Credentials = { endpoint: "node:8080", token: "t", serverId: "10", userId: "1", sessionId: "s" };

function frame(value: VoiceFrame): VoiceInput {
  return { kind: "frame", frame: value };
}

const start: VoiceInput = { kind: "start", credentials };
const hello = frame({ op: 8, d: { v: 8, heartbeat_interval: 10_000 } });
const ready = frame({ op: 2, d: { ssrc: 42, ip: "127.0.0.1", port: 1, modes: [] }, seq: 1 });
const offer: VoiceInput = { kind: "offer", sdp: "v=0", opusPayloadType: 111, connectionId: "c" };
const answer = frame({ op: 4, d: { sdp: "answer", audio_codec: "opus" }, seq: 2 });

function live(): VoiceSession {
  const session = new VoiceSession(() => 0.5);
  for (const input of [start, hello, ready, offer, answer]) session.handle(0, input);
  return session;
}

function frames(outputs: VoiceOutput[]) {
  return outputs.filter((output) => output.kind === "send").map((output) => output.frame);
}

describe("VoiceSession", () => {
  it("identifies, negotiates and hands the answer on", () => {
    const session = new VoiceSession(() => 0.5);
    expect(session.handle(0, start)).toEqual([{ kind: "open", endpoint: "node:8080" }]);
    expect(frames(session.handle(1, hello))).toEqual([
      { op: 0, d: { server_id: "10", user_id: "1", session_id: "s", token: "t", video: true, streams: [] } },
    ]);
    expect(session.handle(2, ready)).toEqual([{ kind: "negotiate", iceServers: [] }]);
    expect(frames(session.handle(3, offer))).toEqual([
      {
        op: 1,
        d: {
          protocol: "webrtc",
          data: "v=0",
          codecs: [{ name: "opus", type: "audio", priority: 1000, payload_type: 111 }],
          rtc_connection_id: "c",
        },
      },
    ]);
    expect(session.handle(4, answer)).toEqual([{ kind: "answer", sdp: "answer" }, { kind: "live" }]);
  });

  it("reaches media by the relays that the node names", () => {
    const session = new VoiceSession(() => 0.5);
    for (const input of [start, hello]) session.handle(0, input);
    const relay = { urls: ["turn:turn.example.org"], username: "1700086400:1", credential: "p" };
    const named = frame({ op: 2, d: { ssrc: 42, ip: "127.0.0.1", port: 1, modes: [], ice_servers: [relay] }, seq: 1 });
    expect(session.handle(1, named)).toEqual([{ kind: "negotiate", iceServers: [relay] }]);
  });

  it("beats with the time and the last sequence that it saw", () => {
    const session = live();
    session.handle(100, frame({ op: 5, d: { user_id: "2", ssrc: 7, speaking: 1 }, seq: 9 }));
    expect(session.nextTimeout()).toBe(5_000);
    expect(frames(session.handle(5_000, { kind: "tick" }))).toEqual([{ op: 3, d: { t: 5_000, seq_ack: 9 } }]);
  });

  it("says what it films and shows, also what was said while nobody listened", () => {
    const slots = [{ slot: 0, user_id: "2", source: "camera" as const, width: 640, height: 360, focus: false }];
    const session = new VoiceSession(() => 0.5);
    for (const input of [start, hello, ready, offer]) session.handle(1, input);
    expect(session.handle(2, { kind: "publish", published: { camera: true, screen: false } })).toEqual([]);
    expect(session.handle(2, { kind: "show", slots })).toEqual([]);
    const said = frames(session.handle(3, answer));
    expect(said.map(({ op }) => op)).toEqual([12, 201]);
    expect(said[0]?.d).toMatchObject({ audio_ssrc: 42, streams: ["q", "h", "f"].map((rid) => ({ type: "video", rid, active: true })) });
    expect(said[1]?.d).toEqual({ slots });
    expect(session.handle(4, { kind: "show", slots: [...slots] })).toEqual([]);
    expect(frames(session.handle(5, { kind: "show", slots: [] }))).toEqual([{ op: 201, d: { slots: [] } }]);
  });

  it("hears what others film, where it arrives, and what of its own is wanted", () => {
    const session = live();
    const streams = [
      { type: "video", active: true },
      { type: "screen", active: true },
    ];
    const heard = (op: number, d: unknown) => session.handle(5, frame({ op, d }));
    expect(heard(12, { user_id: "2", audio_ssrc: 7, video_ssrc: 0, streams })).toEqual([{ kind: "video", userId: "2", sources: ["camera", "screen"] }]);
    const slots = [{ slot: 0, ssrc: 9, user_id: "2", source: "camera" }];
    expect(heard(201, { slots })).toEqual([{ kind: "filled", slots }]);
    const layers = { source: "camera", layers: [{ rid: "q", active: false }] };
    expect(heard(202, layers)).toEqual([{ kind: "layers", layers }]);
    expect(heard(205, { video: ["VP8", "VP9"] })).toEqual([{ kind: "codecs", video: ["VP8", "VP9"] }]);
    const narrowed = [{ slot: 0, paused: true }];
    expect(heard(203, { slots: narrowed })).toEqual([{ kind: "narrowed", slots: narrowed }]);
    const quality = { score: 4.2, loss_up: 0, loss_down: 0.1, jitter_ms: 3, round_trip_ms: null };
    expect(heard(200, quality)).toEqual([{ kind: "quality", quality: { score: 4.2, roundTripMs: null, loss: 0.1 } }]);
  });

  it("says its own speaking with its own SSRC, and nothing before it is live", () => {
    const session = live();
    expect(frames(session.handle(5, { kind: "speaking", isOn: true }))).toEqual([{ op: 5, d: { speaking: 1, delay: 0, ssrc: 42 } }]);
    expect(frames(session.handle(6, { kind: "speaking", isOn: false }))).toEqual([{ op: 5, d: { speaking: 0, delay: 0, ssrc: 42 } }]);
    const fresh = new VoiceSession(() => 0.5);
    fresh.handle(0, start);
    expect(fresh.handle(1, { kind: "speaking", isOn: true })).toEqual([]);
  });

  it("tells who is in which slot and who went", () => {
    const session = live();
    const speaker = frame({ op: 5, d: { user_id: "2", ssrc: 7, speaking: 5 } });
    expect(session.handle(5, speaker)).toEqual([{ kind: "speaker", userId: "2", ssrc: 7, isOn: true, isSound: false }]);
    const sound = frame({ op: 5, d: { user_id: "2", ssrc: 17, speaking: 2 } });
    expect(session.handle(5, sound)).toEqual([{ kind: "speaker", userId: "2", ssrc: 17, isOn: true, isSound: true }]);
    const none = frame({ op: 5, d: { user_id: "2", ssrc: 17, speaking: 0 } });
    expect(session.handle(5, none)).toEqual([{ kind: "speaker", userId: "2", ssrc: 17, isOn: false, isSound: false }]);
    expect(session.handle(6, frame({ op: 11, d: { user_ids: ["2", "3"] } }))).toEqual([]);
    expect(session.handle(7, frame({ op: 13, d: { user_id: "2" } }))).toEqual([{ kind: "gone", userId: "2" }]);
  });

  it("resumes a cut socket without negotiating again", () => {
    const session = live();
    expect(session.handle(100, { kind: "closed", code: 1006 })).toEqual([{ kind: "cut" }]);
    const at = session.nextTimeout() ?? Number.NaN;
    expect(session.handle(at, { kind: "tick" })).toEqual([{ kind: "open", endpoint: "node:8080" }]);
    expect(frames(session.handle(at, hello))).toEqual([{ op: 7, d: { server_id: "10", session_id: "s", token: "t", seq_ack: 2 } }]);
    expect(session.handle(at, frame({ op: 9, d: null }))).toEqual([{ kind: "live" }]);
  });

  it("gives up resuming after a while and asks for a new join", () => {
    const session = live();
    let now = 100;
    let last: VoiceOutput[] = [];
    for (let attempt = 0; attempt <= MAX_RESUMES; attempt += 1) {
      last = session.handle(now, { kind: "closed", code: 1006 });
      now = session.nextTimeout() ?? now;
      session.handle(now, { kind: "tick" });
    }
    expect(last).toEqual([{ kind: "ended", end: "lost" }]);
  });

  it.each([
    [4014, "dismissed"],
    [4022, "dismissed"],
    [4006, "lost"],
    [4004, "lost"],
  ])("is over after close %i: %s", (code, end) => {
    const session = live();
    expect(session.handle(100, { kind: "closed", code })).toEqual([{ kind: "ended", end }]);
    expect(session.nextTimeout()).toBeNull();
  });

  it("does not resume once the room has moved", () => {
    const session = live();
    session.handle(50, { kind: "retire" });
    expect(session.handle(100, { kind: "closed", code: 1006 })).toEqual([{ kind: "ended", end: "lost" }]);
    expect(session.nextTimeout()).toBeNull();
  });

  it("gives up a resume that waited while the room moved", () => {
    const session = live();
    session.handle(100, { kind: "closed", code: 1006 });
    session.handle(101, { kind: "retire" });
    expect(session.handle(session.nextTimeout() ?? 0, { kind: "tick" })).toEqual([{ kind: "ended", end: "lost" }]);
  });

  it("does not resume what was never joined", () => {
    const session = new VoiceSession(() => 0.5);
    session.handle(0, start);
    expect(session.handle(1, { kind: "closed", code: 1006 })).toEqual([{ kind: "ended", end: "lost" }]);
  });

  it("gives up a node that answers nothing", () => {
    const session = new VoiceSession(() => 0.5);
    session.handle(0, start);
    expect(session.handle(NEGOTIATION_TIMEOUT_MS, { kind: "tick" })).toEqual([
      { kind: "close", code: 4000 },
      { kind: "ended", end: "lost" },
    ]);
  });
});
