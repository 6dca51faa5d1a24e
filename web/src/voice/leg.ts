// One connection to a voice node and everything that belongs to it: the voice socket, the peer connection, who is in which
// slot, and how loud. A call has one; while its room moves it has two. What this page sends is lent to it and outlives it.

import type { Id } from "../api/types";
import { Activity } from "./activity";
import { type Codec, type CodecChoice, codecFor } from "./codecs";
import { type InboundStats, type InboundVideo, type OutboundVideo, type PathState, Peer } from "./peer";
import type { Credentials, Published, VideoSource } from "./protocol";
import type { Grade, Quality } from "./quality";
import { opusPayloadType } from "./sdp";
import type { End } from "./session";
import { SlotTable } from "./slots";
import { type VoiceEvent, VoiceSocket } from "./socket";
import { type Shown, type VideoKey, VideoTable } from "./videos";

/** A path that was interrupted may come back by itself (a roaming phone); after this it is made anew. */
const INTERRUPTED_MS = 6_000;

/** What this page sends and how it listens, at the moment when a connection is made. */
export interface Lent {
  isDeafened: boolean;
  isSpeaking: boolean;
  microphone: MediaStreamTrack | null;
  videos: Record<VideoSource, MediaStreamTrack | null>;
  /** What the screen sounds like. */
  sound: MediaStreamTrack | null;
  codec: CodecChoice;
}

export type LegEvent =
  /** The node let this page in: the microphone is needed. */
  | { kind: "admitted" }
  /** The slots are known. */
  | { kind: "open" }
  | { kind: "audio" }
  | { kind: "silent" }
  | { kind: "ended"; end: End }
  /** Who publishes video, or where it arrives. */
  | { kind: "videos" }
  /** Whose screens are heard. */
  | { kind: "sounds" }
  /** What the network does not carry. */
  | { kind: "narrowed" }
  /** With what this page's video can be seen by everybody. */
  | { kind: "codecs" }
  | { kind: "quality"; quality: Quality };

export interface SlotView {
  mid: string;
  ssrc: number | null;
  userId: Id | null;
  isOn: boolean;
  /** RMS of the last 85 ms by the Web Audio meter. */
  level: number;
  /** The largest level that was measured in this slot since the call connected. */
  peak: number;
  /** Whether that is speech. */
  isLoud: boolean;
}

/** A slot in which the sound of somebody's screen comes. */
export interface SoundView {
  mid: string;
  userId: Id;
  /** As in {@link SlotView}, before its volume. */
  level: number;
}

export class Leg {
  readonly #lent: () => Lent;
  readonly #onEvent: (event: LegEvent) => void;
  readonly #socket = new VoiceSocket((event) => this.#onVoice(event));
  readonly #slots = new SlotTable();
  readonly #sounds = new SlotTable();
  readonly #videos = new VideoTable();
  #activities = new Map<string, Activity>();
  #peaks = new Map<string, number>();
  #hushed: ReadonlySet<string> = new Set();
  #peer: Peer | null = null;
  /** What everybody in the room decodes; `null` until the server said so. */
  #roomCodecs: readonly string[] | null = null;
  #isClosed = false;
  #interruptedTimer: ReturnType<typeof setTimeout> | undefined;

  /** `number` grows from one connection of the page to the next. */
  constructor(
    readonly number: number,
    credentials: Credentials,
    shown: ReadonlyMap<VideoKey, Shown>,
    lent: () => Lent,
    onEvent: (event: LegEvent) => void,
  ) {
    this.#lent = lent;
    this.#onEvent = onEvent;
    for (const [key, each] of shown) this.#videos.show(key, each);
    this.#socket.feed({ kind: "start", credentials });
    const { camera, screen } = lent().videos;
    this.publish({ camera: camera !== null, screen: screen !== null });
  }

  // What this page sends, and says.

  setMicrophone(track: MediaStreamTrack): void {
    void this.#peer?.setMicrophone(track);
  }

  setVideo(source: VideoSource, track: MediaStreamTrack | null): void {
    void this.#peer?.setVideo(source, track);
  }

