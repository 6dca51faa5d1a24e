// Ids are decimal strings of 64-bit numbers: the longer one is the larger, equal lengths compare as text.

import type { Id } from "../api/types";

export function compareIds(a: Id, b: Id): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

export function isNewer(a: Id, b: Id): boolean {
  return compareIds(a, b) > 0;
}

/** The moment in an id. */
export function snowflakeMs(id: Id): number {
  return Number((BigInt(id) >> 22n) + 1_420_070_400_000n);
}

let counter = 0;

/** A key for a message that is being sent: unique in this page, at most 25 characters (the API's limit). */
export function nonce(nowMs: number, random: () => number): string {
  counter = (counter + 1) % 10_000;
  return `${nowMs}${String(counter).padStart(4, "0")}${Math.floor(random() * 1e6)}`;
}
