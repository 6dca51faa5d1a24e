// Composes voice: the Call machine, the connections to voice nodes, the microphone, the camera and the screen. It owns the
// resources and passes facts between them; the decisions are the machines'.

import { createStore } from "zustand/vanilla";
import type { Id } from "../api/types";
import { type Dispatch, Op } from "../gateway/protocol";
import { Activity } from "./activity";
import { isAudioRunning, type Meter, meter, openMicrophone, unlockAudio } from "./audio";
import { Call, type CallInput, type CallOutput, type CallStatus, type Mutes, type Place } from "./call";
import { type Codec, type CodecChoice, isCodec } from "./codecs";
import { openCamera, openScreen } from "./camera";
import { Handover } from "./handover";
import { Leg, type LegEvent, type Lent, type SlotView, type SoundView } from "./leg";
import type { InboundStats, InboundVideo, OutboundVideo } from "./peer";
import type { Credentials, VideoSource } from "./protocol";
import type { Grade, Limit, Quality } from "./quality";
import type { Regions } from "./regions";
import { type Picture, type Shown, type VideoKey, together, videoKey } from "./videos";

/** How often levels are measured: quicker than a syllable, and 16 times a second costs nothing to speak of. */
const METER_INTERVAL_MS = 60;
/** How long tiles may move before the server hears of it: a window that is being resized says nothing worth hearing. */
const SHOW_DELAY_MS = 120;
/** How often the browser is asked what holds its encoders back, and how large what it decodes is. */
const STATS_INTERVAL_MS = 2_000;

export interface VoiceView {
  status: CallStatus;
  place: Place | null;
  /** Why the last attempt failed. */
  failure: string | null;
  isMuted: boolean;
  isDeafened: boolean;
  /** Whether the browser's echo, noise and gain processing is on. */
  isProcessed: boolean;
  /** What this page's videos are to be sent in, and what is sent instead where not everybody can show that. */
  codec: CodecChoice;
  codecInstead: Codec | null;
  /** Why nobody hears this user; `null` when the microphone works. */
  microphoneProblem: string | null;
  /** Who is heard right now, this user included. */
  speaking: Readonly<Record<Id, true>>;
  /** What the others publish. */
  videos: Readonly<Record<Id, readonly VideoSource[]>>;
  /** The shown videos that arrive. */
  pictures: Readonly<Record<VideoKey, Picture>>;
  /** Whose screens are heard, and how loud: 0..1. */
  sounds: Readonly<Record<Id, number>>;
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

const NO_VIDEO = { videos: {}, pictures: {}, sounds: {}, grades: {}, own: { camera: null, screen: null }, quality: null, limit: null } as const;

interface Gateway {
  send(op: number, d: unknown): boolean;
  readonly sessionId: string | null;
}

const PROCESSING_KEY = "guildhall.microphone.processing";
const CODEC_KEY = "guildhall.video.codec";

function keptCodec(): CodecChoice {
  const kept = localStorage.getItem(CODEC_KEY);
  return isCodec(kept) ? kept : "automatic";
}

export class VoiceEngine {
  readonly store = createStore<VoiceView>()(() => ({
    status: "idle",
    place: null,
    failure: null,
    isMuted: false,
    isDeafened: false,
    isProcessed: localStorage.getItem(PROCESSING_KEY) !== "off",
    codec: keptCodec(),
    codecInstead: null,
    microphoneProblem: null,
    speaking: {},
    videoProblem: null,
    ...NO_VIDEO,
  }));
  readonly #gateway: Gateway;
  readonly #regions: Regions;
  readonly #call = new Call(Math.random);
  #me: Id | null = null;
  /** The present connection. */
  #leg: Leg | null = null;
  /** While the room moves: the next one, and after the switch the former one. */
  #beside: Leg | null = null;
  #legs = 0;
  /** Who is heard by which of the two. */
  #handover = new Handover();
  readonly #shown = new Map<VideoKey, Shown>();
  /** How loud people's screens are to be, where somebody said so; for as long as the page is open. */
  readonly #volumes = new Map<Id, number>();
  #microphone: { track: MediaStreamTrack; meter: Meter } | null = null;
  /** The last question for the microphone; answers to those before it are too late. */
  #asked = 0;
  /** Stays in calls: a camera that opens after the end of its own is turned off. */
  #stays = 0;
  #ownActivity = new Activity();
  #callTimer: ReturnType<typeof setTimeout> | undefined;
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
    if (this.#leg !== null || this.#microphone !== null) await this.#openMicrophone();
  }

