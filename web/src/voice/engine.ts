// Composes voice: the Call machine, the voice socket, the peer connection, the microphone and the meters. It owns the
// resources and passes facts between them; the decisions are the machines'.

import { createStore } from "zustand/vanilla";
import type { Id } from "../api/types";
import { type Dispatch, Op } from "../gateway/protocol";
import { Activity } from "./activity";
import { isAudioRunning, type Meter, meter, openMicrophone, unlockAudio } from "./audio";
import { Call, type CallInput, type CallOutput, type CallStatus, type Mutes, type Place } from "./call";
import { openCamera, openScreen } from "./camera";
import { type InboundStats, type InboundVideo, type OutboundVideo, type PathState, Peer } from "./peer";
import type { Credentials, VideoSource } from "./protocol";
import type { Grade, Limit, Quality } from "./quality";
import type { Regions } from "./regions";
import { opusPayloadType } from "./sdp";
import { SlotTable } from "./slots";
import { type VoiceEvent, VoiceSocket } from "./socket";
import { type Shown, type VideoKey, VideoTable, videoKey } from "./videos";

/** How often levels are measured: quicker than a syllable, and 16 times a second costs nothing to speak of. */
const METER_INTERVAL_MS = 60;
/** How long tiles may move before the server hears of it: a window that is being resized says nothing worth hearing. */
const SHOW_DELAY_MS = 120;
/** How often the browser is asked what holds its encoders back, and how large what it decodes is. */
const STATS_INTERVAL_MS = 2_000;
/** A path that was interrupted may come back by itself (a roaming phone); after this it is made anew. */
const INTERRUPTED_MS = 6_000;

export interface VoiceView {
  status: CallStatus;
  place: Place | null;
  /** Why the last attempt failed. */
  failure: string | null;
  isMuted: boolean;
  isDeafened: boolean;
  /** Whether the browser's echo, noise and gain processing is on. */
  isProcessed: boolean;
  /** Why nobody hears this user; `null` when the microphone works. */
  microphoneProblem: string | null;
  /** Who is heard right now, this user included. */
  speaking: Readonly<Record<Id, true>>;
  /** What the others publish. */
  videos: Readonly<Record<Id, readonly VideoSource[]>>;
  /** In which slot each of the shown videos arrives. */
  videoSlots: Readonly<Record<VideoKey, number>>;
  /** What this page publishes; the streams are its own preview. */
  own: Readonly<Record<VideoSource, MediaStream | null>>;
  /** Why the camera or the screen could not be opened. */
  videoProblem: string | null;
  /** As the server last told; `null` until then. */
  quality: Quality | null;
  /** What holds this page's own video back. */
  limit: Limit;
  /** What each shown video is, and why it is no better. */
  grades: Readonly<Record<VideoKey, Grade>>;
}

const NO_VIDEO = { videos: {}, videoSlots: {}, grades: {}, own: { camera: null, screen: null }, quality: null, limit: null } as const;

export interface SlotView {
  mid: string;
  ssrc: number | null;
  userId: Id | null;
  isOn: boolean;
  /** RMS of the last 85 ms by the Web Audio meter. */
  level: number;
  /** The largest level that was measured in this slot since the call connected. */
  peak: number;
}

interface Gateway {
  send(op: number, d: unknown): boolean;
  readonly sessionId: string | null;
}

const PROCESSING_KEY = "guildhall.microphone.processing";

export class VoiceEngine {
  readonly store = createStore<VoiceView>()(() => ({
    status: "idle",
    place: null,
    failure: null,
    isMuted: false,
    isDeafened: false,
    isProcessed: localStorage.getItem(PROCESSING_KEY) !== "off",
    microphoneProblem: null,
    speaking: {},
    videoProblem: null,
    ...NO_VIDEO,
  }));
  readonly #gateway: Gateway;
  readonly #regions: Regions;
  readonly #call = new Call(Math.random);
  readonly #socket = new VoiceSocket((event) => this.#onVoice(event));
  readonly #slots = new SlotTable();
  readonly #videos = new VideoTable();
  #me: Id | null = null;
  #peer: Peer | null = null;
  #microphone: { track: MediaStreamTrack; meter: Meter } | null = null;
  #ownActivity = new Activity();
  #slotActivity = new Map<string, Activity>();
  #peaks = new Map<string, number>();
  #callTimer: ReturnType<typeof setTimeout> | undefined;
  #interruptedTimer: ReturnType<typeof setTimeout> | undefined;
  #meterTimer: ReturnType<typeof setInterval> | undefined;
  #showTimer: ReturnType<typeof setTimeout> | undefined;
  #statsTimer: ReturnType<typeof setInterval> | undefined;

