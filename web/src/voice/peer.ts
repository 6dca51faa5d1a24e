// The RTCPeerConnection shell: a microphone, a camera and a screen with its sound that may be sent, and a fixed number of receiving sections
// of each kind, negotiated exactly once. Each slot for voices or sounds plays through an element of its own and is measured beside it; the
// video slots are streams that tiles show.

import { type Meter, meter } from "./audio";
import { CAMERA_LAYERS, SCREEN_LAYERS } from "./camera";
import { changes, CODECS, type Codec, isCodec } from "./codecs";
import type { LayersPayload, VideoSource } from "./protocol";
import type { Limit } from "./quality";
import { type AnswerSlot, answerSlots, withRepeats, withSounds, withStereo } from "./sdp";
import { VIDEO_SLOTS } from "./videos";

/** Receive slots in the offer: the server forwards the loudest few speakers, and the person hears at most these at once. */
export const RECEIVE_SLOTS = 4;

/** Screens that are heard at a time. */
export const SOUND_SLOTS = 2;

/** What a camera is asked for, until it says what it is. */
const CAMERA_SIZE = { width: 1280, height: 720 };

export type PathState = "connecting" | "connected" | "interrupted" | "failed";

interface Receiver {
  mid: string;
  receiver: RTCRtpReceiver;
  element: HTMLAudioElement;
  meter: Meter;
  isSound: boolean;
}

export interface InboundStats {
  mid: string;
  ssrc: number;
  packetsReceived: number;
  packetsLost: number;
  audioLevel: number;
  totalAudioEnergy: number;
}

/** A receiving video slot as getStats has it. */
export interface InboundVideo {
  slot: number;
  packetsReceived: number;
  packetsLost: number;
  framesDecoded: number;
  frameWidth: number;
  frameHeight: number;
  freezeCount: number;
  totalFreezesDuration: number;
}

/** One encoding that is sent. */
export interface OutboundVideo {
  source: VideoSource;
  rid: string;
  /** As SDP names it. */
  codec: string;
  isActive: boolean;
  packetsSent: number;
  frameWidth: number;
  frameHeight: number;
  limit: Limit;
}

/** Whether every browser that knows a codec decodes this form of it; and retransmissions. */
function isCommon({ mimeType, sdpFmtpLine = "" }: RTCRtpCodec): boolean {
  const codec = mimeType.toLowerCase();
  if (codec === "video/h264") return sdpFmtpLine.includes("packetization-mode=1") && sdpFmtpLine.includes("profile-level-id=42e0");
  if (codec === "video/vp9") return sdpFmtpLine === "" || sdpFmtpLine.includes("profile-id=0");
  if (codec === "video/av1") return !sdpFmtpLine.includes("profile=") || sdpFmtpLine.includes("profile=0");
  return codec === "video/vp8" || codec === "video/rtx";
}

function rank({ mimeType }: RTCRtpCodec): number {
  return [...CODECS, "rtx"].indexOf(mimeType.slice("video/".length));
}

/** What the server forwards, the most common first. */
function forwardedCodecs(): RTCRtpCodec[] {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  return codecs.filter(isCommon).toSorted((one, other) => rank(one) - rank(other));
}

function nameOf(codec: RTCRtpCodec | undefined): Codec | null {
  const name = codec?.mimeType.slice("video/".length).toUpperCase();
  return isCodec(name) ? name : null;
}

/** Whether this browser changes its codec in a call that goes on; found out when it is first asked to. */
type ChangesCodec = boolean | null;

