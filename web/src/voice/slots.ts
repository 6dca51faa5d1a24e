// Who is in which receive slot. The server has a fixed number of slots per listener and says by op 5 whose audio it puts
// into which; a slot that nobody speaks in keeps its last speaker until the server gives it to another.

import type { Id } from "../api/types";
import type { AnswerSlot } from "./sdp";

export interface Slot extends AnswerSlot {
  userId: Id | null;
  /** The server says that audio of this user comes; how loud it is, the meter says. */
  isOn: boolean;
}

export class SlotTable {
  #slots: AnswerSlot[] = [];
  #bySsrc = new Map<number, { userId: Id; isOn: boolean }>();

  open(slots: readonly AnswerSlot[]): void {
    this.#slots = slots.map((slot) => ({ ...slot }));
  }

  /** A receiver reported the SSRC of its first packet. */
  learn(mid: string, ssrc: number): void {
    const slot = this.#slots.find((each) => each.mid === mid);
    if (slot !== undefined) slot.ssrc = ssrc;
  }

  /** op 5. It may come before the answer, so it is kept by SSRC. */
  speaker(userId: Id, ssrc: number, isOn: boolean): void {
    const held = this.#bySsrc.get(ssrc);
    // A late "off" of the one before must not silence the one who took over.
    if (!isOn && held !== undefined && held.userId !== userId) return;
    if (isOn) {
      for (const [other, holder] of this.#bySsrc) if (other !== ssrc && holder.userId === userId) this.#bySsrc.delete(other);
    }
    this.#bySsrc.set(ssrc, { userId, isOn });
  }

  /** Whether anybody was ever said to be in the slot with this SSRC. */
  has(ssrc: number): boolean {
    return this.#bySsrc.has(ssrc);
  }

  gone(userId: Id): void {
    for (const [ssrc, holder] of this.#bySsrc) if (holder.userId === userId) this.#bySsrc.delete(ssrc);
  }

  all(): Slot[] {
    return this.#slots.map((slot) => {
      const holder = slot.ssrc === null ? undefined : this.#bySsrc.get(slot.ssrc);
      return { ...slot, userId: holder?.userId ?? null, isOn: holder?.isOn ?? false };
    });
  }
}
