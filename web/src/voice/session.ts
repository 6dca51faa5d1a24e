// The voice gateway's client side as a pure machine, in the form of gateway/session.ts: inputs in, outputs out, the clock
// as a value. It negotiates once per join; after that the socket carries who speaks, and may be cut and resumed while the
// audio goes on.

import type { Id } from "../api/types";
import { type Backoff, delayMs } from "../gateway/backoff";
import {
  type Credentials,
  endsVoiceSession,
  type FilledSlot,
  isDismissal,
  type LayersPayload,
  type NarrowedSlot,
  type Published,
  type ReadyPayload,
  SPEAKING_MICROPHONE,
  SPEAKING_SOUND,
  type SpeakingPayload,
  type VideoPayload,
  type VideoSource,
  type VoiceFrame,
  VoiceOp,
} from "./protocol";
import { type Quality, readQuality } from "./quality";
import type { WantedSlot } from "./videos";

/** From opening the socket to the answer; a node that needs longer is taken for dead. */
export const NEGOTIATION_TIMEOUT_MS = 12_000;
export const VOICE_BACKOFF: Backoff = { firstMs: 250, maxMs: 5_000 };
/** The node keeps a cut session for about half a minute; after this many tries a new join is quicker. */
export const MAX_RESUMES = 6;

/** Why a voice session is over. */
export type End =
  /** Kicked or moved: what happens next comes by the main gateway. */
  | "dismissed"
  /** A new token may work. */
  | "lost";

export type VoiceInput =
  | { kind: "start"; credentials: Credentials }
  | { kind: "stop" }
  /** The room has moved: this connection is for those who have not come along yet, and ends with its socket. */
  | { kind: "retire" }
  | { kind: "frame"; frame: VoiceFrame }
  | { kind: "closed"; code: number }
  | { kind: "offer"; sdp: string; opusPayloadType: number; connectionId: string }
  | { kind: "speaking"; isOn: boolean }
  /** What this page publishes from now on. */
  | { kind: "publish"; published: Published }
  /** What it shows from now on, all of it. */
  | { kind: "show"; slots: WantedSlot[] }
  | { kind: "tick" };

export type VoiceOutput =
  | { kind: "open"; endpoint: string }
  | { kind: "send"; frame: { op: number; d: unknown } }
  | { kind: "close"; code: number }
  /** Make the peer connection and hand its offer back. */
  | { kind: "negotiate"; iceServers: RTCIceServer[] }
  | { kind: "answer"; sdp: string }
  /** The socket is up again (or for the first time) after the answer. */
  | { kind: "live" }
  /** The socket is cut; audio may still flow. */
  | { kind: "cut" }
  /** `isSound`: it is the sound of their screen; that a slot is free is said without it. */
  | { kind: "speaker"; userId: Id; ssrc: number; isOn: boolean; isSound: boolean }
  | { kind: "gone"; userId: Id }
  | { kind: "video"; userId: Id; sources: VideoSource[] }
  | { kind: "filled"; slots: FilledSlot[] }
  | { kind: "layers"; layers: LayersPayload }
  /** What everybody in the room decodes, as SDP names it. */
  | { kind: "codecs"; video: string[] }
  | { kind: "narrowed"; slots: NarrowedSlot[] }
  | { kind: "quality"; quality: Quality }
  | { kind: "ended"; end: End };

type State =
  | { name: "stopped" }
  | { name: "joining"; deadlineMs: number }
  | { name: "live" }
  | { name: "waiting"; untilMs: number }
  | { name: "resuming"; deadlineMs: number };

export class VoiceSession {
  #state: State = { name: "stopped" };
  #credentials: Credentials | null = null;
  #ssrc = 0;
  #seqAck = -1;
  #resumes = 0;
  #isRetired = false;
  #published: Published = { camera: false, screen: false };
  #shown: WantedSlot[] = [];
  #heart: { intervalMs: number; nextMs: number; isAcked: boolean } | null = null;

  constructor(private readonly random: () => number) {}

