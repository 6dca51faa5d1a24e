// Faces for those who have no picture: initials on a colour that is always the same for one id.

import type { Id } from "../api/types";

/** At most two letters: of the first and last word, or the first two of one word. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s._-]+/u).filter((word) => word !== "");
  const first = words[0];
  const last = words.at(-1);
  if (first === undefined || last === undefined) return "?";
  const letters = words.length === 1 ? [...first].slice(0, 2) : [...first].slice(0, 1).concat([...last].slice(0, 1));
  return letters.join("").toUpperCase();
}

/** Degrees on the colour wheel. */
export function hue(id: Id): number {
  // FNV-1a: ids made in one moment differ in few digits and must not look alike.
  let hash = 0x811c9dc5;
  for (const digit of id) hash = Math.imul(hash ^ digit.charCodeAt(0), 0x01000193) >>> 0;
  // Steps of 24 degrees: neighbours stay tellable apart.
  return ((hash >>> 8) % 15) * 24;
}