export class Peer {
  readonly #connection: RTCPeerConnection;
  readonly #sender: RTCRtpSender;
  readonly #videos: Record<VideoSource, RTCRtpSender>;
  /** What of them is wanted, and the codec that they are sent in; `null`: what was negotiated. */
  readonly #wanted: Record<VideoSource, LayersPayload | null> = { camera: null, screen: null };
  #codec: Codec | null = null;
  #changesCodec: ChangesCodec = null;
  readonly #sound: RTCRtpSender;
  /** The sections for voices and for sounds, by their place in the offer. */
  readonly #voiceSections: ReadonlySet<number> = new Set(Array.from({ length: RECEIVE_SLOTS }, (_, index) => 1 + index));
  readonly #soundSections: ReadonlySet<number>;
  readonly #videoSlots: { transceiver: RTCRtpTransceiver; stream: MediaStream }[] = [];
  #receivers: Receiver[] = [];
  #isDeafened: boolean;
  #hushed: ReadonlySet<string> = new Set();
  /** How loud each slot for sounds is played, 0..1; one that is not named is not. */
  #volumes: ReadonlyMap<string, number> = new Map();
  /** Parameters are changed one after the other: each change must begin with what the one before left. */
  #layers: Promise<void> = Promise.resolve();

  constructor(isDeafened: boolean, iceServers: RTCIceServer[], onPath: (path: PathState) => void) {
    this.#connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    this.#isDeafened = isDeafened;
    this.#sender = this.#connection.addTransceiver("audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < RECEIVE_SLOTS; slot += 1) this.#connection.addTransceiver("audio", { direction: "recvonly" });
    const sounds = this.#connection.getTransceivers().length;
    this.#sound = this.#connection.addTransceiver("audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < SOUND_SLOTS; slot += 1) this.#connection.addTransceiver("audio", { direction: "recvonly" });
    this.#soundSections = new Set(Array.from({ length: 1 + SOUND_SLOTS }, (_, index) => sounds + index));
    const camera = this.#connection.addTransceiver("video", { direction: "sendonly", sendEncodings: CAMERA_LAYERS });
    const screen = this.#connection.addTransceiver("video", { direction: "sendonly", sendEncodings: SCREEN_LAYERS });
    this.#videos = { camera: camera.sender, screen: screen.sender };
    for (let slot = 0; slot < VIDEO_SLOTS; slot += 1) {
      const transceiver = this.#connection.addTransceiver("video", { direction: "recvonly" });
      this.#videoSlots.push({ transceiver, stream: new MediaStream([transceiver.receiver.track]) });
    }
    // Only what the server forwards: with everything that a browser knows the offer would be twice as long as a frame may be.
    const codecs = forwardedCodecs();
    for (const transceiver of this.#connection.getTransceivers()) {
      if (transceiver.receiver.track.kind === "video" && codecs.length > 0) transceiver.setCodecPreferences(codecs);
    }
    this.#connection.addEventListener("connectionstatechange", () => {
      const state = this.#connection.connectionState;
      if (state === "connected" || state === "failed") onPath(state);
      else if (state === "disconnected") onPath("interrupted");
    });
  }

  async offer(): Promise<string> {
    const { sdp: made = "" } = await this.#connection.createOffer();
    const asking = withRepeats(withStereo(made, this.#soundSections), this.#voiceSections);
    await this.#connection.setLocalDescription({ type: "offer", sdp: asking });
    const sdp = this.#connection.localDescription?.sdp;
    if (sdp === undefined) throw new Error("the browser made no offer");
    return withSounds(sdp, this.#soundSections);
  }

  async accept(answer: string): Promise<{ voices: AnswerSlot[]; sounds: AnswerSlot[] }> {
    await this.#connection.setRemoteDescription({ type: "answer", sdp: answer });
    const slots = answerSlots(answer);
    const soundMids = new Set(this.#connection.getTransceivers().flatMap(({ mid }, index) => (this.#soundSections.has(index) ? [mid] : [])));
    const sounds = slots.filter(({ mid }) => soundMids.has(mid));
    const voices = slots.filter(({ mid }) => !soundMids.has(mid));
    for (const { mid } of slots) {
      const transceiver = this.#connection.getTransceivers().find((each) => each.mid === mid);
      if (transceiver === undefined) continue;
      const { receiver } = transceiver;
      // Chrome decodes a remote track only while an element plays it; without one the meter reads silence.
      const element = document.createElement("audio");
      element.autoplay = true;
      element.muted = true;
      element.srcObject = new MediaStream([receiver.track]);
      element.dataset["slot"] = mid;
      element.dataset["kind"] = soundMids.has(mid) ? "sound" : "voice";
      element.hidden = true;
      document.body.append(element);
      void element.play().catch(() => undefined);
      this.#receivers.push({ mid, receiver, element, meter: meter(receiver.track), isSound: soundMids.has(mid) });
    }
    this.#applyMute();
    return { voices, sounds };
  }

  /** Swaps the microphone without negotiating again. */
  async setMicrophone(track: MediaStreamTrack | null): Promise<void> {
    await this.#sender.replaceTrack(track);
  }

  async setSound(track: MediaStreamTrack | null): Promise<void> {
    await this.#sound.replaceTrack(track);
  }

  /** Shows something else, or nothing, without negotiating again. */
  async setVideo(source: VideoSource, track: MediaStreamTrack | null): Promise<void> {
    await this.#videos[source].replaceTrack(track);
    // How many layers there are depends on its size.
    if (this.#codec !== null && track !== null) this.#change(source);
  }

  /** Sends only the encodings that somebody looks at. */
  setLayers(wanted: LayersPayload): void {
    this.#wanted[wanted.source] = wanted;
    this.#change(wanted.source);
  }

  /** What this browser can send. */
  ownCodecs(): Codec[] {
    if (this.#changesCodec === false) return [CODECS[0]];
    const able = new Set((RTCRtpSender.getCapabilities("video")?.codecs ?? []).map(nameOf));
    return CODECS.filter((codec) => able.has(codec));
  }

  /** Sends in another codec, without negotiating again; `null`: in what was negotiated. */
  setCodec(codec: Codec | null): void {
    // The first is what is sent anyway; browsers that cannot change it are not asked to.
    if (codec === this.#codec || (this.#codec === null && codec === CODECS[0])) return;
    this.#codec = codec;
    this.#change("camera");
    this.#change("screen");
  }

  /** What it is sent in, as far as this page changed it. */
  get codec(): Codec | null {
    return this.#changesCodec === false ? null : this.#codec;
  }

  #change(source: VideoSource): void {
    this.#layers = this.#layers.then(() => this.#apply(source)).catch(() => undefined);
  }

  async #apply(source: VideoSource): Promise<void> {
    const sender = this.#videos[source];
    const parameters = sender.getParameters();
    const codec = this.codec;
    const format = codec === null ? undefined : parameters.codecs.find((each) => nameOf(each) === codec);
    const { width = CAMERA_SIZE.width, height = CAMERA_SIZE.height } = sender.track?.getSettings() ?? {};
    const rids = parameters.encodings.map(({ rid = "" }) => rid);
    const changed = changes(source, format === undefined ? null : codec, rids, this.#wanted[source], { width, height });
    for (const [index, encoding] of parameters.encodings.entries()) {
      const of: RTCRtpEncodingParameters & { scalabilityMode?: string; codec?: RTCRtpCodec } = encoding;
      delete of.scalabilityMode;
      Object.assign(of, changed[index]);
      if (format !== undefined) of.codec = format;
      else delete of.codec;
    }
    try {
      await sender.setParameters(parameters);
    } catch (error) {
      if (format === undefined) throw error;
      this.#changesCodec = false;
    }
    if (format === undefined || this.#changesCodec !== null) {
      if (format !== undefined && this.#changesCodec === false) await this.#apply(source);
      return;
    }
    const [first]: (RTCRtpEncodingParameters & { codec?: RTCRtpCodec })[] = sender.getParameters().encodings;
    this.#changesCodec = nameOf(first?.codec) === codec;
    if (!this.#changesCodec) await this.#apply(source);
  }

  /** What arrives in a video slot. */
  videoStream(slot: number): MediaStream | null {
    return this.#videoSlots[slot]?.stream ?? null;
  }

  async inboundVideos(): Promise<InboundVideo[]> {
    const report = await this.#connection.getStats();
    const mids = this.#videoSlots.map(({ transceiver }) => transceiver.mid);
    const videos: InboundVideo[] = [];
    for (const entry of report.values() as Iterable<RTCInboundRtpStreamStats>) {
      const slot = mids.indexOf(entry.mid ?? null);
      if (entry.type !== "inbound-rtp" || entry.kind !== "video" || slot < 0) continue;
      videos.push({
        slot,
        packetsReceived: entry.packetsReceived ?? 0,
        packetsLost: entry.packetsLost ?? 0,
        framesDecoded: entry.framesDecoded ?? 0,
        frameWidth: entry.frameWidth ?? 0,
        frameHeight: entry.frameHeight ?? 0,
        freezeCount: entry.freezeCount ?? 0,
        totalFreezesDuration: entry.totalFreezesDuration ?? 0,
      });
    }
    return videos;
  }

  async outboundVideos(): Promise<OutboundVideo[]> {
    const videos: OutboundVideo[] = [];
    const asked = (["camera", "screen"] as const).map(async (source) => ({ source, report: await this.#videos[source].getStats() }));
    for (const { source, report } of await Promise.all(asked)) {
      const active = this.#videos[source].getParameters().encodings;
      for (const entry of report.values() as Iterable<RTCOutboundRtpStreamStats>) {
        if (entry.type !== "outbound-rtp") continue;
        const rid = entry.rid ?? "";
        const reason = entry.qualityLimitationReason;
        videos.push({
          source,
          rid,
          codec: nameOf(report.get(entry.codecId ?? "") as RTCRtpCodec | undefined) ?? "",
          isActive: active.find((encoding) => (encoding.rid ?? "") === rid)?.active ?? true,
          packetsSent: entry.packetsSent ?? 0,
          frameWidth: entry.frameWidth ?? 0,
          frameHeight: entry.frameHeight ?? 0,
          limit: reason === "cpu" || reason === "bandwidth" ? reason : null,
        });
      }
    }
    return videos;
  }

  setDeafened(isDeafened: boolean): void {
    this.#isDeafened = isDeafened;
    this.#applyMute();
  }

  /** Receives these slots without playing them. */
  hush(mids: ReadonlySet<string>): void {
    this.#hushed = mids;
    this.#applyMute();
  }

  setVolumes(volumes: ReadonlyMap<string, number>): void {
    this.#volumes = volumes;
    this.#applyMute();
  }

  #applyMute(): void {
    for (const { mid, element, isSound } of this.#receivers) {
      const volume = isSound ? (this.#volumes.get(mid) ?? 0) : this.#hushed.has(mid) ? 0 : 1;
      const isMuted = this.#isDeafened || volume === 0;
      if (element.muted !== isMuted) element.muted = isMuted;
      if (!isMuted && element.volume !== volume) element.volume = volume;
    }
  }

  level(mid: string): number {
    return this.#receivers.find((each) => each.mid === mid)?.meter.level() ?? 0;
  }

  /** The SSRC of the latest packets of a slot, for answers that do not name it. */
  ssrc(mid: string): number | null {
    return this.#receivers.find((each) => each.mid === mid)?.receiver.getSynchronizationSources()[0]?.source ?? null;
  }

  async inbound(): Promise<InboundStats[]> {
    const report = await this.#connection.getStats();
    const stats: InboundStats[] = [];
    for (const entry of report.values() as Iterable<RTCInboundRtpStreamStats>) {
      if (entry.type !== "inbound-rtp") continue;
      stats.push({
        mid: entry.mid ?? "",
        ssrc: entry.ssrc,
        packetsReceived: entry.packetsReceived ?? 0,
        packetsLost: entry.packetsLost ?? 0,
        audioLevel: entry.audioLevel ?? 0,
        totalAudioEnergy: entry.totalAudioEnergy ?? 0,
      });
    }
    return stats;
  }

  close(): void {
    for (const { element, meter: gauge } of this.#receivers) {
      gauge.stop();
      element.srcObject = null;
      element.remove();
    }
    this.#receivers = [];
    this.#connection.close();
  }
}