  nextTimeout(): number | null {
    const times: number[] = [];
    if (this.#heart !== null) times.push(this.#heart.nextMs);
    if (this.#state.name === "waiting") times.push(this.#state.untilMs);
    if (this.#state.name === "joining" || this.#state.name === "resuming") times.push(this.#state.deadlineMs);
    return times.length === 0 ? null : Math.min(...times);
  }

  handle(now: number, input: VoiceInput): VoiceOutput[] {
    const out: VoiceOutput[] = [];
    if (input.kind === "start") {
      this.#start(now, input.credentials, out);
    } else if (this.#state.name === "stopped") {
      // The end of a socket that was told to close.
    } else if (input.kind === "stop") {
      this.#stop();
      out.push({ kind: "close", code: 1000 });
    } else if (input.kind === "retire") {
      this.#isRetired = true;
    } else if (input.kind === "frame") {
      this.#frame(now, input.frame, out);
    } else if (input.kind === "closed") {
      this.#closed(now, input.code, out);
    } else if (input.kind === "offer") {
      if (this.#state.name === "joining") out.push({ kind: "send", frame: selectProtocol(input) });
    } else if (input.kind === "speaking") {
      const d = { speaking: input.isOn ? SPEAKING_MICROPHONE : 0, delay: 0, ssrc: this.#ssrc };
      if (this.#state.name === "live") out.push({ kind: "send", frame: { op: VoiceOp.speaking, d } });
    } else if (input.kind === "publish") {
      this.#published = input.published;
      if (this.#state.name === "live") out.push(this.#video());
    } else if (input.kind === "show") {
      const isNews = JSON.stringify(input.slots) !== JSON.stringify(this.#shown);
      this.#shown = input.slots;
      if (isNews && this.#state.name === "live") out.push(this.#slots());
    } else if (input.kind === "tick") {
      this.#tick(now, out);
    }
    return out;
  }

  #start(now: number, credentials: Credentials, out: VoiceOutput[]): void {
    if (this.#state.name !== "stopped") out.push({ kind: "close", code: 1000 });
    this.#stop();
    this.#credentials = credentials;
    this.#state = { name: "joining", deadlineMs: now + NEGOTIATION_TIMEOUT_MS };
    out.push({ kind: "open", endpoint: credentials.endpoint });
  }

  #frame(now: number, frame: VoiceFrame, out: VoiceOutput[]): void {
    if (this.#state.name === "waiting") return;
    if (typeof frame.seq === "number") this.#seqAck = frame.seq;
    switch (frame.op) {
      case VoiceOp.hello:
        this.#hello(now, (frame.d as { heartbeat_interval: number }).heartbeat_interval, out);
        return;
      case VoiceOp.ready: {
        const { ssrc, ice_servers: iceServers = [] } = frame.d as ReadyPayload;
        this.#ssrc = ssrc;
        if (this.#state.name === "joining") out.push({ kind: "negotiate", iceServers });
        return;
      }
      case VoiceOp.sessionDescription:
        if (this.#state.name !== "joining") return;
        this.#state = { name: "live" };
        out.push({ kind: "answer", sdp: (frame.d as { sdp: string }).sdp }, { kind: "live" });
        this.#sayAgain(out);
        return;
      case VoiceOp.resumed:
        if (this.#state.name !== "resuming") return;
        this.#state = { name: "live" };
        this.#resumes = 0;
        out.push({ kind: "live" });
        this.#sayAgain(out);
        return;
      case VoiceOp.heartbeat:
        out.push(this.#heartbeat(now));
        return;
      case VoiceOp.heartbeatAck:
        if (this.#heart !== null) this.#heart.isAcked = true;
        return;
      case VoiceOp.speaking: {
        const { user_id, ssrc, speaking } = frame.d as SpeakingPayload;
        if (user_id === undefined) return;
        const isSound = (speaking & SPEAKING_SOUND) !== 0;
        out.push({ kind: "speaker", userId: user_id, ssrc, isOn: isSound || (speaking & SPEAKING_MICROPHONE) !== 0, isSound });
        return;
      }
      case VoiceOp.clientDisconnect:
        out.push({ kind: "gone", userId: (frame.d as { user_id: Id }).user_id });
        return;
      case VoiceOp.video: {
        const { user_id, streams } = frame.d as VideoPayload;
        const sources = streams.filter((stream) => stream.active).map(({ type }): VideoSource => (type === "screen" ? "screen" : "camera"));
        out.push({ kind: "video", userId: user_id, sources });
        return;
      }
      case VoiceOp.videoSlots:
        out.push({ kind: "filled", slots: (frame.d as { slots: FilledSlot[] }).slots });
        return;
      case VoiceOp.layers:
        out.push({ kind: "layers", layers: frame.d as LayersPayload });
        return;
      case VoiceOp.codecs:
        out.push({ kind: "codecs", video: (frame.d as { video: string[] }).video });
        return;
      case VoiceOp.narrowed:
        out.push({ kind: "narrowed", slots: (frame.d as { slots: NarrowedSlot[] }).slots });
        return;
      case VoiceOp.quality:
        out.push({ kind: "quality", quality: readQuality(frame.d) });
        return;
      default:
      // Who is in the room the main gateway's voice states tell (op 11 is for clients without them). Platform, flags and
      // end-to-end encryption are not part of this page.
    }
  }

  /** What was said while nobody listened. */
  #sayAgain(out: VoiceOutput[]): void {
    if (this.#published.camera || this.#published.screen) out.push(this.#video());
    if (this.#shown.length > 0) out.push(this.#slots());
  }

  /** op 12: the node finds the streams by their names, so that no SSRC has to be known. */
  #video(): VoiceOutput {
    const { camera, screen } = this.#published;
    const streams = [
      ...(camera ? ["q", "h", "f"].map((rid) => ({ type: "video", rid, active: true })) : []),
      ...(screen ? [{ type: "screen", rid: "100", active: true }] : []),
    ];
    return { kind: "send", frame: { op: VoiceOp.video, d: { audio_ssrc: this.#ssrc, video_ssrc: 0, rtx_ssrc: 0, streams } } };
  }

  #slots(): VoiceOutput {
    return { kind: "send", frame: { op: VoiceOp.videoSlots, d: { slots: this.#shown } } };
  }

  #hello(now: number, intervalMs: number, out: VoiceOutput[]): void {
    const credentials = this.#credentials;
    if (credentials === null) return;
    this.#heart = { intervalMs, nextMs: now + intervalMs * this.random(), isAcked: true };
    const { serverId: server_id, userId: user_id, sessionId: session_id, token } = credentials;
    const frame =
      this.#state.name === "resuming"
        ? { op: VoiceOp.resume, d: { server_id, session_id, token, seq_ack: this.#seqAck } }
        : { op: VoiceOp.identify, d: { server_id, user_id, session_id, token, video: true, streams: [] } };
    out.push({ kind: "send", frame });
  }

  #closed(now: number, code: number, out: VoiceOutput[]): void {
    if (this.#state.name === "waiting") return;
    if (isDismissal(code)) this.#finish("dismissed", out);
    else if (endsVoiceSession(code) || this.#state.name === "joining") this.#finish("lost", out);
    else this.#cut(now, out);
  }

  #tick(now: number, out: VoiceOutput[]): void {
    const due = this.nextTimeout();
    if (due === null || now < due) return;
    if (this.#state.name === "waiting" && this.#isRetired) {
      this.#finish("lost", out);
      return;
    }
    if (this.#state.name === "waiting") {
      this.#state = { name: "resuming", deadlineMs: now + NEGOTIATION_TIMEOUT_MS };
      if (this.#credentials !== null) out.push({ kind: "open", endpoint: this.#credentials.endpoint });
      return;
    }
    const isLate = (this.#state.name === "joining" || this.#state.name === "resuming") && this.#state.deadlineMs <= now;
    if (isLate || this.#heart?.isAcked === false) {
      out.push({ kind: "close", code: 4000 });
      if (this.#state.name === "joining") this.#finish("lost", out);
      else this.#cut(now, out);
    } else if (this.#heart !== null) {
      this.#heart.isAcked = false;
      this.#heart.nextMs = now + this.#heart.intervalMs;
      out.push(this.#heartbeat(now));
    }
  }

  #cut(now: number, out: VoiceOutput[]): void {
    this.#resumes += 1;
    // A node that is emptied stops when everyone has left it, and nobody is there any more who could be resumed with.
    if (this.#isRetired || this.#resumes > MAX_RESUMES) {
      this.#finish("lost", out);
      return;
    }
    this.#heart = null;
    this.#state = { name: "waiting", untilMs: now + delayMs(VOICE_BACKOFF, this.#resumes - 1, this.random) };
    out.push({ kind: "cut" });
  }

  #finish(end: End, out: VoiceOutput[]): void {
    this.#stop();
    out.push({ kind: "ended", end });
  }

  #stop(): void {
    this.#state = { name: "stopped" };
    this.#credentials = null;
    this.#heart = null;
    this.#ssrc = 0;
    this.#seqAck = -1;
    this.#resumes = 0;
    this.#isRetired = false;
    this.#published = { camera: false, screen: false };
    this.#shown = [];
  }

  #heartbeat(now: number): VoiceOutput {
    return { kind: "send", frame: { op: VoiceOp.heartbeat, d: { t: now, seq_ack: this.#seqAck } } };
  }
}

/** The whole offer, which is long. */
function selectProtocol(offer: { sdp: string; opusPayloadType: number; connectionId: string }) {
  const codecs = [{ name: "opus", type: "audio", priority: 1000, payload_type: offer.opusPayloadType }];
  return {
    op: VoiceOp.selectProtocol,
    d: { protocol: "webrtc", data: offer.sdp, codecs, rtc_connection_id: offer.connectionId },
  };
}