  /** Whoever cannot show it makes that another codec is sent as long as they are there. */
  chooseCodec(codec: CodecChoice): void {
    localStorage.setItem(CODEC_KEY, codec);
    this.store.setState({ codec });
    for (const leg of this.#newestFirst()) leg.chooseCodec();
    this.#codecChanged();
  }

  #codecChanged(): void {
    this.store.setState({ codecInstead: this.#leg?.insteadOf(this.store.getState().codec) ?? null });
  }

  /** Turns the camera or the sharing of the screen on or off. */
  async setVideo(source: VideoSource, isOn: boolean): Promise<void> {
    const stay = this.#stays;
    if (!isOn || this.#leg === null) {
      this.#stopVideo(source);
      return;
    }
    if (this.store.getState().own[source] !== null) return;
    const stream = source === "camera" ? await openCamera() : await openScreen();
    if (stream === null) return;
    if (typeof stream === "string") {
      this.store.setState({ videoProblem: stream });
      return;
    }
    if (this.#stays !== stay) {
      stop(stream);
      return;
    }
    const { track, sound } = tracks(stream);
    // The browser's own bar ends a shared screen, and pulling the plug a camera.
    track?.addEventListener("ended", () => this.#stopVideo(source, stream));
    this.store.setState({ videoProblem: null, own: { ...this.store.getState().own, [source]: stream } });
    for (const leg of this.#newestFirst()) {
      leg.setVideo(source, track);
      if (source === "screen") leg.setSound(sound);
    }
    this.#publish();
  }

  /** How loud somebody's screen is, 0..1. */
  setVolume(userId: Id, volume: number): void {
    this.#volumes.set(userId, volume);
    this.#soundsChanged();
  }

  /** A tile shows this in so many pixels of the screen; `null` when it is gone. */
  showTile(userId: Id, source: VideoSource, shown: Omit<Shown, "userId" | "source"> | null): void {
    const key = videoKey(userId, source);
    const each = shown === null ? null : { userId, source, ...shown };
    if (each === null) this.#shown.delete(key);
    else this.#shown.set(key, each);
    for (const leg of this.#newestFirst()) leg.show(key, each);
    this.#showSoon();
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

  /** The slots that are played. */
  slots(): SlotView[] {
    return this.#newestFirst().flatMap((leg) => leg.heard());
  }

  /** The screens that are heard, by the connection that plays them. */
  sounds(): SoundView[] {
    const all = this.#newestFirst().flatMap((leg) => leg.sounds());
    return all.filter(({ userId }, index) => all.findIndex((each) => each.userId === userId) === index);
  }

  /** In which slot of the present connection each of the shown videos arrives. */
  videoSlots(): Record<VideoKey, number> {
    return this.#leg?.filled() ?? {};
  }

  microphoneLevel(): number {
    return this.#microphone?.meter.level() ?? 0;
  }

  async inbound(): Promise<InboundStats[]> {
    return (await this.#leg?.inbound()) ?? [];
  }

  async inboundVideos(): Promise<InboundVideo[]> {
    return (await this.#leg?.inboundVideos()) ?? [];
  }

  async outboundVideos(): Promise<OutboundVideo[]> {
    return (await this.#leg?.outboundVideos()) ?? [];
  }

  #feed(input: CallInput): void {
    for (const output of this.#call.handle(Date.now(), input)) this.#perform(output);
    clearTimeout(this.#callTimer);
    const due = this.#call.nextTimeout();
    if (due !== null) this.#callTimer = setTimeout(() => this.#feed({ kind: "tick" }), Math.max(0, due - Date.now()));
    const { status, place, failure } = this.#call;
    this.store.setState({ status, place, failure });
    if (status === "idle" || status === "failed") {
      this.#asked += 1;
      this.#closeMicrophone();
    }
  }

  #perform(output: CallOutput): void {
    switch (output.kind) {
      case "place":
        // Without a ready session nothing is sent: the machine asks again at the next READY or RESUMED.
        this.#gateway.send(Op.voiceState, { ...output.request, region_rtts: this.#regions.rtts });
        return;
      case "connect":
        this.#connect(output.credentials, output.isBeside);
        return;
      case "switch":
        [this.#leg, this.#beside] = [this.#beside, this.#leg];
        this.#beside?.retire();
        this.#legsChanged();
        return;
      case "part":
        this.#beside?.close();
        this.#beside = null;
        this.#legsChanged();
        return;
      case "disconnect":
        this.#disconnect();
    }
  }

  #connect(credentials: Credentials, isBeside: boolean): void {
    if (isBeside) this.#beside?.close();
    else this.#disconnect();
    this.#legs += 1;
    const leg: Leg = new Leg(this.#legs, credentials, this.#shown, () => this.#lent(), (event) => this.#onLeg(leg, event));
    if (isBeside) {
      this.#beside = leg;
      this.#handover = new Handover();
    } else this.#leg = leg;
  }

  #lent(): Lent {
    const { isDeafened, own, codec } = this.store.getState();
    const screen = tracks(own.screen);
    const videos = { camera: tracks(own.camera).track, screen: screen.track };
    const microphone = this.#microphone?.track ?? null;
    return { isDeafened, isSpeaking: this.#ownActivity.isOn, microphone, videos, sound: screen.sound, codec };
  }

  #newestFirst(): Leg[] {
    return [this.#leg, this.#beside].filter((leg) => leg !== null).toSorted((a, b) => b.number - a.number);
  }

  #onLeg(leg: Leg, event: LegEvent): void {
    const isBeside = leg === this.#beside;
    switch (event.kind) {
      case "admitted":
        if (this.#microphone?.track.readyState !== "live") void this.#openMicrophone();
        return;
      case "open":
        this.#meterTimer ??= setInterval(() => this.#measure(), METER_INTERVAL_MS);
        // What arrives beside the present connection is not to be heard twice, not even for a moment.
        this.#measure();
        return;
      case "audio":
      case "silent":
        this.#feed({ kind: event.kind, isBeside });
        return;
      case "ended":
        this.#feed({ kind: "ended", end: event.end, isBeside });
        return;
      case "videos":
        this.#videosChanged();
        return;
      case "sounds":
        this.#soundsChanged();
        return;
      case "codecs":
        this.#codecChanged();
        return;
      case "narrowed":
        if (!isBeside) void this.#askStats();
        return;
      case "quality":
        if (!isBeside) this.store.setState({ quality: event.quality });
    }
  }

  /** Another connection is the present one, or there is one less. */
  #legsChanged(): void {
    this.#measure();
    this.#videosChanged();
    this.#soundsChanged();
    this.#codecChanged();
  }

  #disconnect(): void {
    this.#stays += 1;
    for (const leg of this.#newestFirst()) leg.close();
    this.#leg = null;
    this.#beside = null;
    clearInterval(this.#meterTimer);
    this.#meterTimer = undefined;
    clearTimeout(this.#showTimer);
    clearInterval(this.#statsTimer);
    this.#statsTimer = undefined;
    for (const stream of Object.values(this.store.getState().own)) stop(stream);
    const wasFilming = this.store.getState().own.camera !== null;
    this.store.setState(NO_VIDEO);
    // After this step of the machine, which may be what closes the connection.
    if (wasFilming) queueMicrotask(() => this.#feed({ kind: "film", isFilming: this.store.getState().own.camera !== null }));
    this.#ownActivity = new Activity();
    this.store.setState({ speaking: {} });
  }

  /** `of`: only if that is still what is shown. */
  #stopVideo(source: VideoSource, of?: MediaStream): void {
    const { own } = this.store.getState();
    const stream = own[source];
    if (stream === null || (of !== undefined && of !== stream)) return;
    stop(stream);
    for (const leg of this.#newestFirst()) {
      leg.setVideo(source, null);
      if (source === "screen") leg.setSound(null);
    }
    this.store.setState({ own: { ...own, [source]: null } });
    this.#publish();
  }

  #publish(): void {
    const { own } = this.store.getState();
    const published = { camera: own.camera !== null, screen: own.screen !== null };
    for (const leg of this.#newestFirst()) leg.publish(published);
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
    const leg = this.#leg;
    if (leg === null) return;
    const { own } = this.store.getState();
    const isSending = own.camera !== null || own.screen !== null;
    const [sent, received] = await Promise.all([isSending ? leg.outboundVideos() : [], leg.inboundVideos()]);
    if (this.#leg !== leg) return;
    const limit = sent.find((video) => video.isActive && video.limit !== null)?.limit ?? null;
    const grades = leg.grades(received);
    const before = this.store.getState();
    const isNews = limit !== before.limit || JSON.stringify(grades) !== JSON.stringify(before.grades);
    if (isNews) this.store.setState({ limit, grades });
  }

  #videosChanged(): void {
    const legs = this.#newestFirst();
    this.store.setState({ videos: together(legs.map((leg) => leg.published())), pictures: pictures(legs) });
    this.#statsWhileNeeded();
    this.#showSoon();
  }

  /** A screen is heard by the newest connection that has its sound: while a room moves it comes by both. */
  #soundsChanged(): void {
    const sounds: Record<Id, number> = {};
    for (const leg of this.#newestFirst()) {
      const heard = leg.sounds().filter(({ userId }) => sounds[userId] === undefined);
      for (const { userId } of heard) sounds[userId] = this.#volumes.get(userId) ?? 1;
      leg.setVolumes(new Map(heard.map(({ mid, userId }) => [mid, sounds[userId] ?? 0])));
    }
    this.store.setState({ sounds });
  }

  #showSoon(): void {
    clearTimeout(this.#showTimer);
    this.#showTimer = setTimeout(() => this.#newestFirst().forEach((leg) => leg.sayShown()), SHOW_DELAY_MS);
  }

  #setMutes(mutes: Mutes): void {
    this.store.setState(mutes);
    this.#applyMute();
    for (const leg of this.#newestFirst()) leg.setDeafened(mutes.isDeafened);
    this.#feed({ kind: "mutes", mutes });
  }

  #applyMute(): void {
    const { isMuted, isDeafened } = this.store.getState();
    if (this.#microphone !== null) this.#microphone.track.enabled = !isMuted && !isDeafened;
  }

  async #openMicrophone(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const track = await openMicrophone(this.store.getState().isProcessed);
    if (this.#asked !== asked) {
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
    for (const leg of this.#newestFirst()) leg.setMicrophone(track);
  }

  #closeMicrophone(): void {
    this.#microphone?.meter.stop();
    this.#microphone?.track.stop();
    this.#microphone = null;
  }

  #measure(): void {
    const now = Date.now();
    const speaking: Record<Id, true> = {};
    const [newer, older] = this.#newestFirst();
    newer?.measure(now);
    older?.measure(now);
    const hushed = older === undefined ? undefined : this.#handover.update(older.slots(), newer?.slots() ?? []);
    newer?.hush(hushed?.newer ?? new Set());
    older?.hush(hushed?.older ?? new Set());
    for (const slot of this.slots()) {
      // While the browser holds the audio context back the meter reads nothing, and the server's word has to do.
      if (slot.userId !== null && slot.isOn && (slot.isLoud || !isAudioRunning())) speaking[slot.userId] = true;
    }
    const wasOn = this.#ownActivity.isOn;
    const isOn = this.#ownActivity.update(now, this.#microphone?.track.enabled === true ? this.#microphone.meter.level() : 0);
    if (isOn !== wasOn) for (const leg of this.#newestFirst()) leg.speak(isOn);
    if (isOn && this.#me !== null) speaking[this.#me] = true;
    const before = this.store.getState().speaking;
    const users = Object.keys(speaking);
    if (users.length !== Object.keys(before).length || users.some((user) => before[user] === undefined)) this.store.setState({ speaking });
  }
}

function tracks(stream: MediaStream | null): { track: MediaStreamTrack | null; sound: MediaStreamTrack | null } {
  return { track: stream?.getVideoTracks()[0] ?? null, sound: stream?.getAudioTracks()[0] ?? null };
}

function stop(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** By the newest connection that has it. */
function pictures(newestFirst: readonly Leg[]): Record<VideoKey, Picture> {
  const found: Record<VideoKey, Picture> = {};
  for (const leg of newestFirst.toReversed()) {
    for (const [key, slot] of Object.entries(leg.filled()) as [VideoKey, number][]) {
      const stream = leg.videoStream(slot);
      if (stream !== null) found[key] = { stream, leg: leg.number };
    }
  }
  return found;
}
