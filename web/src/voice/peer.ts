// The RTCPeerConnection shell: a microphone, a camera and a screen that may be sent, and a fixed number of receiving sections
// of each kind, negotiated exactly once. Each audio slot plays through an element of its own and is measured beside it; the
// video slots are streams that tiles show.

import { type Meter, meter } from "./audio";
import { CAMERA_LAYERS, SCREEN_LAYERS } from "./camera";
import type { LayersPayload, VideoSource } from "./protocol";
import type { Limit } from "./quality";
import { type AnswerSlot, answerSlots } from "./sdp";
import { VIDEO_SLOTS } from "./videos";

/** Receive slots in the offer: the server forwards the loudest few speakers, and the person hears at most these at once. */
export const RECEIVE_SLOTS = 4;

export type PathState = "connecting" | "connected" | "interrupted" | "failed";

interface Receiver {
  mid: string;
  receiver: RTCRtpReceiver;
  element: HTMLAudioElement;
  meter: Meter;
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
  isActive: boolean;
  packetsSent: number;
  frameWidth: number;
  frameHeight: number;
  limit: Limit;
}

/** VP8, the H.264 that every browser decodes, and retransmissions. */
function forwardedCodecs(): RTCRtpCodec[] {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  return codecs.filter(({ mimeType, sdpFmtpLine = "" }) => {
    const codec = mimeType.toLowerCase();
    if (codec === "video/h264") return sdpFmtpLine.includes("packetization-mode=1") && sdpFmtpLine.includes("profile-level-id=42e0");
    return codec === "video/vp8" || codec === "video/rtx";
  });
}

export class Peer {
  readonly #connection: RTCPeerConnection;
  readonly #sender: RTCRtpSender;
  readonly #videos: Record<VideoSource, RTCRtpSender>;
  readonly #videoSlots: { transceiver: RTCRtpTransceiver; stream: MediaStream }[] = [];
  #receivers: Receiver[] = [];
  #isDeafened: boolean;
  #hushed: ReadonlySet<string> = new Set();
  /** Parameters are changed one after the other: each change must begin with what the one before left. */
  #layers: Promise<void> = Promise.resolve();

  constructor(isDeafened: boolean, iceServers: RTCIceServer[], onPath: (path: PathState) => void) {
    this.#connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    this.#isDeafened = isDeafened;
    this.#sender = this.#connection.addTransceiver("audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < RECEIVE_SLOTS; slot += 1) this.#connection.addTransceiver("audio", { direction: "recvonly" });
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
    await this.#connection.setLocalDescription(await this.#connection.createOffer());
    const sdp = this.#connection.localDescription?.sdp;
    if (sdp === undefined) throw new Error("the browser made no offer");
    return sdp;
  }

  async accept(answer: string): Promise<AnswerSlot[]> {
    await this.#connection.setRemoteDescription({ type: "answer", sdp: answer });
    const slots = answerSlots(answer);
    for (const { mid } of slots) {
      const transceiver = this.#connection.getTransceivers().find((each) => each.mid === mid);
      if (transceiver === undefined) continue;
      const { receiver } = transceiver;
      // Chrome decodes a remote track only while an element plays it; without one the meter reads silence.
      const element = document.createElement("audio");
      element.autoplay = true;
      element.muted = this.#isDeafened || this.#hushed.has(mid);
      element.srcObject = new MediaStream([receiver.track]);
      element.dataset["slot"] = mid;
      element.hidden = true;
      document.body.append(element);
      void element.play().catch(() => undefined);
      this.#receivers.push({ mid, receiver, element, meter: meter(receiver.track) });
    }
    return slots;
  }

  /** Swaps the microphone without negotiating again. */
  async setMicrophone(track: MediaStreamTrack | null): Promise<void> {
    await this.#sender.replaceTrack(track);
  }

  /** Shows something else, or nothing, without negotiating again. */
  async setVideo(source: VideoSource, track: MediaStreamTrack | null): Promise<void> {
    await this.#videos[source].replaceTrack(track);
  }

  /** Sends only the encodings that somebody looks at. */
  setLayers({ source, layers }: LayersPayload): void {
    const sender = this.#videos[source];
    const change = async () => {
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings) {
        const wanted = layers.find((layer) => layer.rid === (encoding.rid ?? "")) ?? (layers.length === 1 ? layers[0] : undefined);
        if (wanted !== undefined) encoding.active = wanted.active;
      }
      await sender.setParameters(parameters);
    };
    this.#layers = this.#layers.then(change).catch(() => undefined);
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

  #applyMute(): void {
    for (const { mid, element } of this.#receivers) {
      const isMuted = this.#isDeafened || this.#hushed.has(mid);
      if (element.muted !== isMuted) element.muted = isMuted;
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
