// The main gateway's client side as a pure machine: `handle(now, input)` returns what to do, `nextTimeout()` says when to
// come back with a tick. It never touches a socket, a clock or a timer; `connection.ts` does.

import { type Backoff, delayMs } from "./backoff";
import { CLOSE_AUTHENTICATION_FAILED, CLOSE_RESUMABLE, type Dispatch, endsSession, type Frame, isFatalClose, Op } from "./protocol";

/** A server that accepts a connection says Hello at once; one that does not in this time is taken for dead. */
export const HELLO_TIMEOUT_MS = 15_000;
export const BACKOFF: Backoff = { firstMs: 500, maxMs: 30_000 };
/** Spreads the pages of a server that came back without its sessions; short, because a call waits for it. */
const INVALID_SESSION_WAIT_MS = { min: 250, spread: 1_250 };

export type GatewayStatus = "offline" | "connecting" | "resuming" | "ready" | "waiting" | "unauthorized" | "refused";

export type Input =
  | { kind: "start"; token: string }
  | { kind: "stop" }
  | { kind: "frame"; frame: Frame }
  | { kind: "closed"; code: number }
  /** The browser says that the network is back: no reason to wait out the backoff. */
  | { kind: "online" }
  | { kind: "tick" };

export type Output =
  | { kind: "open" }
  | { kind: "send"; frame: { op: number; d: unknown } }
  | { kind: "close"; code: number }
  | { kind: "dispatch"; dispatch: Dispatch }
  | { kind: "status"; status: GatewayStatus };

type State =
  | { name: "stopped" }
  | { name: "waiting"; untilMs: number }
  /** The socket is opening, or open and silent. */
  | { name: "hello"; deadlineMs: number }
  /** Hello came; READY or RESUMED has not. */
  | { name: "authenticating" }
  | { name: "ready" };

interface Heart {
  intervalMs: number;
  nextMs: number;
  isAcked: boolean;
}

export class GatewaySession {
  #state: State = { name: "stopped" };
  #token = "";
  #resume: { sessionId: string } | null = null;
  #seq: number | null = null;
  #heart: Heart | null = null;
  #attempt = 0;

  constructor(private readonly random: () => number) {}

  get sessionId(): string | null {
    return this.#resume?.sessionId ?? null;
  }

  get isReady(): boolean {
    return this.#state.name === "ready";
  }

