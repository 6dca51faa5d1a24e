// Who publishes which video, what this page shows of it, and in which of its fixed receive slots: a pure table. What is shown
// is said to the server as a whole; the server says who is in which slot.

import type { Id } from "../api/types";
import type { FilledSlot, NarrowedSlot, VideoSource } from "./protocol";
import type { Grade } from "./quality";

/** Videos that are received at a time; whoever is beyond is shown as a picture. */
export const VIDEO_SLOTS = 9;

/** A picture with this part of a tile's pixels fills it well: the server does not send a larger one for less. */
const ENOUGH = 0.75;

/** One video of one person. */
export type VideoKey = `${Id}:${VideoSource}`;

export function videoKey(userId: Id, source: VideoSource): VideoKey {
  return `${userId}:${source}`;
}

/** A video as it arrives, and by which connection: its first frame by another one takes a moment. */
export interface Picture {
  stream: MediaStream;
  leg: number;
}

/** A video on the screen, in pixels of the screen. */
export interface Shown {
  userId: Id;
  source: VideoSource;
  width: number;
  height: number;
  focus: boolean;
}

export interface WantedSlot {
  slot: number;
  user_id: Id;
  source: VideoSource;
  width: number;
  height: number;
  focus: boolean;
}

/** The one in focus is worth more than any area. */
function importance(shown: Shown): number {
  return shown.width * shown.height + (shown.focus ? Number.MAX_SAFE_INTEGER / 2 : 0);
}

export class VideoTable {
  #published = new Map<Id, ReadonlySet<VideoSource>>();
  #shown = new Map<VideoKey, Shown>();
  /** What is wanted in each slot. */
  #wanted: (VideoKey | null)[] = Array.from({ length: VIDEO_SLOTS }, () => null);
  #filled = new Map<VideoKey, number>();
  #narrowed = new Map<number, NarrowedSlot>();

  /** op 12: everything that somebody publishes. */
  publishes(userId: Id, sources: readonly VideoSource[]): void {
    if (sources.length === 0) this.#published.delete(userId);
    else this.#published.set(userId, new Set(sources));
  }

  gone(userId: Id): void {
    this.#published.delete(userId);
  }

  has(userId: Id, source: VideoSource): boolean {
    return this.#published.get(userId)?.has(source) === true;
  }

  published(): Record<Id, VideoSource[]> {
    return Object.fromEntries([...this.#published].map(([userId, sources]) => [userId, [...sources]]));
  }

  /** A tile came, went (`null`) or changed its size. */
  show(key: VideoKey, shown: Shown | null): void {
    if (shown === null) this.#shown.delete(key);
    else this.#shown.set(key, shown);
  }

  /** What the server is to be told: what is published and shown, large and focused ones first; a video keeps its slot. */
  wanted(): WantedSlot[] {
    const candidates = [...this.#shown].filter(([, shown]) => this.has(shown.userId, shown.source) && shown.width * shown.height > 0);
    const chosen = new Map(candidates.toSorted(([, a], [, b]) => importance(b) - importance(a)).slice(0, VIDEO_SLOTS));
    this.#wanted = this.#wanted.map((key) => (key !== null && chosen.has(key) ? key : null));
    for (const key of chosen.keys()) {
      if (this.#wanted.includes(key)) continue;
      const free = this.#wanted.indexOf(null);
      if (free >= 0) this.#wanted[free] = key;
    }
    return this.#wanted.flatMap((key, slot) => {
      const shown = key === null ? undefined : chosen.get(key);
      if (shown === undefined) return [];
      const { userId, source, width, height, focus } = shown;
      return [{ slot, user_id: userId, source, width: Math.min(width, 8192), height: Math.min(height, 8192), focus }];
    });
  }

  /** The server's word on all slots. */
  place(slots: readonly FilledSlot[]): void {
    this.#filled.clear();
    for (const { slot, user_id, source } of slots) {
      if (user_id !== null && source !== null) this.#filled.set(videoKey(user_id, source), slot);
    }
  }

  /** The server's word on what this page's network does not carry. */
  narrow(slots: readonly NarrowedSlot[]): void {
    this.#narrowed = new Map(slots.map((each) => [each.slot, each]));
  }

  /** What each shown video is, with what the browser says of its slots. */
  grades(received: readonly { slot: number; frameWidth: number; frameHeight: number }[]): Record<VideoKey, Grade> {
    const grades: Record<VideoKey, Grade> = {};
    this.#wanted.forEach((key, slot) => {
      const shown = key === null ? undefined : this.#shown.get(key);
      if (key === null || shown === undefined || !this.#isPublished(key)) return;
      const narrowed = this.#narrowed.get(slot);
      const { frameWidth = 0, frameHeight = 0 } = (this.#filled.has(key) ? received.find((each) => each.slot === slot) : undefined) ?? {};
      if (frameHeight === 0 && narrowed?.paused !== true) return;
      const isEnough = frameWidth * frameHeight >= ENOUGH * shown.width * shown.height;
      const reason = narrowed?.paused === true ? "paused" : narrowed !== undefined ? "network" : isEnough ? "size" : "sender";
      grades[key] = { height: frameHeight, reason };
    });
    return grades;
  }

  /** In which slot each video arrives. */
  filled(): Record<VideoKey, number> {
    return Object.fromEntries([...this.#filled].filter(([key]) => this.#isPublished(key)));
  }

  #isPublished(key: VideoKey): boolean {
    const [userId = "", source = ""] = key.split(":");
    return this.has(userId, source as VideoSource);
  }
}

/** What everyone publishes, by several connections: while a room moves not everyone is at the new node yet. */
export function together(tables: readonly Readonly<Record<Id, readonly VideoSource[]>>[]): Record<Id, VideoSource[]> {
  const all: Record<Id, VideoSource[]> = {};
  for (const table of tables) {
    for (const [userId, sources] of Object.entries(table)) all[userId] = [...new Set([...(all[userId] ?? []), ...sources])];
  }
  return all;
}
