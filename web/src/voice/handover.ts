// Who is heard by which of two connections while a room moves, as a pure table. The room's people come to the new node one
// after another and talk on both until all of them are there; each is heard by one connection at a time, and changes from
// the old to the new one when their sound has come by that, or in a pause.

import type { Id } from "../api/types";
import { TUNING } from "./activity";

/** One receive slot of a connection. */
export interface Heard {
  mid: string;
  userId: Id | null;
  isOn: boolean;
  /** RMS of the last 85 ms, 0..1 of full scale. */
  level: number;
}

/** The slots that are not to be played, of either connection. */
export interface Hushed {
  older: Set<string>;
  newer: Set<string>;
}

export class Handover {
  /** Who is heard by the newer one; nobody goes back. */
  #moved = new Set<Id>();

  update(older: readonly Heard[], newer: readonly Heard[]): Hushed {
    for (const { userId, isOn, level } of newer) {
      if (userId === null) continue;
      const before = older.find((slot) => slot.userId === userId && slot.isOn);
      // Between two words nothing is lost, and there is nothing to wait for.
      const isReady = isOn && (level >= TUNING.off || (before?.level ?? 0) < TUNING.off);
      if (before === undefined || isReady) this.#moved.add(userId);
    }
    return {
      older: mids(older, ({ userId }) => userId !== null && this.#moved.has(userId)),
      newer: mids(newer, ({ userId }) => userId === null || !this.#moved.has(userId)),
    };
  }
}

function mids(slots: readonly Heard[], which: (slot: Heard) => boolean): Set<string> {
  return new Set(slots.filter(which).map(({ mid }) => mid));
}