  nextTimeout(): number | null {
    if (this.#state.name === "waiting") return this.#state.untilMs;
    if (this.#state.name === "hello") return this.#state.deadlineMs;
    return this.#heart?.nextMs ?? null;
  }

  handle(now: number, input: Input): Output[] {
    const out: Output[] = [];
    const isStopped = this.#state.name === "stopped";
    if (input.kind === "start") {
      this.#forget();
      this.#token = input.token;
      this.#attempt = 0;
      this.#open(now, out);
    } else if (isStopped) {
      // A socket that was told to close still reports frames and its end.
    } else if (input.kind === "stop") {
      this.#end("offline", out);
      out.push({ kind: "close", code: 1000 });
    } else if (input.kind === "closed") {
      this.#closed(now, input.code, out);
    } else if (input.kind === "frame") {
      this.#frame(now, input.frame, out);
    } else if (input.kind === "online") {
      if (this.#state.name === "waiting") this.#open(now, out);
    } else if (input.kind === "tick") {
      this.#tick(now, out);
    }
    return out;
  }

  #open(now: number, out: Output[]): void {
    this.#state = { name: "hello", deadlineMs: now + HELLO_TIMEOUT_MS };
    this.#heart = null;
    out.push({ kind: "status", status: this.#resume === null ? "connecting" : "resuming" }, { kind: "open" });
  }

  #frame(now: number, frame: Frame, out: Output[]): void {
    // A connection that was given up may still deliver what was on its way.
    if (this.#state.name === "waiting") return;
    switch (frame.op) {
      case Op.hello:
        this.#hello(now, frame.d as { heartbeat_interval: number }, out);
        return;
      case Op.heartbeat:
        out.push(this.#heartbeat());
        return;
      case Op.heartbeatAck:
        if (this.#heart !== null) this.#heart.isAcked = true;
        return;
      case Op.reconnect:
        this.#drop(now, 0, out);
        return;
      case Op.invalidSession:
        if (frame.d !== true) this.#forget();
        this.#drop(now, INVALID_SESSION_WAIT_MS.min + INVALID_SESSION_WAIT_MS.spread * this.random(), out);
        return;
      case Op.dispatch:
        this.#dispatch(frame, out);
        return;
      default:
      // Opcodes of features that this page does not have.
    }
  }

  #hello(now: number, hello: { heartbeat_interval: number }, out: Output[]): void {
    if (this.#state.name !== "hello") return;
    this.#state = { name: "authenticating" };
    this.#heart = { intervalMs: hello.heartbeat_interval, nextMs: now + hello.heartbeat_interval * this.random(), isAcked: true };
    out.push({ kind: "send", frame: this.#resume === null ? this.#identify() : this.#resumeFrame(this.#resume.sessionId) });
  }

  #dispatch(frame: Frame, out: Output[]): void {
    if (typeof frame.s === "number") this.#seq = frame.s;
    const dispatch = { t: frame.t, d: frame.d } as Dispatch;
    if (dispatch.t === "READY") this.#resume = { sessionId: dispatch.d.session_id };
    const isWelcome = dispatch.t === "READY" || dispatch.t === "RESUMED";
    if (isWelcome) {
      this.#state = { name: "ready" };
      this.#attempt = 0;
    }
    out.push({ kind: "dispatch", dispatch });
    if (isWelcome) out.push({ kind: "status", status: "ready" });
  }

  #closed(now: number, code: number, out: Output[]): void {
    if (this.#state.name === "waiting") return;
    if (isFatalClose(code)) {
      this.#end(code === CLOSE_AUTHENTICATION_FAILED ? "unauthorized" : "refused", out);
      return;
    }
    if (endsSession(code)) this.#forget();
    this.#wait(now, delayMs(BACKOFF, this.#attempt, this.random), out);
  }

  #tick(now: number, out: Output[]): void {
    const due = this.nextTimeout();
    if (due === null || now < due) return;
    if (this.#state.name === "waiting") {
      this.#open(now, out);
    } else if (this.#state.name === "hello") {
      this.#drop(now, delayMs(BACKOFF, this.#attempt, this.random), out);
    } else if (this.#heart !== null && this.#heart.isAcked) {
      this.#heart.isAcked = false;
      this.#heart.nextMs = now + this.#heart.intervalMs;
      out.push(this.#heartbeat());
    } else {
      // Nothing was heard for a whole interval: the path is dead even if the socket does not know it yet.
      this.#drop(now, 0, out);
    }
  }

  /** Closes a connection that is still open and tries again after `waitMs`. */
  #drop(now: number, waitMs: number, out: Output[]): void {
    out.push({ kind: "close", code: CLOSE_RESUMABLE });
    this.#wait(now, waitMs, out);
  }

  #wait(now: number, waitMs: number, out: Output[]): void {
    this.#attempt += 1;
    this.#heart = null;
    this.#state = { name: "waiting", untilMs: now + waitMs };
    out.push({ kind: "status", status: "waiting" });
  }

  #end(status: GatewayStatus, out: Output[]): void {
    this.#forget();
    this.#state = { name: "stopped" };
    this.#heart = null;
    out.push({ kind: "status", status });
  }

  #forget(): void {
    this.#resume = null;
    this.#seq = null;
  }

  #heartbeat(): Output {
    return { kind: "send", frame: { op: Op.heartbeat, d: this.#seq } };
  }

  #identify() {
    const properties = { os: "web", browser: "Guildhall Web", device: "" };
    return { op: Op.identify, d: { token: this.#token, properties, large_threshold: 250 } };
  }

  #resumeFrame(sessionId: string) {
    return { op: Op.resume, d: { token: this.#token, session_id: sessionId, seq: this.#seq ?? 0 } };
  }
}
