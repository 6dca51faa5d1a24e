// The shell around GatewaySession: the WebSocket, the clock and the timer. It decides nothing.

import type { Dispatch, Frame } from "./protocol";
import { GatewaySession, type GatewayStatus, type Input, type Output } from "./session";

export interface GatewayEvents {
  dispatch(dispatch: Dispatch): void;
  status(status: GatewayStatus): void;
}

export class GatewayConnection {
  readonly #session = new GatewaySession(Math.random);
  readonly #events: GatewayEvents;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(events: GatewayEvents) {
    this.#events = events;
    window.addEventListener("online", () => this.#feed({ kind: "online" }));
  }

  get sessionId(): string | null {
    return this.#session.sessionId;
  }

  start(token: string): void {
    this.#feed({ kind: "start", token });
  }

  stop(): void {
    this.#feed({ kind: "stop" });
  }

  /** Sends a frame of a ready session; `false` when there is none, and the caller tries again after the next READY. */
  send(op: number, d: unknown): boolean {
    if (!this.#session.isReady || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ op, d }));
    return true;
  }

  #feed(input: Input): void {
    for (const output of this.#session.handle(Date.now(), input)) this.#perform(output);
    clearTimeout(this.#timer);
    const due = this.#session.nextTimeout();
    if (due !== null) this.#timer = setTimeout(() => this.#feed({ kind: "tick" }), Math.max(0, due - Date.now()));
  }

  #perform(output: Output): void {
    switch (output.kind) {
      case "open":
        this.#open();
        return;
      case "send":
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(output.frame));
        return;
      case "close":
        this.#detach()?.close(output.code);
        return;
      case "dispatch":
        this.#events.dispatch(output.dispatch);
        return;
      case "status":
        this.#events.status(output.status);
    }
  }

  #open(): void {
    this.#detach()?.close();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/gateway?v=10&encoding=json`);
    this.#socket = socket;
    // A socket that was replaced says nothing any more: the machine knows one connection at a time.
    const whileCurrent = (input: () => Input | null) => {
      const value = this.#socket === socket ? input() : null;
      if (value !== null) this.#feed(value);
    };
    socket.addEventListener("message", (event) => whileCurrent(() => frameInput(event.data)));
    socket.addEventListener("close", (event) =>
      whileCurrent(() => {
        this.#socket = null;
        return { kind: "closed", code: event.code };
      }),
    );
  }

  #detach(): WebSocket | null {
    const socket = this.#socket;
    this.#socket = null;
    return socket;
  }
}

function frameInput(data: unknown): Input | null {
  if (typeof data !== "string") return null;
  try {
    return { kind: "frame", frame: JSON.parse(data) as Frame };
  } catch {
    return null;
  }
}