  constructor(gateway: Gateway, regions: Regions) {
    this.#gateway = gateway;
    this.#regions = regions;
  }

  // What the person does.

  join(place: Place): void {
    unlockAudio();
    // For the next time: whoever joins does not wait.
    void this.#regions.refresh();
    this.#feed({ kind: "join", place });
  }

  leave(): void {
    this.#feed({ kind: "leave" });
  }

  setMuted(isMuted: boolean): void {
    // Speaking again while deafened means wanting to hear again too.
    this.#setMutes({ isMuted, isDeafened: isMuted && this.store.getState().isDeafened });
  }

  setDeafened(isDeafened: boolean): void {
    this.#setMutes({ isMuted: this.store.getState().isMuted, isDeafened });
  }

  async setProcessed(isProcessed: boolean): Promise<void> {
    localStorage.setItem(PROCESSING_KEY, isProcessed ? "on" : "off");
    this.store.setState({ isProcessed });
    if (this.#peer !== null) await this.#openMicrophone(this.#peer);
  }

  /** Turns the camera or the sharing of the screen on or off. */
  async setVideo(source: VideoSource, isOn: boolean): Promise<void> {
    const peer = this.#peer;
    if (!isOn || peer === null) {
      this.#stopVideo(source);
      return;
    }
    if (this.store.getState().own[source] !== null) return;
    const track = source === "camera" ? await openCamera() : await openScreen();
    if (track === null) return;
    if (typeof track === "string") {
      this.store.setState({ videoProblem: track });
      return;
    }
    if (this.#peer !== peer) {
      track.stop();
      return;
    }
    // The browser's own bar ends a shared screen, and pulling the plug a camera.
    track.addEventListener("ended", () => this.#stopVideo(source, track));
    this.store.setState({ videoProblem: null, own: { ...this.store.getState().own, [source]: new MediaStream([track]) } });
    await peer.setVideo(source, track);
    this.#publish();
  }

  /** A tile shows this in so many pixels of the screen; `null` when it is gone. */
  showTile(userId: Id, source: VideoSource, shown: Omit<Shown, "userId" | "source"> | null): void {
    this.#videos.show(videoKey(userId, source), shown === null ? null : { userId, source, ...shown });
    this.#showSoon();
  }

  /** What arrives in a video slot. */
  videoStream(slot: number): MediaStream | null {
    return this.#peer?.videoStream(slot) ?? null;
  }

  // What the main gateway says.

  onDispatch(dispatch: Dispatch): void {
    switch (dispatch.t) {
      case "READY":
        this.#me = dispatch.d.user.id;
        void this.#regions.refresh();
        this.#feed({ kind: "gateway", isNewSession: true });
        return;
      case "RESUMED":
        this.#feed({ kind: "gateway", isNewSession: false });
        return;
      case "VOICE_STATE_UPDATE": {
        const { d: state } = dispatch;
        if (state.user_id !== this.#me) return;
        if (state.session_id === this.#gateway.sessionId) this.#feed({ kind: "state", state });
        else if (state.channel_id !== null) this.#feed({ kind: "taken" });
        return;
      }
      case "VOICE_SERVER_UPDATE":
        this.#feed({ kind: "server", guildId: dispatch.d.guild_id, token: dispatch.d.token, endpoint: dispatch.d.endpoint });
        return;
      default:
      // Everything else is the reducer's.
    }
  }

  // What tests and the curious read.

  slots(): SlotView[] {
    return this.#slots.all().map(({ mid, ssrc, userId, isOn }) => {
      const level = this.#peer?.level(mid) ?? 0;
      return { mid, ssrc, userId, isOn, level, peak: Math.max(level, this.#peaks.get(mid) ?? 0) };
    });
  }

  microphoneLevel(): number {
    return this.#microphone?.meter.level() ?? 0;
  }

  async inbound(): Promise<InboundStats[]> {
    return (await this.#peer?.inbound()) ?? [];
  }

  async inboundVideos(): Promise<InboundVideo[]> {
    return (await this.#peer?.inboundVideos()) ?? [];
  }

  async outboundVideos(): Promise<OutboundVideo[]> {
    return (await this.#peer?.outboundVideos()) ?? [];
  }

  #feed(input: CallInput): void {
    for (const output of this.#call.handle(Date.now(), input)) this.#perform(output);
    clearTimeout(this.#callTimer);
    const due = this.#call.nextTimeout();
    if (due !== null) this.#callTimer = setTimeout(() => this.#feed({ kind: "tick" }), Math.max(0, due - Date.now()));
    const { status, place, failure } = this.#call;
    this.store.setState({ status, place, failure });
    if (status === "idle" || status === "failed") this.#closeMicrophone();
  }

  #perform(output: CallOutput): void {
    switch (output.kind) {
      case "place":
        // Without a ready session nothing is sent: the machine asks again at the next READY or RESUMED.
        this.#gateway.send(Op.voiceState, { ...output.request, region_rtts: this.#regions.rtts });
        return;
      case "connect":
        this.#connect(output.credentials);
        return;
      case "disconnect":
        this.#socket.feed({ kind: "stop" });
        this.#closePeer();
    }
  }

  #connect(credentials: Credentials): void {
    this.#closePeer();
    this.#socket.feed({ kind: "start", credentials });
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
        this.#slots.speaker(event.userId, event.ssrc, event.isOn);
        return;
      case "gone":
        this.#slots.gone(event.userId);
        this.#videos.gone(event.userId);
        this.#videosChanged();
        return;
      case "video":
        this.#videos.publishes(event.userId, event.sources);
        this.#videosChanged();
        return;
      case "filled":
        this.#videos.place(event.slots);
        this.#videosChanged();
        return;
      case "layers":
        this.#peer?.setLayers(event.layers);
        return;
      case "narrowed":
        this.#videos.narrow(event.slots);
        void this.#askStats();
        return;
      case "quality":
        this.store.setState({ quality: event.quality });
        return;
      case "ended":
        this.#feed({ kind: "ended", end: event.end });
        return;
      case "live":
      case "cut":
      // A cut socket repairs itself while audio flows.
    }
  }

  async #negotiate(iceServers: RTCIceServer[]): Promise<void> {
    const { isDeafened } = this.store.getState();
    const peer = new Peer(null, isDeafened, iceServers, (path) => this.#onPath(peer, path));
    this.#peer = peer;
    try {
      // The question for the microphone may stay open for long; the offer does not wait for it.
      void this.#openMicrophone(peer);
      const sdp = await peer.offer();
      const payloadType = opusPayloadType(sdp);
      if (this.#peer !== peer || payloadType === null) return;
      this.#socket.feed({ kind: "offer", sdp, opusPayloadType: payloadType, connectionId: connectionId() });
    } catch {
      if (this.#peer === peer) this.#feed({ kind: "silent" });
    }
  }

  async #accept(sdp: string): Promise<void> {
    const peer = this.#peer;
    if (peer === null) return;
    try {
      const slots = await peer.accept(sdp);
      if (this.#peer !== peer) return;
      this.#slots.open(slots);
      this.#meterTimer ??= setInterval(() => this.#measure(), METER_INTERVAL_MS);
    } catch {
      if (this.#peer === peer) this.#feed({ kind: "silent" });
    }
  }

  #onPath(peer: Peer, path: PathState): void {
    if (this.#peer !== peer) return;
    clearTimeout(this.#interruptedTimer);
    if (path === "connected") this.#feed({ kind: "audio" });
    else if (path === "failed") this.#feed({ kind: "silent" });
    else if (path === "interrupted") this.#interruptedTimer = setTimeout(() => this.#feed({ kind: "silent" }), INTERRUPTED_MS);
  }

  #closePeer(): void {
    clearTimeout(this.#interruptedTimer);
    clearInterval(this.#meterTimer);
    this.#meterTimer = undefined;
    this.#peer?.close();
    this.#peer = null;
    this.#slots.clear();
    this.#videos.clear();
    clearTimeout(this.#showTimer);
    clearInterval(this.#statsTimer);
    this.#statsTimer = undefined;
    for (const stream of Object.values(this.store.getState().own)) for (const track of stream?.getTracks() ?? []) track.stop();
    const wasFilming = this.store.getState().own.camera !== null;
    this.store.setState(NO_VIDEO);
    // After this step of the machine, which may be what closes the connection.
    if (wasFilming) queueMicrotask(() => this.#feed({ kind: "film", isFilming: this.store.getState().own.camera !== null }));
    this.#slotActivity.clear();
    this.#peaks.clear();
    this.#ownActivity = new Activity();
    this.store.setState({ speaking: {} });
  }

  /** `of`: only if that is still what is shown. */
  #stopVideo(source: VideoSource, of?: MediaStreamTrack): void {
    const { own } = this.store.getState();
    const track = own[source]?.getTracks()[0];
    if (track === undefined || (of !== undefined && of !== track)) return;
    track.stop();
    void this.#peer?.setVideo(source, null);
    this.store.setState({ own: { ...own, [source]: null } });
    this.#publish();
  }

  #publish(): void {
    const { own } = this.store.getState();
    this.#socket.feed({ kind: "publish", published: { camera: own.camera !== null, screen: own.screen !== null } });
    this.#feed({ kind: "film", isFilming: own.camera !== null });
    this.store.setState({ limit: null });
    this.#statsWhileNeeded();
  }

  /** Statistics cost the browser some work, so they are asked for only while there is video. */
  #statsWhileNeeded(): void {
    const { own, videos } = this.store.getState();
    const isNeeded = own.camera !== null || own.screen !== null || Object.keys(videos).length > 0;
    if (isNeeded) this.#statsTimer ??= setInterval(() => void this.#askStats(), STATS_INTERVAL_MS);
    else {
      clearInterval(this.#statsTimer);
      this.#statsTimer = undefined;
    }
  }

  async #askStats(): Promise<void> {
    const peer = this.#peer;
    if (peer === null) return;
    const { own } = this.store.getState();
    const isSending = own.camera !== null || own.screen !== null;
    const [sent, received] = await Promise.all([isSending ? peer.outboundVideos() : [], peer.inboundVideos()]);
    if (this.#peer !== peer) return;
    const limit = sent.find((video) => video.isActive && video.limit !== null)?.limit ?? null;
    const grades = this.#videos.grades(received);
    const before = this.store.getState();
    const isNews = limit !== before.limit || JSON.stringify(grades) !== JSON.stringify(before.grades);
    if (isNews) this.store.setState({ limit, grades });
  }

  #videosChanged(): void {
    this.store.setState({ videos: this.#videos.published(), videoSlots: this.#videos.filled() });
    this.#statsWhileNeeded();
    this.#showSoon();
  }

  #showSoon(): void {
    clearTimeout(this.#showTimer);
    this.#showTimer = setTimeout(() => this.#socket.feed({ kind: "show", slots: this.#videos.wanted() }), SHOW_DELAY_MS);
  }

  #setMutes(mutes: Mutes): void {
    this.store.setState(mutes);
    this.#applyMute();
    this.#peer?.setDeafened(mutes.isDeafened);
    this.#feed({ kind: "mutes", mutes });
  }

  #applyMute(): void {
    const { isMuted, isDeafened } = this.store.getState();
    if (this.#microphone !== null) this.#microphone.track.enabled = !isMuted && !isDeafened;
  }

  async #openMicrophone(peer: Peer): Promise<void> {
    const isProcessed = this.store.getState().isProcessed;
    const track = await openMicrophone(isProcessed);
    if (this.#peer !== peer) {
      if (typeof track !== "string") track.stop();
      return;
    }
    this.#closeMicrophone();
    if (typeof track === "string") {
      this.store.setState({ microphoneProblem: track });
      return;
    }
    this.#microphone = { track, meter: meter(track) };
    this.store.setState({ microphoneProblem: null });
    this.#applyMute();
    track.addEventListener("ended", () => this.store.setState({ microphoneProblem: "The microphone was unplugged or taken away." }));
    await peer.setMicrophone(track);
  }

  #closeMicrophone(): void {
    this.#microphone?.meter.stop();
    this.#microphone?.track.stop();
    this.#microphone = null;
  }

  #measure(): void {
    const now = Date.now();
    const speaking: Record<Id, true> = {};
    for (const slot of this.#slots.all()) {
      if (slot.ssrc === null) {
        const ssrc = this.#peer?.ssrc(slot.mid) ?? null;
        if (ssrc !== null) this.#slots.learn(slot.mid, ssrc);
      }
      const level = this.#peer?.level(slot.mid) ?? 0;
      this.#peaks.set(slot.mid, Math.max(level, this.#peaks.get(slot.mid) ?? 0));
      const isLoud = this.#activity(slot.mid).update(now, level);
      // While the browser holds the audio context back the meter reads nothing, and the server's word has to do.
      if (slot.userId !== null && slot.isOn && (isLoud || !isAudioRunning())) speaking[slot.userId] = true;
    }
    const wasOn = this.#ownActivity.isOn;
    const isOn = this.#ownActivity.update(now, this.#microphone?.track.enabled === true ? this.#microphone.meter.level() : 0);
    if (isOn !== wasOn) this.#socket.feed({ kind: "speaking", isOn });
    if (isOn && this.#me !== null) speaking[this.#me] = true;
    const before = this.store.getState().speaking;
    const users = Object.keys(speaking);
    if (users.length !== Object.keys(before).length || users.some((user) => before[user] === undefined)) this.store.setState({ speaking });
  }

  #activity(mid: string): Activity {
    let activity = this.#slotActivity.get(mid);
    if (activity === undefined) {
      activity = new Activity();
      this.#slotActivity.set(mid, activity);
    }
    return activity;
  }
}

/** A random id for the node's logs; not `randomUUID`, which pages opened over plain HTTP do not have. */
function connectionId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
