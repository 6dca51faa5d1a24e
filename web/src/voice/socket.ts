// The shell around VoiceSession: its WebSocket, clock and timer.

import type { VoiceFrame } from "./protocol";
import { VOICE_VERSION } from "./protocol";
import { type VoiceInput, type VoiceOutput, VoiceSession } from "./session";

/** Outputs that are not about the socket itself. */
export type VoiceEvent = Exclude<VoiceOutput, { kind: "open" | "send" | "close" }>;

export class VoiceSocket {
  readonly #session = new VoiceSession(Math.random);
  readonly #onEvent: (event: VoiceEvent) => void;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onEvent: (event: VoiceEvent) => void) {
    this.#onEvent = onEvent;
  }

  feed(input: VoiceInput): void {
    for (const output of this.#session.handle(Date.now(), input)) this.#perform(output);
    clearTimeout(this.#timer);
    const due = this.#session.nextTimeout();
    if (due !== null) this.#timer = setTimeout(() => this.feed({ kind: "tick" }), Math.max(0, due - Date.now()));
  }

  #perform(output: VoiceOutput): void {
    if (output.kind === "open") this.#open(output.endpoint);
    else if (output.kind === "close") this.#detach()?.close(output.code);
    else if (output.kind === "send") {
      if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(output.frame));
    } else this.#onEvent(output);
  }

  #open(endpoint: string): void {
    this.#detach()?.close();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${endpoint}/?v=${VOICE_VERSION}`);
    this.#socket = socket;
    socket.addEventListener("message", (event) => {
      // Binary frames belong to end-to-end encryption, which this page does not offer.
      if (this.#socket !== socket || typeof event.data !== "string") return;
      const frame = parse(event.data);
      if (frame !== null) this.feed({ kind: "frame", frame });
    });
    socket.addEventListener("close", (event) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.feed({ kind: "closed", code: event.code });
    });
  }

  #detach(): WebSocket | null {
    const socket = this.#socket;
    this.#socket = null;
    return socket;
  }
}

function parse(text: string): VoiceFrame | null {
  try {
    return JSON.parse(text) as VoiceFrame;
  } catch {
    return null;
  }
}
