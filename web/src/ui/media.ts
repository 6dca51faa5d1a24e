// Where pictures are: on the server that the page came from, or where that keeps its files. Nothing is loaded from anywhere
// else, so that a message cannot tell a stranger who reads it.

import type { Id } from "../api/types";

const CDN = "/cdn";

export function emojiUrl(id: Id): string {
  return `${CDN}/emojis/${id}.webp?size=48`;
}

export function avatarUrl(user: Id, hash: string, size: number): string {
  return `${CDN}/avatars/${user}/${hash}.webp?size=${powerOfTwo(size)}`;
}

export function iconUrl(guild: Id, hash: string, size: number): string {
  return `${CDN}/icons/${guild}/${hash}.webp?size=${powerOfTwo(size)}`;
}

/** Pictures come in sizes of 16, 32, 64 …; twice the size on the screen is sharp on every display. */
function powerOfTwo(pixels: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(16, 2 * pixels)));
}

/** How links to files end, also where the server hands them out at an address of their own. */
const OWN_FILE = /\/attachments\/\d+\/\d+\/[^/]+$/;

/**
 * Whether a file is of this server, so that the page may show it in place. What only looks so is not loaded either: the
 * content security policy knows the address.
 */
export function isOurs(url: string): boolean {
  if (!URL.canParse(url, location.href)) return false;
  const { origin, pathname } = new URL(url, location.href);
  return origin === location.origin || OWN_FILE.test(pathname);
}

export function fileSize(bytes: number): string {
  const units = ["bytes", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step] ?? ""}`;
}
