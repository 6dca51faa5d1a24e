// Being in a voice channel, as a pure machine: it asks the main gateway for a place, gathers the two answers, starts the
// voice session with them, and decides when to try again and when to give up. When the room moves to another node, the new
// connection is made beside the present one, which goes on until the new one has taken over and the server ends it.

import type { Id, VoiceState } from "../api/types";
import { type Backoff, delayMs } from "../gateway/backoff";
import type { Credentials } from "./protocol";
import type { End } from "./session";

/** A full channel answers nothing at all; this long is patience enough. */
export const PLACE_TIMEOUT_MS = 8_000;
/** No voice server has room, or the one of this call is gone: the server calls when there is one. */
export const SERVER_TIMEOUT_MS = 60_000;
/** From the credentials to audio. */
export const AUDIO_TIMEOUT_MS = 15_000;
/** How long a session that was dismissed waits to learn whether it was moved or removed. */
export const DISMISSED_WAIT_MS = 5_000;
/**
 * How long the connection to the node that the room left may stay: the server ends it as soon as everyone has moved, after
 * ten seconds at the latest.
 */
export const FORMER_MS = 12_000;
export const CALL_BACKOFF: Backoff = { firstMs: 500, maxMs: 8_000 };
export const MAX_ATTEMPTS = 5;

export interface Place {
  guildId: Id;
  channelId: Id;
}

export interface Mutes {
  isMuted: boolean;
  isDeafened: boolean;
}

/** op 4 of the main gateway; without a channel it gives the place up. */
export interface PlaceRequest {
  guild_id: Id;
  channel_id: Id | null;
  self_mute: boolean;
  self_deaf: boolean;
  self_video: boolean;
}

/** `isBeside`: of the connection beside the present one, which is the next one or the former one. */
export type CallInput =
  | { kind: "join"; place: Place }
  | { kind: "leave" }
  | { kind: "mutes"; mutes: Mutes }
  /** Whether the camera is on. */
  | { kind: "film"; isFilming: boolean }
  /** READY (a new session, which is in no channel) or RESUMED (the old one, with all it had). */
  | { kind: "gateway"; isNewSession: boolean }
  /** A voice state of this very gateway session. */
  | { kind: "state"; state: Pick<VoiceState, "guild_id" | "channel_id" | "session_id" | "user_id"> }
  /** Another page of the same user joined a channel: one speaks in one place. */
  | { kind: "taken" }
  | { kind: "server"; guildId: Id; token: string; endpoint: string | null }
  | { kind: "audio"; isBeside?: boolean }
  /** The media path went silent for good, or could not be made. */
  | { kind: "silent"; isBeside?: boolean }
  | { kind: "ended"; end: End; isBeside?: boolean }
  | { kind: "tick" };

export type CallOutput =
  | { kind: "place"; request: PlaceRequest }
  /** Beside the present connection, which goes on, or in its place. What was beside it before is closed. */
  | { kind: "connect"; credentials: Credentials; isBeside: boolean }
  /** The connection beside the present one takes over; what was the present one goes on beside it. */
  | { kind: "switch" }
  /** The connection beside the present one is closed. */
  | { kind: "part" }
  /** All of them are closed. */
  | { kind: "disconnect" };

export type CallStatus = "idle" | "joining" | "connecting" | "connected" | "reconnecting" | "failed";

interface Seated {
  place: Place;
  seen: { sessionId: string; userId: Id };
}

type State =
  | { name: "idle" }
  | { name: "failed"; place: Place; reason: string }
  | { name: "pausing"; place: Place; seen: Seated["seen"]; untilMs: number }
  /** op 4 was sent (or will be, as soon as there is a session). */
  | { name: "asking"; place: Place; seen: Seated["seen"] | null; server: { token: string; endpoint: string } | null; deadlineMs: number }
  | { name: "connecting"; place: Place; seen: Seated["seen"]; deadlineMs: number }
  /** `partMs`: when the connection to the node that the room left is closed. */
  | { name: "connected"; place: Place; seen: Seated["seen"]; partMs: number | null }
  /** Connected, and the connection to the node that the room moves to is being made. */
  | { name: "moving"; place: Place; seen: Seated["seen"]; isDismissed: boolean; deadlineMs: number }
  | { name: "dismissed"; place: Place; deadlineMs: number };