  setSound(track: MediaStreamTrack | null): void {
    void this.#peer?.setSound(track);
  }

  /** The codec that is chosen, or what is sent instead because not everybody decodes that. */
  chooseCodec(): void {
    if (this.#peer === null) return;
    this.#peer.setCodec(codecFor(this.#lent().codec, this.#roomCodecs, this.#peer.ownCodecs()));
  }

  /** What is sent instead of the codec that is chosen; `null` when that is sent, or nothing is known yet. */
  insteadOf(choice: CodecChoice): Codec | null {
    if (choice === "automatic" || this.#peer === null) return null;
    const codec = codecFor(choice, this.#roomCodecs, this.#peer.ownCodecs());
    return codec === choice ? null : codec;
  }

  publish(published: Published): void {
    this.#socket.feed({ kind: "publish", published });
  }

  speak(isOn: boolean): void {
    this.#socket.feed({ kind: "speaking", isOn });
  }

  // What it hears.

  setDeafened(isDeafened: boolean): void {
    this.#peer?.setDeafened(isDeafened);
  }

  /** Receives these slots without playing them. */
  hush(mids: ReadonlySet<string>): void {
    this.#hushed = mids;
    this.#peer?.hush(mids);
  }

  /** Every slot as it is now; called regularly, for a meter remembers only 85 ms. */
  measure(now: number): void {
    for (const { mid, ssrc } of this.#slots.all()) {
      const learned = ssrc === null ? (this.#peer?.ssrc(mid) ?? null) : null;
      if (learned !== null) this.#slots.learn(mid, learned);
      const level = this.#level(mid);
      this.#peaks.set(mid, Math.max(level, this.#peaks.get(mid) ?? 0));
      let activity = this.#activities.get(mid);
      if (activity === undefined) this.#activities.set(mid, (activity = new Activity()));
      activity.update(now, level);
    }
  }

  slots(): SlotView[] {
    return this.#slots.all().map(({ mid, ssrc, userId, isOn }) => {
      const level = this.#level(mid);
      const isLoud = this.#activities.get(mid)?.isOn === true;
      return { mid, ssrc, userId, isOn, level, peak: Math.max(level, this.#peaks.get(mid) ?? 0), isLoud };
    });
  }

  /** Those of them that are played. */
  heard(): SlotView[] {
    return this.slots().filter(({ mid }) => !this.#hushed.has(mid));
  }

  /** The screens that are heard. */
  sounds(): SoundView[] {
    return this.#sounds.all().flatMap(({ mid, userId, isOn }) => (userId !== null && isOn ? [{ mid, userId, level: this.#level(mid) }] : []));
  }

  /** How loud each slot for sounds is played, 0..1; one that is not named is not. */
  setVolumes(volumes: ReadonlyMap<string, number>): void {
    this.#peer?.setVolumes(volumes);
  }

  #level(mid: string): number {
    return this.#peer?.level(mid) ?? 0;
  }

  // What it sees.

  show(key: VideoKey, shown: Shown | null): void {
    this.#videos.show(key, shown);
  }

  /** The server is told all that is shown. */
  sayShown(): void {
    this.#socket.feed({ kind: "show", slots: this.#videos.wanted() });
  }

  published(): Record<Id, VideoSource[]> {
    return this.#videos.published();
  }

  /** In which slot each of the shown videos arrives. */
  filled(): Record<VideoKey, number> {
    return this.#videos.filled();
  }

  videoStream(slot: number): MediaStream | null {
    return this.#peer?.videoStream(slot) ?? null;
  }

  grades(received: readonly InboundVideo[]): Record<VideoKey, Grade> {
    return this.#videos.grades(received);
  }

  // What the browser measures.

  async inbound(): Promise<InboundStats[]> {
    return (await this.#peer?.inbound()) ?? [];
  }

  async inboundVideos(): Promise<InboundVideo[]> {
    return (await this.#peer?.inboundVideos()) ?? [];
  }

  async outboundVideos(): Promise<OutboundVideo[]> {
    return (await this.#peer?.outboundVideos()) ?? [];
  }

  /** The room has moved, and another connection has taken over: this one goes on as long as its socket does. */
  retire(): void {
    this.#socket.feed({ kind: "retire" });
  }

  /** Ends it here; the main gateway hears nothing of that. Nothing is told any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#interruptedTimer);
    this.#socket.feed({ kind: "stop" });
    this.#peer?.close();
    this.#peer = null;
  }

  #tell(event: LegEvent): void {
    if (!this.#isClosed) this.#onEvent(event);
  }

  #onVoice(event: VoiceEvent): void {
    switch (event.kind) {
      case "negotiate":
        void this.#negotiate(event.iceServers);
        return;
      case "answer":
        void this.#accept(event.sdp);
        return;
      case "speaker":
        this.#onSpeaker(event);
        return;
      case "gone":
        this.#slots.gone(event.userId);
        this.#sounds.gone(event.userId);
        this.#tell({ kind: "sounds" });
        this.#videos.gone(event.userId);
        this.#tell({ kind: "videos" });
        return;
      case "video":
        this.#videos.publishes(event.userId, event.sources);
        this.#tell({ kind: "videos" });
        return;
      case "filled":
        this.#videos.place(event.slots);
        this.#tell({ kind: "videos" });
        return;
      case "layers":
        this.#peer?.setLayers(event.layers);
        return;
      case "codecs":
        this.#roomCodecs = event.video;
        this.chooseCodec();
        this.#tell({ kind: "codecs" });
        return;
      case "narrowed":
        this.#videos.narrow(event.slots);
        this.#tell({ kind: "narrowed" });
        return;
      case "quality":
      case "ended":
        this.#tell(event);
        return;
      case "live":
        // Only changes are said, and this node has heard none.
        if (this.#lent().isSpeaking) this.speak(true);
        return;
      case "cut":
      // A cut socket repairs itself while audio flows.
    }
  }

  #onSpeaker({ userId, ssrc, isOn, isSound }: Extract<VoiceEvent, { kind: "speaker" }>): void {
    if (isOn ? !isSound : !this.#sounds.has(ssrc)) {
      this.#slots.speaker(userId, ssrc, isOn);
      return;
    }
    this.#sounds.speaker(userId, ssrc, isOn);
    this.#tell({ kind: "sounds" });
  }

  async #negotiate(iceServers: RTCIceServer[]): Promise<void> {
    const { isDeafened, microphone, videos, sound } = this.#lent();
    const peer = new Peer(isDeafened, iceServers, (path) => this.#onPath(path));
    this.#peer = peer;
    peer.hush(this.#hushed);
    if (microphone !== null) this.setMicrophone(microphone);
    for (const source of ["camera", "screen"] as const) if (videos[source] !== null) this.setVideo(source, videos[source]);
    if (sound !== null) this.setSound(sound);
    try {
      // The question for the microphone may stay open for long; the offer does not wait for it.
      this.#tell({ kind: "admitted" });
      const sdp = await peer.offer();
      const payloadType = opusPayloadType(sdp);
      if (this.#isClosed || payloadType === null) return;
      this.#socket.feed({ kind: "offer", sdp, opusPayloadType: payloadType, connectionId: connectionId() });
    } catch {
      this.#tell({ kind: "silent" });
    }
  }

  async #accept(sdp: string): Promise<void> {
    try {
      const slots = await this.#peer?.accept(sdp);
      if (this.#isClosed || slots === undefined) return;
      this.#slots.open(slots.voices);
      this.#sounds.open(slots.sounds);
      this.#tell({ kind: "open" });
      this.#tell({ kind: "sounds" });
    } catch {
      this.#tell({ kind: "silent" });
    }
  }

  #onPath(path: PathState): void {
    if (this.#isClosed) return;
    clearTimeout(this.#interruptedTimer);
    if (path === "connected") this.#tell({ kind: "audio" });
    else if (path === "failed") this.#tell({ kind: "silent" });
    else if (path === "interrupted") this.#interruptedTimer = setTimeout(() => this.#tell({ kind: "silent" }), INTERRUPTED_MS);
  }
}

/** A random id for the node's logs; not `randomUUID`, which pages opened over plain HTTP do not have. */
function connectionId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
