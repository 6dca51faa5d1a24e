// The RTCPeerConnection shell: one sending audio section, a fixed number of receiving ones, negotiated exactly once. Each
// receiving slot plays through an audio element of its own and is measured beside it.

import { type Meter, meter } from "./audio";
import { type AnswerSlot, answerSlots } from "./sdp";

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

export class Peer {
  readonly #connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  readonly #sender: RTCRtpSender;
  #receivers: Receiver[] = [];
  #isDeafened: boolean;

  constructor(microphone: MediaStreamTrack | null, isDeafened: boolean, onPath: (path: PathState) => void) {
    this.#isDeafened = isDeafened;
    this.#sender = this.#connection.addTransceiver(microphone ?? "audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < RECEIVE_SLOTS; slot += 1) this.#connection.addTransceiver("audio", { direction: "recvonly" });
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
      element.muted = this.#isDeafened;
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

  setDeafened(isDeafened: boolean): void {
    this.#isDeafened = isDeafened;
    for (const { element } of this.#receivers) element.muted = isDeafened;
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
