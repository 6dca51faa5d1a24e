// The voice gateway's frames (version 8): opcodes, close codes, payloads.

import type { Id } from "../api/types";

export const VOICE_VERSION = 8;

export const VoiceOp = {
  identify: 0,
  selectProtocol: 1,
  ready: 2,
  heartbeat: 3,
  sessionDescription: 4,
  speaking: 5,
  heartbeatAck: 6,
  resume: 7,
  hello: 8,
  resumed: 9,
  video: 12,
  clientDisconnect: 13,
  /** Ours: how well this page is connected. */
  quality: 200,
  /** Ours: what the page shows in its video slots, and who is in which. */
  videoSlots: 201,
  /** Ours: which encodings of this page's own video anybody looks at. */
  layers: 202,
  /** Ours: which of this page's video slots get less than they show, because its network carries no more. */
  narrowed: 203,
  /** Ours: with which codecs this page's video can be seen by everybody. */
  codecs: 205,
} as const;

export interface VoiceFrame {
  op: number;
  d: unknown;
  /** Present on frames that a resume would replay. */
  seq?: number;
}

/** Everything that one join of one channel needs at the voice node. */
export interface Credentials {
  /** host:port, without a scheme. */
  endpoint: string;
  token: string;
  serverId: Id;
  userId: Id;
  sessionId: string;
}

/** op 5 `speaking`: the microphone bit, and that of what somebody's computer plays beside their screen. */
export const SPEAKING_MICROPHONE = 1;
export const SPEAKING_SOUND = 2;

/** Kicked, moved, or the channel is gone: the main gateway says which; never reconnect by oneself. */
export function isDismissal(code: number): boolean {
  return code === 4014 || code === 4022;
}

/** The session cannot be resumed; a new token has to be asked for. */
export function endsVoiceSession(code: number): boolean {
  return code === 1000 || (code >= 4001 && code <= 4013) || (code >= 4016 && code <= 4021);
}

export type VideoSource = "camera" | "screen";

/** op 12 of the server: everything that somebody publishes. */
export interface VideoPayload {
  user_id: Id;
  streams: { type: "video" | "screen"; active: boolean }[];
}

/** One slot in op 201 of the server. */
export interface FilledSlot {
  slot: number;
  ssrc: number;
  user_id: Id | null;
  source: VideoSource | null;
}

/** op 202. */
export interface LayersPayload {
  source: VideoSource;
  layers: { rid: string; active: boolean }[];
}

/** One slot in op 203. */
export interface NarrowedSlot {
  slot: number;
  /** It gets nothing until there is room again. */
  paused: boolean;
}

/** What this page publishes. */
export interface Published {
  camera: boolean;
  screen: boolean;
}

/** op 2, as much of it as a browser needs. */
export interface ReadyPayload {
  ssrc: number;
  /** Relays for networks that let no media through otherwise; absent without them. */
  ice_servers?: RTCIceServer[];
}

export interface SpeakingPayload {
  user_id?: Id;
  ssrc: number;
  speaking: number;
}
