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

/** Bright enough to be read on every dark surface of the page, and dark enough for every light one: a contrast of 4.5. */
const MIN_LUMINANCE = 0.26;
const MAX_LUMINANCE = 0.11;

/** The colour of a role as text, by light and by dark: what cannot be read there is darkened or lightened, and keeps its hue. */
export function readableColor(color: number): string {
  const channels = [16, 8, 0].map((shift) => ((color >> shift) & 0xff) / 255);
  const towards = (end: number, isReadable: (light: number) => boolean) => {
    for (let mix = 0; ; mix += 0.05) {
      const mixed = channels.map((value) => value + (end - value) * mix);
      if (isReadable(luminance(mixed))) return `#${mixed.map((value) => Math.round(255 * value).toString(16).padStart(2, "0")).join("")}`;
    }
  };
  return `light-dark(${towards(0, (light) => light <= MAX_LUMINANCE)}, ${towards(1, (light) => light >= MIN_LUMINANCE)})`;
}

/** Relative luminance as WCAG defines it, of red, green and blue from 0 to 1. */
function luminance(channels: readonly number[]): number {
  const linear = channels.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * (linear[0] ?? 0) + 0.7152 * (linear[1] ?? 0) + 0.0722 * (linear[2] ?? 0);
}