export class Call {
  #state: State = { name: "idle" };
  #mutes: Mutes = { isMuted: false, isDeafened: false };
  #isFilming = false;
  /** Attempts since audio last flowed. */
  #attempt = 0;
  /** Whether audio flowed in this stay: "joining" or "reconnecting". */
  #hadAudio = false;

  constructor(private readonly random: () => number) {}

  get place(): Place | null {
    return this.#state.name === "idle" ? null : this.#state.place;
  }

  get status(): CallStatus {
    switch (this.#state.name) {
      case "idle":
      case "failed":
      case "connected":
        return this.#state.name;
      case "moving":
        return "connected";
      case "connecting":
        return this.#hadAudio ? "reconnecting" : "connecting";
      default:
        return this.#hadAudio ? "reconnecting" : "joining";
    }
  }

  get failure(): string | null {
    return this.#state.name === "failed" ? this.#state.reason : null;
  }

  nextTimeout(): number | null {
    switch (this.#state.name) {
      case "pausing":
        return this.#state.untilMs;
      case "asking":
      case "connecting":
      case "moving":
      case "dismissed":
        return this.#state.deadlineMs;
      case "connected":
        return this.#state.partMs;
      default:
        return null;
    }
  }

  handle(now: number, input: CallInput): CallOutput[] {
    const out: CallOutput[] = [];
    switch (input.kind) {
      case "join":
        if (this.#state.name !== "idle") out.push({ kind: "disconnect" });
        this.#attempt = 0;
        this.#hadAudio = false;
        this.#ask(now, input.place, out);
        break;
      case "leave":
        this.#leave(out);
        break;
      case "mutes":
        this.#change(out, () => {
          this.#mutes = input.mutes;
        });
        break;
      case "film":
        this.#change(out, () => {
          this.#isFilming = input.isFilming;
        });
        break;
      case "gateway":
        this.#gateway(now, input.isNewSession, out);
        break;
      case "state":
        this.#stateUpdate(now, input.state, out);
        break;
      case "taken":
        if (this.#state.name === "failed") break;
        if (this.#state.name !== "idle") out.push({ kind: "disconnect" });
        this.#state = { name: "idle" };
        this.#hadAudio = false;
        break;
      case "server":
        this.#server(now, input, out);
        break;
      case "audio":
        this.#audio(now, input.isBeside === true, out);
        break;
      case "silent":
        this.#over(now, null, input.isBeside === true, out);
        break;
      case "ended":
        this.#over(now, input.end, input.isBeside === true, out);
        break;
      case "tick":
        this.#tick(now, out);
    }
    return out;
  }

  #ask(now: number, place: Place, out: CallOutput[]): void {
    this.#state = { name: "asking", place, seen: null, server: null, deadlineMs: now + PLACE_TIMEOUT_MS };
    this.#request(place, out);
  }

  /** The gateway is told of new flags, if they are new. */
  #change(out: CallOutput[], change: () => void): void {
    const before = this.#flags();
    change();
    const after = this.#flags();
    const { name } = this.#state;
    // Asking with the same flags again would mean that the connection was lost: the server answers with a new token.
    const isChanged = before.self_mute !== after.self_mute || before.self_deaf !== after.self_deaf || before.self_video !== after.self_video;
    if (isChanged && (name === "asking" || name === "connecting" || name === "connected" || name === "moving")) this.#request(this.#state.place, out);
  }

  /** Who hears nobody is not heard either. */
  #flags(): Pick<PlaceRequest, "self_mute" | "self_deaf" | "self_video"> {
    const { isMuted, isDeafened } = this.#mutes;
    return { self_mute: isMuted || isDeafened, self_deaf: isDeafened, self_video: this.#isFilming };
  }

  #request(place: { guildId: Id; channelId: Id | null }, out: CallOutput[]): void {
    out.push({ kind: "place", request: { guild_id: place.guildId, channel_id: place.channelId, ...this.#flags() } });
  }

  #leave(out: CallOutput[]): void {
    if (this.#state.name === "idle") return;
    const { guildId } = this.#state.place;
    this.#state = { name: "idle" };
    this.#hadAudio = false;
    out.push({ kind: "disconnect" });
    this.#request({ guildId, channelId: null }, out);
  }

  #gateway(now: number, isNewSession: boolean, out: CallOutput[]): void {
    const state = this.#state;
    if (state.name === "idle" || state.name === "failed") return;
    if (isNewSession && state.name !== "asking") out.push({ kind: "disconnect" });
    if (isNewSession || state.name === "asking") this.#ask(now, state.place, out);
  }

  #stateUpdate(now: number, update: Extract<CallInput, { kind: "state" }>["state"], out: CallOutput[]): void {
    const state = this.#state;
    if (state.name === "idle" || state.name === "failed" || state.name === "pausing") return;
    if (update.channel_id === null) {
      // While asking it is the echo of the place just given up.
      if (state.name === "asking") return;
      this.#state = { name: "idle" };
      this.#hadAudio = false;
      out.push({ kind: "disconnect" });
      return;
    }
    const place = { guildId: update.guild_id, channelId: update.channel_id };
    const seen = { sessionId: update.session_id, userId: update.user_id };
    const isSamePlace = place.channelId === state.place.channelId;
    if (state.name === "asking" && isSamePlace) {
      this.#state = { ...state, seen };
      this.#connectIfComplete(now, out);
    } else if (state.name !== "asking" && (!isSamePlace || state.name === "dismissed")) {
      // Moved by someone: the credentials for the new place follow.
      out.push({ kind: "disconnect" });
      this.#state = { name: "asking", place, seen, server: null, deadlineMs: now + PLACE_TIMEOUT_MS };
    }
  }

  #server(now: number, update: Extract<CallInput, { kind: "server" }>, out: CallOutput[]): void {
    const state = this.#state;
    if (state.name === "idle" || state.name === "failed" || update.guildId !== state.place.guildId) return;
    const server = update.endpoint === null ? null : { token: update.token, endpoint: update.endpoint };
    if (server !== null && (state.name === "connected" || state.name === "moving")) {
      const isDismissed = state.name === "moving" && state.isDismissed;
      this.#state = { name: "moving", place: state.place, seen: state.seen, isDismissed, deadlineMs: now + AUDIO_TIMEOUT_MS };
      this.#connect(state, server, true, out);
      return;
    }
    const seen = state.name === "dismissed" ? null : state.seen;
    // The room moves to another node (or its node is gone and a new one will be named). Who had lost the node before the
    // server knew is called while they pause.
    if (state.name !== "asking" && state.name !== "pausing") out.push({ kind: "disconnect" });
    const deadlineMs = now + (server === null ? SERVER_TIMEOUT_MS : PLACE_TIMEOUT_MS);
    this.#state = { name: "asking", place: state.place, seen, server, deadlineMs };
    this.#connectIfComplete(now, out);
  }

  #connectIfComplete(now: number, out: CallOutput[]): void {
    if (this.#state.name !== "asking") return;
    const { place, seen, server } = this.#state;
    if (seen === null || server === null) return;
    this.#state = { name: "connecting", place, seen, deadlineMs: now + AUDIO_TIMEOUT_MS };
    this.#connect({ place, seen }, server, false, out);
  }

  #connect(to: Seated, server: { token: string; endpoint: string }, isBeside: boolean, out: CallOutput[]): void {
    const { place, seen } = to;
    const credentials = { ...server, serverId: place.guildId, userId: seen.userId, sessionId: seen.sessionId };
    out.push({ kind: "connect", credentials, isBeside });
  }

  #audio(now: number, isBeside: boolean, out: CallOutput[]): void {
    const state = this.#state;
    if (state.name === "moving" && isBeside) {
      out.push({ kind: "switch" });
      if (state.isDismissed) out.push({ kind: "part" });
      this.#state = { name: "connected", place: state.place, seen: state.seen, partMs: state.isDismissed ? null : now + FORMER_MS };
    } else if (state.name === "connecting") {
      this.#state = { name: "connected", place: state.place, seen: state.seen, partMs: null };
    } else return;
    this.#attempt = 0;
    this.#hadAudio = true;
  }

  /** A connection is over; without an `end` its media path is. */
  #over(now: number, end: End | null, isBeside: boolean, out: CallOutput[]): void {
    const state = this.#state;
    if (state.name === "connected" && isBeside) {
      // The node that the room left: everyone is at the new one by now.
      if (state.partMs === null) return;
      this.#state = { ...state, partMs: null };
      out.push({ kind: "part" });
    } else if (state.name === "moving" && !isBeside) {
      this.#presentOver(state, end, out);
    } else if (state.name === "connecting" || state.name === "connected" || state.name === "moving") {
      if (end === "dismissed") {
        out.push({ kind: "disconnect" });
        this.#state = { name: "dismissed", place: state.place, deadlineMs: now + DISMISSED_WAIT_MS };
      } else this.#retry(now, state, end === null ? NO_PATH : NO_NODE, out);
    }
  }

  /** The present connection did not last until the next one had audio: all hope is in that. */
  #presentOver(state: Extract<State, { name: "moving" }>, end: End | null, out: CallOutput[]): void {
    if (end === "dismissed" || state.isDismissed) {
      // As a room's move ends; that somebody put the user out, the main gateway would say. The next one takes a moment at
      // most, in which nothing needs to change on the screen.
      this.#state = { ...state, isDismissed: true };
      return;
    }
    out.push({ kind: "switch" }, { kind: "part" });
    this.#state = { name: "connecting", place: state.place, seen: state.seen, deadlineMs: state.deadlineMs };
  }

  /** Asks for a new token after a pause. The place is kept meanwhile: to the others one reconnects and does not leave. */
  #retry(now: number, lost: Seated, reason: string, out: CallOutput[]): void {
    const { place, seen } = lost;
    this.#attempt += 1;
    out.push({ kind: "disconnect" });
    if (this.#attempt < MAX_ATTEMPTS) {
      this.#state = { name: "pausing", place, seen, untilMs: now + delayMs(CALL_BACKOFF, this.#attempt - 1, this.random) };
    } else {
      this.#state = { name: "failed", place, reason };
      this.#request({ guildId: place.guildId, channelId: null }, out);
    }
  }

  #tick(now: number, out: CallOutput[]): void {
    const state = this.#state;
    const due = this.nextTimeout();
    if (due === null || now < due) return;
    if (state.name === "pausing") {
      this.#ask(now, state.place, out);
    } else if (state.name === "asking") {
      // Silence is the documented answer of a full channel and of one that may not be joined.
      this.#leave(out);
      this.#state = { name: "failed", place: state.place, reason: state.seen === null ? NO_PLACE : NO_SERVER };
    } else if (state.name === "connecting" || state.name === "moving") {
      this.#retry(now, state, NO_PATH, out);
    } else if (state.name === "connected") {
      this.#state = { ...state, partMs: null };
      out.push({ kind: "part" });
    } else if (state.name === "dismissed") {
      this.#leave(out);
    }
  }
}

const NO_PLACE = "The channel did not let you in. It may be full, or you may not connect to it.";
const NO_SERVER = "No voice server has room at the moment.";
const NO_NODE = "The voice server does not answer.";
const NO_PATH = "No audio path to the voice server. A firewall may block UDP.";
